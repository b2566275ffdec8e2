"""The command line: `labels2masks` (`l2m` for short). Parse, call the Python verb of the same name, print.

Results go to standard output, progress and errors to standard error. With --json the last line of standard
output is one JSON value. Exit codes: 2 the call is wrong, 3 a file or label is wrong, 4 anything that failed on
the way, 130 stopped from the keyboard. An error is one line; --debug shows where it came from.

Nothing heavy is imported here: every verb is looked up in the package when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import labels2masks as l2m

from .command.told import failure
from .command.typed import as_parsed
from .command.verbs import app
from .errors import UsageError, did_you_mean

__all__ = ["app", "as_parsed", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. The console scripts and `python -m labels2masks` are this."""
    words = as_parsed(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file name that the terminal can not show is no failure
    try:
        if words[0] == "--version":
            print(l2m.__version__)
            return 0
        if not words[0].startswith("-"):
            _known_verb(words[0])
        done = app(words, prog_name="labels2masks", standalone_mode=False)
        if done == 130:  # the parser's own way to say so
            raise KeyboardInterrupt
        sys.stdout.flush()
        return done if isinstance(done, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` is no failure, nor is the last flush
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if "--debug" in words:
            import traceback

            traceback.print_exc()
        code, text = failure(error)
        print(f"error: {text}", file=sys.stderr)
        return code


def _known_verb(word: str) -> None:
    verbs = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
    if word not in verbs:
        raise UsageError(f"no command {word!r}{did_you_mean(word, verbs)}")
