"""The two kinds of failure a person can mend, and the sentence they read.

The command line turns `UsageError` into exit code 2 and `DataError` into 3;
everything else is a run-time failure, exit code 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """The call is wrong: an unknown name, an option that does not fit."""


class DataError(ValueError):
    """A file or label is wrong. The text names the file, what came, what was expected, what to do."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of an error about an unknown name: ` - did you mean 'cat'?` or the list of what is known."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" - did you mean {close[0]!r}?"
    shown = ", ".join(known[:30]) + (", ..." if len(known) > 30 else "")
    return f" - known are: {shown}"
