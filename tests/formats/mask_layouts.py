"""Data sets of three photos in the layouts of SBD, Cityscapes and ADE20K, drawn here."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

PHOTO = np.random.default_rng(1).integers(0, 256, (12, 16, 3), dtype=np.uint8)
IDS = np.zeros((12, 16), np.uint8)
IDS[2:6, 3:9] = 1
IDS[8:, :4] = 255


def save(path: Path, pixels: np.ndarray = PHOTO, palette: bytes = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette(palette)
    image.save(path)
    return path


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def make_sbd(root: Path) -> Path:
    root = root / "dataset"
    for name in "abc":
        save(root / "img" / f"{name}.jpg")
    (root / "cls").mkdir()
    cells = np.empty((20, 1), object)
    cells[:] = [[np.zeros((2, 2))]] * 20
    of_class = np.where(IDS == 1, 8, 0).astype(np.uint8)
    for name in "ab":
        savemat(root / "cls" / f"{name}.mat", {"GTcls": {"Boundaries": cells, "Segmentation": of_class}})
    text(root / "train.txt", "a\nc\n")
    text(root / "val.txt", "b\n")
    return root.parent


POLYGONS = {
    "imgHeight": 12,
    "imgWidth": 16,
    "objects": [
        {"label": "road", "polygon": [[0, 0], [15, 0], [15, 11], [0, 11]]},
        {"label": "cargroup", "polygon": [[3, 2], [8, 2], [8, 5], [3, 5]]},
        {"label": "license plate", "polygon": [[4, 3], [6, 3], [6, 4], [4, 4]]},
        {"label": "person", "polygon": [[4, 3], [6, 3], [6, 4], [4, 4]], "deleted": 1},
        {"label": "out of roi", "polygon": [[0, 8], [3, 8], [3, 11], [0, 11]]},
    ],
}


def make_cityscapes(root: Path) -> Path:
    for split, name in (("train", "aachen_000000_000019"), ("train", "bochum_000000_000313"), ("val", "ulm_1_2")):
        city = name.split("_")[0]
        save(root / "leftImg8bit" / split / city / f"{name}_leftImg8bit.png")
        truth = root / "gtFine" / split / city
        if split == "train":
            save(truth / f"{name}_gtFine_labelIds.png", np.where(IDS == 1, 26, np.where(IDS == 255, 3, 7)).astype("u1"))
        text(truth / f"{name}_gtFine_polygons.json", json.dumps(POLYGONS))
    return root


def make_ade20k(root: Path) -> Path:
    for split, names in (("training", "ab"), ("validation", "c")):
        for name in names:
            save(root / "images" / split / f"ADE_{name}.jpg")
            save(root / "annotations" / split / f"ADE_{name}.png", np.where(IDS == 1, 21, 0).astype(np.uint8))
    text(root / "sceneCategories.txt", "ADE_a street\n")
    return root
