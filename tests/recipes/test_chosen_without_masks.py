"""Thresholds and checkpoints are chosen by labels kept aside, and what is set aside to score on teaches nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
from narrowing.scenes import BAR, CLASSES, DISC, THINGS, VOCABULARY, photo
from PIL import Image
from recipes.test_every_recipe import LABELS, QUICK
from safetensors.numpy import load_file

import labels2masks as l2m
from labels2masks.errors import UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import Box, Boxes, Point, Points, Tags
from labels2masks.recipes import chained
from labels2masks.recipes.instant import instant
from labels2masks.recipes.sure import choose_sure
from labels2masks.training.settings import with_settings
from labels2masks.training.validation import Looks, chosen_by, kept_aside

HOW = {"epochs": 1, "weights": "none", "encoder": "test_resnet", "no_photos": True}


def written(folder, labels, splits):
    """A data set of one drawn photo under many names. labels: name -> its labels."""
    folder.mkdir()
    for name in labels:
        Image.fromarray(photo()).save(folder / f"{name}.png")
    photos = tuple(Photo(name, folder / f"{name}.png", of_it, VOCABULARY) for name, of_it in labels.items())
    return l2m.open(jsonl.write(Dataset(CLASSES, photos, splits), folder / "set").path)


@pytest.mark.usefixtures("small_priors")
def test_what_gives_scores_learns_from_no_photo_that_a_fold_scores(tmp_path, monkeypatch):
    class Enough(Exception):
        pass

    def narrowing(*_):
        raise Enough

    monkeypatch.setattr(chained, "alternation", narrowing)
    labels = {f"m{i}": (LABELS["mask"],) for i in range(5)} | {f"w{i}": (LABELS["points"],) for i in range(3)}
    data = written(tmp_path / "data", labels, {})
    with pytest.raises(Enough):
        l2m.train(data, recipe="rounds", out=tmp_path / "run", settings=QUICK, **HOW)
    plan = json.loads((tmp_path / "run" / "stages" / "0-instant" / "plan.json").read_text())
    assert sorted(plan["train"]) == ["w0", "w1", "w2"]


@pytest.mark.usefixtures("small_priors")
def test_labels_of_photos_set_aside_teach_nothing_and_predict_nothing(tmp_path):
    """With a recipe that asks a classifier for class maps, on data whose only split is `val`."""
    few = {"t0": (LABELS["tags"], LABELS["points"]), "t1": (LABELS["points"],), "t2": (LABELS["tags"],)}
    lies = (Tags(frozenset({"bar"}), complete=THINGS), Points((Point("bar", 18, 20), Point("disc", 50, 8))))
    told = {"val": ("scored", "weak")}
    with_tags = written(tmp_path / "with", few | {"scored": (LABELS["mask"], *lies), "weak": lies}, told)
    without = written(tmp_path / "without", few | {"scored": (LABELS["mask"],), "weak": ()}, told)
    one, two = (
        l2m.train(data, recipe="tags-guided", out=tmp_path / out, settings=QUICK, **HOW)
        for data, out in ((with_tags, "one"), (without, "two"))
    )
    tensors, others = (load_file(run.folder / "model.safetensors") for run in (one, two))
    assert tensors.keys() == others.keys() and all(np.array_equal(tensors[n], others[n]) for n in tensors)
    assert one.metrics["miou"] == two.metrics["miou"] and "agreement" not in two.metrics
    assert one.metrics["agreement"]["clicks"]["count"] == 2
    for data, run, out in ((with_tags, one, "p"), (without, two, "q")):
        l2m.predict(run, [p.image for p in data.split("val")], out=tmp_path / out)
    pictures = [sorted((tmp_path / out).rglob("*.png")) for out in ("p", "q")]
    assert len(pictures[0]) == len(pictures[1]) > 0
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*pictures, strict=True))
    scores = [l2m.evaluate(one, data, split="val") for data in (with_tags, without)]
    assert scores[0]["confusion"] == scores[1]["confusion"] and scores[0]["miou"] == scores[1]["miou"]


def test_early_stopping_by_agreement_and_what_the_card_says(tmp_path):
    labels = {f"t{i}": (LABELS["boxes"],) for i in range(3)} | {"weak": (LABELS["tags"], LABELS["points"])}
    data = written(tmp_path / "weak", labels, {"val": ("weak",)})
    settings = QUICK | {"early_stop": 1, "validations": 2}
    run = l2m.train(data, recipe="everyday", out=tmp_path / "run", settings=settings, **(HOW | {"epochs": 2}))
    assert run.metrics["protocol"]["checkpoint"] == (
        "best of the validations, by agreement with the labels of 1 validation photos kept aside, no masks"
    )
    assert "miou" not in run.metrics and run.metrics["protocol"]["miou_means"] is None
    rows = (run.folder / "metrics.csv").read_text().splitlines()
    assert "agreement" in rows[0].split(",") and "mIoU" not in rows[0]
    assert 0 <= run.metrics["agreement"]["overall"] <= 1


def test_which_labels_choose(tmp_path):
    labels = {f"t{i}": (LABELS["boxes"],) for i in range(20)} | {"m": (LABELS["mask"],), "w": (LABELS["tags"],)}
    data = written(tmp_path / "set", labels, {})
    train, masked, weak = data.photos[:20], data.photos[20:21], data.photos[21:]
    stops = with_settings(instant(), {"early_stop": 2})
    assert kept_aside(train, masked, instant()) == []
    aside = kept_aside(train, masked, stops)
    assert len(aside) == 2 and {p.name for p in aside} < {p.name for p in train}
    assert aside == kept_aside(train, masked, stops)
    assert chosen_by(train, masked, stops) == "agreement with the labels of 2 training photos kept aside, no masks"
    assert kept_aside(train, weak, stops) == list(weak)
    asked = with_settings(stops, {"select": "mIoU"})
    assert kept_aside(train, masked, asked) == [] and "as it was asked for" in chosen_by(train, masked, asked)
    with pytest.raises(UsageError, match="select=mIoU chooses by the masks"):
        kept_aside(masked, masked, stops)
    assert not Looks(CLASSES, [replace(p, labels=()) for p in train])


@pytest.mark.usefixtures("small_priors")
def test_a_certainty_chosen_by_labels_kept_aside(tmp_path):
    right = Boxes((Box.upright("disc", *DISC), Box.upright("bar", *BAR)), THINGS)
    labels = {f"s{i}": (LABELS["scribbles"], right, Tags(THINGS, complete=THINGS)) for i in range(4)}
    data = written(tmp_path / "set", labels, {})
    settings = instant().model_copy(update={"weights": "none", "seed": 3})
    found = choose_sure(data, "scribbles-crf", tmp_path / "tried", settings, tried=(0.5, 1.0))
    assert found["agreement"][found["tried"].index(found["sure"])] == max(found["agreement"])
    assert len(found["aside"]) == 1 and not (tmp_path / "tried").exists()
    with pytest.raises(UsageError, match="scribbles-crf narrows 3"):
        choose_sure(replace(data, photos=data.photos[:3]), "scribbles-crf", tmp_path / "tried", settings)
