"""What every test may use: the shared research data where it is there, and a data set that is made in a second."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image, ImageDraw

settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder with camvid/, voc_animals/ ...; the test is skipped where it is missing, unless data is required."""
    root = Path(os.environ.get("L2M_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    if not root.is_dir():
        message = f"no research data at {root}: set L2M_DATA to the folder that holds camvid/ and voc_animals/"
        if os.environ.get("L2M_REQUIRE_DATA") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return root


def draw_photo(rng: np.random.Generator, height: int = 48, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3 uint8, ids_HW uint8): grey ground (0), red disc (1), blue rectangle (2), void rims (255)."""
    ids = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(ids)
    x, y = int(rng.integers(4, width - 24)), int(rng.integers(4, height - 24))
    draw.rectangle((x, y, x + 18, y + 14), fill=2, outline=255)
    x, y = int(rng.integers(4, width - 24)), int(rng.integers(4, height - 24))
    draw.ellipse((x, y, x + 18, y + 18), fill=1, outline=255)
    ids_HW = np.asarray(ids)
    colours = np.zeros((256, 3))
    colours[[0, 1, 2, 255]] = (120, 130, 120), (200, 60, 50), (50, 70, 200), (90, 90, 90)
    image_HW3 = np.clip(colours[ids_HW] + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    return image_HW3, ids_HW


@pytest.fixture
def tiny_dataset(tmp_path: Path) -> Path:
    """A plain folder: images/*.png, masks/*.png (ids 0, 1, 2, 255), classes.txt, splits; 12 photos of 64x48."""
    return write_tiny_dataset(tmp_path / "tiny")


def write_tiny_dataset(root: Path, photos: int = 12, draw: Callable = draw_photo) -> Path:
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for i in range(photos):
        image_HW3, ids_HW = draw(rng)
        Image.fromarray(image_HW3).save(root / "images" / f"photo{i:02d}.png")
        Image.fromarray(ids_HW).save(root / "masks" / f"photo{i:02d}.png")
    (root / "classes.txt").write_text("background\ndisc\nbox\n")
    (root / "splits").mkdir()
    names = [f"photo{i:02d}\n" for i in range(photos)]
    (root / "splits" / "train.txt").write_text("".join(names[: photos * 2 // 3]))
    (root / "splits" / "val.txt").write_text("".join(names[photos * 2 // 3 :]))
    return root
