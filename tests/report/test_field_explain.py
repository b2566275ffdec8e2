"""The commands that say what a network can see and what it looked at."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import labels2masks as l2m
from labels2masks import cli, networks
from labels2masks.networks.saved import save_network
from labels2masks.report.explain import surest


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("field") / "run <1>"
    torch.manual_seed(0)
    network = networks.build("deeplab_v3plus", 3, "test_resnet")
    torch.nn.init.normal_(network.classifier.weight)
    classes = l2m.Classes(("<b>x", "<b>y", "<b>z"))
    save_network(folder / "model.safetensors", network, {"classes": classes})
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010E] = "secret place"
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", exif=exif)
    return tmp_path / "photo.jpg"


def called(capsys: pytest.CaptureFixture, *words: object) -> str:
    code = cli.main([str(w) for w in words])
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_list_of_a_network_draws_its_plan(capsys: pytest.CaptureFixture) -> None:
    out = called(capsys, "list", "fcn32s")
    head, plan = out.split("\n\n")
    assert "136,152,917" in head
    lines = plan.strip().split("\n")
    assert re.split(r"\s{2,}", lines[0]) == [
        *("name", "kind", "channels", "size", "stride", "first centre", "field", "coverage")
    ]
    (fc7,) = [re.split(r"\s{2,}", line) for line in lines if line.startswith("encoder.fc7")]
    assert fc7 == ["encoder.fc7", "1x1 convolution", "4096", "17", "32", "13", "404", "100 %"]
    assert len({line.index("convolution") - line.index("x") for line in lines if "3x3 conv" in line}) == 1
    (row,) = json.loads(called(capsys, "list", "fcn32s", "--json"))
    assert row["name"] == "fcn32s" and row["plan"][-1]["size"] == "512"


def test_field_of_a_name(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    out = called(capsys, "field", "fcn8s", "--encoder", "test_resnet", "--out", tmp_path / "f.png")
    assert "first centre" in out and f"look at {tmp_path / 'f.png'}" in out
    assert np.asarray(Image.open(tmp_path / "f.png")).std() > 10
    assert cli.main(["field", "fcn9s"]) == 2 and "did you mean 'fcn" in capsys.readouterr().err


def test_field_over_a_photo(run_folder: Path, photo: Path, tmp_path: Path) -> None:
    found = l2m.field(run_folder, image=photo, out=tmp_path / "over.png")
    assert found["size"] == [90, 120] and 0 < found["half"] <= found["nine_tenths"]
    assert Image.open(found["picture"]).size == (120, 90)
    with pytest.raises(l2m.UsageError, match="its own encoder"):
        l2m.field(run_folder, encoder="resnet18")
    by_name = l2m.field("linear", encoder="test_resnet", image=np.zeros((64, 64, 3), np.uint8))
    assert by_name["size"] == [64, 64]


def test_explain_asks_for_nothing(run_folder: Path, photo: Path, capsys: pytest.CaptureFixture) -> None:
    page = run_folder / "explain-photo.html"
    out = called(capsys, "explain", run_folder, photo)
    assert out == f"page: {page}\n"
    html = page.read_text(encoding="utf-8")
    assert "<script" not in html and "secret place" not in html and str(run_folder.parent) not in html
    assert set(re.findall(r"https?://[^\"' )]+", html)) <= {"http://www.w3.org/2000/svg"}
    assert "default-src &#x27;none&#x27;" in html and "<b>" not in html and "&lt;b&gt;" in html
    for title in (
        "What it said",
        "What it looked at",
        "What speaks for each class",
        "What its maps hold",
        "Its layers",
    ):
        assert f"<h2>{title}</h2>" in html
    pictures = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert len(pictures) >= 8
    for encoded in pictures:
        data = base64.b64decode(encoded)
        assert not Image.open(io.BytesIO(data)).getexif() and b"secret" not in data
    before = html
    l2m.explain(l2m.Run(run_folder), photo)
    assert page.read_text(encoding="utf-8") == before
    elsewhere = l2m.explain(
        run_folder / "model.safetensors", np.asarray(Image.open(photo)), out=photo.parent / "e.html"
    )
    assert elsewhere.is_file()


def test_explain_needs_gradients(tmp_path: Path, photo: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(l2m.UsageError, match="no gradients"):
        l2m.explain(tmp_path / "model.onnx", photo)


def test_class_activation_of_a_linear_end_is_its_score(run_folder: Path) -> None:
    """Where a linear layer on the coarsest maps ends a network, Grad-CAM is the class's score without its bias."""
    from labels2masks.evaluation.receptive_field import receptive_field
    from labels2masks.report.explain import activations

    torch.manual_seed(0)
    network = networks.build("deeplab_v3", 2, "test_resnet").eval()
    torch.nn.init.uniform_(network.classifier.weight)  # and the maps are at least 0: the class scores somewhere
    image = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    mask = np.zeros((96, 96), np.int64)
    layers = [item for item in receptive_field(network, stages=True) if item.name.startswith("pooling.project")]
    (told,), cams = activations(network, image, mask, [0], layers)
    scores_hw = np.tensordot(network.classifier.weight[0, :, 0, 0].detach().numpy(), told[1], 1)
    grid = network.grid
    at = [int(grid.centre_y + grid.stride_y * i) for i in range(scores_hw.shape[0])]
    cam_hw = cams[0][np.ix_(at, at)]
    assert told[0].grid == grid and scores_hw.max() > 0
    assert np.allclose(cam_hw / cam_hw.max(), np.maximum(scores_hw, 0) / scores_hw.max(), atol=1e-3)


def test_the_surest_pixel_is_inside() -> None:
    inside = np.zeros((20, 20), bool)
    inside[4:13, 4:13] = True
    confidence = np.random.default_rng(0).random((20, 20))
    confidence[4, 4] = 2  # on the rim, and outside
    confidence[0, 0] = 3
    confidence[9, 8] = 1.5
    assert surest(inside, confidence) == (9, 8)
