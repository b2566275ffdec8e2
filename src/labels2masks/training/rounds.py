"""The three schedules of learning from weak labels.

    one_pass        the labels are narrowed once, a network learns from what is left (Guide Labeller, WSSL's Bbox-Seg)
    alternation     and its scores narrow the labels again, for the next round (BoxSup, ScribbleSup, Simple Does It)
    online          one run, in which the running mean of the weights answers where labels leave a choice (Mean Teacher)

Every round narrows the labels of the person: `narrow` is told the round and the network of the round before, never the
labels that an earlier round made, so that no mistake locks in.

Both callbacks give a folder. Where it is finished they give it at once (see `made_once`), so that a schedule that was
killed goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from .settings import Settings

Narrow = Callable[[int, Path | None], Path]
"""(round from 1, the network whose scores it may ask) -> data set: the person's labels, narrowed."""

Learn = Callable[[Path, int, bool], Path]
"""(data set, round, is it the last?) -> the network that learnt from it."""


def one_pass(narrow: Narrow, learn: Learn, model: Path | None = None) -> Path:
    """The network of the only round. model: what `narrow` may ask, None = nothing."""
    return learn(narrow(1, model), 1, True)


def alternation(rounds: int, narrow: Narrow, learn: Learn, model: Path | None = None) -> Path:
    """The network of the last round. model: what `narrow` may ask in the first, None = nothing."""
    for number in range(1, rounds):
        model = learn(narrow(number, model), number, False)
    return learn(narrow(rounds, model), rounds, True)


def online(settings: Settings, weight: float = 1.0) -> Settings:
    """The settings with the teacher's answers at that weight (see `settings.Loss`, consistency)."""
    return settings.model_copy(update={"loss": settings.loss.model_copy(update={"consistency": weight})})


def made_once(folder: Path, last: str, make: Callable[[Path], object]) -> Path:
    """`folder`, made by `make` where it lacks the file `last`, the one that is written last; half of one is cleared."""
    if not (folder / last).exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
    return folder
