"""The verb `predict`: a model and images -> a folder of masks. Can be killed and called again at any moment.

OUT holds
    <name>.png                  the mask: indexed, the image's own size, the ids of the data set's own files
    prediction.json             whose masks these are: the model's hash, classes, views, CRF
    skipped.jsonl               images that could not be read, one line each with the reason
    polygons/<name>.json, scores/<name>.npz, coco.json, shares.csv     with `also`
where <name> is the image's path below the image folder, without suffix. Of several shards each
writes its own skipped, coco and shares file (`coco-2-of-8.json`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, UsageError, did_you_mean
from ..files import write_atomically
from ..formats.dataset import Dataset
from ..formats.image import SUFFIXES, Levels, read_image
from ..formats.open import open_dataset
from ..kernels.dense_crf import CRFParameters, dense_crf
from ..progress import track
from .ahead import ahead
from .crf import Preset, crf_parameters, in_words
from .model import Model, load_model, model_file
from .tiles import Seams
from .views import Views, views_of
from .write import read_predicted, write_coco, write_mask, write_polygons, write_scores, write_shares

ALSO = ("polygons", "coco", "csv", "scores")
CARD = "prediction.json"


def predict(
    run: Any,
    images: Path | str | Dataset | Sequence[Path | str],
    out: Path | str | None = None,
    tta: bool | None = None,
    also: str | Sequence[str] = (),
    shard: str | None = None,
    levels: Levels | None = None,
    threads: int | None = None,
    crf: Preset | None = None,
) -> dict[str, Any]:
    """Write a mask for every image; masks that are there already are kept.

    run: run folder, `Run`, model.safetensors or model.onnx.
    images: an image, a folder (with sub-folders), a data set, or a list of image files.
    out: None = `predictions/<run>`. A folder that exists must hold this model's predictions (or nothing).
    tta: average mirrored and scaled views, or take one; None = look at photos as the run's recipe does.
    also: of polygons, coco, csv, scores (which cost 2 bytes for each class and pixel, and 12 while they are made).
    shard: "2/8" = the second of eight parts, for as many machines on one folder. levels: for 16-bit images.
    threads: images in hand at once; None = one for each core, at most four.
    crf: a preset's name, a file of `crf tune` or `CRFParameters`: masks after a dense CRF at the image's own size,
        which holds its scores whole, 4 bytes for each class and pixel. `scores` stay the model's own.

    An image whose long side is above `tiles.TILE` pixels where the network sees it is predicted in overlapping tiles.
    Returns {"out", "images", "predicted", "already_there", "in_tiles", "differing_share" (of the cells that two tiles
    named, those that they named differently; None without tiles), "crf" (None, or what was applied in words),
    "skipped": [{"image", "reason"}]}.
    Raises UsageError for a wrong call, DataError where not one image could be predicted.
    """
    wanted = _wanted(also)
    refine, words = (None, None) if crf is None else (crf_parameters(crf), in_words(crf))
    part, parts = _shard(shard)
    named = _named(images)
    listed = list(named.items())[part - 1 :: parts]
    model = load_model(run)
    folder = Path(out) if out is not None else Path("predictions") / _stem(run)
    views = views_of(tta, model.views)
    _claim(folder, model, views, words)
    suffix = f"-{part}-of-{parts}" if parts > 1 else ""

    def one(item: tuple[str, Path]) -> tuple[str, str, Seams]:
        name, path = item
        seams = Seams()
        try:
            return (
                name,
                "" if _predicted(model, path, folder, name, views, wanted, levels, seams, refine) else "kept",
                seams,
            )
        except DataError as error:
            return name, str(error), seams

    outcomes: list[tuple[str, str, Seams]] = []
    workers = threads or min(4, os.cpu_count() or 1)
    for outcome in track(ahead(one, listed, workers), "predicting", len(listed)):
        outcomes.append(outcome)
    skipped = [{"image": name, "reason": text} for name, text, _ in outcomes if text not in ("", "kept")]
    _write_skipped(folder / f"skipped{suffix}.jsonl", skipped)
    done = [name for name, text, _ in outcomes if text in ("", "kept")]
    if not done and listed:
        raise DataError(f"none of the {len(listed)} images could be predicted; the first: {skipped[0]['reason']}")
    if "csv" in wanted:
        write_shares(folder / f"shares{suffix}.csv", _masks(model, folder, done), model.classes)
    if "coco" in wanted:
        masks = ((name, _below(named[name], name), mask_HW) for name, mask_HW in _masks(model, folder, done))
        write_coco(folder / f"coco{suffix}.json", masks, model.classes)
    cells = sum(seams.cells for _, _, seams in outcomes)
    return {
        "out": str(folder),
        "images": len(listed),
        "predicted": sum(text == "" for _, text, _ in outcomes),
        "already_there": sum(text == "kept" for _, text, _ in outcomes),
        "in_tiles": sum(seams.tiles > 1 for _, _, seams in outcomes),
        "differing_share": round(sum(seams.differing for _, _, seams in outcomes) / cells, 6) if cells else None,
        "crf": words,
        "skipped": skipped,
    }


def _predicted(
    model: Model,
    image: Path,
    folder: Path,
    name: str,
    views: Views,
    wanted: frozenset[str],
    levels: Levels | None,
    seams: Seams,
    refine: CRFParameters | None,
) -> bool:
    """Write what is not there yet; False where nothing was missing."""
    mask_file = folder / f"{name}.png"
    polygons = folder / "polygons" / f"{name}.json" if "polygons" in wanted else None
    scores = folder / "scores" / f"{name}.npz" if "scores" in wanted else None
    if mask_file.exists() and not any(f and not f.exists() for f in (polygons, scores)):
        return False
    image_HW3: np.ndarray | None = None
    if scores and not scores.exists():
        image_HW3 = read_image(image, levels)
        write_scores(scores, model.predict_scores(image_HW3, views), model.classes)
    if mask_file.exists():
        mask_HW = read_predicted(mask_file, model.classes)
    else:
        image_HW3 = read_image(image, levels) if image_HW3 is None else image_HW3
        # Large photos and their masks are what memory goes to: a byte a pixel where that is enough.
        dtype = np.uint8 if len(model.classes) <= 256 else np.int32
        if refine is None:
            mask_HW = model.predict_mask(image_HW3, views, seams, dtype)
        else:
            probabilities_CHW = model.predict_scores(image_HW3, views, seams)
            mask_HW = dense_crf(image_HW3, probabilities_CHW, refine, mask=True).astype(dtype)
            del probabilities_CHW
    del image_HW3
    if polygons and not polygons.exists():
        write_polygons(polygons, mask_HW, model.classes)
    if not mask_file.exists():
        write_mask(mask_file, mask_HW, model.classes)
    return True


def _masks(model: Model, folder: Path, names: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """The masks as they lie on the disk, one at a time: so those of an earlier call count too."""
    for name in names:
        yield name, read_predicted(folder / f"{name}.png", model.classes)


def _named(images: Path | str | Dataset | Sequence[Path | str]) -> Mapping[str, Path]:
    """name -> image file. UsageError or DataError where there is none, or where two share a name."""
    if isinstance(images, Dataset):
        return {photo.name: photo.image for photo in images}
    if not isinstance(images, str | Path):
        named: dict[str, Path] = {}
        for path in map(Path, images):
            if path.stem in named:
                raise UsageError(f"{named[path.stem]} and {path} would both be written as {path.stem}.png; rename one")
            named[path.stem] = path
        if not named:
            raise UsageError("an empty list of images")
        return named
    path = Path(images).expanduser()
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return {path.stem: path}
    return {photo.name: photo.image for photo in open_dataset(path)}


def _below(image: Path, name: str) -> str:
    """The image's path below the image folder: its name with the suffix it has."""
    return name + image.suffix


def _claim(folder: Path, model: Model, views: Views, crf: str | None) -> None:
    """Make the folder ours: new, empty, or begun by the same model with the same views and CRF."""
    card: dict[str, Any] = {
        "version": 1,
        "model": hashlib.sha256(model_file(model.path).read_bytes()).hexdigest(),
        "tta": {views_of(False): False, views_of(True): True}.get(views, str(views)),
        "classes": model.classes.to_json(),
    }
    if crf is not None:
        card["crf"] = crf
    path = folder / CARD
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise DataError(f"{path}: not valid JSON; remove the folder or name another --out") from None
        if found != card:
            if _but_crf(found) == _but_crf(card):
                raise UsageError(
                    f"{folder} holds predictions with another CRF ({found.get('crf', 'none')}, "
                    f"not {card.get('crf', 'none')}); name another --out"
                )
            seen = {True: "with --tta", False: "without --tta"}.get(card["tta"], f"with {views}")
            other = f"this model, but not {seen}" if found.get("model") == card["model"] else "another model"
            raise UsageError(f"{folder} holds predictions of {other}; name another --out")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and holds no predictions of this model; name another --out")
    write_atomically(path, json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def _but_crf(card: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in card.items() if key != "crf"}


def _write_skipped(path: Path, skipped: Sequence[Mapping[str, str]]) -> None:
    """One line for each image; no file where nothing was skipped."""
    if skipped:
        write_atomically(path, "".join(json.dumps(s, ensure_ascii=False) + "\n" for s in skipped))
    else:
        path.unlink(missing_ok=True)


def _wanted(also: str | Sequence[str]) -> frozenset[str]:
    names = [n.strip() for n in also.split(",") if n.strip()] if isinstance(also, str) else list(also)
    for name in names:
        if name not in ALSO:
            raise UsageError(f"--also takes {', '.join(ALSO)}; got {name!r}{did_you_mean(name, ALSO)}")
    return frozenset(names)


def _shard(shard: str | None) -> tuple[int, int]:
    """(part, parts), part from 1."""
    if shard is None:
        return 1, 1
    found = re.fullmatch(r"(\d+)/(\d+)", shard)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"--shard takes I/N with 1 <= I <= N, such as 2/8; got {shard!r}")
    return int(found[1]), int(found[2])


def _stem(run: Any) -> str:
    path = model_file(getattr(run, "path", None) or run)
    return path.parent.name if path.name == "model.safetensors" else path.stem
