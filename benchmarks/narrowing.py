"""How fast labels narrow: photos a second of every step on real photos, one thread and two.

    python benchmarks/narrowing.py [--photos 40] [--steps NAME ...] [--json FILE] [--quick]

VOC animals, `train`, whole photos (about 500 x 375): human boxes for steps from boxes, human clicks for steps from
clicks, simulated strokes for steps from scribbles, human tags for the rest. Cues are made beforehand, kept on disk, and
their seconds a photo listed apart: class maps (and scores, their logarithms) at one scale of a classifier as in
`cues.py`, learnt from the photos' own tags; boundary connectivity; graph superpixels; selective search, on the photo at
half its size. Steps of many perturbed cuts take RUNS of them, not the paper's 150 (their time grows with the runs), and
a quarter of the photos.

photos a second   of processor time in the step and in `decide`, one thread: reading is not counted
linear            seconds of all photos over twice those of the first half; 1 = as many seconds for every photo
memory            largest resident size over all photos less that over the first half, MB
two threads       wall clock of the second half, cues read from disk included, against one thread in the same run
peers             GrabCut: `cv2.grabCut` alone, in its rectangle mode, on the same boxes; the random walk: the
                  `random_walker` of scikit-image on cells like ours; two threads: one thread
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import skimage
import torch
from accuracy import row
from cues import animals, learnt, maps_of, of_kind
from skimage.segmentation import random_walker

from labels2masks.classes import Classes
from labels2masks.cues.proposals import selective_search
from labels2masks.cues.saliency import boundary_connectivity
from labels2masks.cues.superpixels import felzenszwalb
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import read_image
from labels2masks.labels import Candidates
from labels2masks.labels.simulate import simulated
from labels2masks.narrowing import STEPS, ArgMax, Cues, Evidence, decide
from labels2masks.narrowing.cam_seeds import seeds
from labels2masks.narrowing.objects import clear_boxes
from labels2masks.narrowing.random_walk import SIDE
from labels2masks.prediction.ahead import ahead
from labels2masks.progress import track

RESULTS = Path(__file__).with_name("results") / "narrowing.json"
RUNS = 5
MANY = ("grabcut_plus", "m_and_g")


@dataclass(frozen=True)
class Case:
    """A photo with labels of one kind, and where its cues lie."""

    photo: Photo
    place: Path

    def read(self) -> tuple[np.ndarray, Candidates, Cues]:
        image_HW3 = read_image(self.photo.image)
        height, width = image_HW3.shape[:2]
        kept = np.load(self.place)
        proposals_SHW = np.unpackbits(kept["proposals"], axis=-1, count=width).astype(bool)
        given = {name: kept[name] for name in ("scores_CHW", "cam_CHW", "saliency_HW", "segments_HW")}
        return image_HW3, self.photo.candidates(height, width), Cues(0, proposals_SHW=proposals_SHW, **given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=40, help="an even number")
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS), metavar="NAME")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="two photos")
    options = parser.parse_args()
    count = 2 if options.quick else options.photos
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # read by our kernels at every call
    boxed = [p for p in animals() if of_kind(p, "boxes").labels and of_kind(p, "points").labels]
    photos = boxed[:: max(len(boxed) // count, 1)][:count]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        seconds, cases = prepared(photos, Path(folder))
        for name, one in seconds.items():
            rows.append(row(f"seconds a photo to make, {name}", one, "s", "", None, {"photos": count}))
            rows[-1]["value"] = round(one, 4)
            print(f"cue {name:24s} {one:7.3f} s a photo")
        for name in options.steps:
            made = measured(name, cases[kind_of(name)][: max(count // 4, 2) if name in MANY else count])
            rows += made
            s = made[0]["settings"]
            peer = f", {made[0]['ratio']}x {made[0]['peer']}" if made[0]["peer"] else ""
            speed = f"{made[0]['value']:8.2f} photos/s, two threads {made[1]['ratio']:.2f}x"
            print(f"{name:20s} {speed}, linear {s['linear']:.2f}, memory {s['memory_MB']:+.0f} MB{peer}", flush=True)
    write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(rows))


def prepared(photos: list[Photo], folder: Path) -> tuple[dict[str, float], dict[str, list[Case]]]:
    """(seconds a photo of each cue, label kind -> cases)."""
    spent: dict[str, float] = {}

    def timed(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        began = time.thread_time()
        made = make()
        spent[name] = spent.get(name, 0.0) + (time.thread_time() - began) / len(photos)
        return made

    classifier = learnt(photos)
    kinds: dict[str, list[Case]] = {"boxes": [], "points": [], "scribbles": [], "tags": []}
    for photo in track(photos, "cues"):
        image_HW3 = read_image(photo.image)
        height, width = image_HW3.shape[:2]
        cam_CHW = timed("class maps", partial(maps_of, classifier, image_HW3, photo, (1.0,), False))
        half_HW3 = cv2.resize(image_HW3, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        small_Shw = timed("proposals (half size)", partial(selective_search, half_HW3))
        # Background is what no map claims.
        p_CHW = np.concatenate([1 - cam_CHW.max(axis=0, keepdims=True), cam_CHW[1:]])
        proposals_SHW = [
            cv2.resize(p.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) for p in small_Shw
        ]
        np.savez(
            folder / f"{photo.name}.npz",
            cam_CHW=cam_CHW,
            scores_CHW=np.log(np.maximum(p_CHW, 1e-4)),
            saliency_HW=timed("saliency", partial(boundary_connectivity, image_HW3)),
            segments_HW=timed("segments", partial(felzenszwalb, image_HW3)),
            proposals=np.packbits(np.array(proposals_SHW, bool), axis=-1),
        )
        of_photo = {kind: of_kind(photo, kind) for kind in ("boxes", "points", "tags")} | {"scribbles": stroked(photo)}
        for kind, cases in kinds.items():
            cases.append(Case(of_photo[kind], folder / f"{photo.name}.npz"))
    return spent, kinds


def stroked(photo: Photo) -> Photo:
    """With strokes made from its mask."""
    names = photo.vocabulary.target.names
    truth_HW = of_kind(photo, "mask").candidates(*read_image(photo.image).shape[:2]).labels()
    draw = np.random.default_rng(crc32(photo.name.encode()))
    made = simulated("scribbles", np.where(truth_HW < 0, 255, truth_HW), Classes(names, background=names[0]), draw)
    return replace(photo, labels=(made,))


def kind_of(step: str) -> str:
    """The label kind a step is measured with: the first it is made for."""
    words = STEPS[step].labels
    return next((kind for word, kind in KINDS.items() if words.startswith(word)), "tags")


KINDS = {"boxes": "boxes", "scribbles": "scribbles", "clicks": "points", "tags": "tags"}


def measured(name: str, cases: list[Case]) -> list[dict]:
    """Rows of a step: photos a second, and what two threads add."""
    run = partial(STEPS[name].run, runs=RUNS) if name in MANY else STEPS[name].run
    peer, way = PEERS.get(name, ("", None))
    theirs = []

    def one(case: Case) -> float:
        image_HW3, candidates, cues = case.read()
        began = time.thread_time()
        evidence = run(image_HW3, candidates, Evidence.none(candidates) if name == "dense_crf" else cues)
        decide(candidates, evidence, ArgMax())
        return time.thread_time() - began

    half = len(cases) // 2
    one(cases[0])  # imports, and memory that a first call keeps
    spent, sizes, walls = [], [], []
    for i, case in enumerate(cases):
        began = time.monotonic()
        spent.append(one(case))
        walls.append(time.monotonic() - began)
        sizes.append(resident_MB())
        if way is not None and i < half:
            theirs.append(way(*case.read()))
    began = time.monotonic()
    list(ahead(one, cases[half:], 2))
    together = time.monotonic() - began
    settings = {
        "labels": kind_of(name),
        "photos": len(cases),
        "linear": round(sum(spent) / (2 * max(sum(spent[:half]), 1e-9)), 3),
        "memory_MB": round(max(sizes) - max(sizes[:half]), 1),
        "peak_MB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "load": round(os.getloadavg()[0], 1),
    }
    if name in MANY:
        settings["runs"] = RUNS
    rate = len(cases) / max(sum(spent), 1e-9)
    peer_rate = round(half / sum(theirs), 2) if theirs else None
    fast, slow = (half / max(wall, 1e-9) for wall in (together, sum(walls[half:])))
    return [
        row(f"narrowing, {name}, one thread", rate, "photos/s", peer, peer_rate, settings),
        row(f"narrowing, {name}, two threads", fast, "photos/s", "the same, one thread", round(slow, 2), settings),
    ]


def resident_MB() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def grabcut_alone(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> float:
    """Seconds of five iterations a box, as OpenCV's tutorial calls it."""
    bgr_HW3 = np.ascontiguousarray(image_HW3[..., ::-1])
    began = time.thread_time()
    for box in clear_boxes(candidates):
        rows, columns = box.window
        rectangle = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        mask_HW, models = np.zeros(image_HW3.shape[:2], np.uint8), np.zeros((2, 65))
        cv2.grabCut(bgr_HW3, mask_HW, rectangle, models[:1], models[1:], 5, cv2.GC_INIT_WITH_RECT)
    return time.thread_time() - began


def walker_alone(image_HW3: np.ndarray, candidates: Candidates, cues: Cues) -> float:
    """Seconds of scikit-image's random walker between the seeds of the maps, on cells like ours."""
    began = time.thread_time()
    height, width = image_HW3.shape[:2]
    size = tuple(max(round(side * SIDE / max(height, width)), 1) for side in (width, height))
    seeds_hw = cv2.resize(seeds(candidates, cues, "peer", image_HW3, 0.5), size, interpolation=cv2.INTER_NEAREST)
    claimed_hw = cv2.resize(cues.cam_CHW.max(axis=0), size, interpolation=cv2.INTER_AREA)
    labels_hw = np.where(claimed_hw < 0.05, 1, np.where(seeds_hw > 0, seeds_hw + 1, 0))
    small = cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA) / 255
    random_walker(small, labels_hw, mode="cg_j", channel_axis=-1)
    return time.thread_time() - began


PEERS = {
    "grabcut": (f"cv2.grabCut alone, OpenCV {cv2.__version__}", grabcut_alone),
    "random_walk": (f"scikit-image {skimage.__version__} random_walker", walker_alone),
}

if __name__ == "__main__":
    main()
