"""What every reader must do with a data set of its own layout."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from labels2masks.errors import DataError
from labels2masks.formats import open as opening
from labels2masks.formats.image import image_size
from labels2masks.labels import Mask, rasterise


def layout_contract(reader: ModuleType, path: Path, empty: Path) -> None:
    """`path` is a data set in the reader's layout, `empty` a folder without anything."""
    assert reader in opening.READERS and isinstance(reader.LAYOUT, str)
    assert reader.recognises(path) and not reader.recognises(empty)
    assert next(r for r in opening.READERS if r.recognises(path)) is reader, "another reader takes it first"
    data = reader.read(path)
    assert data == reader.read(path), "reading twice gives the same"
    assert data.format == reader.__name__.rsplit(".", 1)[-1]
    names = [p.name for p in data]
    assert names and len(set(names)) == len(names)
    for split in data.splits:
        assert len(data.split(split)) == len(data.splits[split]) > 0
    for photo in data:
        assert photo.vocabulary.target == data.classes
        image_HW3, labels = photo.loaded()
        assert image_HW3.dtype == np.uint8 and image_HW3.shape == (*image_size(photo.image), 3)
        for label in labels:
            if isinstance(label, Mask):
                assert label.ids_HW is not None and label.ids_HW.dtype == np.int32
        made = rasterise(labels, photo.vocabulary, *image_HW3.shape[:2])
        assert made.sets_KC.shape[1] == len(data.classes)
    with pytest.raises(DataError):
        opening.open_dataset(empty)
