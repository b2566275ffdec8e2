"""Every listed encoder: two odd sizes, and grids that gradients confirm."""

from __future__ import annotations

import pytest
import torch
from contracts import encoder_grids_hold, encoder_takes_size

from labels2masks.encoders import CHECKED, available, build_encoder
from labels2masks.errors import UsageError

SMALL = [name for name, (millions, _) in CHECKED.items() if millions < 6]
LARGE = [name for name in CHECKED if name not in SMALL]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("name", SMALL)
def test_small_encoders_take_odd_sizes(name: str) -> None:
    encoder = build_encoder(name)
    for size in ((375, 500), (333, 479)):
        encoder_takes_size(encoder, *size)
    encoder_takes_size(encoder, 1, 1)


@pytest.mark.parametrize("name", LARGE)
def test_large_encoders_take_odd_sizes_in_shapes(name: str) -> None:
    with torch.device("meta"):
        encoder = build_encoder(name)
    for size in ((375, 500), (333, 479), (1, 1)):
        encoder_takes_size(encoder, *size)


@pytest.mark.parametrize("name", [n for n in SMALL if n != "tf_efficientnet_lite2"])
def test_grids_are_where_gradients_say(name: str) -> None:
    encoder_grids_hold(build_encoder(name), 400)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv2_100", "convnext_atto"])
def test_dilated_encoders_keep_their_cells(name: str) -> None:
    """Keep-first dilation: every second cell at output stride 16 is the cell at 32, the same weights giving both."""
    coarse, fine = build_encoder(name), build_encoder(name, output_stride=16)
    fine.load_state_dict(coarse.state_dict())
    images = torch.rand(1, 3, 96, 64) * 255
    with torch.inference_mode():
        deep, dense = coarse.eval()(images)[-1], fine.eval()(images)[-1]
    step = 2
    start = round((coarse.grids[-1].centre_y - fine.grids[-1].centre_y) / 16)
    assert dense.shape[2:] == (6, 4)
    assert torch.allclose(dense[:, :, start::step, start::step], deep, atol=1e-4 * float(deep.abs().max()))


def test_constant_padding_is_bit_equal_at_whole_strides() -> None:
    import timm

    name = "tf_efficientnet_lite0"
    original = timm.create_model(name, features_only=True).eval()
    encoder = build_encoder(name).eval()
    encoder.features.load_state_dict(original.state_dict())
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.inference_mode():
        pairs = zip(encoder(images), original((images - 127) / 128), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_names_that_give_no_maps_are_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match="did you mean 'resnet18'"):
        build_encoder("resnet18x")
    with pytest.raises(UsageError, match="output stride 16: .*unexpected keyword"):
        build_encoder("densenet121", output_stride=16)
    with pytest.raises(UsageError, match="output stride 8: timm does not dilate it"):
        build_encoder("dla34", output_stride=8)
    with pytest.raises(UsageError, match="no weights for nf_resnet26: --weights none"):
        build_encoder("nf_resnet26", "hub")
    with pytest.raises(UsageError, match="swin_tiny_patch4_window7_224"):
        build_encoder("swin_tiny_patch4_window7_224")
    with pytest.raises(UsageError, match="8, 16 or 32"):
        build_encoder("resnet18", output_stride=4)


def test_other_errors_of_an_encoder_are_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, **options: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("timm.create_model", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        build_encoder("resnet18")


def test_the_list_has_names() -> None:
    assert [e["name"] for e in available()] == list(CHECKED)
