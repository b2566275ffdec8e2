"""What the pages import in a first, hidden cell: commands that stop the build where they fail, and gallery pictures.

A line `!l2m check photos` of a page calls the same function as the command, in the page's own process: PyTorch is then
loaded once a page and not once a line.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import warnings
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path

from IPython import get_ipython
from IPython.display import Image

from labels2masks.cli import main

warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar that nobody asked for

shown_failures: set[int] = set()
"""Exit codes that a page shows on purpose."""


def run(command: str) -> None:
    words = shlex.split(command, comments=True)
    if words[0] == "l2m":
        with redirect_stderr(sys.stdout):  # one stream, so that errors stand where they were said
            code = main(words[1:])
    else:
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        print(done.stdout + done.stderr, end="")
        code = done.returncode
    if code in shown_failures:
        print(f"(exit code {code})")
    elif code:
        raise RuntimeError(f"{command}: exit code {code}")


def gallery(name: str) -> Image:
    """Run examples/gallery/<name>.py in the folder `gallery` and show its picture."""
    return Image(filename=str(import_module(name).main(Path("gallery"))))


get_ipython().system = run
