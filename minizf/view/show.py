"""A figure where its reader is: in the notebook or on the site that runs the cell, else as a PNG file."""

import base64
import html
import os
import sys
from pathlib import Path

from matplotlib.figure import Figure

from minizf.view.style import png, save

PIXELS_PER_INCH = 100  # on a page, so that type has the same size in all figures
FOLDER = "runs/figures"


def show(figure: Figure, name: str) -> None:
    """Shows the figure inline under a notebook kernel; else writes `name`.png, and prints where.

    Files go to the folder named by MINIZF_FIGURES, by default runs/figures under the working directory. What is read out to
    those who do not see the figure is its first text, the title.
    """
    if in_notebook():
        from IPython.display import HTML, display

        display(HTML(as_html(figure)))
        return
    path = Path(os.environ.get("MINIZF_FIGURES", FOLDER)) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(figure, path)
    print(f"figure: {path}")


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs us: only then is there someone to receive a picture."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized()


def as_html(figure: Figure) -> str:
    """The figure as an HTML element that holds its own pixels."""
    width = round(figure.get_figwidth() * PIXELS_PER_INCH)
    text = figure.texts[0].get_text() if figure.texts else "figure"
    data = base64.b64encode(png(figure)).decode()
    return (
        f'<div class="minizf-figure"><img width="{width}" alt="{html.escape(text)}" src="data:image/png;base64,{data}"></div>'
    )
