"""A figure shown: a file outside notebooks, an element with its own pixels inside."""

import base64
import sys
import types

import numpy as np

from minizf.view import show as module
from minizf.view.gallery import Picture, draw_gallery
from minizf.view.show import as_html, show
from minizf.view.style import png


def figure():
    return draw_gallery([Picture(np.zeros((4, 4, 3), np.uint8))], 'Edges & "corners"')


def test_writes_a_file_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIZF_FIGURES", str(tmp_path / "new"))
    show(figure(), "02-edges")
    path = tmp_path / "new" / "02-edges.png"
    assert path.read_bytes() == png(figure())
    assert str(path) in capsys.readouterr().out


def test_the_default_folder_is_under_runs(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIZF_FIGURES", raising=False)
    monkeypatch.chdir(tmp_path)
    show(figure(), "edges")
    assert (tmp_path / "runs" / "figures" / "edges.png").is_file()


def test_html_holds_the_pixels_and_the_title():
    html = as_html(figure())
    assert 'alt="Edges &amp; &quot;corners&quot;"' in html
    data = html.split("base64,")[1].split('"')[0]
    assert base64.b64decode(data) == png(figure())
    assert "http" not in html


def test_a_kernel_gets_the_picture_and_no_file_is_written(tmp_path, monkeypatch):
    got = []
    display = types.SimpleNamespace(HTML=lambda text: text, display=got.append)
    monkeypatch.setattr(module, "in_notebook", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=display))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setenv("MINIZF_FIGURES", str(tmp_path / "none"))
    show(figure(), "edges")
    assert got == [as_html(figure())]
    assert not (tmp_path / "none").exists()
