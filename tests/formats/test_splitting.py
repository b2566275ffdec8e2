"""Splits: by class, near duplicates and groups together, equal for equal seeds."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from conftest import write_tiny_dataset
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from labels2masks.errors import DataError, UsageError
from labels2masks.formats.duplicates import fingerprint, near_duplicates
from labels2masks.formats.open import open_dataset
from labels2masks.formats.splitting import deal, folds, make_split


def picture(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def test_near_duplicates_are_found_and_others_are_not():
    pictures = [picture(i) for i in range(40)]
    smaller = cv2.resize(pictures[3], (80, 60), interpolation=cv2.INTER_AREA)
    poor = cv2.imdecode(cv2.imencode(".jpg", pictures[7], [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    brighter = np.clip(pictures[3] * 0.9 + 15, 0, 255).astype(np.uint8)
    prints = [fingerprint(p) for p in (*pictures, smaller, poor, brighter)]
    assert near_duplicates(prints) == [[3, 40, 42], [7, 41]]
    assert near_duplicates([]) == []


@given(
    arrays(np.int64, st.tuples(st.integers(2, 25), st.integers(0, 4)), elements=st.integers(0, 3)),
    st.integers(2, 5),
    st.integers(0, 3),
)
def test_every_group_goes_to_one_part_and_no_part_stays_empty(counts_GC, parts, seed):
    size_G = np.maximum(counts_GC.max(axis=1, initial=0), 1)
    shares_K = np.full(min(parts, len(size_G)), 1 / min(parts, len(size_G)))
    part_G = deal(counts_GC, size_G, shares_K, seed)
    assert set(part_G) == set(range(len(shares_K)))
    assert np.array_equal(part_G, deal(counts_GC, size_G, shares_K, seed))


def test_rare_classes_are_dealt_out_evenly():
    counts_GC = np.zeros((100, 2), int)
    counts_GC[:, 0] = 1
    counts_GC[:10, 1] = 1
    part_G = deal(counts_GC, np.ones(100, int), np.array([0.8, 0.2]), 0)
    assert (part_G == 1).sum() == 20 and (part_G[:10] == 1).sum() == 2


def test_split_of_a_data_set(tmp_path):
    root = write_tiny_dataset(tmp_path / "t", photos=10)
    for name in ("copy0", "copy1"):
        Image.open(root / "images" / "photo00.png").save(root / "images" / f"{name}.png")
        Image.open(root / "masks" / "photo00.png").save(root / "masks" / f"{name}.png")
    data = open_dataset(root)
    train, val = make_split(data, 0.3, seed=1)
    assert sorted(train + val) == [p.name for p in data] and (train, val) == make_split(data, 0.3, seed=1)
    assert len({n in val for n in ("photo00", "copy0", "copy1")}) == 1
    backwards = replace(data, photos=data.photos[::-1])
    assert set(make_split(backwards, 0.3, seed=1)[1]) == set(val)
    parts = folds(data, 4)
    assert sorted(n for part in parts for n in part) == [p.name for p in data] and all(parts)
    train, val = make_split(data, 0.5, group_by=r"\d$")
    assert {n[-1] for n in train}.isdisjoint({n[-1] for n in val})
    half = replace(data, photos=tuple(replace(p, labels=()) if i % 2 else p for i, p in enumerate(data.photos)))
    assert all(half.subset([n]).photos[0].has_mask for n in make_split(half)[1])


def test_impossible_splits_say_why(tmp_path):
    data = open_dataset(write_tiny_dataset(tmp_path / "t", photos=3))
    with pytest.raises(UsageError, match="share"):
        make_split(data, 1.0)
    with pytest.raises(UsageError, match="regular expression"):
        make_split(data, group_by="(")
    with pytest.raises(UsageError, match="matches no photo"):
        make_split(data, group_by="zebra")
    with pytest.raises(DataError, match="needed to split"):
        make_split(data, group_by="photo")
    with pytest.raises(DataError, match="needed to split"):
        folds(data, 5)
