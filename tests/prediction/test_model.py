"""Models from files: a run folder and an ONNX file, with and without torch."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from prediction.colour_net import RGB, ColourNet

from labels2masks import networks
from labels2masks.errors import DataError, UsageError
from labels2masks.networks.saved import save_network
from labels2masks.prediction import load_model, predict_mask
from labels2masks.run import Run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """An untrained run: what counts is that file, network and `Run` say the same."""
    folder = tmp_path_factory.mktemp("run")
    network = networks.build("deeplab_v3plus", 3, encoder="mobilenetv3_small_050").eval()
    network.working_size = 40
    save_network(folder / "model.safetensors", network, {"classes": RGB, "protocol": {"seed": 7}})
    (folder / "metrics.json").write_text('{"miou": 0.5}')
    return folder, network


def colour_onnx(path, metadata=True, working_size=12, **more):
    """ColourNet at stride 1 as an ONNX file of our own: images uint8 NHW3 -> scores."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "gain"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor("gain", TensorProto.FLOAT, [], [0.05])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    if metadata:
        header = {
            "classes": RGB.to_json(),
            "working_size": working_size,
            "grid": {"stride_y": 1.0, "stride_x": 1.0, "centre_y": 0.5, "centre_x": 0.5},
            **more,
        }
        helper.set_model_props(model, {"labels2masks": json.dumps(header)})
    onnx.save(model, path)
    return path


def picture(height=23, width=31):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_folder_file_and_run_are_one_model(run_folder, tmp_path):
    folder, network = run_folder
    image_HW3 = picture(50, 70)
    expected_HW = predict_mask(network, image_HW3)
    for source in (folder, folder / "model.safetensors", Run(folder)):
        model = load_model(source, device="cpu")
        assert model.classes == RGB and model.info["protocol"] == {"seed": 7}
        assert (model.predict_mask(image_HW3) == expected_HW).all()
    mask_HW, confidence_HW = model.predict_confidence(image_HW3)
    assert (mask_HW == expected_HW).all()
    probabilities_CHW = model.predict_scores(image_HW3)
    assert np.allclose(probabilities_CHW.max(axis=0), confidence_HW, atol=1e-4)
    run = Run(folder)
    Image.fromarray(image_HW3).save(tmp_path / "p.png")
    assert (run.predict(tmp_path / "p.png") == expected_HW).all()
    assert (run.predict_scores(image_HW3) == probabilities_CHW).all()
    assert run.metrics == {"miou": 0.5} and run.classes == RGB


def test_an_unfinished_run_is_said(tmp_path):
    with pytest.raises(UsageError, match="is no finished run: it has no model.safetensors"):
        Run(tmp_path)


def test_onnx_gives_the_same_masks_at_any_size(tmp_path):
    pytest.importorskip("onnxruntime")
    model = load_model(colour_onnx(tmp_path / "m.onnx"))
    network = ColourNet(working_size=12).eval()
    for height, width in ((1, 1), (5, 12), (23, 31)):
        image_HW3 = picture(height, width)
        assert (model.predict_mask(image_HW3) == predict_mask(network, image_HW3)).all()


def test_onnx_needs_no_torch(tmp_path):
    pytest.importorskip("onnxruntime")
    colour_onnx(tmp_path / "m.onnx")
    Image.fromarray(picture()).save(tmp_path / "p.png")
    code = (
        "import sys; from labels2masks.prediction.predict import predict; "
        f"print(predict({str(tmp_path / 'm.onnx')!r}, {str(tmp_path / 'p.png')!r}, {str(tmp_path / 'out')!r})); "
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/p.png").exists()


def test_files_that_are_no_models(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(DataError, match="broken.onnx: not a readable ONNX file"):
        load_model(tmp_path / "broken.onnx")
    with pytest.raises(DataError, match="an ONNX file without our metadata"):
        load_model(colour_onnx(tmp_path / "plain.onnx", metadata=False))
    with pytest.raises(UsageError, match="no model in"):
        load_model(tmp_path / "nothing")
