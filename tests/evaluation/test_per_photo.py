"""What each photo contributes adds up to the set, ranks the photos and survives the disk."""

import numpy as np
import pytest

from labels2masks.classes import Classes
from labels2masks.errors import DataError
from labels2masks.evaluation import Calibration, Confusion, PerPhoto

CLASSES = Classes(("ground", "<cat>", "dog & cow"))


def scored(photos: int = 5, seed: int = 0) -> tuple[PerPhoto, list]:
    draw = np.random.default_rng(seed)
    made, given = PerPhoto(CLASSES), []
    for i in range(photos):
        mask_HW, truth_HW = draw.integers(-1, 4, (7, 9)), draw.integers(-1, 3, (7, 9))
        confidence_HW = draw.uniform(0.3, 1, (7, 9)).astype(np.float32)
        made.add(f"a/photo {i}", mask_HW, confidence_HW, truth_HW)
        given.append((mask_HW, confidence_HW, truth_HW))
    return made, given


def test_the_parts_are_the_whole():
    made, given = scored()
    whole, calibration = Confusion(CLASSES), Calibration()
    for i, (mask_HW, confidence_HW, truth_HW) in enumerate(given):
        alone = Confusion(CLASSES)
        alone.add(mask_HW, truth_HW)
        assert np.array_equal(made.of(i).counts, alone.counts)
        whole += alone
        calibration.add(mask_HW, confidence_HW, truth_HW)
    assert np.array_equal(made.confusion.counts, whole.counts)
    assert made.calibration.error == calibration.error


def test_sums_give_the_iou_of_each_photo():
    made, _ = scored()
    for i, (right_C, true_C, predicted_C) in enumerate(made.sums()):
        ious = [c["iou"] for c in made.of(i).scores()["per_class"].values()]
        assert np.allclose(right_C / (true_C + predicted_C - right_C), ious)


def test_comes_back_from_the_disk(tmp_path):
    made, _ = scored()
    again = PerPhoto.load(made.save(tmp_path / "confusions.npz"))
    assert again.names == made.names and again.classes.names == CLASSES.names
    assert np.array_equal(again.confusion.counts, made.confusion.counts)
    assert np.array_equal(again.sums(), made.sums()) and again.calibration.error == made.calibration.error
    assert made.save(tmp_path / "b").read_bytes() == (tmp_path / "confusions.npz").read_bytes()


def test_a_photo_without_a_counted_pixel_keeps_its_place(tmp_path):
    made = PerPhoto(CLASSES)
    void_HW, mask_HW = np.full((2, 2), -1), np.zeros((2, 2), int)
    for name, truth_HW in (("void", void_HW), ("ground", mask_HW), ("void too", void_HW)):
        made.add(name, mask_HW, np.ones((2, 2)), truth_HW)
    again = PerPhoto.load(made.save(tmp_path / "c.npz"))
    assert again.names == ["void", "ground", "void too"]
    assert again.sums()[:, 0, 0].tolist() == [0, 4, 0]


def test_a_damaged_file_is_named(tmp_path):
    path = scored()[0].save(tmp_path / "confusions.npz")
    for damaged in (path.read_bytes()[:-40], b"", b"no zip at all"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"confusions\.npz: not readable"):
            PerPhoto.load(path)
