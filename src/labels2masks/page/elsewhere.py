"""Features computed by another process, that is started anew where a photo took it down.

for i, why in Elsewhere(store).computed({0: photo, ...}):   why: None, or why the photo is left out
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from threading import Timer

from ..errors import DataError
from ..formats.dataset import Photo
from .features import Store

SILENT = 120.0
"""Seconds after which a photo is held to have stopped the process that reads it."""


class Elsewhere:
    def __init__(self, store: Store):
        self.store, self.stopped = store, False
        self._process: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        self.stopped = True
        if self._process is not None:
            self._process.kill()

    def computed(self, photos: Mapping[int, Photo]) -> Iterator[tuple[int, str | None]]:
        """Each photo as its maps lie on the disk. Raises DataError where the encoder can not be had."""
        left = list(photos)
        while left and not self.stopped:
            done = 0
            for number, why in self._by_one_process([photos[i] for i in left]):
                done = number + 1
                yield left[number], why
            if done < len(left) and not self.stopped:
                yield left[done], f"{photos[left[done]].image}: reading it ended the process; save it anew"
            left = left[done + 1 :]

    def _by_one_process(self, photos: list[Photo]) -> Iterator[tuple[int, str | None]]:
        wanted = [(str(photo.image), str(self.store.file(photo)), photo.levels) for photo in photos]
        asked = {"folder": str(self.store.folder.parent), "encoder": self.store.encoder, "weights": self.store.weights}
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        words = [sys.executable, "-m", "labels2masks.page.features"]
        self._process = process = subprocess.Popen(words, text=True, **pipes)  # type: ignore[call-overload]
        assert process.stdin and process.stderr
        process.stdin.write(json.dumps(asked | {"photos": wanted}) + "\n")
        process.stdin.flush()
        ready = False
        for line in lines_of(process):
            number, why = json.loads(line)
            if number is None:
                ready = True
            else:
                yield number, why
        said = process.stderr.read().strip().splitlines()
        if process.wait() and not ready and not self.stopped:
            raise DataError(f"features can not be computed: {said[-1] if said else 'no reason given'}")


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    """What the process says; once it has begun, it is ended where it is silent for too long."""
    assert process.stdout
    line = process.stdout.readline()
    while line:
        yield line
        alarm = Timer(SILENT, process.kill)
        alarm.start()
        line = process.stdout.readline()
        alarm.cancel()
