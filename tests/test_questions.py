"""The scripts behind docs/questions.md: small runs, and the numbers that the page states."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

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
