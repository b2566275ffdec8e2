"""Recipes of the DeepLabs, ParseNet, PSPNet and RefineNet: steps, rates and stages of the papers."""

from __future__ import annotations

import pytest
import torch

from labels2masks import networks
from labels2masks.recipes.published import PUBLISHED, VOC_TRAINAUG
from labels2masks.training.settings import Settings


def stages(recipe) -> list[Settings]:
    made = recipe()
    return made if isinstance(made, list) else [made]


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda recipe: recipe.__name__)
def test_a_recipe_trains_the_network_of_its_name(recipe) -> None:
    for stage in stages(recipe):
        with torch.device("meta"):
            network = networks.build(stage.network, 2, stage.encoder, settings=stage.options)
        names = [name for name, _ in network.named_parameters()]
        # Rates and freezing go by this prefix: the pretrained part is all of it, and not all of the network.
        assert {name.startswith("encoder.") for name in names} == {True, False}
        assert set(stage.frozen) <= dict(network.named_modules()).keys()
    assert stage.network == recipe.__name__


def test_steps_and_rates() -> None:
    """(steps, rate of new layers, rate of the encoder) of each stage."""
    found = {
        recipe.__name__: [
            (
                round(s.epochs * VOC_TRAINAUG / s.batch) if s.epochs else None,
                s.optimiser.rate,
                round(s.optimiser.rate * s.optimiser.encoder, 9) if "encoder" not in s.frozen else 0,
            )
            for s in stages(recipe)
        ]
        for recipe in PUBLISHED
    }
    largefov = (6000, 0.01, 0.001)
    assert found == {
        "deeplab_v1_largefov": [largefov],
        "deeplab_v1_msc": [largefov, (6000, 0.001, 0)],
        "deeplab_v2_vgg16": [(20_000, 0.01, 0.001)],
        "deeplab_v2_resnet101": [(20_000, 0.0025, 0.00025)],
        "deeplab_v3_resnet50": [(30_000, 0.007, 0.007)],
        "deeplab_v3_resnet101": [(30_000, 0.007, 0.007)],
        "deeplab_v3plus_resnet101": [(30_000, 0.007, 0.007)],
        "parsenet": [(20_000, 0.01, 0.001)],
        "pspnet50": [(30_000, 0.1, 0.01)],
        "pspnet101": [(30_000, 0.1, 0.01)],
        "refinenet50": [(None, 5e-4, 5e-5)],
        "refinenet101": [(None, 5e-4, 5e-5)],
    }
