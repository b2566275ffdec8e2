"""How good is a score from named pixels? Audits of photos whose masks are known, against masking some photos whole.

    python benchmarks/audit.py --run RUN [--repeats 200] [--clicks 100 200 400 800 1600] [--json FILE]
    python benchmarks/audit.py --table

RUN is what benchmarks/mixed_labels.py left. Its predictions on the 221 photos of VOC animals val_dev are audited with
the official masks in the person's place (7 classes; true pixels of other classes, and borders, are "unclear"), once
for each seed, with the very draws and estimates of `l2m audit`. True mIoU: one confusion matrix over all pixels.

class and sureness   strata of the predicted class and three levels of the model's confidence, as for a run
class alone          strata of the predicted class, as for a folder of masks

deviation    standard deviation of the estimated mIoU over the repeats, points
covered      repeats whose 95 % band holds the true value, %: of mIoU; the least and most of any class's IoU and area
peer         mIoU of so many photos, drawn at random without putting back, whose masks are known whole
photos       so many of them have the deviation that the clicks have
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accuracy import row
from mixed_labels import photos

import labels2masks as l2m
from labels2masks.evaluation.bootstrap import iou, mean_over_classes
from labels2masks.evaluation.confusion import count
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.evaluation.pixel_sample import draw, predicted_class, strata_count, strata_map
from labels2masks.evaluation.stratified import Estimate, estimate
from labels2masks.files import write_atomically
from labels2masks.formats.image import read_image
from labels2masks.progress import track

RESULTS = Path(__file__).with_name("results") / "audit.json"
MASKED, MASKED_REPEATS = 80, 1000
"""Photos of the peer in the rows, and how often they are drawn."""


@dataclass(frozen=True)
class Known:
    """pixels_PK: pixels of each photo in each stratum. truth_P: of each photo the true classes, stratum by stratum and
    in the order of its rows within one; the last class is "unclear"."""

    pixels_PK: np.ndarray
    truth_P: list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run trained on VOC animals")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--clicks", type=int, nargs="+", default=[100, 200, 400, 800, 1600])
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file that holds what was measured")
    parser.add_argument("--table", action="store_true", help="print what was measured as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.run is not None:
        rows = measured(options.run, options.repeats, options.clicks)
        write_atomically(options.json, json.dumps(rows, indent=1) + "\n")
    rows = json.loads(options.json.read_text())
    print(table(rows) if options.table else json.dumps(rows))


def measured(run: Path, repeats: int, clicks: Sequence[int]) -> list[dict]:
    data = photos("masks", 0)
    model, shown = l2m.load_model(run, device="cpu"), data.split("val_dev").photos
    classes = len(data.classes)
    assert model.classes.names == data.classes.names
    known: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"class and sureness": [], "class alone": []}
    counts_P = []
    for photo in track(shown, "predicting"):
        mask_HW, confidence_HW = model.predict_confidence(read_image(photo.image, photo.levels))
        truth_HW = truth_mask(photo, *mask_HW.shape)
        counts_P.append(count(mask_HW, truth_HW, classes)[:, :classes])
        truth_HW = np.where(truth_HW < 0, classes, truth_HW).astype(np.uint8)
        for kind, sure_HW in zip(known, (confidence_HW, None), strict=True):
            stratum_HW = strata_map(mask_HW, sure_HW)
            order = np.argsort(stratum_HW, axis=None, kind="stable")
            pixels_K = np.bincount(stratum_HW.ravel(), minlength=strata_count(classes))
            known[kind].append((pixels_K, truth_HW.ravel()[order]))
    peer_N, whole = masked_whole(np.stack(counts_P))
    rows = []
    for kind, found in known.items():
        of_all = Known(np.stack([pixels_K for pixels_K, _ in found]), [truth for _, truth in found])
        pixels_K = of_all.pixels_PK.sum(axis=0)
        exact = estimated(of_all, cells(of_all, classes), pixels_K)
        assert exact.miou is not None and abs(exact.miou.value - whole) < 1e-9
        estimates = [
            [estimated(of_all, counts_KC, pixels_K) for counts_KC in answered(of_all, classes, clicks, seed)]
            for seed in track(range(repeats), kind)
        ]
        for k, asked in enumerate(clicks):
            rows.append(
                summary(kind, asked, [of_seed[k] for of_seed in estimates], exact, peer_N, len(shown), run.name)
            )
            print(f"{rows[-1]['value']:6.2f}  {rows[-1]['claim']}", flush=True)
    return rows


def cells(known: Known, classes: int) -> np.ndarray:
    """int64 K x (C + 1): the true error matrix of all pixels."""
    total_KC = np.zeros((known.pixels_PK.shape[1], classes + 1), np.int64)
    for pixels_K, truth in zip(known.pixels_PK, known.truth_P, strict=True):
        stratum = np.repeat(np.arange(len(pixels_K)), pixels_K)
        total_KC += np.bincount(stratum * (classes + 1) + truth, minlength=total_KC.size).reshape(total_KC.shape)
    return total_KC


def answered(known: Known, classes: int, clicks: Sequence[int], seed: int) -> list[np.ndarray]:
    """For each number of clicks the answers in each stratum; fewer clicks are the beginning of more."""
    first_PK = known.pixels_PK.cumsum(axis=1) - known.pixels_PK
    counts_KC = np.zeros((known.pixels_PK.shape[1], classes + 1), np.int64)
    result = []
    for number, d in enumerate(draw(known.pixels_PK, max(clicks), seed), 1):
        counts_KC[d.stratum, known.truth_P[d.photo][first_PK[d.photo, d.stratum] + d.rank]] += 1
        if number in clicks:
            result.append(counts_KC.copy())
    return result


def estimated(known: Known, counts_KC: np.ndarray, pixels_K: np.ndarray) -> Estimate:
    there = np.flatnonzero(pixels_K)
    return estimate(counts_KC[there], pixels_K[there], np.array([predicted_class(int(k)) for k in there]))


def masked_whole(counts_PCC: np.ndarray) -> tuple[np.ndarray, float]:
    """(standard deviation of mIoU from 1 ... P photos, mIoU of all)."""
    rng, photos_ = np.random.default_rng(0), len(counts_PCC)
    sums_P3C = np.stack([np.einsum("pcc->pc", counts_PCC), counts_PCC.sum(axis=2), counts_PCC.sum(axis=1)], axis=1)
    miou_RP = np.stack(
        [mean_over_classes(iou(sums_P3C[rng.permutation(photos_)].cumsum(axis=0))) for _ in range(MASKED_REPEATS)]
    )
    return miou_RP.std(axis=0), float(miou_RP[0, -1])


def summary(
    kind: str, clicks: int, found: list[Estimate], exact: Estimate, peer_N: np.ndarray, photos_: int, run: str
) -> dict:
    values = np.array([e.miou.value for e in found if e.miou])
    deviation = 100 * float(values.std())

    def covered(pick) -> float:
        pairs = [(pick(e), pick(exact)) for e in found]
        return round(100 * float(np.mean([f.low <= t.value <= f.high for f, t in pairs if f])), 1)

    n = range(len(exact.iou_C))
    ious = [covered(lambda e, c=c: e.iou_C[c]) for c in n]
    areas = [covered(lambda e, c=c: e.area_C[c]) for c in n]
    settings = {
        "run": run,
        "strata": kind,
        "clicks": clicks,
        "repeats": len(found),
        "true_miou": round(100 * exact.miou.value, 2),
        "mean_estimate": round(100 * float(values.mean()), 2),
        "half_band": round(50 * float(np.mean([e.miou.high - e.miou.low for e in found])), 2),
        "covered": covered(lambda e: e.miou),
        "covered_iou": ious,
        "covered_area": areas,
        "covered_pixel_accuracy": covered(lambda e: e.pixel_accuracy),
        "covered_unclear": covered(lambda e: e.unclear),
        "photos_for_equal_deviation": int(np.argmax(100 * peer_N <= deviation)) + 1,
        "photos": photos_,
    }
    peer = round(100 * float(peer_N[MASKED - 1]), 2)
    claim = f"deviation of mIoU from {clicks} clicks, strata of {kind}"
    made = row(claim, deviation, "points", f"full masks of {MASKED} random photos", peer, settings)
    return made | {"ratio": round(peer / deviation, 3)}


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = [
        "| strata of | clicks | deviation | half a band | covered: mIoU | IoU of classes | areas | photos |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        s = r["settings"]
        spans = [f"{min(s[key]):.0f} to {max(s[key]):.0f} %" for key in ("covered_iou", "covered_area")]
        lines.append(
            f"| {s['strata']} | {s['clicks']:,} | {r['value']:.1f} | {s['half_band']:.1f} | {s['covered']:.1f} % | "
            f"{spans[0]} | {spans[1]} | {s['photos_for_equal_deviation']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
