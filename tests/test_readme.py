"""The README keeps its promises: its program runs, its commands parse, its pictures and links are there."""

import re
import shlex
from pathlib import Path

import pytest

from minizf import cli

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """What stands between a pair of markers, without the fences."""
    inside = re.search(rf"<!-- {name}: .*?-->\n(.*?)<!-- end of {name} -->", TEXT, re.DOTALL)[1]
    return "\n".join(line for line in inside.splitlines() if not line.startswith("```"))


def shape_of_steps(output: str) -> list[list[str]]:
    """Operation, layer and size of each printed step, without what depends on the weights."""
    return [line.split()[:-2] for line in output.splitlines() if line.endswith("zero")]


def test_the_program_runs_and_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "--data", "scenes:images=60", "--epochs", "1", "--out", "runs/demo", "-q"]) == 0
    capsys.readouterr()
    exec(block("program"), {})
    printed = capsys.readouterr().out
    assert "of 64 images right" in printed
    assert len(shape_of_steps(printed)) > 10
    assert shape_of_steps(printed) == shape_of_steps(block("output"))


def commands() -> list[str]:
    fenced = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    lines = [line.partition("#")[0].strip() for text in fenced for line in text.splitlines()]
    inline = re.findall(r"`(minizf [^`]*)`", re.sub(r"<!--.*?-->", "", TEXT))
    return [line for line in [*lines, *inline] if line.startswith("minizf ")]


@pytest.mark.parametrize("command", commands())
def test_every_command_parses(command):
    options = cli.parser().parse_args(shlex.split(command)[1:])
    assert options.verb in command


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^):]+)\)", TEXT))))
def test_every_link_leads_somewhere(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", TEXT, re.MULTILINE))))
def test_every_make_target_is_there(target):
    assert f"\n{''.join(target)}:" in (ROOT / "Makefile").read_text()
