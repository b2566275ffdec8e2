"""The documentation: its commands exist, its docstrings are read as they are meant, and it builds without a warning."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer

from labels2masks import cli

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts)]
COMMAND = re.compile(r"^\s*(?:!?l2m|torchrun .*-m labels2masks) (?=[a-z])")
MISTYPED = {"trian"}
"""Verbs that the page about bad input gets wrong on purpose."""


def commands(page: Path) -> list[str]:
    """The calls of our commands in a page, each in one line, without their first word."""
    lines = page.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    return [COMMAND.sub("", line) for line in lines if COMMAND.match(line)]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_of_the_page_are_commands(page):
    group = typer.main.get_command(cli.app)
    for command in commands(page):
        verb, *words = cli.as_parsed(shlex.split(command, comments=True))
        if verb not in MISTYPED:
            group.commands[verb].make_context(verb, words)  # refuses what does not parse


def test_commands_are_found():
    assert len(commands(DOCS / "start" / "practitioner.md")) >= 6
    assert "train photos/ --out runs/a --set batch=64" in [c.strip() for c in commands(DOCS / "start" / "team.md")]


def test_docstrings_become_definitions_and_code(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    as_rst = import_module("docstrings").as_rst
    lines = ["Score `run` against *data*.", "", "run, model: a `Run`, or", "    its folder_", "Raises DataError."]
    assert as_rst([*lines, "", "    a | b"]) == [
        *("Score ``run`` against \\*data\\*.", ""),
        *("``run``, ``model``", "    a ``Run``, or its folder\\_", "", "Raises DataError.", ""),
        *("::", "", "    a | b", ""),
    ]
    assert as_rst(["Returns `one,", "two`."]) == ["Returns ``one, two``.", ""]


@pytest.mark.skipif(
    not all(map(find_spec, ("sphinx", "furo", "myst_nb"))), reason="needs the extra: pip install 'labels2masks[docs]'"
)
def test_builds_without_a_warning(tmp_path):
    """Every page and every docstring of the reference; `make docs` runs the pages' commands too."""
    without_running = ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer"]
    words = ["-m", "sphinx", "-W", "--keep-going", *without_running, str(DOCS), str(tmp_path / "html")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    api = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    assert 'id="labels2masks.train"' in api and 'id="labels2masks.Candidates.state"' in api
    assert (tmp_path / "html" / "_images" / "picture.webp").stat().st_size < 300_000
