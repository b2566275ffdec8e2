"""The scripts behind docs/questions.md: small runs, and the numbers that the page states."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import labels2masks as l2m
from labels2masks import Grid
from labels2masks.errors import UsageError

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
    assert kept.rows == [{"pad": 1, "miou": 0.3333}] and "steps 20, crop 48x64" in str(kept)
    assert "python examples/why.py" in str(kept) and kept.commit in str(kept)
    with pytest.raises(UsageError, match="no data set camvid"):
        experiment.photos("camvid")
