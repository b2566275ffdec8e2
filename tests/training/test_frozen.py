"""A head on a frozen encoder: maps made once, and crops of them where crops of the photos are."""

import numpy as np
import pytest
import torch
from conftest import write_tiny_dataset
from training.tiny import same

import labels2masks as l2m
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.image import read_image
from labels2masks.networks import build
from labels2masks.networks.saved import load_network
from labels2masks.training import loop
from labels2masks.training.frozen_maps import FrozenMaps

ENCODER = "mobilenetv3_small_050"
SHORT = {"epochs": 2, "batch": 4, "crop": [64, 64], "threads": 1, "workers": 0, "validations": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return l2m.open(write_tiny_dataset(tmp_path_factory.mktemp("frozen") / "tiny"))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("hypercolumns", 3, encoder=ENCODER).eval()


def run(data, out, **options):
    given = {**SHORT, **options.pop("settings", {})}
    how = {"encoder": ENCODER, "network": "hypercolumns", "weights": "none", "train": "train", "val": "val"}
    return l2m.train(data, recipe="frozen", out=out, no_photos=True, settings=given, **how, **options)


def seen(network, image_HW3):
    with torch.inference_mode():
        maps = network.encoder(torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float())
    return [maps[i][0].numpy() for i in network.levels]


def test_a_crop_that_is_the_photo_has_its_maps_and_mirrored_ones_a_mirrored_crop(data, network, tmp_path):
    photo = data.photos[0]
    image_HW3 = read_image(photo.image)
    height, width = image_HW3.shape[:2]
    maps = FrozenMaps(network, None, tmp_path)
    maps.make(data.photos[:1])
    straight = maps.crop(photo, np.array([[1.0, 0, 0], [0, 1, 0]]), (height, width))
    mirrored = maps.crop(photo, np.array([[-1.0, 0, width], [0, 1, 0]]), (height, width))
    for map_Dhw, crop_Dhw, mirror_Dhw, grid in zip(
        seen(network, image_HW3), straight, mirrored, maps.grids, strict=True
    ):
        np.testing.assert_allclose(crop_Dhw, map_Dhw, atol=2e-3 * np.abs(map_Dhw).max())
        stride, centre = grid.stride_x, grid.centre_x
        place = (width - (centre + stride * np.arange(map_Dhw.shape[2])) - centre) / stride  # of cells in the mirror
        place = np.clip(place, 0, map_Dhw.shape[2] - 1)
        left = np.floor(place).astype(int)
        right = np.minimum(left + 1, map_Dhw.shape[2] - 1)
        expected_Dhw = map_Dhw[..., left] * (1 - (place - left)) + map_Dhw[..., right] * (place - left)
        np.testing.assert_allclose(mirror_Dhw, expected_Dhw, atol=2e-3 * np.abs(map_Dhw).max())


def test_maps_are_made_once_and_anew_for_other_weights_or_sizes(data, network, tmp_path):
    FrozenMaps(network, None, tmp_path).make(data.photos[:2])
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npz")}
    FrozenMaps(network, None, tmp_path).make(data.photos[:2])
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.npz")} == before and len(before) == 2
    FrozenMaps(network, 48, tmp_path).make(data.photos[:2])
    FrozenMaps(build("hypercolumns", 3, encoder=ENCODER).eval(), None, tmp_path).make(data.photos[:2])
    assert len(list(tmp_path.rglob("*.npz"))) == 6


def test_a_photo_that_could_not_be_read_has_no_maps(data, network, tmp_path):
    with pytest.raises(DataError, match="can not be read"):
        FrozenMaps(network, None, tmp_path).crop(data.photos[0], np.eye(3)[:2], (64, 64))


def test_the_head_learns_and_the_encoder_stays(data, tmp_path):
    made = run(data, tmp_path / "run", settings={"epochs": 30, "optimiser.rate": 1e-2})
    trained, _ = load_network(made.folder / "model.safetensors")
    torch.manual_seed(0)
    fresh = build("hypercolumns", 3, encoder=ENCODER)
    assert same(dict(trained.encoder.state_dict()), dict(fresh.encoder.state_dict()))
    losses = [float(line.split(",")[1]) for line in (made.folder / "metrics.csv").read_text().splitlines()[1:]]
    assert np.mean(losses[-3:]) < 0.7 * np.mean(losses[:3])
    assert not (made.folder / "maps").exists()
    assert made.predict(data.photos[0].image).shape == read_image(data.photos[0].image).shape[:2]


def test_a_run_cut_off_ends_bit_equal(data, tmp_path):
    kept = {"maps": str(tmp_path / "maps")}
    whole = run(data, tmp_path / "whole", settings=kept)
    plain, calls = loop.step_loss, []

    def fails(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments, **named)

    plan = whole.folder / "plan.json"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "step_loss", fails)
        l2m.train(data, recipe="frozen", plan=plan, out=tmp_path / "cut", no_photos=True)
    cut = l2m.train(data, recipe="frozen", out=tmp_path / "cut", resume=True, no_photos=True)
    assert (cut.folder / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
    assert (tmp_path / "maps").exists()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"augment.colour": 0.3}, "--set augment.colour=0"), ({"network": "pspnet"}, "not 'pspnet'")],
)
def test_what_frozen_maps_can_not_follow_is_refused(data, tmp_path, wrong, message):
    with pytest.raises(UsageError, match=message):
        run(data, tmp_path / "run", settings=wrong)
