"""Training, results, audit and export from the page: what a person would do with `l2m`, in the background.

    .page/runs/<name>/       runs, as `l2m train` writes them
    .page/results/<name>/    what each run says of every photo (see `looks`)
    .page/audits/<name>/     audits, as `l2m audit` writes them
    exports/                 what a person takes away

The model behind the page, where it is asked for as a run, is the recipe `instant` fitted on the labels of that moment.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, UsageError, did_you_mean
from ..files import write_atomically
from .export import FORMATS, exported
from .features import SEEN
from .jobs import Job, Queue, Tell, end
from .looks import RESULTS, planes_file

if TYPE_CHECKING:
    from ..evaluation.audit import Audit
    from .engine import Engine
    from .project import Project

INSTANT = "instant"
RECIPES = ("frozen", "auto", "everyday", INSTANT, "mixed")
MODEL = "model.safetensors"
LOOKED_AT = 6
"""Photos that are looked at while a network trains."""
WINDOW = 96
"""Side of the picture around an audited pixel."""


class Jobs:
    """What the server offers under /api/train, /api/runs, /api/audit and /api/export."""

    def __init__(self, project: Project, engine: Engine, tell: Tell):
        self.project, self.engine = project, engine
        self.queue = Queue(tell)
        self._runs, self._results, self._audits = (project.private / n for n in ("runs", "results", "audits"))
        self._audit: Audit | None = None

    def jobs(self) -> list[dict[str, Any]]:
        return [job.describe() for job in self.queue.jobs.values()]

    def stop(self, job: str) -> None:
        self.queue.stop(job)

    def stop_all(self) -> None:
        self.queue.stop_all()

    def recipes(self) -> list[str]:
        return list(RECIPES)

    def formats(self) -> dict[str, list[str]]:
        return {what: list(formats) for what, formats in FORMATS.items()}

    def train(self, minutes: float, recipe: str = "frozen") -> str:
        """Train for so long, on from the weights of the last run by that recipe; then look at every photo."""
        if recipe not in RECIPES:
            raise UsageError(f"no recipe {recipe!r} here{did_you_mean(recipe, RECIPES)}")

        def do(job: Job) -> None:
            run = self._free(recipe)
            last = self._last(f"{recipe}-*")
            words = ["train", str(self.project.flush()), "--recipe", recipe, "--out", str(run)]
            if recipe == INSTANT:
                words += [*self._encoder(), *self._as_here()]
            else:
                words += ["--minutes", f"{minutes:g}", *self._encoder(last)]
            self._trained(job, run, words)

        return self.queue.begin("train", do)

    def photo(self, job: str, i: int) -> tuple[np.ndarray, ...] | None:
        """Planes of photo i as the network sees it that the job trains; None before the first look."""
        return _planes(self._results / f"job-{self.queue.jobs[job].id}", self.project.photo(i).name)

    def runs(self) -> list[dict[str, Any]]:
        """Finished runs, the newest first: {"name", "miou" or "agreement", "protocol", "minutes"}."""
        rows = []
        for folder in sorted(self._finished(), key=lambda p: (p / MODEL).stat().st_mtime_ns, reverse=True):
            metrics = _json(folder / "metrics.json")
            of_photos = [r["score"] for r in _json(self._results / folder.name / RESULTS).values() if _by_labels(r)]
            row = {"name": folder.name, "miou": metrics.get("miou"), "minutes": metrics.get("minutes")}
            row["agreement"] = float(np.mean(of_photos)) if of_photos else None
            rows.append(row | {"protocol": metrics.get("protocol")})
        return rows

    def run_photos(self, name: str, of_class: str | None = None) -> list[dict[str, Any]]:
        """{"i", "score", "by", "confidence", "learnt"} of each photo, the worst first; of a class: by its IoU.

        learnt: did the run learn from it? Then its score is no measure of what other photos will get.
        """
        rows = _json(self._results / self._run(name).name / RESULTS)
        listed = []
        for i in range(len(self.project)):
            row = rows.get(self.project.photo(i).name)
            if row is None or (of_class and of_class not in {*row["classes"], *row["seen"]}):
                continue
            score = row["classes"].get(of_class, row["score"]) if of_class else row["score"]
            plain = {key: row.get(key) for key in ("by", "confidence", "learnt", "reason")}
            listed.append({"i": i, "score": score, **plain})
        return sorted(listed, key=lambda r: (r["score"] is None, r["score"] or 0.0, r["confidence"] or 0.0))

    def run_photo(self, name: str, i: int) -> tuple[np.ndarray, ...] | None:
        """Planes uint8 hw: class index, confidence, and the truth where the photo has a mask."""
        return _planes(self._results / self._run(name).name, self.project.photo(i).name)

    def audit(self, run: str, clicks: int) -> str:
        """Draw pixels for a person to name. run: a name of `runs`, or "instant"."""
        if run != INSTANT:
            self._run(run)

        def do(job: Job) -> None:
            model = self._instant(job, (0.0, 0.4)) if run == INSTANT else self._run(run)
            out = self._audits / model.name
            job.run("audit", str(model), str(self.project.flush()), "--out", str(out), "--clicks", str(clicks))
            write_atomically(self._audits / "current.json", json.dumps({"run": model.name}))
            self._audit = None
            job.say("pixels are drawn: name them")

        return self.queue.begin("audit", do)

    def audit_next(self) -> dict[str, Any]:
        """{"i", "x", "y", "window", "number", "left"} of the next pixel, or {"done": True}."""
        audit = self._audit_now()
        answers = audit.answers()
        names = {self.project.photo(i).name: i for i in range(len(self.project))}
        while (pixel := audit.next()) is not None and pixel.photo not in names:
            audit.answer(pixel.number, "unclear")
        if pixel is None:
            return {"done": True}
        i = names[pixel.photo]
        height, width = self.project.size(i)
        side = min(max(WINDOW, max(height, width) // 6), height, width)
        left, top = (int(np.clip(at - side // 2, 0, most - side)) for at, most in ((pixel.x, width), (pixel.y, height)))
        window = [left, top, left + side, top + side]
        number, rest = pixel.number, len(audit.pixels) - len(answers)
        return {"i": i, "x": pixel.x, "y": pixel.y, "window": window, "number": number, "left": rest}

    def audit_answer(self, number: int, name: str) -> None:
        self._audit_now().answer(number, name)

    def audit_estimate(self) -> dict[str, Any]:
        """{"miou", "low", "high", "answered", "run"}; the score None before the first answer."""
        audit = self._audit_now()
        found = audit.estimate()
        figure = found.miou if found is not None else None
        band = {"miou": figure.value, "low": figure.low, "high": figure.high} if figure else {}
        plain = {"miou": None, "low": None, "high": None, "answered": len(audit.answers()), "run": audit.folder.name}
        return plain | band

    def export(self, what: str, written_as: str | None = None) -> str:
        """Put labels, masks, a model or a report into exports/, as `formats` says."""
        if what not in FORMATS:
            raise UsageError(f"nothing to export under the name {what!r}{did_you_mean(what, FORMATS)}")
        form = written_as or FORMATS[what][0]
        if form not in FORMATS[what]:
            raise UsageError(f"{what} are not written as {form!r}{did_you_mean(form, FORMATS[what])}")

        def do(job: Job) -> None:
            run = None
            if what in ("model", "report"):
                run = self._last() or self._instant(job, (0.0, 0.7))
            job.files.append(exported(job, self.project, self.engine, what, form, run).name)
            job.say(f"written: exports/{job.files[-1]}")

        return self.queue.begin("export", do)

    # Runs

    def _trained(self, job: Job, run: Path, words: list[str]) -> None:
        """Train, look at a few photos meanwhile, and at all of them afterwards."""
        self._runs.mkdir(parents=True, exist_ok=True)
        looks = self._results / f"job-{job.id}"
        follower = None if INSTANT in words else self._follow(job, run, looks)
        try:
            job.run(*words, share=(0.0, 0.9))
        except DataError:
            if not (run / "plan.json").is_file():
                shutil.rmtree(run, ignore_errors=True)  # nothing to go on with
            raise
        finally:
            if follower is not None:
                end(follower)
            shutil.rmtree(looks, ignore_errors=True)
        self._looked(job, run, (0.9, 1.0))
        job.say(f"run {run.name} is finished")

    def _follow(self, job: Job, run: Path, out: Path) -> subprocess.Popen[str]:
        order = sorted(range(len(self.project)), key=lambda i: (not self.project.photo(i).has_mask, i))
        job.photos = sorted(order[: LOOKED_AT * 4 : 4] if len(order) >= LOOKED_AT * 4 else order[:LOOKED_AT])
        names = [self.project.photo(i).name for i in job.photos]
        process = self._looking(job, run, out, names)

        def hear() -> None:
            assert process.stderr
            for line in process.stderr:
                if line.startswith("look "):
                    job.looks = int(line.split()[1])
                    with suppress(Exception):  # a stopped job ends elsewhere
                        job.say()

        Thread(target=hear, daemon=True).start()
        return process

    def _looked(self, job: Job, run: Path, share: tuple[float, float]) -> None:
        process = self._looking(job, run, self._results / run.name, None)
        assert process.stderr
        for line in process.stderr:
            job.heard(line.strip(), *share)
        if process.wait() and not job.stopped:
            raise DataError(f"run {run.name} is finished, but the photos could not be looked at: {job.message}")

    def _looking(self, job: Job, run: Path, out: Path, names: list[str] | None) -> subprocess.Popen[str]:
        process = job.started([sys.executable, "-m", "labels2masks.page.looks"])
        assert process.stdin
        asked = {"run": str(run), "data": str(self.project.flush()), "out": str(out), "photos": names}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        return process

    def _instant(self, job: Job, share: tuple[float, float]) -> Path:
        """The model behind the page as a run, fitted now."""
        run = self._free(INSTANT)
        self._runs.mkdir(parents=True, exist_ok=True)
        data = str(self.project.flush())
        words = ["--recipe", INSTANT, "--val", "none", "--out", str(run), *self._encoder(), *self._as_here()]
        job.run("train", data, *words, share=share)
        return run

    def _encoder(self, last: Path | None = None) -> list[str]:
        """The encoder behind the page, with its weights or those of an earlier run."""
        return ["--encoder", self.engine.store.encoder, "--weights", str(last or self.engine.store.weights)]

    def _as_here(self) -> list[str]:
        """The settings by which a run of the recipe is the model behind the page."""
        from .fit import INK, SHRINKAGE

        settings = (f"ridge.shrinkage={SHRINKAGE}", f"ridge.ink={INK}", "loss.class_weights=none")
        return [*(word for setting in settings for word in ("--set", setting)), "--size", str(SEEN)]

    def _free(self, name: str) -> Path:
        """The folder of a new run."""
        return next(p for n in range(1, 100_000) if not (p := self._runs / f"{name}-{n}").exists())

    def _finished(self) -> list[Path]:
        return [p.parent for p in self._runs.glob(f"*/{MODEL}")]

    def _run(self, name: str) -> Path:
        """Raises KeyError where there is no finished run of that name."""
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not (self._runs / name / MODEL).is_file():
            raise KeyError(name)
        return self._runs / name

    def _last(self, names: str = "*") -> Path | None:
        """The newest finished run that is more than the instant model."""
        found = [p for p in self._finished() if p.match(names) and not p.name.startswith(f"{INSTANT}-")]
        return max(found, key=lambda p: (p / MODEL).stat().st_mtime_ns, default=None)

    def _audit_now(self) -> Audit:
        from ..evaluation.audit import open_audit

        if self._audit is None:
            current = _json(self._audits / "current.json")
            if "run" not in current:
                raise UsageError("no audit has begun: choose a model and the number of pixels")
            self._audit = open_audit(self._audits / current["run"])
        return self._audit


def _planes(folder: Path, name: str) -> tuple[np.ndarray, ...] | None:
    try:
        return tuple(np.load(planes_file(folder, name), allow_pickle=False))
    except (OSError, ValueError):
        return None


def _by_labels(row: Mapping[str, Any]) -> bool:
    return row.get("by") == "labels" and row["score"] is not None


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
