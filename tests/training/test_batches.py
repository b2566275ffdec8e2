"""What the loss asks of the batches reaches it, through the loop."""

import pytest
import torch
from training.tiny import Tiny, plan_for

from labels2masks.errors import UsageError
from labels2masks.training.loop import fit


def first_loss(photos, folder, **changes):
    torch.manual_seed(0)
    plan = plan_for(photos, steps=2, **changes)
    return fit(Tiny(len(photos.classes)), photos.photos, plan, folder).rows[0]["loss"]


def test_the_loop_weighs_borders(photos, tmp_path):
    """Between discs and boxes: all but the background."""
    losses = {
        name: first_loss(photos, tmp_path / name, **changes)
        for name, changes in {
            "plain": {},
            "off": {"loss__border": 0.0},
            "weighed": {"loss__border": 10.0, "loss__sigma": 20.0},
        }.items()
    }
    assert losses["plain"] == losses["off"] != losses["weighed"]


def test_cells_of_another_name_are_refused_before_the_first_step(photos, tmp_path):
    with pytest.raises(UsageError, match="loss.cells='nucleus' is no class"):
        first_loss(photos, tmp_path, loss__border=10.0, loss__cells="nucleus")
