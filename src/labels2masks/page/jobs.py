"""Work that takes minutes: one job after another, each in processes of its own, which the page outlives.

A job runs commands of `l2m` as a person would type them, and reads what they say: `<what>: 12/400, ...` is how far they
are, `step 20/900, loss 0.8` a point of the curve. A stopped job ends with all processes that it started.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

from ..errors import DataError, UsageError

Tell = Callable[[str, dict[str, Any]], None]

POINTS = 300
"""Of a curve, at most, in an event."""
_FAR = re.compile(r"^(?P<what>.*?): (?P<done>\d+)/(?P<total>\d+)\b")
_STEP = re.compile(r"^step (?P<step>\d+)/(?P<steps>\d+), loss (?P<loss>[0-9.]+)")
_LOOK = re.compile(r"^step (?P<step>\d+): validation mIoU (?P<miou>[0-9.]+)")


class Stopped(Exception):
    """Somebody stopped the job."""


@dataclass
class Job:
    """state: waiting, running, done, failed, stopped. curve: {"step", "loss"} or {"step", "miou"}, in order.

    files: names under exports/. looks: how often the photos `photos` were looked at while it trains.
    """

    kind: str
    tell: Tell
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    state: str = "waiting"
    fraction: float = 0.0
    message: str = ""
    curve: list[dict[str, float]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    looks: int = 0
    photos: list[int] = field(default_factory=list)
    stopped: bool = False
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        """What the browser is told."""
        curve = self.curve[:: max(1, -(-len(self.curve) // POINTS))]
        plain = {name: getattr(self, name) for name in ("id", "kind", "state", "message", "files", "looks", "photos")}
        return plain | {"fraction": round(self.fraction, 4), "curve": curve}

    def say(self, message: str = "", fraction: float | None = None) -> None:
        """Tell every window. Raises Stopped where the job is to end."""
        self.message = message or self.message
        self.fraction = self.fraction if fraction is None else fraction
        self.tell("job", self.describe())
        if self.stopped:
            raise Stopped

    def run(self, *words: str, share: tuple[float, float] = (0.0, 1.0)) -> dict[str, Any]:
        """`l2m WORDS --json` to its end; returns its result. share: of the job's fraction.

        Raises DataError with its last line where it failed, Stopped where the job was stopped.
        """
        process = self.started([sys.executable, "-m", "labels2masks", *words, "--json"])
        assert process.stdout and process.stderr
        result: list[str] = []
        reading = Thread(target=lambda: result.extend(process.stdout or ()), daemon=True)
        reading.start()
        last = ""
        for line in process.stderr:
            last = line.strip() or last
            self.heard(line.strip(), *share)
        reading.join()
        return _result(process.wait(), result, last, self.stopped)

    def started(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """A process with three pipes, less urgent than the page, that ends when the job is stopped."""
        if self.stopped:
            raise Stopped
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(words, text=True, start_new_session=os.name == "posix", **pipes)  # type: ignore[call-overload]
        if hasattr(os, "setpriority"):
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, 5)
        self._processes.append(process)
        if self.stopped:
            end(process)
        return process

    def stop(self) -> None:
        self.stopped = True
        for process in self._processes:
            end(process)

    def heard(self, line: str, low: float, high: float) -> None:
        """A line that a process of the job said. low, high: of the job's fraction while that process runs."""
        if found := _STEP.match(line):
            self.curve.append({"step": int(found["step"]), "loss": float(found["loss"])})
            done = int(found["step"]) / max(int(found["steps"]), 1)
        elif found := _LOOK.match(line):
            self.curve.append({"step": int(found["step"]), "miou": float(found["miou"]) / 100})
            return
        elif found := _FAR.match(line):
            done = int(found["done"]) / max(int(found["total"]), 1)
        else:
            done = None
        if line and not self.stopped:
            self.say(line, None if done is None else low + (high - low) * min(done, 1.0))


class Queue:
    """Jobs in the order in which they were begun, one at a time."""

    def __init__(self, tell: Tell):
        self.tell = tell
        self.jobs: dict[str, Job] = {}
        self._waiting: deque[tuple[Job, Callable[[Job], None]]] = deque()
        self._news = Condition()
        self._thread: Thread | None = None

    def begin(self, kind: str, do: Callable[[Job], None]) -> str:
        """Run `do(job)` when those before it have ended; returns the job's id."""
        job = Job(kind, self.tell)
        self.jobs[job.id] = job
        job.say("waiting")
        with self._news:
            self._waiting.append((job, do))
            if self._thread is None:
                self._thread = Thread(target=self._work, daemon=True, name="page-jobs")
                self._thread.start()
            self._news.notify_all()
        return job.id

    def stop(self, job_id: str) -> None:
        """Raises KeyError for an unknown job; one that has ended stays as it is."""
        job = self.jobs[job_id]
        if job.state in ("waiting", "running"):
            job.stop()

    def stop_all(self) -> None:
        for job_id in list(self.jobs):
            self.stop(job_id)

    def _work(self) -> None:
        while True:
            with self._news:
                while not self._waiting:
                    self._news.wait()
                job, do = self._waiting.popleft()
            _done(job, do)


def _done(job: Job, do: Callable[[Job], None]) -> None:
    state, message = "done", "done"
    try:
        job.state = "running"
        job.say("begins")
        do(job)
        message = job.message
        job.fraction = 1.0
    except Stopped:
        state, message = "stopped", "stopped"
    except Exception as error:  # whatever it was, the next job's turn comes and the page is told
        line = " ".join(str(error).split()) or type(error).__name__
        known = isinstance(error, DataError | UsageError | OSError)
        state, message = ("stopped", "stopped") if job.stopped else ("failed", line if known else f"failed: {line}")
    job.stop()  # what it left running
    job.state, job.message, job.stopped = state, message, False
    job.say()


def _result(code: int, lines: Sequence[str], last: str, stopped: bool) -> dict[str, Any]:
    if stopped:
        raise Stopped
    if code:
        raise DataError(last or f"the command ended with {code} and said nothing")
    try:
        return json.loads(lines[-1])
    except (IndexError, ValueError):
        return {}


def end(process: subprocess.Popen[str]) -> None:
    """End a process and what it started."""
    if process.poll() is not None:
        return
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
