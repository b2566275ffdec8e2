"""`l2m masks`: labels in, a data set of narrowed candidates out, which trains like any other."""

import json
from dataclasses import replace

import numpy as np
import pytest
from narrowing.scenes import BAR, CLASSES, DISC, VOCABULARY, H, W, photo, truth
from PIL import Image

import labels2masks as l2m
from labels2masks.cli import main
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.narrowed import write_narrowed
from labels2masks.labels import Box, Boxes, Mask, Scribbles, Stroke, Tags
from labels2masks.recipes.auto import chosen
from labels2masks.recipes.chains import CHAINS

EVERYTHING = frozenset(CLASSES.foreground)
BOXES = Boxes((Box.upright("disc", *DISC), Box.upright("bar", *BAR)), EVERYTHING)
STROKES = Scribbles(
    (
        Stroke("disc", ((12, 20), (24, 20)), 3),
        Stroke("bar", ((38, 34), (54, 34)), 3),
        Stroke("background", ((4, 44), (30, 44), (60, 8)), 3),
    )
)
TAGS = Tags(EVERYTHING, complete=EVERYTHING)


@pytest.fixture
def data(tmp_path):
    """One photo with each kind of label: boxes, scribbles, tags, a mask, nothing."""
    Image.fromarray(photo()).save(tmp_path / "a.png")
    kinds = {"boxed": BOXES, "scribbled": STROKES, "tagged": TAGS, "masked": Mask(ids_HW=truth()), "bare": None}
    photos = tuple(Photo(n, tmp_path / "a.png", (label,) if label else (), VOCABULARY) for n, label in kinds.items())
    made = Dataset(CLASSES, photos, {"train": ("boxed", "scribbled", "tagged"), "val": ("masked",)})
    return jsonl.write(made, tmp_path / "set").path


def right(folder, name):
    ids_HW = np.asarray(Image.open(folder / "masks" / f"{name}.png"))
    known = ids_HW != 255
    return known.mean(), (ids_HW == truth())[known].mean()


def test_auto_takes_what_suits_the_labels_of_each_photo(data, tmp_path):
    result = l2m.masks(data, tmp_path / "out")
    assert result["narrowed"] == 3 and result["photos"] == 5 and not result["skipped"]
    assert "2 by rounds (from_scores + dense_crf)" in result["chains"]
    assert "1 by boxes-rounds (grabcut + from_scores + dense_crf)" in result["chains"]
    assert result["decided_after"] > result["decided_before"]
    for name in ("boxed", "scribbled"):
        share, correct = right(tmp_path / "out", name)
        assert share > 0.6 and correct > 0.85
    again = l2m.open(tmp_path / "out")
    by_name = {p.name: p for p in again}
    assert not by_name["boxed"].has_mask and by_name["masked"].has_mask and again.splits["val"] == ("masked",)
    assert by_name["tagged"].labels[0] == TAGS and by_name["bare"].labels == ()
    before = {p.name: p for p in l2m.open(data)}["boxed"].candidates(H, W).allowed()
    left = by_name["boxed"].candidates(H, W)
    assert not (left.allowed() & ~before).any() and left.conflicts == 0
    with pytest.raises(UsageError, match="holds masks already"):
        l2m.masks(data, tmp_path / "out")


@pytest.mark.parametrize("recipe", [r for r in CHAINS if r.startswith("boxes")])
def test_each_recipe_of_boxes(data, tmp_path, recipe):
    l2m.masks(data, tmp_path / "out", recipe=recipe, split="train")
    assert right(tmp_path / "out", "boxed")[1] > (0.8 if recipe == "boxes-boxsup" else 0.9)


def test_steps_in_place_of_a_recipe_and_threads_change_nothing(data, tmp_path):
    one = l2m.masks(data, tmp_path / "one", steps=["grabcut", "dense_crf"], split="train", threads=1)
    l2m.masks(data, tmp_path / "two", steps=["grabcut", "dense_crf"], split="train", threads=4)
    assert "grabcut+dense_crf" in one["chains"]
    for name in ("boxed", "scribbled", "tagged"):
        pair = [(tmp_path / f / "candidates" / f"{name}.png").read_bytes() for f in ("one", "two")]
        assert pair[0] == pair[1]


def test_what_is_undecided_stays_so_on_the_disk(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    boxed = Photo("a", tmp_path / "a.png", (BOXES,), VOCABULARY)
    candidates = boxed.candidates(H, W)
    label = write_narrowed(boxed, candidates, tmp_path / "out")
    read = replace(boxed, labels=(label,)).candidates(H, W)
    assert np.array_equal(read.allowed(), candidates.allowed())
    assert set(label.sets.values()) == {frozenset({"background", "disc"}), frozenset({"background", "bar"})}
    plain_HW = np.asarray(Image.open(tmp_path / "out" / "masks" / "a.png"))
    assert np.array_equal(plain_HW == 255, candidates.labels() < 0)


def test_chosen_classes_are_narrowed_in_the_ids_of_the_file(data, tmp_path):
    l2m.masks(l2m.open(data, classes=["disc"], others="background"), tmp_path / "out", recipe="boxes-grabcut")
    again = l2m.open(tmp_path / "out")
    assert again.classes.names == ("background", "disc")
    boxed = next(p for p in again if p.name == "boxed")
    labels_HW = boxed.candidates(H, W).labels()
    assert ((labels_HW == 1) == (truth() == CLASSES.index("disc")))[labels_HW >= 0].mean() > 0.85
    assert set(np.unique(np.asarray(Image.open(tmp_path / "out" / "masks" / "boxed.png")))) <= {0, 1, 255}
    with pytest.raises(UsageError, match="'thing'.*l2m convert first"):
        l2m.masks(l2m.open(data, merge={"thing": ["disc", "bar"]}), tmp_path / "merged")


def test_wrong_words_are_refused(data, tmp_path):
    with pytest.raises(UsageError, match="did you mean 'boxes-sdi'"):
        l2m.masks(data, tmp_path / "out", recipe="boxes-sid")
    with pytest.raises(UsageError, match="unknown step 'grabcat'"):
        l2m.masks(data, tmp_path / "out", steps=["grabcat"])
    with pytest.raises(DataError, match="no photo has labels"):
        l2m.masks(data, tmp_path / "out", split="val")
    assert chosen("boxes-sdi", None, l2m.open(data).photos[3]).name == "none"


def test_on_the_command_line_and_then_a_network(data, tmp_path, capsys):
    assert main(["masks", str(data), str(tmp_path / "out"), "--split", "train", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["narrowed"] == 3
    run = l2m.train(tmp_path / "out", recipe="instant", train="train", val="val", out=tmp_path / "run", no_photos=True)
    assert run.metrics["miou"] > 0.5


@pytest.mark.usefixtures("small_priors")
@pytest.mark.parametrize("recipe", ["boxes-grabcut", "tags-guided", "boxes-box"])
def test_a_chain_is_a_recipe_of_train(data, tmp_path, recipe):
    how = {"train": "train", "val": "val", "out": tmp_path / "run", "no_photos": True, "weights": "none"}
    how |= {"encoder": "test_resnet"}
    tiny = {
        "precision": "float32",
        "memory_format": "contiguous",
        "threads": 1,
        "optimiser.ema": 0.0,
        "batch": 2,
        "crop": [48, 64],
        "workers": 0,
        "augment.settle": 0.0,
    }
    run = l2m.train(data, recipe=recipe, epochs=2, settings=tiny, **how)
    kinds = json.loads((run.folder / "plan.json").read_text())["kinds"]
    assert kinds["inferred masks"] == (3 if recipe == "tags-guided" else 1) and "mask" not in kinds
    assert (run.folder / "narrowed" / "labels.jsonl").exists() and run.metrics["miou"] is not None
    stages = {p.name for p in (run.folder / "stages").glob("*")}
    assert (
        stages
        == {
            "boxes-grabcut": set(),
            "tags-guided": {"0-classifier"},
            "boxes-box": {"1-narrowed", "1-instant", "2-narrowed", "2-instant"},
        }[recipe]
    )
    with_scores = (run.folder / "narrowed" / "masks" / "boxed.png").read_bytes()
    if recipe == "boxes-box":  # the second round asked the first one's classifier
        assert with_scores != (run.folder / "stages" / "1-narrowed" / "masks" / "boxed.png").read_bytes()
    before = (run.folder / "model.safetensors").read_bytes()
    again = l2m.train(data, recipe=recipe, epochs=2, settings=tiny, resume=True, **how)
    assert (again.folder / "model.safetensors").read_bytes() == before
