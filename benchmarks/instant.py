"""The instant model behind the page: what so many clicked photos give, and how long a stroke takes.

    python benchmarks/instant.py --encoder tf_efficientnet_lite2 --weights FILE [--part accuracy latency] [--json FILE]
    python benchmarks/instant.py --table

VOC animals, 7 classes (background, cat, cow, dog, horse, person, sheep; true pixels of other classes are void); labels
are the human clicks of Bearman et al. 2016 on training photos. Everything goes through the page's own engine.

accuracy   mIoU on the 221 photos of val_dev, every pixel decided, of an engine that has 658 photos open of which so
           many were clicked; which, is drawn from the seed, and fewer are the beginning of more. Mean of the seeds.
           Beside it, what the page shows: the share of the pixels that it decides, and how many of those are right.
latency    437 clicked photos are open. A stroke, true in class and place by the photo's mask, changes one; then the
           masks of that photo (512) and of 12 thumbnails (96) are made from the refitted model. Wall time and processor
           time of the whole process, median and 95th percentile. Half a second lies between two strokes, in which the
           engine looks at all photos as it does in a session. `sharpened`: the dense CRF of that photo on top.
           Peers: the same sums and solution made from all photos anew; scikit-learn's Ridge on all labelled cells.
           Linear algebra takes one thread everywhere, as in the page.
"""

from __future__ import annotations

import argparse
import json
import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the page does
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import row
from mixed_labels import photos

import labels2masks as l2m
from labels2masks.evaluation import Confusion
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import image_size, read_image
from labels2masks.labels import Scribbles, Stroke
from labels2masks.page.engine import Engine
from labels2masks.page.features import SEEN
from labels2masks.page.fit import SHRINKAGE, Fit
from labels2masks.prediction.views import resized, shrinking

RESULTS = Path(__file__).with_name("results") / "instant.json"
THUMBS = 12
PAUSE = 0.5


class Open:
    """The photos as a project has them, in memory."""

    def __init__(self, private: Path, data: l2m.Dataset):
        self.private, self.classes, self._photos = private, data.classes, list(data.photos)
        self._sizes = [image_size(p.image) for p in self._photos]

    def __len__(self) -> int:
        return len(self._photos)

    def photo(self, i: int) -> Photo:
        return self._photos[i]

    def size(self, i: int) -> tuple[int, int]:
        return self._sizes[i]

    def pixels(self, i: int, longest: int | None = None) -> np.ndarray:
        return resized(read_image(self._photos[i].image), *shrinking(*self._sizes[i], longest))

    def checked(self, i: int) -> bool:
        return False

    def label(self, i: int, labels: Sequence[Any]) -> None:
        self._photos[i] = replace(self._photos[i], labels=tuple(labels))


class Session:
    """An engine with all features computed; `changed` returns when the model knows."""

    def __init__(self, private: Path, data: l2m.Dataset, encoder: str, weights: str):
        self.news, self.version = threading.Condition(), 0
        self.project = Open(private, data)
        self.engine = Engine(self.project, encoder, weights, self._hear)
        self.engine.start()
        while self.engine.features["done"] < len(data):
            time.sleep(0.2)
        assert not self.engine.skipped, self.engine.skipped

    def _hear(self, name: str, value: dict[str, Any]) -> None:
        with self.news:
            if name == "model":
                self.version = value["version"]
            self.news.notify_all()

    def changed(self, which: Sequence[int], learnt: int) -> None:
        with self.news:
            before = self.version
            for i in which:
                self.engine.changed(i)
            self.news.wait_for(lambda: self.version > before and self.engine.model["photos"] == learnt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="tf_efficientnet_lite2")
    parser.add_argument("--weights", default="auto", help="auto, or a file of the encoder's weights")
    parser.add_argument("--part", nargs="+", default=["accuracy", "latency"], choices=["accuracy", "latency"])
    parser.add_argument("--clicked", type=int, nargs="+", default=[50, 200, 437])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--strokes", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("runs") / "instant", help="folder that keeps the features")
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file that holds what was measured")
    parser.add_argument("--table", action="store_true", help="print what was measured as Markdown")
    options = parser.parse_args()
    if not options.table:
        kept = json.loads(options.json.read_text()) if options.json.is_file() else []
        for part in options.part:
            made = accuracy(options) if part == "accuracy" else latency(options)
            kept = [r for r in kept if r["settings"]["part"] != part] + made
            write_atomically(options.json, json.dumps(kept, indent=1) + "\n")
    rows = json.loads(options.json.read_text())
    print(table(rows) if options.table else json.dumps(rows))


def accuracy(options: argparse.Namespace) -> list[dict]:
    data = photos("clicks", 0)
    train, shown = list(data.splits["train"]), list(data.splits["val_dev"])
    data = data.subset(train + shown)
    truth = [truth_mask(p, *image_size(p.image)) for p in data.photos[len(train) :]]
    clicks = [p.labels for p in data.photos[: len(train)]]
    bare = replace(data, photos=tuple(replace(p, labels=()) for p in data.photos))
    session = Session(options.out, bare, options.encoder, options.weights)
    found: dict[int, list[list[float]]] = {}
    for seed in options.seeds:
        order = np.random.default_rng(seed).permutation(len(train))
        for i in range(len(train)):
            session.project.label(i, ())
        before = 0
        for count in options.clicked:
            if count == len(train) and count in found:
                continue  # the same photos whatever the seed
            if not before:
                session.engine.classes_changed()
            for i in order[before:count]:
                session.project.label(i, clicks[i])
            session.changed([int(i) for i in order[before:count]], count)
            before = count
            found.setdefault(count, []).append(scored(session, data, truth, len(train)))
            print(seed, count, found[count][-1], flush=True)
    rows = []
    for count, values in found.items():
        miou, decided, right = np.mean(values, axis=0)
        settings = {
            "part": "accuracy",
            "encoder": options.encoder,
            "clicked": count,
            "seeds": len(values),
            "of_each_seed": [round(v[0], 2) for v in values],
            "decided": round(float(decided), 1),
            "right_of_decided": round(float(right), 1),
        }
        claim = f"VOC animals val_dev mIoU from clicks on {count} photos, instant model"
        rows.append(row(claim, float(miou), "%", "frozen lite2 + ridge, 200 masks", 67.2, settings))
    session.engine.stop()
    return rows


def scored(session: Session, data: l2m.Dataset, truth: Sequence[np.ndarray], first: int) -> list[float]:
    """[mIoU, share of the pixels that the page decides, share of those that are right], percent."""
    confusion, decided, right, pixels = Confusion(data.classes), 0, 0, 0
    for i, truth_HW in enumerate(truth, first):
        longest = max(truth_HW.shape)
        everywhere, shown = session.engine.mask(i, longest, sure=0.0), session.engine.mask(i, longest)
        assert everywhere is not None and shown is not None
        confusion.add(everywhere[0].astype(np.int32), truth_HW)
        told_HW = (truth_HW >= 0) & (shown[0] != 255)
        decided, pixels = decided + int(told_HW.sum()), pixels + int((truth_HW >= 0).sum())
        right += int((shown[0] == truth_HW)[told_HW].sum())
    return [100 * float(confusion.miou or 0), 100 * decided / pixels, 100 * right / max(decided, 1)]


def latency(options: argparse.Namespace) -> list[dict]:
    data = photos("clicks", 0).split("train")
    masks = photos("masks", 0).split("train")
    session = Session(options.out, data, options.encoder, options.weights)
    with session.news:
        session.news.wait_for(lambda: session.engine.model["photos"] == len(data))
    rng = np.random.default_rng(0)
    strokes: dict[int, list[Stroke]] = {}
    walls, processors, sharp = [], [], []
    for n in range(options.strokes):
        if n % 4 == 0:  # four strokes, then another photo
            i = int(rng.integers(len(data)))
            look(session, i)
        strokes.setdefault(i, []).append(drawn(masks.photos[i], rng))
        labels = (*data.photos[i].labels, Scribbles(tuple(strokes[i])))
        time.sleep(PAUSE)
        began, spent = time.perf_counter(), time.process_time()
        session.project.label(i, labels)
        session.changed([i], len(data))
        look(session, i)
        walls.append(time.perf_counter() - began)
        processors.append(time.process_time() - spent)
        session.engine.sharpened(i, "crf")
        sharp.append(time.perf_counter() - began)
    load = os.getloadavg()[0]
    again, theirs = from_scratch(session, data), by_sklearn(session, data)
    rows = []
    for what, seconds in (("", walls), (", processor time", processors), (", sharpened by the CRF", sharp)):
        for name, share in (("median", 0.5), ("95th percentile", 0.95)):
            value = 1000 * float(np.quantile(seconds, share))
            settings = {
                "part": "latency",
                "encoder": options.encoder,
                "photos": len(data),
                "strokes": options.strokes,
                "thumbnails": THUMBS,
                "load": round(load, 1),
                "from_scratch_ms": round(1000 * again, 1),
                "sklearn_ridge_ms": None if theirs is None else round(1000 * theirs, 1),
            }
            claim = f"stroke to masks, {name}{what}"
            made = row(claim, value, "ms", "the sums of all photos made anew", 1000 * again, settings)
            rows.append(made | {"ratio": round(1000 * again / value, 2)})
            print(f"{value:8.1f} ms  {claim}", flush=True)
    session.engine.stop()
    return rows


def look(session: Session, i: int) -> None:
    """What the browser asks for when a photo is opened, and after each change of the model."""
    session.engine.mask(i, SEEN)
    for k in range(THUMBS):
        session.engine.mask((i + k) % len(session.project), 96)


def drawn(photo: Photo, rng: np.random.Generator) -> Stroke:
    """A straight stroke within one class of the photo's mask."""
    truth_HW = truth_mask(photo, *image_size(photo.image))
    label = int(rng.choice(np.unique(truth_HW[truth_HW >= 0])))
    places = np.argwhere(truth_HW == label)
    y0, x0 = places[rng.integers(len(places))]
    for y1, x1 in places[rng.integers(len(places), size=200)]:
        line = np.linspace((y0, x0), (y1, x1), 50).astype(int)
        if (truth_HW[line[:, 0], line[:, 1]] == label).all() and 20 < np.hypot(y1 - y0, x1 - x0) < 120:
            return Stroke(photo.vocabulary.target.names[label], ((x0 + 0.5, y0 + 0.5), (x1 + 0.5, y1 + 0.5)), 5.0)
    return Stroke(photo.vocabulary.target.names[label], ((x0 + 0.5, y0 + 0.5),), 5.0)


def from_scratch(session: Session, data: l2m.Dataset) -> float:
    """Seconds: the sums of all photos, and the solution. Rasterising their labels is not counted."""
    fit = session.engine._fit
    assert fit is not None
    began = time.perf_counter()
    anew = Fit(fit.features, fit.classes, fit.maps_of)
    for i, said in fit.said.items():
        anew.put(i, said)
    weights_DC = anew.weights()
    seconds = time.perf_counter() - began
    assert (weights_DC == fit.weights()).all()
    return seconds


def by_sklearn(session: Session, data: l2m.Dataset) -> float | None:
    """Seconds of scikit-learn's Ridge on every labelled cell, in memory already; None where it is not installed."""
    try:
        from sklearn.linear_model import Ridge
    except ImportError:
        return None
    fit = session.engine._fit
    assert fit is not None
    features, targets, weights = [], [], []
    for i, said in fit.said.items():
        maps = fit.maps_of(i)
        for cells_P, targets_PC, weight_P in (said.regions, said.ink):
            features.append(maps.all()[cells_P])
            targets.append(targets_PC)
            weights.append(weight_P)
    features_PD, targets_PC, weight_P = map(np.concatenate, (features, targets, weights))
    del features
    features_PD /= np.sqrt(np.mean(features_PD**2, axis=0) + 1e-12)  # its penalty is one number for all features
    began = time.perf_counter()
    Ridge(alpha=SHRINKAGE * float(weight_P.sum()), solver="cholesky", copy_X=False).fit(
        features_PD, targets_PC, weight_P
    )
    return time.perf_counter() - began


def table(rows: Sequence[dict]) -> str:
    """Markdown."""
    lines = ["| clicked photos | mIoU | decided | right of those |", "|---|---|---|---|"]
    for r in (r for r in rows if r["settings"]["part"] == "accuracy"):
        s = r["settings"]
        lines.append(f"| {s['clicked']} | {r['value']:.1f} | {s['decided']:.0f} % | {s['right_of_decided']:.1f} % |")
    lines += ["", "| with 437 photos open | ms | the sums anew |", "|---|---|---|"]
    for r in (r for r in rows if r["settings"]["part"] == "latency"):
        lines.append(f"| {r['claim']} | {r['value']:.0f} | {r['peer_value']:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
