"""Priors that learn in a moment: a drawn photo needs no ImageNet encoder, and no 320 pixels."""

from importlib import import_module

import pytest

from labels2masks.recipes import chained, sure
from labels2masks.training import Settings, tags


@pytest.fixture
def small_priors(monkeypatch):
    """What recipes train on the way is made on a tiny encoder."""
    settings = tags.classifier_settings().model_copy(update={"encoder": "test_resnet", "size": 64, "batch": 2})
    monkeypatch.setattr(tags, "classifier_settings", lambda: settings)
    light = Settings(network="linear", encoder="test_resnet", solver="ridge", epochs=1)
    for module in (chained, sure, import_module("labels2masks.recipes.masks")):
        monkeypatch.setattr(module, "instant", lambda: light)
