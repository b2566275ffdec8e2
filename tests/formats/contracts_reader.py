"""What every reader must do with a data set of its own layout, and every writer with any data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from labels2masks.errors import DataError, UsageError
from labels2masks.formats import open as opening
from labels2masks.formats.dataset import Dataset
from labels2masks.formats.image import image_size
from labels2masks.formats.label_json import FIELDS
from labels2masks.labels import Mask, kind_name, rasterise


def layout_contract(reader: ModuleType, path: Path, empty: Path) -> None:
    """`path` is a data set in the reader's layout, `empty` a folder without anything."""
    assert reader in opening.READERS and isinstance(reader.LAYOUT, str)
    assert set(FIELDS) >= reader.HOLDS
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
        assert {kind_name(x) for x in photo.labels} <= reader.HOLDS
        image_HW3, labels = photo.loaded()
        assert image_HW3.dtype == np.uint8 and image_HW3.shape == (*image_size(photo.image), 3)
        for label in labels:
            if isinstance(label, Mask):
                assert label.ids_HW is not None and label.ids_HW.dtype == np.int32
        made = rasterise(labels, photo.vocabulary, *image_HW3.shape[:2])
        assert made.sets_KC.shape[1] == len(data.classes)
    with pytest.raises(DataError):
        opening.open_dataset(empty)


def writer_contract(reader: ModuleType, data: Dataset, folder: Path) -> Dataset:
    """What is written opens again under the same names; a kind that the format does not hold is named as left out.

    Returns what was read back. `folder` must not exist.
    """
    written = reader.write(data, folder)
    again = opening.open_dataset(written.path)
    assert again.format == reader.__name__.rsplit(".", 1)[-1]
    assert len(again) == len(data)
    said = " ".join(written.left_out)
    kept = {photo.name: {kind_name(x) for x in photo.labels} for photo in data}
    for kind in set().union(*kept.values()) - reader.HOLDS:
        assert kind in said, f"{kind} are dropped in silence"
    with pytest.raises(UsageError):  # nothing written is overwritten
        reader.write(data, folder)
    return again


def reads_or_refuses(path: Path) -> Dataset | None:
    """Whatever is in the files: a data set whose labels can be used, or a DataError of one line; nothing else."""
    try:
        data = opening.open_dataset(path)
        for photo in data:
            height, width = image_size(photo.image)
            rasterise(photo.labels_loaded(), photo.vocabulary, height, width)
    except DataError as error:
        assert "\n" not in str(error)
        return None
    return data


def damaged(content: bytes, draw: Callable[..., Any]) -> bytes:
    """The content with a few places changed, cut out, doubled or replaced by what readers stumble over.

    draw: hypothesis' `data.draw`.
    """
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(start + draw(st.integers(0, 12)), len(content))
        put = draw(st.sampled_from(NASTY) | st.binary(max_size=4))
        content = content[:start] + put + content[end:]
    return content


NASTY = (
    b"NaN", b"Infinity", b"-1", b"1e9", b"1e400", b"99999999999999999999", b"null", b"[]", b"{}", b'""', b"true", b"0",
    b"..", b"/etc/passwd", b"https://example.org/a.jpg",
    b"C:\\a.jpg", b"\x00", b"\xff", b'"', b"<", b"&x;", b",", b"\n",
)  # fmt: skip
