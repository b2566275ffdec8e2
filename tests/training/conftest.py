"""The tiny network under its name, and no TensorBoard: importing it takes longer than the tests."""

import sys
from dataclasses import replace

import pytest
from conftest import write_tiny_dataset
from training.tiny import TINY

import labels2masks.training  # noqa: F401
from labels2masks import networks
from labels2masks.formats.open import open_dataset


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(networks.NETWORKS, "tiny", TINY)
    monkeypatch.setattr(sys.modules["labels2masks.training.train"], "_tensorboard", lambda folder, step: None)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve photos of 64x48: grey ground, red discs, blue boxes; no splits."""
    return replace(open_dataset(write_tiny_dataset(tmp_path_factory.mktemp("photos") / "tiny")), splits={})
