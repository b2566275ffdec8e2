"""The verb: folders in, masks out, whatever happens in between."""

import json

import numpy as np
import pytest
from PIL import Image
from prediction.colour_net import colour_model

from labels2masks.errors import DataError, UsageError
from labels2masks.formats.image import read_mask
from labels2masks.prediction.ahead import ahead
from labels2masks.prediction.predict import predict


def save(path, colours):
    """A photo of one row: one pixel for each letter of "rgb"."""
    path.parent.mkdir(parents=True, exist_ok=True)
    row = [[255 if "rgb"[i] == c else 0 for i in range(3)] for c in colours]
    Image.fromarray(np.array([row], np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path):
    save(tmp_path / "photos/one.png", "rgb")
    save(tmp_path / "photos/sub/two.png", "ggb")
    return tmp_path / "photos"


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_masks_in_file_ids_with_sub_folders_kept(tmp_path, photos):
    result = predict(colour_model(tmp_path / "run"), photos, tmp_path / "out")
    assert (result["predicted"], result["already_there"], result["skipped"]) == (2, 0, [])
    assert read_mask(tmp_path / "out/one.png").tolist() == [[0, 8, 10]]
    assert read_mask(tmp_path / "out/sub/two.png").tolist() == [[8, 8, 10]]


def test_what_is_done_is_kept_and_what_is_missing_is_made_again(tmp_path, photos):
    model, out = colour_model(tmp_path / "run"), tmp_path / "out"
    predict(model, photos, out)
    first = files(out)
    (out / "one.png").unlink()
    before = (out / "sub/two.png").stat().st_mtime_ns
    result = predict(model, photos, out)
    assert (result["predicted"], result["already_there"]) == (1, 1)
    assert files(out) == first
    assert (out / "sub/two.png").stat().st_mtime_ns == before


def test_two_folders_of_the_same_predictions_are_equal_bytes(tmp_path, photos):
    model = colour_model(tmp_path / "run")
    for name in ("a", "b"):
        predict(model, photos, tmp_path / name, also="polygons,coco,csv,scores", threads=3)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert set(files(tmp_path / "a")) == {
        "coco.json", "one.png", "polygons/one.json", "polygons/sub/two.json", "prediction.json",
        "scores/one.npz", "scores/sub/two.npz", "shares.csv", "sub/two.png",
    }  # fmt: skip


def test_more_can_be_asked_for_later(tmp_path, photos):
    model, out = colour_model(tmp_path / "run"), tmp_path / "out"
    predict(model, photos, out)
    predict(model, photos, out, also=["polygons", "csv"])
    assert (out / "polygons/one.json").exists()
    assert (out / "shares.csv").read_text().splitlines()[1] == "one,0.333333,0.333333,0.333333"


def test_a_bad_photo_is_set_aside_and_work_goes_on(tmp_path, photos):
    (photos / "bad.jpg").write_bytes(b"no photo")
    result = predict(colour_model(tmp_path / "run"), photos, tmp_path / "out")
    assert result["predicted"] == 2
    [line] = (tmp_path / "out/skipped.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "bad" and "bad.jpg" in json.loads(line)["reason"]
    (photos / "bad.jpg").unlink()
    predict(colour_model(tmp_path / "run"), photos, tmp_path / "out")
    assert not (tmp_path / "out/skipped.jsonl").exists()


def test_nothing_but_bad_photos_is_an_error(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    with pytest.raises(DataError, match="none of the 1 images could be predicted; the first: .*bad.jpg"):
        predict(colour_model(tmp_path / "run"), tmp_path / "bad.jpg", tmp_path / "out")


def test_shards_together_are_the_whole(tmp_path, photos):
    model = colour_model(tmp_path / "run")
    predict(model, photos, tmp_path / "whole")
    for shard in ("1/2", "2/2"):
        assert predict(model, photos, tmp_path / "parts", shard=shard, also="csv")["images"] == 1
    parts = {k: v for k, v in files(tmp_path / "parts").items() if not k.endswith(".csv")}
    assert parts == files(tmp_path / "whole")
    assert (tmp_path / "parts/shares-2-of-2.csv").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path, photos):
    model = colour_model(tmp_path / "run")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/note.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds no predictions of this model"):
        predict(model, photos, tmp_path / "mine")
    predict(model, photos, tmp_path / "out")
    with pytest.raises(UsageError, match="predictions of another model"):
        predict(colour_model(tmp_path / "other", stride=2), photos, tmp_path / "out")
    with pytest.raises(UsageError, match="not with --tta"):
        predict(model, photos, tmp_path / "out", tta=True)


def test_exif_is_applied_and_not_carried_on(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the row is a column
    exif[0x010F] = "a maker's name"
    Image.new("RGB", (3, 1), (0, 255, 0)).save(tmp_path / "p.png", exif=exif)
    predict(colour_model(tmp_path / "run"), tmp_path / "p.png", tmp_path / "out")
    assert read_mask(tmp_path / "out/p.png").tolist() == [[8], [8], [8]]
    assert b"maker" not in (tmp_path / "out/p.png").read_bytes()


@pytest.mark.parametrize("wrong", [{"also": "polygon"}, {"shard": "3/2"}, {"shard": "one"}])
def test_wrong_calls(tmp_path, photos, wrong):
    with pytest.raises(UsageError, match="--also takes .* did you mean 'polygons'|--shard takes I/N"):
        predict(colour_model(tmp_path / "run"), photos, tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_no_model(tmp_path, photos):
    with pytest.raises(UsageError, match="no model in .*: expected a finished run folder"):
        predict(tmp_path / "nothing", photos, tmp_path / "out")


def test_two_images_that_would_be_one_file(tmp_path, photos):
    save(tmp_path / "other/one.png", "r")
    with pytest.raises(UsageError, match="would both be written as one.png"):
        predict(colour_model(tmp_path / "run"), [photos / "one.png", tmp_path / "other/one.png"], tmp_path / "out")


def test_ahead_keeps_the_order_and_little_in_hand():
    started = []
    items = iter(range(50))

    def square(i):
        started.append(i)
        return i * i

    results = ahead(square, items, 2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    assert len(started) <= 8
    assert list(results) == [i * i for i in range(3, 50)]
