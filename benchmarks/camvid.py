"""CamVid: 367 training photos at 480x360, 11 classes, scored on the 101 of val at full size, on two CPU cores.

    python benchmarks/camvid.py --minutes 34

DeepLab v3+ on tf_efficientnet_lite0 with ImageNet weights, the recipe `everyday`. The last weights
are scored, none are chosen on val. Peers are published on the test drive with the same 367 photos
(Yu and Koltun 2016, table): a harder split for bicyclist, the easier one for nothing else, so read them as the
size of the thing, not as a race.
"""

from __future__ import annotations

import json
from pathlib import Path

from accuracy import DATA, arguments, row, table, trained

import labels2masks as l2m

PUBLISHED = {"SegNet (VGG16), test": 46.4, "DeepLab-LargeFOV (VGG16), test": 61.6, "Dilation8 (VGG16), test": 65.3}


def main() -> None:
    options = arguments(__doc__ or "", minutes=34).parse_args()
    data = l2m.open(DATA / "camvid")
    run, minutes = trained(data, options, options.out / f"camvid-{options.seed}", "val")
    scores = l2m.evaluate(run, data, split="val")
    print(table(scores))
    plan = json.loads((run.folder / "plan.json").read_text())
    settings = {
        "minutes": round(minutes, 1),
        "steps": plan["steps"],
        "batch": plan["settings"]["batch"],
        "crop": plan["settings"]["crop"],
        "seed": options.seed,
        "weights": Path(options.weights).name,
        "boundary_f1": scores["boundary_f1"],
    }
    value = 100 * scores["miou"]
    print(json.dumps([row("CamVid val mIoU, 11 classes", value, "%", n, p, settings) for n, p in PUBLISHED.items()]))


if __name__ == "__main__":
    main()
