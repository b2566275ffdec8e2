"""What a dense CRF and super-pixels are worth to a trained network: mIoU with and without, on photos it never saw.

    python benchmarks/crf_worth.py --run RUN [RUN ...] [--tune 20] [--segments 1000] [--cache FOLDER] [--json FILE]
    python benchmarks/crf_worth.py --table

RUN is what benchmarks/mixed_labels.py or benchmarks/camvid.py left; it is scored on val_dev of VOC animals or val of
CamVid at the photos' own size. One network, one set of probabilities (kept as float16), six masks:

raw              its arg-max
vote             mean probability of each super-pixel (SLIC, `--segments` asked for, the rest scikit-image's defaults)
CRF, deeplab     `dense_crf` with the preset as published
CRF, tuned       with parameters that `evaluation.crf_tuning` finds on training photos that have a mask, starting from
                 the preset, in `BUDGET` evaluations. No photo of the validation split is seen.
both             the vote on the marginals of the tuned CRF
bound            every super-pixel with its true majority: no vote can get more pixels right

A network is surer, and righter, on photos it learnt from, so what is tuned there is too careful or too bold elsewhere:
the settings tell its mIoU on them.
band: of the difference to raw, 95 %, photos drawn anew 2,000 times; too narrow on CamVid, whose frames are neighbours.

One unit is one run. Its rows are kept in the JSON file as soon as they are done, and are not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accuracy import DATA, row
from mixed_labels import photos
from skimage.segmentation import slic

import labels2masks as l2m
from labels2masks.evaluation.bootstrap import band, bootstrap, mean_over_classes
from labels2masks.evaluation.boundary import BoundaryF1, boundary_f1
from labels2masks.evaluation.confusion import Confusion, count
from labels2masks.evaluation.crf_tuning import Scored, miou, tune
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Photo
from labels2masks.formats.image import read_image
from labels2masks.kernels.dense_crf import PRESETS, CRFParameters, dense_crf
from labels2masks.kernels.superpixels import achievable_mask, superpixel_vote

RESULTS = Path(__file__).with_name("results") / "crf_worth.json"
BUDGET = 20
"""CRF settings that are tried on the training photos."""

Case = tuple[np.ndarray, np.ndarray, np.ndarray]
"""(image_HW3, probabilities_LHW float16, truth_HW)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="runs trained on VOC animals or CamVid")
    parser.add_argument("--tune", type=int, default=20, help="training photos that the CRF is tuned on")
    parser.add_argument("--segments", type=int, default=1000, help="super-pixels asked for")
    parser.add_argument(
        "--cache", type=Path, default=Path("runs") / "crf_worth", help="folder for probabilities and super-pixels"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file that holds what is done")
    parser.add_argument("--table", action="store_true", help="print what is done as Markdown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows = json.loads(options.json.read_text()) if options.json.exists() else []
    for run in options.run:
        if any(r["settings"]["run"] == run.name for r in rows):
            continue
        rows += unit(run, options.tune, options.segments, options.cache / run.name)
        text = json.dumps(rows, indent=1) + "\n"
        write_atomically(options.json, lambda file, text=text: file.write(text.encode()))
    print(table(rows) if options.table else json.dumps(rows))


def unit(run: Path, training: int, segments: int, cache: Path) -> list[dict]:
    """The rows of one run."""
    plan = json.loads((run / "plan.json").read_text())
    model = l2m.load_model(run, device="cpu")
    if Path(plan["data"]).name == "camvid":
        data, split, about = l2m.open(DATA / "camvid"), "val", "CamVid val"
    else:
        kinds = "masks" if set(plan["kinds"]) == {"mask"} else "mixed"
        data, split = photos(kinds, plan["settings"]["seed"]), "val_dev"
        about = f"VOC animals val_dev, {kinds}"
    learnt = [photo for photo in data.split("train") if photo.has_mask]
    learnt = learnt[:: max(len(learnt) // training, 1)][:training]
    seen = data.split(split).photos
    cache.mkdir(parents=True, exist_ok=True)

    found, tuning = tuned(list(cases(model, learnt, cache)), len(data.classes))
    names = ["raw", "vote", "CRF, deeplab", "CRF, tuned", "both", "bound"]
    parameters = {"CRF, deeplab": PRESETS["deeplab"], "CRF, tuned": found, "both": found}
    confusions = [Confusion(data.classes) for _ in names]
    outlines = [BoundaryF1(data.classes) for _ in names]
    sums_PM3C, made = [], 0
    for photo, case in zip(seen, cases(model, seen, cache), strict=True):
        truth_HW, cut = case[2], partial(slic, case[0], n_segments=segments, start_label=0)
        segments_HW = kept(cache.parent / f"{photo.name}-{segments}.npy", cut)
        made += int(segments_HW.max()) + 1
        sums_M3C = []
        for mask_HW, confusion, outline in zip(masks(case, found, segments_HW), confusions, outlines, strict=True):
            counts = count(mask_HW, truth_HW, len(data.classes))
            confusion.counts += counts
            outline.add(boundary_f1(mask_HW, truth_HW, len(data.classes)))
            sums_M3C.append([np.diag(counts), counts.sum(axis=1), counts[:, :-1].sum(axis=0)])
        sums_PM3C.append(sums_M3C)
    resampled_BM = mean_over_classes(bootstrap(np.swapaxes(np.array(sums_PM3C), 0, 1), resamples=2000))
    raw = confusions[0].scores()
    rows = []
    for m, name in enumerate(names):
        scores = confusions[m].scores()
        difference = band(resampled_BM[:, m] - resampled_BM[:, 0])
        settings = {
            "run": run.name,
            "mask": name,
            "photos": len(seen),
            "pixel_accuracy": round(100 * scores["pixel_accuracy"], 2),
            "boundary_f1": round(100 * (outlines[m].scores()["boundary_f1"] or 0), 2),
            "band": [round(100 * edge, 2) for edge in difference or ()],
            "iou": {n: round(100 * s["iou"], 2) for n, s in scores["per_class"].items() if s["iou"] is not None},
        }
        if name in parameters:
            settings["parameters"] = vars(parameters[name])
        if parameters.get(name) is found:
            settings["tuning"] = tuning
        if name in ("vote", "both", "bound"):
            settings["segments_a_photo"] = round(made / len(seen))
        rows.append(
            row(
                f"{about}: {name}",
                100 * scores["miou"],
                "%",
                "the network alone",
                round(100 * raw["miou"], 2),
                settings,
            )
        )
        print(f"{rows[-1]['value']:6.2f} {settings['boundary_f1']:6.2f}  {rows[-1]['claim']}", flush=True)
    return rows


def masks(case: Case, parameters: CRFParameters, segments_HW: np.ndarray) -> Iterator[np.ndarray]:
    """In the order of the rows."""
    image_HW3, half_LHW, truth_HW = case
    probabilities_LHW = half_LHW.astype(np.float32)
    marginals_LHW = dense_crf(image_HW3, probabilities_LHW, parameters)
    yield probabilities_LHW.argmax(axis=0)
    yield superpixel_vote(probabilities_LHW, segments_HW).argmax(axis=0)
    yield dense_crf(image_HW3, probabilities_LHW, "deeplab", mask=True)
    yield marginals_LHW.argmax(axis=0)
    yield superpixel_vote(marginals_LHW, segments_HW).argmax(axis=0)
    yield achievable_mask(truth_HW, segments_HW, len(half_LHW))


def cases(model: Any, wanted: list[Photo] | tuple[Photo, ...], cache: Path) -> Iterator[Case]:
    for photo in wanted:
        image_HW3 = read_image(photo.image, photo.levels)
        predict = partial(model.predict_scores, image_HW3)
        half_LHW = kept(cache / f"{photo.name}.npy", lambda predict=predict: predict().astype(np.float16))
        yield image_HW3, half_LHW, truth_mask(photo, *image_HW3.shape[:2])


def kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """What an earlier call made, or this one."""
    if not file.exists():
        made = make()
        write_atomically(file, lambda f: np.save(f, made))
    return np.load(file)


def tuned(learnt: list[Case], classes: int) -> tuple[CRFParameters, dict[str, Any]]:
    """(parameters, what the search saw: mIoU in percent on the training photos)."""
    scored = [Scored(*case, np.arange(classes), k % 2) for k, case in enumerate(learnt)]
    result = tune(scored, classes, PRESETS["deeplab"], BUDGET, threads=1, say=partial(print, flush=True))
    found = {
        "raw": result.without_P3C,
        "deeplab": result.start_P3C,
        "tuned": result.chosen_P3C,
        "tuned on the other half": result.held_out_P3C,
    }
    scores = {name: round(100 * miou(sums_P3C), 2) for name, sums_P3C in found.items()}
    return result.parameters, {"photos": len(learnt), "evaluations": len(result.tried), "miou": scores}


def table(rows: list[dict]) -> str:
    """Markdown."""
    lines = [
        "| network, mask | mIoU | to raw (95 % band) | pixel accuracy | boundary F1 |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        s = r["settings"]
        gain = f"{r['value'] - r['peer_value']:+.1f} ({s['band'][0]:+.1f} to {s['band'][1]:+.1f})"
        gain = "" if s["mask"] == "raw" else gain
        lines.append(
            f"| {r['claim']} | {r['value']:.1f} | {gain} | {s['pixel_accuracy']:.1f} | {s['boundary_f1']:.1f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
