"""The lessons as a small site. Every lesson is run while it is built; a false claim stops the build.

The pages need nothing from the network: type is the reader's own, figures are part of their page, formulas
are MathML.
"""

import os
import re
import sys
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))  # for autodoc
os.environ["JUPYTER_PATH"] = str(HERE)  # kernels/python3: the interpreter that builds the site
os.environ["PYTHONPATH"] = str(HERE.parents[1])

project = "minizf"
author = copyright = "the minizf authors"
extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "pictures", "site"]

nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_output_stderr = "remove"  # compiler notices and progress bars, which differ from machine to machine
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = "how this figure is drawn"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 2

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
add_module_names = False

html_theme = "furo"
html_title = "minizf"
html_static_path = ["static"]
html_css_files = ["minizf.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#2667a8",
        "color-brand-content": "#2667a8",
        "color-brand-visited": "#2667a8",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb6ee",
        "color-brand-content": "#7fb6ee",
        "color-brand-visited": "#7fb6ee",
    },
}
pygments_style, pygments_dark_style = "tango", "github-dark"


def write_math(block: bool):
    """A formula as MathML, which browsers draw by themselves: no script, no fonts to fetch."""

    def visit(translator, node):
        translator.body.append(tex2mathml(node.astext(), as_block=block))
        raise nodes.SkipNode

    return visit, None


def plain_docstring(app, what, name, thing, options, lines):
    """Docstrings here are plain text with columns: their first paragraph is prose, the rest keeps its form."""
    head, rest = [], list(lines)
    while rest and rest[0].strip():
        head.append(rest.pop(0))
    words = [
        re.sub(r"([*_\\|])", r"\\\1", part) if i % 2 == 0 else f"``{part}``"
        for i, part in enumerate(" ".join(head).split("`"))
    ]
    lines[:] = ["".join(words), ""]
    if any(line.strip() for line in rest):
        lines += [".. code-block:: none", "", *(f"   {line}" for line in rest), ""]


def ladder_page(app, name, text):
    """The ladder's page is the README beside its kernels; here its links to them offer the files."""
    if name == "ladder":
        page = HERE.parents[1] / "kernels" / "ladder" / "README.md"
        app.env.note_dependency(page, docname=name)
        text[0] = re.sub(r"\]\(\./", "](path:../kernels/ladder/", page.read_text())


def setup(app):
    app.add_html_math_renderer("mathml", inline_renderers=write_math(False), block_renderers=write_math(True))
    app.connect("source-read", ladder_page)
    app.connect("autodoc-process-docstring", plain_docstring)
