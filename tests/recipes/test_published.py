"""Recipes of the DeepLabs, ParseNet, PSPNet and RefineNet: steps, rates, stages and views of the papers."""

from __future__ import annotations

import pytest
import torch

from labels2masks import networks, recipes
from labels2masks.recipes.published import PUBLISHED, VOC_TRAINAUG
from labels2masks.training.settings import Settings


def stages(recipe) -> list[Settings]:
    made = recipe()
    return made if isinstance(made, list) else [made]


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda recipe: recipe.__name__)
def test_a_recipe_trains_the_network_of_its_name(recipe) -> None:
    for stage in stages(recipe):
        network = _on_meta(stage)
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
        "deeplab_v3_resnet50": [(30_000, 0.007, 0.007), (30_000, 0.001, 0.001)],
        "deeplab_v3_resnet101": [(30_000, 0.007, 0.007), (30_000, 0.001, 0.001)],
        "deeplab_v3plus_resnet101": [(30_000, 0.007, 0.007)],
        "parsenet": [(20_000, 0.01, 0.001)],
        "pspnet50": [(30_000, 0.1, 0.01)],
        "pspnet101": [(30_000, 0.1, 0.01)],
        "refinenet50": [(None, 5e-4, 5e-5)],
        "refinenet101": [(None, 5e-4, 5e-5)],
    }


def test_what_learns_twice_as_fast_and_what_falls_in_steps() -> None:
    of = {recipe.__name__: [s.optimiser for s in stages(recipe)] for recipe in PUBLISHED}
    assert {name for name, found in of.items() if found[-1].bias == 1} == {
        "pspnet50", "pspnet101", "refinenet50", "refinenet101"
    }  # fmt: skip
    assert {name: found[-1].drops for name, found in of.items() if found[-1].schedule == "step"} == {
        "deeplab_v1_largefov": (1 / 3, 2 / 3),
        "deeplab_v1_msc": (1 / 3, 2 / 3),
        "refinenet50": (2 / 3,),
        "refinenet101": (2 / 3,),
    }


def _on_meta(s: Settings) -> torch.nn.Module:
    with torch.device("meta"):
        return networks.build(s.network, 2, s.encoder, settings=s.options)


@pytest.mark.parametrize("encoder", ["resnet50", "resnet101"])
def test_the_second_round_of_deeplab_v3_has_the_weights_of_the_first_at_stride_8(encoder: str) -> None:
    rounds = stages(PUBLISHED[[r.__name__ for r in PUBLISHED].index(f"deeplab_v3_{encoder}")])
    first, second = (_on_meta(s) for s in rounds)
    assert (first.grid.stride_y, second.grid.stride_y) == (16, 8)
    shapes = [{name: t.shape for name, t in network.state_dict().items()} for network in (first, second)]
    assert shapes[0] == shapes[1] and first.name == second.name
    with torch.device("meta"):  # as a saved one is built again
        again = networks.build(second.name, 2, second.encoder_name, settings=second.settings)
    assert again.grid == second.grid
    assert [s.batch_norm for s in rounds] == ["train", "frozen"]


def test_inference_is_the_papers() -> None:
    found = {recipe.__name__: str(stages(recipe)[-1].inference) for recipe in PUBLISHED}
    several = "scales 0.5, 0.75, 1, 1.25, 1.5, 1.75; mirrored too; "
    assert {name: views for name, views in found.items() if views != "one view"} == {
        "deeplab_v3_resnet50": several + "averaged",
        "deeplab_v3_resnet101": several + "averaged",
        "pspnet50": several + "windows of 473 px; averaged",
        "pspnet101": several + "windows of 473 px; averaged",
        "refinenet50": "scales 0.4, 0.6, 0.8, 1, 1.2; averaged",
        "refinenet101": "scales 0.4, 0.6, 0.8, 1, 1.2; averaged",
    }


def test_the_list_shows_paper_and_score() -> None:
    rows = {row["name"]: row for row in recipes.available()}
    assert rows["deeplab_v1_msc"]["published"] == "64.21 mIoU, VOC 2012 val, no CRF"
    assert rows["deeplab_v1_msc"]["paper"] == "Chen et al., arXiv 1412.7062"
    assert rows["deeplab_v3_resnet101"]["runs"] == 2 and rows["everyday"]["published"] is None
    assert rows["segnet_basic_layerwise"]["published"] is None  # an older paper than the network's score
