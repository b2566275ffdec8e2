"""What every recipe for cheap labels keeps: two steps on a drawn photo leave an ordinary run whose card tells all."""

import json

import pytest
from narrowing.scenes import BAR, CLASSES, DISC, THINGS, VOCABULARY, photo, truth
from PIL import Image

import labels2masks as l2m
from labels2masks.errors import UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import AreaShares, Box, Boxes, Mask, Point, Points, Scribbles, Stroke, Tags
from labels2masks.recipes.auto import PICKS, chosen, pick, way_of_auto, way_of_chain, way_of_mixture
from labels2masks.recipes.chains import CHAINS

LABELS = {
    "tags": Tags(THINGS, complete=THINGS),
    "points": Points((Point("disc", 18, 20), Point("bar", 46, 34), Point("background", 50, 8)), complete=THINGS),
    "scribbles": Scribbles(
        (Stroke("disc", ((12, 20), (24, 20)), 3), Stroke("bar", ((38, 34), (54, 34)), 3)), complete=THINGS
    ),
    "boxes": Boxes((Box.upright("disc", *DISC), Box.upright("bar", *BAR)), THINGS),
    "shares": AreaShares({"disc": 0.15, "bar": 0.12}, complete=THINGS),
    "mask": Mask(ids_HW=truth()),
}
PRIORS = {
    "tags-sec": "class maps: a classifier of 5 photos' tags; pretraining: none; saliency: boundary connectivity",
    "scribbles-scribblesup": "scores: 2-instant, learnt from 1 photos with boxes, 2 photos with inferred masks",
    "boxes-sdi": "proposals: selective search, no labels",
    "boxes-wssl": "none",
    "points-wtp": "none",
}
QUICK = {"batch": 3, "crop": [48, 64], "workers": 0, "augment.settle": 0.0, "precision": "float32", "threads": 1}
QUICK |= {"memory_format": "contiguous", "validations": 1}
NAMES = ["instant", *(name for name in CHAINS if name not in ("boxes-box", "boxes-grabcut")), "mixed", "auto"]


def alternating(chain, recipe):
    """The stages in which the network itself learns between rounds."""
    if chain is None or not ("alternation" in recipe or chain.between == "network"):
        return set()
    return {f"{number}-network" for number in range(1, chain.rounds)}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A photo to learn from with each kind of label, one without, and one with a mask to score on."""
    folder = tmp_path_factory.mktemp("data")
    Image.fromarray(photo()).save(folder / "a.png")
    kinds = {name: (label,) for name, label in LABELS.items()} | {"bare": ()}
    photos = tuple(Photo(name, folder / "a.png", labels, VOCABULARY) for name, labels in kinds.items())
    splits = {"train": tuple(name for name in kinds if name != "mask"), "val": ("mask",)}
    return l2m.open(jsonl.write(Dataset(CLASSES, photos, splits), folder / "set").path)


@pytest.mark.usefixtures("small_priors")
@pytest.mark.parametrize("recipe", [*NAMES, "boxes-boxsup+alternation", "boxes-wssl+unlabelled", "instant+unlabelled"])
def test_two_steps_leave_a_run_whose_card_tells_all(data, tmp_path, recipe):
    name = recipe.partition("+")[0]
    how = {"epochs": 1, "weights": "none", "encoder": "test_resnet", "no_photos": True, "settings": QUICK}
    run = l2m.train(data, recipe=recipe, out=tmp_path / "run", **how)
    plan = json.loads((run.folder / "plan.json").read_text())
    assert recipe == "instant" or plan["steps"] in (2, 4)
    assert plan["unlabelled"] == (["bare"] if "unlabelled" in recipe else [])
    card = run.metrics["protocol"]
    assert card["recipe"] == ("mixed, picked by auto" if name == "auto" else recipe)
    assert card["priors"].startswith(PRIORS.get(name, "")) and card["priors"]
    assert card["checkpoint"] == "last" and card["thresholds"] and card["labels"]
    assert run.metrics["miou"] is not None and (run.folder / "report.html").exists()
    assert run.predict(photo()).shape == truth().shape
    between = {p.name for p in (run.folder / "stages").glob("?-network")}
    assert name in ("mixed", "auto") or between == alternating(CHAINS.get(name), recipe)


def test_the_table_names_what_each_needs_and_where_it_is_from():
    rows = {row["name"]: row for row in l2m.list("recipes")}
    assert rows.keys() >= {*NAMES, "everyday"}
    assert rows["boxes-sdi"]["labels"] == "boxes" and rows["boxes-sdi"]["published"] == "65.7 (masks: 69.1)"
    assert rows["boxes-boxsup"]["rounds"] == "3, instant between" and "Dai" in rows["boxes-boxsup"]["paper"]
    for chain in CHAINS.values():
        assert chain.kinds and (chain.paper or not chain.published)


@pytest.mark.parametrize("name", CHAINS)
def test_labels_that_a_recipe_can_not_learn_from_are_refused(data, name):
    masked = [p for p in data if p.name in ("mask", "bare")]
    with pytest.raises(UsageError, match=f"recipe {name} learns from .* have mask"):
        way_of_chain(CHAINS[name], masked)
    alone = [p for p in data if p.labels and not p.has_mask and CHAINS[name].works_from(p)]
    assert way_of_chain(CHAINS[name], alone).settings == CHAINS[name].settings


def test_auto_says_what_it_takes_and_why(data):
    by_name = {p.name: p for p in data}
    assert way_of_auto([by_name["mask"]]).name == "everyday, picked by auto"
    assert way_of_auto([by_name["mask"]]).base == "everyday" and way_of_auto([by_name["bare"]]).base == "everyday"
    for picked in PICKS:
        name = next((n for n, p in by_name.items() if pick(p) is picked), None)
        if name is None:
            continue
        way = way_of_auto([by_name[name], by_name["bare"]])
        assert way.name == f"{picked.recipe}, picked by auto"
        assert len(way.lines) == 1 and way.lines[0].startswith(f"{name} on 1 photos: {picked.recipe}")
        assert way.lines[0].endswith(f"since {picked.since}")
    both = way_of_auto([by_name["mask"], by_name["boxes"], by_name["tags"]])
    assert both.name == "mixed, picked by auto" and len(both.lines) == 3
    names = {chosen("auto", None, by_name[name]).name for name in ("mask", "boxes", "tags")}
    assert {c.name for c in both.chains} == names - {"none"}


def test_a_mixture_has_the_terms_of_its_kinds(data):
    photos = [p for p in data if p.name in ("points", "shares", "mask")]
    terms = {name: weight for p in photos if pick(p) for name, weight in pick(p).terms.items()}
    assert way_of_mixture(photos).settings == terms and terms["loss.shares"] == 1
    assert way_of_mixture([p for p in data if p.name in ("shares", "mask")]).narrow == ""


def test_words_that_are_none_are_refused(data, tmp_path):
    for recipe, said in (
        ("boxes-sid", "did you mean 'boxes-sdi'"),
        ("boxes-sdi+unlabeled", "did you mean 'unlabelled'"),
        ("boxes-sdi+alternation", "in one round or none"),
    ):
        with pytest.raises(UsageError, match=said):
            l2m.train(data, recipe=recipe, out=tmp_path / "run")
    with pytest.raises(UsageError, match=r"narrows no labels: leave out --sure"):
        l2m.train(data, recipe="points-wtp", sure=0.8, out=tmp_path / "run")
    with pytest.raises(UsageError, match="every training photo has labels"):
        l2m.train(data, recipe="instant+unlabelled", train="val", val="none", out=tmp_path / "run")
    with pytest.raises(UsageError, match="narrows no labels"):
        l2m.masks(data, tmp_path / "out", recipe="points-wtp")
    assert not (tmp_path / "run").exists() and not (tmp_path / "out").exists()
