"""What every kind of label is worth: VOC animals, 437 photos, one network, five rungs from tags to masks.

    python benchmarks/ladder.py                                   every row that is missing, the most wanted first
    python benchmarks/ladder.py --rows boxes scribbles --seeds 3  some of them
    python benchmarks/ladder.py --kind boxes --seed 1 --out RUN   one rung, which leaves an ordinary run
    python benchmarks/ladder.py --table                           what is there, as Markdown, and the curve

Rows are kept as they finish in `--json`, runs in `--work`; started again it goes on. One row and seed is a unit of a
few minutes on two cores.

labels      tags: the photos' own. clicks: people's, with the tags (Bearman et al. 2016). scribbles: simulated from
            masks, one stroke an object. boxes: people's on the five animals, with the tags; nobody boxed persons, so
            theirs are simulated. A row without those shows what incomplete boxes cost. masks: the official ones.
network     `hypercolumns` on EfficientNet-Lite2 as ImageNet made it (recipe `frozen`): a head of 0.15 M parameters
            learns from maps that are made once for all rows. 8 passes in every last training; what learns in rounds
            goes on from the 8 of the round before, so masks get 16.
score       mIoU on the 221 photos of val_dev at their own size, 7 classes, with and without the dense CRF (preset
            deeplab). Nothing is chosen there: recipes were chosen by the agreement of the instant classifier with
            people's clicks on 200 photos of train_aug600 (see docs/narrowing.md), which no row learns from.
band        of the difference to masks, seeds summed, photos drawn anew 2,000 times, 95 %.
hours       labelling at the published seconds of 2016, and at those of today's tools (`labels.seconds`).
decided     share of the pixels with one candidate, and of those the share that is wrong by the official masks, before
            and after narrowing. Truth is looked at for this table only.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import DATA, row
from ladder_labels import labelled, labelled_truth
from ladder_table import drawn_curve, markdown

import labels2masks as l2m
from labels2masks.evaluation.bootstrap import band, bootstrap, mean_over_classes
from labels2masks.evaluation.evaluate import truth_mask
from labels2masks.evaluation.per_photo import PerPhoto
from labels2masks.files import write_atomically
from labels2masks.formats.dataset import Dataset
from labels2masks.formats.image import read_image
from labels2masks.labels import labelling_seconds
from labels2masks.labels.seconds import TABLES
from labels2masks.progress import track
from labels2masks.recipes.frozen import frozen
from labels2masks.training import Settings

RESULTS = Path(__file__).with_name("results") / "ladder.json"
WEIGHTS = DATA / "weights" / "tf_efficientnet_lite2_imagenet_fp16.safetensors"
ENCODER = "tf_efficientnet_lite2"
PHOTOS, EPOCHS = 437, 8.0
"""Passes of the last training; other sets get as many steps."""
FILE = "ladder.json"
LAST: dict[str, Any] = {k: v for k, v in frozen().model_dump().items() if v != Settings().model_dump()[k]}
LAST |= {"crop": (384, 384), "validations": 1, "threads": 1, "workers": 1}  # two rows side by side on two cores


@dataclass(frozen=True)
class Row:
    """kind: of labels (see `ladder_labels`). recipe: of `train`; "" = `steps` narrow, then the everyday loss.
    group: where it stands in the table. settings: beside LAST.
    """

    name: str
    kind: str
    recipe: str
    group: str
    steps: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)


RUNGS = [
    Row("masks", "masks", "everyday", "rung", settings={"epochs": 2 * EPOCHS}),
    Row("boxes", "boxes", "auto", "rung"),
    Row("boxes, no persons", "boxes_without_persons", "auto", "rung"),
    Row("scribbles", "scribbles", "auto", "rung"),
    Row("clicks", "clicks", "auto", "rung"),
    Row("tags", "tags", "auto", "rung"),
]
INSTANT = [Row(f"instant, {r.name}", r.kind, "instant", "instant") for r in RUNGS]
CHAINS = [
    Row(f"{name}", kind, name, "chain")
    for name, kind in (
        ("tags-sec", "tags"),
        ("tags-guided", "tags"),
        ("points-wtp", "clicks"),
        ("points-crf", "clicks"),
        ("scribbles-crf", "scribbles"),
        ("scribbles-scribblesup", "scribbles"),
        ("boxes-wssl", "boxes"),
        ("boxes-sdi", "boxes"),
        ("boxes-box", "boxes"),
        ("boxes-boxsup", "boxes"),
        ("shares-kl", "shares"),
    )
]
BASELINES = [
    Row("boxes, candidate loss alone", "boxes", "everyday", "baseline"),
    Row("boxes filled", "boxes", "", "baseline", ("bbox_rect",)),
    Row("boxes, plain GrabCut", "boxes", "boxes-grabcut", "baseline"),
    Row("clicks, candidate loss alone", "clicks", "everyday", "baseline"),
    Row("clicks, partial cross-entropy", "clicks_alone", "everyday", "baseline", settings={"loss.presence": 0.0}),
    Row("clicks, prototypes", "clicks", "", "baseline", ("prototypes",)),
    Row("tags, CAM threshold", "tags", "", "baseline", ("cam_seeds",)),
]
FEW = [
    Row(f"{count} masks{added}", f"masks-{count}", f"everyday{added}", "few")
    for count in (50, 100)
    for added in ("", "+unlabelled")
]
ELSEWHERE = [
    Row(f"MSRC-21, {kind}", f"msrc-{kind}", "everyday" if kind == "masks" else "auto", "msrc")
    for kind in ("masks", "boxes", "scribbles", "points", "tags")
]
ROWS = {row.name: row for row in (*RUNGS, *INSTANT, *CHAINS, *BASELINES, *FEW, *ELSEWHERE)}
SEEDS = {"rung": 3}
"""Of the chosen recipes; one of all others."""
ORDER = ("rung", "instant", "chain", "baseline", "few", "msrc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=f"some of: {'; '.join(ROWS)}")
    parser.add_argument("--kind", choices=["masks", "boxes", "scribbles", "clicks", "tags"], help="a single rung")
    parser.add_argument("--seed", type=int, default=0, help="of --kind")
    parser.add_argument("--out", type=Path, help="folder of --kind's run, an ordinary one")
    parser.add_argument("--work", type=Path, default=Path("runs") / "ladder", help="folder for labels and runs")
    parser.add_argument(
        "--saliency", type=Path, help="run of benchmarks/saliency.py, for recipes that ask for saliency"
    )
    parser.add_argument("--json", type=Path, default=RESULTS, help="the file for all that is done")
    parser.add_argument("--table", action="store_true", help="make nothing: print what is done, draw the curve")
    options = parser.parse_args()
    if options.kind:
        run = learnt(ROWS[options.kind], options.seed, options.work, options.saliency, options.out)
        print(json.dumps([reported(ROWS[options.kind], options.seed, run, options.work)]))
        return
    wanted = [ROWS[name] for name in options.rows or ROWS]
    units = [(one, seed) for one in wanted for seed in range(SEEDS.get(one.group, 1))]
    for one, seed in sorted(units, key=lambda unit: (ORDER.index(unit[0].group), unit[1])):
        if not options.table and not (place(options.work, one, seed) / FILE).exists():
            run = learnt(one, seed, options.work, options.saliency)
            write_atomically(run / FILE, json.dumps(reported(one, seed, run, options.work)))
            kept(options.work, options.json)
    rows = kept(options.work, options.json)
    if options.table:
        print(markdown(rows))
        drawn_curve(rows, options.work / "ladder.svg")
    print(json.dumps(rows))


def place(work: Path, one: Row, seed: int) -> Path:
    return work / one.group / f"{one.name.replace(', ', '-').replace(' ', '_')}-{seed}"


def kept(work: Path, results: Path) -> list[dict[str, Any]]:
    """The rows of all units that are done, in the order of ROWS; in the results' file too."""
    found = [json.loads((place(work, one, seed) / FILE).read_text()) for one, seed in every(work)]
    write_atomically(results, json.dumps(found, indent=1) + "\n")
    return found


def every(work: Path) -> list[tuple[Row, int]]:
    units = [(one, seed) for one in ROWS.values() for seed in range(SEEDS.get(one.group, 1))]
    return [(one, seed) for one, seed in units if (place(work, one, seed) / FILE).exists()]


def learnt(one: Row, seed: int, work: Path, saliency: Path | None, out: Path | None = None) -> Path:
    """The finished run of a row; what is there is gone on with. Labels are narrowed with seed 0, for all seeds."""
    run, began = out or place(work, one, seed), time.process_time()
    if (run / "model.safetensors").exists():
        return run
    data, val = labelled(one.kind, work / "labels"), "val" if one.group == "msrc" else "val_dev"
    how: dict[str, Any] = {"train": "train", "val": val, "seed": seed, "out": run, "no_photos": True}
    if one.recipe == "instant":
        how |= {"network": "linear", "encoder": ENCODER, "weights": WEIGHTS}
        l2m.train(data, recipe="instant", resume=run.exists(), **how)
        return spent(run, began)
    how |= {"encoder": ENCODER, "network": "hypercolumns", "weights": WEIGHTS}
    if seed and not run.exists():
        for made in ("narrowed", "stages"):
            if (earlier := place(work, one, 0) / made).exists():
                shutil.copytree(earlier, run / made)
    if one.steps:
        narrowed = run / "narrowed"
        if not (narrowed / "masks.json").exists():
            shutil.rmtree(narrowed, ignore_errors=True)
            l2m.masks(data, narrowed, steps=one.steps, split="train", weights=WEIGHTS, encoder=ENCODER)
        data = l2m.open(narrowed)
    elif saliency:
        how["saliency"] = saliency
    epochs = EPOCHS * PHOTOS / len(data.splits["train"])
    settings = {**LAST, "epochs": epochs, "maps": str(work / "maps"), **one.settings}
    l2m.train(data, recipe=one.recipe or "everyday", settings=settings, resume=run.exists(), **how)
    return spent(run, began)


def spent(run: Path, began: float) -> Path:
    """Notes the processor time of a run that was made without a break."""
    write_atomically(run / "cpu.json", json.dumps({"seconds": round(time.process_time() - began, 1)}))
    return run


def reported(one: Row, seed: int, run: Path, work: Path) -> dict[str, Any]:
    """The row's line of JSON; the peer is the network that learnt from masks, same seed."""
    data = labelled(one.kind, work / "labels")
    raw, sharpened = (
        PerPhoto.load(run / "confusions.npz"),
        with_crf(run, data, "val" if one.group == "msrc" else "val_dev"),
    )
    plan, metrics = (json.loads((run / file).read_text()) for file in ("plan.json", "metrics.json"))
    masks = place(work, ROWS["masks"], seed) / "confusions.npz"
    peer = PerPhoto.load(masks) if masks.exists() and one.group != "msrc" else None
    scores = raw.confusion.scores()
    iou = {name: round(100 * of["iou"], 2) for name, of in scores["per_class"].items() if of["iou"] is not None}
    settings: dict[str, Any] = {
        "row": one.name,
        "group": one.group,
        "kind": one.kind,
        "recipe": plan["card"].get("recipe", one.recipe),
        "narrowed_by": list(one.steps),
        "seed": seed,
        "steps": 0 if plan["settings"]["solver"] == "ridge" else plan["steps"],
        "miou_crf": round(100 * sharpened.confusion.scores()["miou"], 2),
        "iou": iou,
        "band_to_masks": paired_band(raw, peer) if peer else None,
        "protocol": metrics["protocol"],
        "cpu_seconds": json.loads((run / "cpu.json").read_text())["seconds"],
        **labelling(data, run),
    }
    value = 100 * scores["miou"]
    against = 100 * peer.confusion.scores()["miou"] if peer else value
    about = "MSRC-21 val" if one.group == "msrc" else "VOC animals val_dev"
    return row(f"{about}: {one.name}", round(value, 2), "%", "masks, same seed", round(against, 2), settings)


def with_crf(run: Path, data: Dataset, split: str) -> PerPhoto:
    """The same network's probabilities, through the dense CRF."""
    model, scored = l2m.load_model(run), PerPhoto(data.classes)
    for photo in track(data.split(split).photos, "scoring with the CRF"):
        image_HW3 = read_image(photo.image)
        marginals_LHW = l2m.dense_crf(image_HW3, model.predict_scores(image_HW3))
        scored.add(photo.name, marginals_LHW.argmax(0), marginals_LHW.max(0), truth_mask(photo, *image_HW3.shape[:2]))
    scored.save(run / "confusions_crf.npz")
    return scored


def paired_band(one: PerPhoto, peer: PerPhoto) -> list[float] | None:
    """mIoU of one less that of the other, in points: 95 % of 2,000 draws of photos."""
    resampled_BM = mean_over_classes(bootstrap(np.stack([one.sums(), peer.sums()]), resamples=2000))
    edges = band(resampled_BM[:, 0] - resampled_BM[:, 1])
    return [round(100 * edge, 2) for edge in edges] if edges else None


def labelling(data: Dataset, run: Path) -> dict[str, Any]:
    """Hours by both tables, and how much the labels decide, and wrongly, before and after narrowing."""
    narrowed = l2m.open(run / "narrowed").subset(data.splits["train"]) if (run / "narrowed").exists() else None
    truths = labelled_truth(data)
    hours = dict.fromkeys(TABLES, 0.0)
    shares: dict[str, list[np.ndarray]] = {"before": [], "after": []}
    for number, photo in enumerate(track(data.split("train").photos, "reading labels")):
        labels = photo.labels_loaded()
        for name, table in TABLES.items():
            hours[name] += labelling_seconds(labels, photo.vocabulary.source, table) / 3600
        truth_HW = truths(photo)
        for when, source in (("before", photo), ("after", narrowed.photos[number] if narrowed else photo)):
            label_HW = source.candidates(*truth_HW.shape).labels()
            known_HW, decided_HW = truth_HW >= 0, (truth_HW >= 0) & (label_HW >= 0)
            shares[when].append(np.array([known_HW.sum(), decided_HW.sum(), (label_HW != truth_HW)[decided_HW].sum()]))
    found: dict[str, Any] = {f"hours_{name}": round(h, 2) for name, h in hours.items()}
    for when, counts in shares.items():
        known, decided, wrong = np.sum(counts, axis=0)
        found |= {f"decided_{when}": round(decided / known, 4), f"wrong_{when}": round(wrong / max(decided, 1), 4)}
    return found


if __name__ == "__main__":
    main()
