"""The classifier behind class maps: it learns what labels say of a photo as a whole, and only that."""

import json

import numpy as np
import pytest
import torch
from narrowing.scenes import CLASSES, THINGS, VOCABULARY, H, W, boxed, clicked, photo, tagged
from PIL import Image

from labels2masks.classes import Classes
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.dataset import Photo
from labels2masks.labels import AreaShares, Tags, rasterise
from labels2masks.training.settings import Optimiser
from labels2masks.training.tags import FILE, LOWER_HALF, classifier_settings, load_tag_maps, tags_of, train_classifier

QUICK = (
    classifier_settings()
    .model_copy(
        update={
            "encoder": "mobilenetv3_small_050",
            "weights": "none",
            "size": 64,
            "batch": 4,
            "epochs": 8,
            "frozen": (),
        }
    )
    .model_copy(update={"optimiser": Optimiser(rate=2e-2, encoder=1.0)})
)


def photos_of(folder, count=6):
    """Red photos have a disc, blue ones a bar."""
    draw, made = np.random.default_rng(0), []
    for i in range(count):
        colour = (220, 40, 40) if i % 2 else (40, 40, 220)
        image_HW3 = np.clip(draw.normal(colour, 20, (48, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(image_HW3).save(folder / f"{i}.png")
        tags = Tags(frozenset({"disc"}), frozenset({"bar"})) if i % 2 else Tags(frozenset({"bar"}), complete=THINGS)
        made.append(Photo(str(i), folder / f"{i}.png", (tags,), VOCABULARY))
    return made


def said(candidates, classes=CLASSES):
    present_C, known_C = tags_of(candidates, classes)
    return [names_of(mask_C, classes) for mask_C in (present_C, known_C)]


def names_of(mask_C, classes):
    return {n for n, yes in zip(classes.names, mask_C, strict=True) if yes}


@pytest.mark.parametrize("candidates", [boxed(), clicked(), tagged()], ids=["boxes", "clicks", "tags"])
def test_every_kind_of_label_names_what_is_there(candidates):
    assert said(candidates) == [{"disc", "bar"}, {"disc", "bar"}]  # of background nothing is said


def test_absent_is_known_and_unsaid_is_not():
    assert said(rasterise((Tags(frozenset({"disc"})),), VOCABULARY, H, W)) == [{"disc"}, {"disc"}]
    absent = rasterise((Tags(frozenset({"disc"}), frozenset({"bar"})),), VOCABULARY, H, W)
    assert said(absent) == [{"disc"}, {"disc", "bar"}]
    assert said(rasterise((), VOCABULARY, H, W)) == [set(), set()]


def test_one_of_several_is_not_known():
    grouped = Classes(("background", "cat", "dog"), background="background", groups={"pet": ("cat", "dog")})
    vocabulary = type(VOCABULARY).same(grouped)
    assert said(rasterise((Tags(frozenset({"pet"})),), vocabulary, H, W), grouped) == [set(), set()]


def test_it_learns_is_kept_and_makes_maps_of_the_named_classes_alone(tmp_path):
    photos = photos_of(tmp_path)
    folder = train_classifier(photos, tmp_path / "c", "none", QUICK)
    losses = [float(line.split(",")[1]) for line in (folder / "loss.csv").read_text().splitlines()[1:]]
    assert len(losses) == 12 and np.mean(losses[-3:]) < 0.5 * losses[0]
    before = (folder / FILE).read_bytes()
    train_classifier(photos, folder, "none", QUICK)  # finished: found, not made anew
    assert (folder / FILE).read_bytes() == before
    assert (train_classifier(photos, tmp_path / "again", "none", QUICK) / FILE).read_bytes() == before
    maps = load_tag_maps(folder, CLASSES)
    assert "6 photos" in maps.learnt_from and "pretraining: none" in maps.learnt_from
    found_CHW = maps(photo(), rasterise((Tags(frozenset({"disc"})),), VOCABULARY, H, W), (1.0,))
    assert found_CHW.shape == (3, H, W) and found_CHW.dtype == np.float32 and not found_CHW[[0, 2]].any()
    assert found_CHW.min() >= 0 and found_CHW.max() <= 1
    with pytest.raises(UsageError, match="another plan"):
        train_classifier(photos[:4], folder, "none", QUICK)
    with pytest.raises(UsageError, match="the data has"):
        load_tag_maps(folder, Classes(("background", "cat", "dog"), background="background"))


def test_the_lower_half_stays_and_so_do_all_statistics(tmp_path):
    frozen = QUICK.model_copy(update={"frozen": LOWER_HALF})
    short, long = (
        load_tag_maps(train_classifier(photos_of(tmp_path), tmp_path / name, "none", settings), CLASSES).classifier
        for name, settings in (("short", frozen.model_copy(update={"epochs": 1e-3})), ("long", frozen))
    )
    for (name, one), other in zip(long.state_dict().items(), short.state_dict().values(), strict=True):
        stays = "running" in name or "num_batches" in name or name.startswith(LOWER_HALF)
        assert not stays or torch.equal(one, other), name
    assert not torch.equal(long.weigh.weight, short.weigh.weight)
    last = "encoder.features.blocks.5.0.conv.weight"
    assert not torch.equal(long.state_dict()[last], short.state_dict()[last])


def test_photos_that_can_not_be_read_are_named(tmp_path):
    photos = photos_of(tmp_path)
    (tmp_path / "3.png").write_bytes(b"nothing")
    folder = train_classifier(photos, tmp_path / "c", "none", QUICK)
    (entry,) = [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]
    assert entry["name"] == "3" and "3.png" in entry["reason"]


def test_nothing_to_learn_from(tmp_path):
    bare = [Photo(p.name, p.image, (), VOCABULARY) for p in photos_of(tmp_path, 2)]
    with pytest.raises(DataError, match="no photo has labels"):
        train_classifier(bare, tmp_path / "c", "none", QUICK)
    shared = [Photo(p.name, p.image, (AreaShares({"background": 0.9}),), VOCABULARY) for p in bare]
    with pytest.raises(DataError, match="could be learnt from|say which classes"):
        train_classifier(shared, tmp_path / "d", "none", QUICK)
    with pytest.raises(UsageError, match="no classifier"):
        load_tag_maps(tmp_path / "d", CLASSES)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match="no readable classifier"):
        load_tag_maps(tmp_path / "e", CLASSES)
