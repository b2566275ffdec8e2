"""DeepLab v1 to v3+: parameters, fields, strides and sums of the papers (supervised fact sheet, sections 6 to 9)."""

from __future__ import annotations

import math

import pytest
import torch
from contracts import photos
from networks.counted import chain_of, field_after, on_meta
from torch import nn

from labels2masks import networks
from labels2masks.encoders import build_encoder
from labels2masks.errors import UsageError
from labels2masks.grid import Grid

LISTED = {n["name"]: n["parameters"] for n in networks.available() if n["parameters"]}


@pytest.mark.parametrize("name", [n for n in LISTED if n.startswith(("deeplab", "parsenet", "pspnet", "refinenet"))])
def test_published_forms_have_the_parameters_they_list_and_run(name: str) -> None:
    network = on_meta(name)
    training_only = getattr(network, "second", nn.Identity())
    total = sum(p.numel() for p in network.parameters()) - sum(p.numel() for p in training_only.parameters())
    assert total == LISTED[name]
    images = torch.empty(2, 3, 33, 70, device="meta")
    for _, scores_NChw, grid in [(1.0, network(images), network.grid), *network.training_scores(images)]:
        assert scores_NChw.shape == (2, 21, math.ceil(33 / grid.stride_y), math.ceil(70 / grid.stride_x))


@pytest.mark.parametrize(("encoder", "parameters"), [("resnet101", 58_630_997), ("resnet50", 39_638_869)])
def test_torchvisions_form_has_torchvisions_parameters(encoder: str, parameters: int) -> None:
    network = on_meta("deeplab_v3", 21, encoder, output_stride=8, smooth=True)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_fields_of_the_vgg16_forms() -> None:
    largefov = on_meta("deeplab_v1_largefov").encoder
    assert field_after([*chain_of(largefov.features), largefov.fc6[0], largefov.fc7[0]]) == (435, 8)
    aspp = on_meta("deeplab_v2_vgg16").encoder
    fields = [field_after([*chain_of(aspp.features), fc6])[0] for fc6 in aspp.fc6]
    assert fields == [339, 435, 531, 627]


def test_fields_of_the_resnet_forms() -> None:
    v2 = on_meta("deeplab_v2_resnet101")
    chain = chain_of(v2.encoder.features)
    assert field_after(chain) == (1027, 8)
    assert [field_after([*chain, score])[0] for score in v2.scores] == [1123, 1219, 1315, 1411]
    v3 = on_meta("deeplab_v3_resnet101")
    chain = chain_of(v3.encoder.features)
    assert field_after(chain) == (1259, 16)
    assert [field_after([*chain, branch[0]])[0] for branch in v3.pooling.dilated] == [1451, 1643, 1835]
    for output_stride in (32, 16, 8):
        with torch.device("meta"):
            features = build_encoder("resnet50", output_stride=output_stride).features
        assert field_after(chain_of(features)) == (427, output_stride)


@pytest.mark.parametrize(("pixels", "cells"), [(321, 41), (513, 65), (1, 1), (37, 5)])
def test_sizes_are_those_of_caffe(pixels: int, cells: int) -> None:
    images = torch.empty(1, 3, pixels, 24, device="meta")
    for name in ("deeplab_v1_largefov", "deeplab_v2_vgg16", "deeplab_v2_resnet101"):
        network = on_meta(name)
        assert network.grid == Grid.square(8, 0.5) and network(images).shape == (1, 21, cells, 3)


def test_multi_scale_heads_are_dense_in_prediction_and_sampled_in_training() -> None:
    """With fc8 at zero the sum of the branches is left; at the centres of coarse cells both see the same."""
    torch.manual_seed(0)
    network = networks.build("deeplab_v1_msc", 3, "test_resnet").eval()
    nn.init.zeros_(network.classifier.weight)
    for branch in network.branches:
        nn.init.normal_(branch[-1].weight)
    with torch.inference_mode():
        dense = network(photos(64, 96))
        ((weight, sampled, grid),) = network.training_scores(photos(64, 96))
    assert (weight, network.grid, grid) == (1.0, Grid(), Grid.square(8, 0.5))
    assert dense.shape == (1, 3, 64, 96) and sampled.shape == (1, 3, 8, 12)
    assert torch.allclose(dense[:, :, ::8, ::8], sampled, atol=1e-5 * float(dense.abs().max()))


def test_v2_sums_its_branches_and_takes_the_largest_score_of_all_scales() -> None:
    torch.manual_seed(0)
    network = networks.build("deeplab_v2", 3, "test_resnet", settings={"scales": [1, 0.5]}).eval()
    with torch.inference_mode():
        (_, fused, grid), (_, one, _), (_, half, grid_half) = network.training_scores(photos(64, 96))
        features = network.encoder(photos(64, 96))[-1]
        assert torch.allclose(one, sum(score(features) for score in network.scores), atol=1e-5)
        assert torch.equal(fused, network(photos(64, 96))) and (fused >= one).all() and not torch.equal(fused, one)
    assert grid_half == Grid.square(2 * grid.stride_y, 2 * grid.centre_y) and half.shape == (1, 3, 4, 6)


def test_v3_cascade_doubles_the_dilation_with_every_block() -> None:
    network = on_meta("deeplab_v3_cascaded", 21, "resnet50", multi_grid=(1, 2, 1))
    stage = [unit.conv2.dilation[0] for unit in network.encoder.features.layer4]
    blocks = [unit.change[1][0].dilation[0] for unit in network.blocks]
    assert stage + blocks == [2, 4, 2, 4, 8, 4, 8, 16, 8, 16, 32, 16]
    # Nine more of ResNet-50's last units: 1x1 512, 3x3 512, 1x1 2048, each with a batch norm, no other shortcut.
    unit = 2 * 2048 * 512 + 9 * 512 * 512 + 2 * (512 + 512 + 2048)
    assert sum(p.numel() for p in network.blocks.parameters()) == 9 * unit


def test_v3_pools_five_views() -> None:
    assert on_meta("deeplab_v3_resnet50").pooling.project[0][0].in_channels == 1280
    dense = on_meta("deeplab_v3", 21, "resnet50", output_stride=8, smooth=True)
    assert [conv[0].dilation[0] for conv in dense.pooling.dilated] == [12, 24, 36]


def test_multi_grid_needs_a_stage_with_as_many_units() -> None:
    with pytest.raises(UsageError, match="multi_grid has 2 factors, the last ResNet stage of resnet50 has 3"):
        on_meta("deeplab_v3", 2, "resnet50", multi_grid=(1, 2))
    with pytest.raises(UsageError, match="stage of mobilenetv2_100 has 0"):
        on_meta("deeplab_v3plus", 2, "mobilenetv2_100", multi_grid=(1, 2, 4))
