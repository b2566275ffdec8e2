"""Sphinx settings. `make docs` builds docs/_build/html: pages run their commands, and a warning is a failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from docstrings import as_rst  # noqa: E402

import labels2masks  # noqa: E402

project = "labels2masks"
author = "The labels2masks authors"
project_copyright = "the labels2masks authors, Apache-2.0"
version = release = labels2masks.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"labels2masks {version}"
html_show_sourcelink = False
highlight_language = "text"

myst_heading_anchors = 3

# Pages run in folders of their own that are thrown away; what they import lies here and in the gallery.
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 1800
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables that a cell makes are tables
_places = [str(HERE), str(HERE.parent / "examples" / "gallery"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(p for p in _places if p)

autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88


def _docstring(app, what, name, obj, options, lines):
    lines[:] = as_rst(lines)


def setup(app):
    app.connect("autodoc-process-docstring", _docstring)
