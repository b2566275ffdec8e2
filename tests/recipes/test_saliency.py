"""The recipe `saliency`: boxes of anything in, a network of what stands out, which `masks` takes as a cue."""

import json

import numpy as np
import pytest
from narrowing.scenes import BAR, CLASSES, DISC, VOCABULARY, H, W, photo, truth
from PIL import Image

import labels2masks as l2m
from labels2masks.classes import Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.image import read_image
from labels2masks.labels import Box, Boxes, Mask, Tags
from labels2masks.prediction.model import load_model
from labels2masks.recipes.saliency import OBJECT, _stages, of_objects, saliency
from labels2masks.training.settings import with_settings

BOXES = Boxes((Box.upright("disc", *DISC), Box.upright("bar", *BAR)), frozenset(CLASSES.foreground))
TAGS = Tags(frozenset({"disc", "bar"}), complete=frozenset({"disc", "bar"}))


@pytest.fixture
def data(tmp_path):
    """Two boxed photos, a tagged one and a masked one."""
    Image.fromarray(photo()).save(tmp_path / "a.png")
    Image.fromarray(photo()[:, ::-1].copy()).save(tmp_path / "b.png")
    turned = Boxes(tuple(Box.upright(n, W - x1, y0, W - x0, y1) for n, (x0, y0, x1, y1) in (("disc", DISC),)))
    photos = (
        Photo("boxed", tmp_path / "a.png", (BOXES, TAGS), VOCABULARY),
        Photo("turned", tmp_path / "b.png", (turned,), VOCABULARY),
        Photo("tagged", tmp_path / "a.png", (TAGS,), VOCABULARY),
        Photo("masked", tmp_path / "a.png", (Mask(ids_HW=truth()),), VOCABULARY),
    )
    splits = {"train": ("boxed", "turned", "tagged"), "val": ("masked",)}
    return jsonl.write(Dataset(CLASSES, photos, splits), tmp_path / "set").path


def test_boxes_lose_their_classes_and_nothing_else_is_left(data):
    objects = of_objects(l2m.open(data))
    assert objects.classes == OBJECT and [p.name for p in objects] == ["boxed", "turned"]
    assert objects.splits == {"train": ("boxed", "turned")}
    (boxes,), (some,) = (p.labels for p in objects)
    assert [m.corners for m in boxes.marks] == [m.corners for m in BOXES.marks]
    assert {m.name for m in boxes.marks} == {"object"} and boxes.complete == {"object"}
    assert some.complete == frozenset()  # nobody promised that all bars have a box, either
    again = of_objects(objects)
    assert again is objects
    bare = Dataset(CLASSES, tuple(p for p in l2m.open(data) if p.name in ("tagged", "masked")))
    with pytest.raises(DataError, match="no photo has a box"):
        of_objects(bare)


def test_the_network_is_started_in_closed_form_and_frozen_where_it_has_the_parts():
    start, rest = _stages(saliency())
    assert start.solver == "ridge" and not start.frozen and rest.solver == "steps" and len(rest.frozen) == 5
    (alone,) = _stages(with_settings(saliency(), {"network": "unet", "encoder": None}))
    assert alone.frozen == () and alone.network == "unet"
    _, other = _stages(with_settings(saliency(), {"encoder": "resnet18"}))
    assert other.frozen == ()


def test_two_rounds_from_boxes_and_then_a_cue(data, tmp_path):
    how = {"weights": "none", "encoder": "mobilenetv3_small_050", "epochs": 1, "size": 64, "no_photos": True}
    how["out"] = tmp_path / "run"
    tiny = {"batch": 2, "crop": [48, 64], "workers": 0, "augment.settle": 0.0, "precision": "float32"}
    run = l2m.train(data, recipe="saliency", settings=tiny | {"memory_format": "contiguous"}, **how)
    kinds = json.loads((run.folder / "plan.json").read_text())["kinds"]
    assert kinds == {"boxes": 2, "inferred masks": 2}
    first, second = (json.loads((run.folder / p / "masks.json").read_text()) for p in ("stages/1-narrowed", "narrowed"))
    assert "grabcut+dense_crf" in first["chains"] and first["priors"] == "none"
    assert (
        "threshold+dense_crf" in second["chains"] and "1-network, learnt from 2 photos with boxes" in second["priors"]
    )
    assert (run.folder / "stages" / "1-network" / "stages" / "1-linear" / "model.safetensors").exists()
    before = (run.folder / "model.safetensors").read_bytes()
    again = l2m.train(data, recipe="saliency", settings=tiny | {"memory_format": "contiguous"}, resume=True, **how)
    assert (again.folder / "model.safetensors").read_bytes() == before

    with pytest.raises(UsageError, match="a plan is of one run"):
        l2m.train(data, recipe="saliency", plan=run.folder / "plan.json", out=tmp_path / "other")


def test_a_run_of_two_classes_is_what_stands_out(data, tmp_path):
    drawn = Mask(ids_HW=np.minimum(truth(), 1))
    drawn = Photo("drawn", tmp_path / "a.png", (drawn,), Vocabulary.same(OBJECT))
    objects = jsonl.write(Dataset(OBJECT, (drawn,)), tmp_path / "objects").path
    how = {"encoder": "mobilenetv3_small_050", "val": "none", "weights": "none", "no_photos": True}
    run = l2m.train(objects, recipe="instant", out=tmp_path / "run", **how)
    told = l2m.masks(data, tmp_path / "out", steps=["threshold"], split="train", saliency=run.folder)
    assert "saliency: run, learnt from 1 photos with mask; pretraining: none" in told["priors"]
    object_HW = load_model(run.folder).predict_scores(read_image(tmp_path / "a.png"))[1] >= 0.5
    ids_HW = np.asarray(Image.open(tmp_path / "out" / "masks" / "tagged.png"))
    assert 0 < object_HW.mean() < 1 and np.array_equal(ids_HW == 0, ~object_HW)


def test_a_run_of_other_classes_is_no_saliency(data, tmp_path):
    how = {"train": "train", "val": "none", "weights": "none", "no_photos": True}
    run = l2m.train(data, recipe="instant", out=tmp_path / "run", **how)
    with pytest.raises(UsageError, match="run of two classes"):
        l2m.masks(data, tmp_path / "out", steps=["threshold"], saliency=run.folder)


def test_masks_train_the_classifier_that_class_maps_need(data, tmp_path):
    told = l2m.masks(data, tmp_path / "out", recipe="tags-sec", split="train", weights="none")
    assert "class maps: a classifier of 3 photos' tags; pretraining: none" in told["priors"]
    assert (tmp_path / "out" / "classifier" / "classifier.safetensors").exists() and told["narrowed"] == 3
    again = {"recipe": "tags-sec", "split": "train", "classifier": tmp_path / "out" / "classifier"}
    assert l2m.masks(data, tmp_path / "again", **again)["priors"] == told["priors"]
    assert np.asarray(Image.open(tmp_path / "again" / "masks" / "tagged.png")).size == H * W
