"""What is being done and how long it will take, on standard error: standard output belongs to results.

A bar on a terminal; elsewhere (a log file, a notebook's pipe, CI) one plain line every few
seconds, and nothing at all for work that is over before the first line would be due.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

PLAIN_SECONDS = 2.0
"""Seconds from one plain line to the next."""

_bars: Progress | None = None  # a terminal has one live display, so nested loops share it


def track(iterable: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield the items of `iterable` and show how many are done, how many a second, and the time left.

    what: the work in a few words, "reading masks". total: where `len(iterable)` is not known.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if not _on_terminal():
        yield from _track_plainly(iterable, what, total)
        return
    with _shared_bars() as bars:
        task = bars.add_task(what, total=total)
        try:
            for item in iterable:
                yield item
                bars.advance(task)
        finally:
            bars.remove_task(task)


@contextmanager
def status(what: str) -> Iterator[Callable[[str], None]]:
    """Show that work of unknown length goes on; the function it gives replaces the text.

    with status("measuring the machine") as say:
        say("measuring the machine: bfloat16")
    """
    if not _on_terminal():
        _say(what)
        yield _say
        return
    with _shared_bars() as bars:
        task = bars.add_task(what, total=None)
        try:
            yield lambda text: bars.update(task, description=text)
        finally:
            bars.remove_task(task)


def duration(seconds: float) -> str:
    """'8 s', '3 min 20 s', '2 h 5 min': as exact as a person needs it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _track_plainly(iterable: Iterable[T], what: str, total: int | None) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS and done != total:
            last = now
            _say(_line(what, done, total, now - start))
    if last > start:
        _say(_line(what, done, None, time.monotonic() - start) + f", took {duration(time.monotonic() - start)}")


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    rate = done / seconds
    pace = f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each" if rate else "waiting"
    if total is None:
        return f"{what}: {done}, {pace}"
    return f"{what}: {done}/{total}, {pace}, {duration(max(total - done, 0) / rate)} left"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _on_terminal() -> bool:
    if not (sys.stderr and sys.stderr.isatty()):
        return False
    from rich.console import Console

    return not Console(stderr=True).is_dumb_terminal


@contextmanager
def _shared_bars() -> Iterator[Progress]:
    """The live display; the outermost loop starts it and stops it."""
    global _bars
    if _bars is not None:
        yield _bars
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as _bars:
        try:
            yield _bars
        finally:
            _bars = None
