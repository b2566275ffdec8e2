"""The project itself: one version, the project file, the sample, the demo. The import order: test_layers.py."""

from __future__ import annotations

import filecmp
import importlib.metadata
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import labels2masks as l2m
from labels2masks.demonstration import demo
from labels2masks.errors import UsageError
from labels2masks.labels import Mask, kind_name
from labels2masks.sample import KINDS, draw_photo, make_sample

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "labels2masks"


def test_version_is_the_installed_one():
    assert importlib.metadata.version("labels2masks") == l2m.__version__


def test_both_commands_are_installed():
    scripts = {e.name: e.value for e in importlib.metadata.entry_points(group="console_scripts")}
    assert scripts["l2m"] == scripts["labels2masks"] == "labels2masks.cli:main"


def test_project_file_keeps_its_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()
    assert (PACKAGE / "py.typed").exists()
    without_compiler = project["tool"]["scikit-build"]["overrides"][0]
    assert without_compiler["if"] == {"failed": True} and without_compiler["wheel"]["cmake"] is False


def test_nothing_names_a_machine():
    suspicious = re.compile(
        r"(?<![\w.])/(tmp|work|root|home)/|https?://(?!arxiv|github|www\.apache|www\.w3\.org/2000/svg|\{)"
    )
    for file in [*PACKAGE.rglob("*.py"), ROOT / "Makefile", ROOT / ".ci" / "run", ROOT / "pyproject.toml"]:
        found = suspicious.search(file.read_text(encoding="utf-8"))
        assert not found, f"{file.relative_to(ROOT)} names {found[0]}"


def test_sample_holds_every_kind_and_is_the_same_every_time(tmp_path):
    first, second = make_sample(tmp_path / "a", train=5, val=2), make_sample(tmp_path / "b", train=5, val=2)
    files = sorted(str(f.relative_to(first)) for f in first.rglob("*") if f.is_file())
    assert len(files) == 7 + 3 + 1
    assert filecmp.cmpfiles(first, second, files, shallow=False)[0] == files
    data = l2m.open(first)
    assert len(data.split("train")) == 5 and len(data.split("val")) == 2
    assert {kind_name(x) for photo in data.split("train") for x in photo.labels} == set(KINDS)
    for photo in data:
        image_HW3, labels = photo.loaded()
        assert image_HW3.shape in ((160, 208, 3), (208, 160, 3)) and len(labels) == 1
        assert photo.candidates(*image_HW3.shape[:2]).conflicts == 0
    assert all(isinstance(photo.labels[0], Mask) for photo in data.split("val"))
    with pytest.raises(UsageError, match="not empty"):
        make_sample(first)


def test_weak_labels_of_the_sample_are_true():
    from labels2masks.classes import Vocabulary
    from labels2masks.labels import rasterise
    from labels2masks.sample import CLASSES, _label

    for i in range(6):
        drawn = draw_photo(np.random.default_rng(i))
        for kind in KINDS[1:]:
            label = _label(drawn, kind, Path("unused"), np.random.default_rng(i))
            candidates = rasterise((label,), Vocabulary.same(CLASSES), *drawn.ids_HW.shape)
            allowed_HW = np.take_along_axis(candidates.allowed(), drawn.ids_HW[None].astype(int), axis=0)[0]
            # Thick ink may cross an outline by a pixel, and tiny visible remains of an object stay unlabelled.
            assert allowed_HW.mean() > 0.99, kind


def test_demo_refuses_before_it_works(tmp_path):
    with pytest.raises(UsageError, match="exists already"):
        demo(tmp_path)
    with pytest.raises(UsageError, match="above 0"):
        demo(tmp_path / "new", minutes=0)
    assert not (tmp_path / "new").exists()
