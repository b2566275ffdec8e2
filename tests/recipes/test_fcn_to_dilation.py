"""Recipes of FCN, SegNet, U-Net and the dilated networks: what their stages are, and that their parts exist."""

from __future__ import annotations

import pytest
import torch
from conftest import write_tiny_dataset

from labels2masks import networks, recipes
from labels2masks.errors import UsageError
from labels2masks.recipes import fcn_to_dilation as made
from labels2masks.recipes.fcn_to_dilation import FCN_TO_DILATION


@pytest.mark.parametrize("recipe", FCN_TO_DILATION, ids=lambda recipe: recipe.__name__)
def test_every_stage_can_be_built_and_freezes_what_is_there(recipe) -> None:
    stages = recipe() if isinstance(recipe(), list) else [recipe()]
    for stage in stages:
        with torch.device("meta"):
            network = networks.build(stage.network, 2, stage.encoder, settings=stage.options)
        frozen = {n for n, _ in network.named_parameters() if n.startswith(tuple(f"{part}." for part in stage.frozen))}
        learning = {n for n, p in network.named_parameters() if p.requires_grad} - frozen
        assert learning and all(part in dict(network.named_modules()) for part in stage.frozen)
    assert recipe.__name__.startswith(stages[-1].network)


def test_fcn_goes_from_coarse_to_fine() -> None:
    stages = made.fcn8s()
    assert [s.network for s in stages] == ["fcn32s", "fcn16s", "fcn8s"]
    # The release's 1e-10, 1e-12, 1e-14 are for a sum over pixels; times weight decay they are the same numbers here.
    assert [s.optimiser.rate for s in stages] == pytest.approx([1.875e-5, 1.875e-7, 1.875e-9])
    assert all(s.optimiser.weight_decay * 187_500 == pytest.approx(5e-4) for s in stages)


def test_segnet_basic_grows_inwards() -> None:
    stages = made.segnet_basic_layerwise()
    assert [s.options["depth"] for s in stages] == [1, 2, 3, 4]
    assert [len(s.frozen) for s in stages] == [0, 2, 4, 6]
    assert stages[2].frozen == ("encoders.0", "decoders.0", "encoders.1", "decoders.1")


def test_stages_are_listed_and_keep_their_networks(tmp_path) -> None:
    runs = {row["name"]: row.get("runs") for row in recipes.available()}
    assert (runs["everyday"], runs["fcn8s"], runs["segnet_basic_layerwise"]) == (None, 3, 4)
    data = write_tiny_dataset(tmp_path / "tiny")
    with pytest.raises(UsageError, match="fcn32s -> fcn16s -> fcn8s in stages: leave out --network"):
        recipes.train(data, recipe="fcn8s", network="unet")
