"""The verb, on photos whose colours are their classes."""

import json

import numpy as np
import pytest
from PIL import Image
from prediction.colour_net import RGB, colour_model

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.evaluation.agreement import Agreement, hull_ious
from labels2masks.evaluation.evaluate import evaluate, truth_mask
from labels2masks.evaluation.sources import matched
from labels2masks.evaluation.table import as_text
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import AreaShares, Box, Boxes, Mask, Point, Points, Scribbles, Stroke, Tags
from labels2masks.prediction.predict import predict

HEIGHT, WIDTH = 4, 6


def photo(folder, name, ids, *more, classes=RGB, with_mask=True):
    """One row of ids, `HEIGHT` times; the picture shows each class in its colour, void in red."""
    ids_HW = np.tile(np.array(ids), (HEIGHT, 1))
    index_HW = np.zeros_like(ids_HW)
    for i, file_id in enumerate(RGB.file_ids):
        index_HW[ids_HW == file_id] = i
    path = folder / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(RGB.colours, np.uint8)[index_HW]).save(path)
    labels = (Mask(ids_HW=ids_HW.astype(np.int32)), *more) if with_mask else more
    return Photo(name, path, labels, Vocabulary.same(classes))


@pytest.fixture
def data(tmp_path):
    photos = (
        photo(tmp_path / "images", "a", [0, 0, 8, 8, 10, 255]),
        photo(tmp_path / "images", "b", [8, 8, 8, 0, 0, 0]),
    )
    return Dataset(RGB, photos, {"val": ("a",), "all": ("a", "b")}, tmp_path / "street", "folder")


def test_right_everywhere(data, tmp_path):
    result = evaluate(colour_model(tmp_path / "run"), data, "all")
    assert result["miou"] == result["pixel_accuracy"] == result["boundary_f1"] == 1.0
    assert result["pixels"] == 2 * HEIGHT * WIDTH - HEIGHT
    assert result["calibration_error"] < 0.01
    assert (result["photos"], result["without_mask"], result["skipped"]) == (2, 0, [])
    assert result["protocol"]["data"] == "street"
    assert json.loads(json.dumps(result)) == result
    text = as_text(result)
    assert "mIoU 100.0 over 3 classes, 2 photos" in text and "split 'all' of the data set" in text


def test_val_is_the_default_and_is_named(data, tmp_path):
    result = evaluate(colour_model(tmp_path / "run"), data)
    assert result["photos"] == 1 and result["protocol"]["split"] == "split 'val' of the data set"


def test_without_val_the_runs_own_photos_then_all(data, tmp_path):
    bare = Dataset(data.classes, data.photos, {}, data.root)
    model = colour_model(tmp_path / "run")
    assert evaluate(model, bare)["split"].startswith("all photos")
    (tmp_path / "run/split.json").write_text(json.dumps({"train": ["a"], "val": ["b"]}))
    result = evaluate(model, bare)
    assert result["split"] == "the photos that the run set aside (split.json)"
    assert (result["photos"], result["seen_in_training"]) == (1, 0)
    assert evaluate(model, data, "val")["seen_in_training"] == 1


def test_a_folder_of_masks_scores_as_its_model_does(data, tmp_path):
    model = colour_model(tmp_path / "run", stride=2)
    of_model = evaluate(model, data, "all")
    predict(model, data, tmp_path / "out")
    of_masks = evaluate(tmp_path / "out", data, "all")
    assert of_model["miou"] < 1
    for key in ("miou", "per_class", "confusion", "boundary_f1"):
        assert of_masks[key] == of_model[key]
    (tmp_path / "out/prediction.json").unlink()
    assert evaluate(tmp_path / "out", data, "all")["confusion"] == of_model["confusion"]


def test_void_in_a_folder_of_masks_is_an_error_and_void_in_the_truth_is_nothing(data, tmp_path):
    for name in ("a", "b"):
        ids_HW = data.photos["ab".index(name)].labels[0].ids_HW.copy()
        ids_HW[:, 0] = 255
        ids_HW[:, 5] = 99 if name == "a" else ids_HW[:, 5]
        (tmp_path / "out").mkdir(exist_ok=True)
        Image.fromarray(ids_HW.astype(np.uint8)).save(tmp_path / f"out/{name}.png")
    result = evaluate(tmp_path / "out", data, "all")
    assert result["outside"] == pytest.approx(2 * HEIGHT / (2 * HEIGHT * WIDTH - HEIGHT))
    assert result["per_class"]["red"]["recall"] == pytest.approx(4 / 5)
    assert result["calibration_error"] is None


def test_classes_meet_by_name(data, tmp_path):
    model = colour_model(tmp_path / "run", Classes(("sky", "green", "blue"), background="sky", file_ids=(0, 1, 2)))
    result = evaluate(model, data, "all")
    assert result["miou"] == 1.0, "background is background, whatever it is called"
    other = colour_model(tmp_path / "run", Classes(("blue", "green", "tree")))
    result = evaluate(other, data, "all")
    assert (result["missing_classes"], result["foreign_classes"]) == (["red"], ["tree"])
    assert result["per_class"]["green"]["iou"] == 1.0
    assert result["per_class"]["blue"]["recall"] == 0.0
    assert "the model has no class red" in as_text(result)


def test_a_model_of_finer_classes_on_merged_data(data):
    merged = data.choose(merge={"colour": ["green", "blue"]})
    assert merged.classes.names == ("red", "colour")
    assert matched(RGB, merged).tolist() == [0, 1, 1]
    fewer = data.choose(keep=["green"])
    assert matched(RGB, fewer).tolist() == [0, 1, -1]


def test_the_truth_is_the_masks_alone(tmp_path):
    wrong_click = Points((Point("blue", 0.5, 0.5),))
    clicked = photo(tmp_path, "c", [0, 0, 8, 8, 10, 255], wrong_click)
    assert truth_mask(clicked, HEIGHT, WIDTH)[0].tolist() == [0, 0, 1, 1, 2, -1]


def test_without_masks_nothing_is_called_miou(tmp_path):
    marks = (
        Points((Point("red", 0.5, 0.5), Point("green", 0.5, 0.5), Point("green", 1.5, 1.5, negative=True))),
        Tags(frozenset({"green"}), complete=frozenset({"green", "blue"})),
        Boxes((Box.upright("green", 2, 0, 4, 4),)),
        Scribbles((Stroke("green", ((2.5, 0.5), (2.5, 3.5)), 1.0),)),
        AreaShares({"blue": 0.5}),
    )
    weak = photo(tmp_path, "w", [0, 0, 8, 8, 10, 10], *marks, with_mask=False)
    bare = photo(tmp_path, "bare", [0, 0, 0, 0, 0, 0], with_mask=False)
    result = evaluate(colour_model(tmp_path / "run"), Dataset(RGB, (weak, bare), root=tmp_path))
    assert "miou" not in result
    assert result["agreement"] == {
        "photos": 1,
        "clicks": {"hit": pytest.approx(2 / 3), "count": 3},
        "stroke_pixels": {"hit": 1.0, "count": 4},
        "tags": {"precision": 0.5, "recall": 1.0, "count": 1},
        "boxes": {"iou": 1.0, "count": 1},
        "shares": {"mean_absolute_error": pytest.approx(0.5 - 1 / 3), "count": 1},
    }
    assert (result["photos"], result["without_mask"], result["unlabelled"]) == (0, 1, 1)
    assert "without masks there is no mIoU" in as_text(result) and "mIoU means" not in as_text(result)


def test_hulls_of_regions_and_boxes():
    region_HW = np.zeros((20, 40), bool)
    region_HW[2:12, 2:12] = True
    region_HW[2:12, 20:30] = True
    ious = hull_ious(region_HW, [(2, 2, 12, 12), (20, 2, 40, 12), (0, 15, 5, 20)])
    assert ious == [1.0, 0.5, 0.0]


def test_tags_about_which_nothing_was_promised_are_not_wrong():
    agreement = Agreement()
    agreement.add(np.array([[1, 2, -1]]), (Tags(frozenset({"green"})),), Vocabulary.same(RGB))
    assert agreement.scores() == {"tags": {"precision": 1.0, "recall": 1.0, "count": 1}}


def test_broken_photos_are_set_aside(data, tmp_path):
    data.photos[1].image.write_bytes(b"no photo")
    result = evaluate(colour_model(tmp_path / "run"), data, "all")
    assert result["photos"] == 1 and result["skipped"][0]["image"] == "b"
    data.photos[0].image.write_bytes(b"no photo")
    with pytest.raises(DataError, match="none of the 2 photos could be scored; the first: .*a.png"):
        evaluate(colour_model(tmp_path / "run"), data, "all")


def test_wrong_calls(data, tmp_path):
    with pytest.raises(UsageError, match="no split 'vall' .* did you mean 'val'"):
        evaluate(colour_model(tmp_path / "run"), data, "vall")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="neither a finished run .* nor a folder of predicted masks"):
        evaluate(tmp_path / "empty", data)
    with pytest.raises(DataError, match="has a label to score against"):
        evaluate(colour_model(tmp_path / "run"), Dataset(RGB, (photo(tmp_path, "x", [0] * 6, with_mask=False),)))


def test_a_mask_of_another_size_is_named(data, tmp_path):
    (tmp_path / "out").mkdir()
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "out/a.png")
    with pytest.raises(DataError, match="a mask of 3x3 for a photo of 6x4"):
        evaluate(tmp_path / "out", data)
