"""VOC animals: what a photo's labels cost and what they buy, full masks against a mixture of cheap kinds.

    python benchmarks/mixed_labels.py --kinds masks mixed --minutes 18 --set size=400

437 photos, 7 classes (background, cat, cow, dog, horse, person, sheep; true pixels of other classes are void),
scored on the 221 of val_dev. `masks`: the official masks. `mixed`: a third of the photos have only tags, a third only
human clicks (Bearman et al. 2016), a third masks; which is drawn from the seed. The same network, recipe and time.
No image of val_dev, and none of its tags, is seen in training.
Peer: ridge regression on frozen lite2 / lite0 features from 200 masks, 67.2 / 63.2 (measured once on these splits).
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from accuracy import DATA, arguments, row, table, trained

import labels2masks as l2m
from labels2masks.labels import kind_name

CLASSES = ["cat", "cow", "dog", "horse", "person", "sheep"]
LABEL_FILES = ("points_human.json", "tags.json")
KINDS = {"masks": ("mask",), "tags": ("tags",), "clicks": ("points",)}


def photos(kinds: str, seed: int) -> l2m.Dataset:
    """The data set in which every training photo has only the labels of its third."""
    source = DATA / "voc_animals"
    with tempfile.TemporaryDirectory() as folder:
        file = l2m.convert(source, Path(folder) / "animals.jsonl", to="jsonl", labels=LABEL_FILES).path
        data = l2m.open(file, classes=CLASSES, others="void")
    names = np.array(data.splits["train"])
    order = np.random.default_rng(seed).permutation(len(names))
    thirds = ["masks", "tags", "clicks"] if kinds == "mixed" else [kinds]
    kept = {str(names[i]): KINDS[thirds[k % len(thirds)]] for k, i in enumerate(order)}
    return replace(
        data,
        root=source,
        photos=tuple(
            replace(p, labels=tuple(x for x in p.labels if kind_name(x) in kept.get(p.name, ("mask",))))
            for p in data.photos
        ),
    )


def main() -> None:
    parser = arguments(__doc__ or "", minutes=18)
    parser.add_argument("--kinds", nargs="+", default=["masks", "mixed"], choices=["masks", "mixed", "tags", "clicks"])
    options = parser.parse_args()
    rows = []
    for kinds in options.kinds:
        data = photos(kinds, options.seed)
        run, minutes = trained(data, options, options.out / f"animals-{kinds}-{options.seed}", "val_dev")
        scores = l2m.evaluate(run, data, split="val_dev")
        plan = json.loads((run.folder / "plan.json").read_text())
        hours = plan["labelling_seconds"] / 3600
        print(f"{kinds}: {plan['kinds']}, {hours:.1f} hours of labelling, {minutes:.1f} minutes of training")
        print(table(scores))
        settings = {
            "minutes": round(minutes, 1),
            "steps": plan["steps"],
            "crop": plan["settings"]["crop"],
            "seed": options.seed,
            "kinds": plan["kinds"],
            "labelling_hours": round(hours, 1),
            "boundary_f1": scores["boundary_f1"],
        }
        value = 100 * scores["miou"]
        rows.append(
            row(f"VOC animals val_dev mIoU from {kinds}", value, "%", "frozen lite2 + ridge, 200 masks", 67.2, settings)
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
