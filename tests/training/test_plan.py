"""What is decided from the data before the first step, and what is refused."""

import json
import shutil
import zlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import write_tiny_dataset
from PIL import Image
from training.tiny import plan_for, settings

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Box, Boxes, Mask, Point, Points, Tags
from labels2masks.training import Settings, train
from labels2masks.training.plan import Plan, class_weights, describe, fingerprint, make_plan
from labels2masks.training.settings import with_settings

CLASSES = Classes(("ground", "disc", "dot"), background="ground")
WORDS = Vocabulary.same(CLASSES)


def planned(data, train=None, val="none", group_by=None, seconds=0.5, **changes):
    return make_plan(data, settings(**changes), train, val, group_by, lambda s, classes: (s, seconds, seconds / 2))


def noise_photo(folder, name, labels, height=48, width=64, seed=None):
    """A photo that is nobody's near duplicate."""
    draw = np.random.default_rng(zlib.crc32(name.encode()) if seed is None else seed)
    small = draw.integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR).save(folder / f"{name}.png")
    return Photo(name, folder / f"{name}.png", labels, WORDS)


def mask_file(path, ids_HW):
    Image.fromarray(np.asarray(ids_HW, np.uint8)).save(path)
    return Mask(path)


@pytest.fixture(scope="module")
def seventy(tmp_path_factory):
    """70 distinct photos in 14 scenes of five, with masks of ground and disc."""
    folder = tmp_path_factory.mktemp("seventy")
    ids_HW = np.zeros((48, 64), np.uint8)
    ids_HW[10:30, 10:30] = 1
    mask = mask_file(folder / "mask.png", ids_HW)
    photos = [noise_photo(folder, f"scene{i // 5:02d}-{i % 5}", (mask,), seed=i) for i in range(70)]
    return Dataset(CLASSES, tuple(photos), {}, folder)


def test_defaults_come_from_the_data(photos):
    plan, unreadable = planned(photos, epochs=10, batch=None)
    s = plan.settings
    assert unreadable == [] and plan.val == [] and len(plan.train) == 12
    assert s.size is None and s.batch and s.crop == (32, 48)  # a small photo stays as it is
    assert plan.steps == round(10 * 12 / s.batch)
    assert plan.kinds == {"mask": 12} and plan.labelling_seconds > 0
    assert sum(plan.class_shares) == pytest.approx(1, abs=1e-5)
    assert plan.files["photo00"] == fingerprint(photos.photos[0].image)
    text = describe(plan)
    assert "12 training photos (12 with mask)" in text and f"{plan.steps} steps" in text
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_minutes_become_steps(photos):
    plan, _ = planned(photos, minutes=10, seconds=0.5)
    # A tenth is kept for all else; seven tenths of the steps are the early ones, here of half the seconds.
    assert plan.steps == round(10 * 60 * 0.9 / (0.7 * 0.25 + 0.3 * 0.5))
    assert plan.expected_minutes == pytest.approx(10, rel=0.02)
    assert plan.seconds_to(plan.steps) == pytest.approx(10 * 60 * 0.9, rel=0.01)
    whole, _ = planned(photos, minutes=10, seconds=0.5, augment__settle=0)
    assert whole.settles is None and whole.steps == round(10 * 60 * 0.9 / 0.5)
    folds, _ = planned(photos, val="auto", minutes=10, seconds=0.5)  # the minutes cover all six trainings
    assert folds.steps == pytest.approx(plan.steps / 6, rel=0.01)
    for bad in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="minutes"):
            settings(minutes=bad)


def test_the_splits_of_the_data_set_come_first(photos):
    names = tuple(p.name for p in photos)
    split = replace(photos, splits={"train": names[:8], "val": names[8:10], "test": names[10:]})
    plan, _ = planned(split, val="auto")
    assert plan.train == list(names[:8]) and plan.val == list(names[8:10]) and not plan.fold_names
    plan, _ = planned(split, val="test")
    assert plan.train == list(names[:10]) and plan.val == list(names[10:])
    plan, _ = planned(split, train="train", val="none")
    assert plan.train == list(names[:8]) and plan.val == [] and not plan.fold_names
    with pytest.raises(UsageError, match="did you mean 'test'"):
        planned(split, val="tset")
    with pytest.raises(UsageError, match="share 2 photos"):
        planned(split, train="val", val="val")


def test_five_folds_below_sixty_photos(photos):
    plan, _ = planned(photos, val="auto")
    assert len(plan.fold_names) == 5 and sorted(n for f in plan.fold_names for n in f) == sorted(plan.train)
    assert "5 folds" in plan.split_origin


def test_a_fifth_aside_from_sixty_on_and_groups_stay_together(seventy):
    plan, _ = planned(seventy, val="auto", group_by=r"^(scene\d+)")
    assert not plan.fold_names and 10 <= len(plan.val) <= 20
    scenes = [{n.split("-")[0] for n in part} for part in (plan.train, plan.val)]
    assert not scenes[0] & scenes[1] and set(plan.train) | set(plan.val) == {p.name for p in seventy}
    again, _ = planned(seventy, val="auto", group_by=r"^(scene\d+)")
    assert again.val == plan.val


def test_near_duplicates_stay_together(seventy, tmp_path):
    twins = []
    for k in range(10):
        shutil.copy(seventy.photos[k].image, tmp_path / f"twin{k}.png")
        twins.append(replace(seventy.photos[k], name=f"twin{k}", image=tmp_path / f"twin{k}.png"))
    plan, _ = planned(replace(seventy, photos=seventy.photos + tuple(twins)), val="auto")
    for k in range(10):
        assert (f"twin{k}" in plan.val) == (seventy.photos[k].name in plan.val)


def test_without_enough_masks_there_is_a_run_and_no_score(seventy):
    tagged = replace(seventy, photos=tuple(replace(p, labels=(Tags(frozenset({"disc"})),)) for p in seventy))
    plan, _ = planned(tagged, val="auto")
    assert len(plan.train) == 70 and not plan.val and not plan.fold_names and "no photo has a mask" in plan.split_origin
    three = replace(seventy, photos=seventy.photos[:3])
    plan, _ = planned(three, val="auto")
    assert len(plan.train) == 3 and not plan.fold_names and any("no score" in n for n in plan.notes)


def test_the_smallest_objects_keep_16_pixels(tmp_path):
    def data(side):
        ids_HW = np.zeros((750, 1000), np.uint8)
        ids_HW[300 : 300 + side, 400 : 400 + side] = 1
        mask = mask_file(tmp_path / f"{side}.png", ids_HW)
        return Dataset(CLASSES, (noise_photo(tmp_path, f"large{side}", (mask,), 750, 1000),))

    size = planned(data(20), crop=None)[0].settings.size
    assert size == pytest.approx(1000 * 16 / 20, abs=1)
    large = planned(data(300), crop=None)[0].settings
    assert large.size and large.size < size and large.crop[0] < large.crop[1]
    boxed = noise_photo(tmp_path, "boxed", (Boxes((Box.upright("disc", 10, 10, 30, 40),)),), 750, 1000)
    assert planned(Dataset(CLASSES, (boxed,)))[0].settings.size == pytest.approx(1000 * 16 / 20, abs=1)
    assert planned(data(20), size=100)[0].settings.size == 100


def test_median_frequency_counts_the_photos_that_have_a_class(tmp_path):
    """Ground is 2304 of 3840 pixels, disc 1536 of the 3072 of its one photo, dot is nowhere."""
    half_HW = np.zeros((48, 64), np.uint8)
    half_HW[:, :32] = 1
    masks = [mask_file(tmp_path / "half.png", half_HW), mask_file(tmp_path / "none.png", np.zeros((24, 32)))]
    photos = (noise_photo(tmp_path, "a", (masks[0],)), noise_photo(tmp_path, "b", (masks[1],), 24, 32))
    plan, _ = planned(Dataset(CLASSES, photos, {}, tmp_path), loss__class_weights="median_frequency")
    assert plan.class_weights == pytest.approx([0.55 / 0.6, 1.1, 1.0], abs=1e-4)


def test_class_weights_are_capped_and_shares_expected(tmp_path):
    assert class_weights(np.array([0.9, 0.1, 0.0]), 3.0) == pytest.approx([np.sqrt(0.5 / 0.9), np.sqrt(5), 1.0])
    assert class_weights(np.array([0.98, 0.01, 0.01]), 3.0).max() <= 3
    assert class_weights(np.array([0.9999, 0.00005, 0.00005]), 3.0).min() == pytest.approx(1 / 3)
    assert class_weights(np.zeros(3), 3.0).tolist() == [1, 1, 1]
    # A region that may be disc or dot counts half for each; void and open regions count nothing.
    no_ground = noise_photo(tmp_path, "either", (Tags(absent=frozenset({"ground"})),))
    plan, _ = planned(Dataset(CLASSES, (no_ground,)))
    assert plan.class_shares == pytest.approx([0, 0.5, 0.5])


def test_a_class_nobody_shows_is_noted(tmp_path, photos):
    ids_HW = np.zeros((48, 64), np.uint8)
    masked = noise_photo(tmp_path, "masked", (mask_file(tmp_path / "mask.png", ids_HW),))
    tagged = noise_photo(tmp_path, "tagged", (Tags(frozenset({"disc"})),))
    plan, _ = planned(Dataset(CLASSES, (masked, tagged)))
    noted = [n for n in plan.notes if "can not be learnt" in n]
    assert len(noted) == 1 and "'dot'" in noted[0]  # tags say that a disc is there: presence teaches it


def test_clicks_alone_make_a_plan(tmp_path):
    clicked = noise_photo(tmp_path, "clicked", (Points((Point("disc", 9, 9), Point("ground", 40, 40))),))
    plan, _ = planned(Dataset(CLASSES, (clicked,)), val="auto")
    assert plan.kinds == {"points": 1} and sum(plan.class_shares) == pytest.approx(1)


def test_unreadable_photos_are_left_out_and_the_rest_is_trained(tmp_path):
    root = write_tiny_dataset(tmp_path / "data")
    broken = (root / "images/photo03.png").read_bytes()
    (root / "images/photo03.png").write_bytes(broken[:60])  # the header reads, the pixels do not
    (root / "images/photo04.png").write_bytes(b"no image")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(root / "masks/photo05.png")  # another size
    Image.fromarray(np.full((48, 64), 77, np.uint8)).save(root / "masks/photo06.png")  # an unknown id
    told = []
    changes = {k: v for k, v in settings(epochs=3).model_dump().items() if k not in ("augment", "optimiser", "loss")}
    data = replace(open_dataset(root), splits={})
    run = train(data, out=tmp_path / "run", val="none", changes=changes, say=told.append)
    plan = json.loads((run.folder / "plan.json").read_text())
    assert not {"photo04", "photo05", "photo06"} & set(plan["train"]) and len(plan["train"]) == 9
    skipped = [json.loads(line) for line in (run.folder / "skipped.jsonl").read_text().splitlines()]
    reasons = {s["name"]: s["reason"] for s in skipped}
    assert set(reasons) == {"photo03", "photo04", "photo05", "photo06"} and len(skipped) == 4
    assert "photo05.png" in reasons["photo05"] and "77" in reasons["photo06"]
    assert sum(t.startswith("left out: ") for t in told) == 3
    assert (run.folder / "model.safetensors").exists()


def test_an_unreadable_validation_photo_is_no_end(tmp_path):
    root = write_tiny_dataset(tmp_path / "data")
    (root / "images/photo11.png").write_bytes((root / "images/photo11.png").read_bytes()[:60])
    data = replace(open_dataset(root), splits={"val": ("photo10", "photo11")})
    plan = plan_for(data, 2, val="auto")
    (tmp_path / "plan.json").write_text(plan.model_dump_json())
    run = train(data, out=tmp_path / "run", plan=tmp_path / "plan.json", say=lambda text: None)
    assert run.metrics["protocol"]["photos"] == 1 and run.metrics["miou"] is not None
    assert "not scored" in (run.folder / "skipped.jsonl").read_text()


def test_nothing_to_learn_from_is_one_line(tmp_path):
    bare = noise_photo(tmp_path, "bare", ())
    with pytest.raises(DataError, match="none of the 0 training photos|none of the 1 training photos"):
        planned(Dataset(CLASSES, (bare,)))
    (tmp_path / "gone.png").write_bytes(b"")
    gone = Photo("gone", tmp_path / "gone.png", (Tags(frozenset({"disc"})),), WORDS)
    with pytest.raises(DataError, match="none of the training photos can be read.*empty file"):
        planned(Dataset(CLASSES, (gone,)))


def test_settings_are_reached_by_path_and_checked():
    made = with_settings(Settings(), {"optimiser.rate": 3e-4, "augment.scale": [0.5, 1.0], "epochs": 3})
    assert made.optimiser.rate == 3e-4 and made.augment.scale == (0.5, 1.0) and made.epochs == 3
    close = {"optimizer.rate": "optimiser.rate", "optimiser.rat": "optimiser.rate", "epoch": "epochs"}
    for path, meant in close.items():
        with pytest.raises(UsageError, match=f"did you mean '{meant}'"):
            with_settings(Settings(), {path: 1})
    with pytest.raises(UsageError, match="no setting 'optimiser.rate.x'"):
        with_settings(Settings(), {"optimiser.rate.x": 1})
    with pytest.raises(UsageError, match=r"optimiser.name = 'adma'"):
        with_settings(Settings(), {"optimiser.name": "adma"})
    for path, bad in {"batch": 0, "size": -5, "seed": -1, "workers": -1, "optimiser.rate": 0, "threads": 0}.items():
        with pytest.raises(UsageError, match=path):
            with_settings(Settings(), {path: bad})


def test_a_given_plan_is_followed_unchanged(photos, tmp_path):
    plan = plan_for(photos, steps=2)
    file = tmp_path / "plan.json"
    file.write_text(plan.model_dump_json())
    run = train(photos, out=tmp_path / "run", plan=file, changes={"seed": 5}, say=lambda text: None)
    assert Plan.model_validate_json((run.folder / "plan.json").read_text()) == plan
    assert json.loads((run.folder / "split.json").read_text())["train"] == plan.train
