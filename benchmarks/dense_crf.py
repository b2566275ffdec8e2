"""Dense CRF against pydensecrf2 on photos of VOC animals with the scores of a trained network: time and agreement.

    python benchmarks/dense_crf.py --run RUN [--photos 8] [--repeats 5] [--core N] [--json]
    python benchmarks/dense_crf.py --run RUN --exact krahenbuhl [...] [--photos 6]

RUN is a run trained on `voc_animals` (for instance `benchmarks/mixed_labels.py` leaves two in runs/). Photos are those
of 500x375 in val_dev, spread over the set; preset `krahenbuhl`, 10 iterations; one thread, pinned to one core. Sides
take turns; times are medians over turns and photos; the ratios' own median and the least are in the settings.

Peer: DenseCRF2D of pydensecrf2 from construction to marginals, with its unary energies made before the clock starts
(`unary_from_softmax` costs it more). Ours: everything from probabilities to marginals.

labels   The network knows 7 classes. For 21 labels they take their ids in VOC, and the other 14 get 1e-4 at every
         pixel. A network of 21 classes is not as sure, so the claims about 21 labels are measured with prune=0: every
         label is computed. What the default does with them is a row of its own. 2 labels: background, anything else.
large    1920x1080, a mosaic of photos, each with its own scores.
--exact  instead of all that: how many pixels get the label that the CRF over all pairs of pixels gives them, at the
         photos' full size (`exact_crf.py`), by preset. Five minutes of a core a photo; the network's 7 labels.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from accuracy import DATA, row
from exact_crf import CUT, exact_mean_field
from PIL import Image

import labels2masks as l2m
from labels2masks.kernels.dense_crf import PRESETS, CRFParameters, dense_crf, dense_crf_batch, mean_field_reference

PRESET = PRESETS["krahenbuhl"]
PEER = "pydensecrf2"
SIZE = (375, 500)
ELSEWHERE = 1e-4
"""Probability of each label that the network does not know."""

Case = tuple[np.ndarray, np.ndarray]
"""(image_HW3, probabilities_LHW)"""


def cases(run: Path, photos: int) -> tuple[list[Case], tuple[int, ...]]:
    """(photos of one size with the network's probabilities, the classes' ids in VOC)."""
    model = l2m.load_model(run, device="cpu")
    names = (DATA / "voc_animals" / "ImageSets" / "Segmentation" / "val_dev.txt").read_text().split()
    paths = [DATA / "voc_animals" / "JPEGImages" / f"{name}.jpg" for name in names]
    fitting = [path for path in paths if Image.open(path).size == SIZE[::-1]]
    found = []
    for path in fitting[:: max(len(fitting) // photos, 1)][:photos]:
        image_HW3 = np.array(Image.open(path).convert("RGB"))
        found.append((image_HW3, np.ascontiguousarray(model.predict_scores(image_HW3))))
    return found, model.classes.file_ids


def as_voc(probabilities_CHW: np.ndarray, ids: tuple[int, ...]) -> np.ndarray:
    """probabilities_LHW of 21 labels."""
    probabilities_LHW = np.full((21, *probabilities_CHW.shape[1:]), ELSEWHERE, np.float32)
    probabilities_LHW[list(ids)] = probabilities_CHW * (1 - (21 - len(ids)) * ELSEWHERE)
    return probabilities_LHW


def peer(case: Case, preset: CRFParameters = PRESET) -> Callable[[], np.ndarray]:
    """What the clock measures: from the energies to marginals_LHW."""
    import pydensecrf.densecrf as densecrf
    from pydensecrf.utils import unary_from_softmax

    image_HW3, probabilities_LHW = case
    labels, height, width = probabilities_LHW.shape
    energy_LN = np.ascontiguousarray(unary_from_softmax(probabilities_LHW))

    def infer() -> np.ndarray:
        crf = densecrf.DenseCRF2D(width, height, labels)
        crf.setUnaryEnergy(energy_LN)
        crf.addPairwiseGaussian(sxy=preset.gaussian_xy, compat=preset.gaussian_weight)
        xy, rgb = preset.bilateral_xy, preset.bilateral_rgb
        crf.addPairwiseBilateral(sxy=xy, srgb=rgb, rgbim=image_HW3, compat=preset.bilateral_weight)
        return np.array(crf.inference(preset.iterations), copy=False).reshape(labels, height, width)

    return infer


def compared(claim: str, sides: list[Case], options: dict, repeats: int, settings: dict) -> tuple[dict, list]:
    """(a row of images a second, [(ours_LHW, theirs_LHW) of every photo])."""
    ours_ms, theirs_ms, results = [], [], []
    for case in sides:
        theirs, ours = peer(case), lambda case=case: dense_crf(*case, PRESET, **options)
        results.append((ours(), theirs()))
        turns = [(milliseconds(ours), milliseconds(theirs)) for _ in range(repeats)]
        for median, of_side in zip((ours_ms, theirs_ms), zip(*turns, strict=True), strict=True):
            median.append(statistics.median(of_side))
    ratios = [b / a for a, b in zip(ours_ms, theirs_ms, strict=True)]
    equal = [float((a.argmax(axis=0) == b.argmax(axis=0)).mean()) for a, b in results]
    settings = {
        **settings,
        "options": options,
        "photos": len(sides),
        "size": list(sides[0][0].shape[:2]),
        "labels": len(sides[0][1]),
        "ms": [round(t, 1) for t in ours_ms],
        "peer_ms": [round(t, 1) for t in theirs_ms],
        "median_ratio": round(statistics.median(ratios), 2),
        "least_ratio": round(min(ratios), 2),
        "equal_argmax_percent": round(100 * statistics.mean(equal), 4),
        "largest_difference": float(max(np.abs(a - b).max() for a, b in results)),
    }
    ours, theirs = (1000 / statistics.median(ms) for ms in (ours_ms, theirs_ms))
    return row(claim, ours, "images/s", PEER, theirs, settings), results


def milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def mosaic(sides: list[Case], height: int = 1080, width: int = 1920) -> Case:
    """Photos side by side, repeated as often as it takes."""
    rows, columns = -(-height // SIZE[0]), -(-width // SIZE[1])
    picked = [[sides[(r * columns + c) % len(sides)] for c in range(columns)] for r in range(rows)]
    image_HW3 = np.concatenate([np.concatenate([image for image, _ in line], axis=1) for line in picked])
    probabilities_LHW = np.concatenate([np.concatenate([p for _, p in line], axis=2) for line in picked], axis=1)
    crop = np.s_[:height, :width]
    return np.ascontiguousarray(image_HW3[crop]), np.ascontiguousarray(probabilities_LHW[:, *crop])


def two_cores(sides: list[Case], cores: set[int], repeats: int) -> dict | None:
    """Images a second of a batch over two threads, the peer being one thread."""
    if len(cores) < 2:
        return None
    os.sched_setaffinity(0, set(sorted(cores)[:2]))
    images, probabilities = zip(*(sides * 3), strict=True)

    def seconds(threads: int) -> float:
        return (
            milliseconds(lambda: list(dense_crf_batch(images, probabilities, PRESET, threads=threads, mask=True)))
            / 1000
        )

    turns = [(seconds(1), seconds(2)) for _ in range(repeats)]
    one, two = (len(images) / statistics.median(t) for t in zip(*turns, strict=True))
    return row("many images over two cores", two, "images/s", "one core", one, {"images": len(images)})


def limit(case: Case, settings: dict) -> dict:
    """Milliseconds that the memory alone would take for one default run, at the rate numpy copies 64 MB."""
    source, target = np.zeros(1 << 24, np.float32), np.empty(1 << 24, np.float32)
    rate = (
        2
        * source.nbytes
        / (statistics.median(milliseconds(lambda: np.copyto(target, source)) for _ in range(9)) / 1000)
    )
    labels, pixels = len(case[1]), case[1][0].size
    padded = -(-labels // 8) * 8
    record = 4 * (6 + 3 + 2)  # weights and simplices of a pixel
    final = pixels * (2 * 4 * labels + record)  # probabilities in, marginals out
    sweeps = PRESET.iterations * pixels // 4 * (4 * padded + record)
    ours = statistics.median(milliseconds(lambda: dense_crf(*case, PRESET, prune=0)) for _ in range(5))
    settings = {**settings, "labels": labels, "bytes": final + sweeps, "gigabytes_a_second": round(rate / 1e9, 1)}
    bound = 1000 * (final + sweeps) / rate
    return row("default mode against its memory traffic alone", ours, "ms", "memory limit", round(bound, 2), settings)


def agreement(sides: list[Case], name: str, settings: dict) -> list[dict]:
    """Percent of pixels whose label is that of the CRF over all pairs of pixels: (default, compatible=True)."""
    preset = PRESETS[name]
    found: dict[str, list[float]] = {"default": [], "compatible": [], "peer": [], "share_of_pairs": []}
    for number, (image_HW3, probabilities_LHW) in enumerate(sides, 1):
        start = time.perf_counter()
        exact_LHW, share = exact_mean_field(image_HW3, probabilities_LHW, preset)
        exact_HW = exact_LHW.argmax(axis=0)
        for side, mask_HW in (
            ("default", dense_crf(image_HW3, probabilities_LHW, preset, mask=True)),
            ("compatible", dense_crf(image_HW3, probabilities_LHW, preset, compatible=True, mask=True)),
            ("peer", peer((image_HW3, probabilities_LHW), preset)().argmax(axis=0)),
        ):
            found[side].append(round(100 * float((mask_HW == exact_HW).mean()), 4))
        found["share_of_pairs"].append(round(share, 3))
        last = {side: values[-1] for side, values in found.items()}
        print(f"{name} {number}: {last}, {time.perf_counter() - start:.0f} s", flush=True)
    settings = {**settings, "preset": name, "size": list(SIZE), "labels": len(sides[0][1]), "photos": len(sides)}
    settings |= {"cut": CUT, "largest_difference_to_brute_force": beside_brute_force(sides[0], preset)}
    rows = []
    for side, of in (("default", "default mode"), ("compatible", "compatible=True")):
        points = [round(a - b, 4) for a, b in zip(found[side], found["peer"], strict=True)]
        settings_of = {
            **settings,
            **found,
            "points_above_peer": points,
            "mean_points": round(statistics.mean(points), 4),
        }
        claim = f"labels as the CRF over all pairs gives them, {of}, preset {name}"
        rows.append(row(claim, statistics.mean(found[side]), "%", PEER, statistics.mean(found["peer"]), settings_of))
    return rows


def beside_brute_force(case: Case, preset: CRFParameters) -> float:
    """Largest difference of a marginal to the definition's, where that can be computed: on every sixth pixel."""
    image_HW3, probabilities_LHW = (np.ascontiguousarray(a) for a in (case[0][::6, ::6], case[1][:, ::6, ::6]))
    given_LHW = np.maximum(probabilities_LHW, np.float32(1e-5))
    kernels = preset.kernels(*image_HW3.shape[:2])
    defined_LHW = mean_field_reference(image_HW3, given_LHW, kernels, preset.iterations, backend="exact")
    return float(np.abs(exact_mean_field(image_HW3, probabilities_LHW, preset)[0] - defined_LHW).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run trained on voc_animals")
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, help="the core to be pinned to; default: the last")
    parser.add_argument("--exact", nargs="+", choices=PRESETS, help="instead: against the CRF over all pairs of pixels")
    parser.add_argument("--json", action="store_true", help="the last line is JSON (it always is)")
    asked = parser.parse_args()
    cores = os.sched_getaffinity(0)
    of_network, ids = cases(asked.run, asked.photos)
    if asked.exact:
        rows = [r for name in asked.exact for r in agreement(of_network, name, {"run": asked.run.name})]
        print(json.dumps(rows))
        return
    os.sched_setaffinity(0, {max(cores) if asked.core is None else asked.core})

    of_voc = [(image, as_voc(p, ids)) for image, p in of_network]
    object_or_not = [(image, np.stack([p[0], 1 - p[0]]).clip(0, 1)) for image, p in of_network]
    large = [mosaic(of_voc)]
    settings = {"preset": "krahenbuhl", "run": asked.run.name, "threads": 1}
    whole = {"compatible": True}
    rows = [
        compared(claim, sides, options, repeats, settings)[0]
        for claim, sides, options, repeats in (
            ("compatible=True, 500x375, 21 labels", of_voc, whole, asked.repeats),
            ("default without pruning, 500x375, 21 labels", of_voc, {"prune": 0.0}, asked.repeats),
            ("default, 500x375, 21 labels of which 14 are improbable", of_voc, {}, asked.repeats),
            ("compatible=True, 500x375, the network's 7 labels", of_network, whole, asked.repeats),
            ("default, 500x375, the network's 7 labels", of_network, {}, asked.repeats),
            ("default, 500x375, 2 labels", object_or_not, {}, asked.repeats),
            ("compatible=True, 1920x1080, 21 labels", large, whole, min(asked.repeats, 3)),
            ("default without pruning, 1920x1080, 21 labels", large, {"prune": 0.0}, min(asked.repeats, 3)),
        )
    ]
    rows.append(limit(of_voc[0], settings))
    both = two_cores(of_voc, cores, asked.repeats)
    rows += [both] if both else []
    if not asked.json:
        for r in rows:
            s = r["settings"]
            least = f", least {s['least_ratio']}, {s['equal_argmax_percent']} % equal" if "least_ratio" in s else ""
            print(
                f"{r['ratio']:8.2f}x  {r['value']:8.2f} {r['unit']} against {r['peer_value']:8.2f}  {r['claim']}{least}"
            )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
