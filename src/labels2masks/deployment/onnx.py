"""A trained network as one ONNX file that needs nothing of ours: bytes of a photo in, class of every pixel out.

    input   images  uint8  (batch, height, width, 3)  RGB, upright, any batch and any size
    output  mask    int32  (batch, height, width)     index of the class with the highest score
            scores  float  (batch, classes, h, w)     raw scores at the network's own stride
    metadata "labels2masks": the JSON header of our safetensors files (class names, colours, file ids, void,
            working_size), "grid", where the cells of `scores` lie, and "smallest", the least height and width

Mean, standard deviation, padding, upsampling and arg-max are inside. Shrinking to `working_size` is not: it would tie
the file to one way of resizing. A caller shrinks a larger photo first and takes the mask of the whole photo
from `scores` and the grid; `labels2masks.load_model` does so, and gives the masks that the run itself gives. One
exception is told at the export (`large_photos`): what is seen in tiles is pooled tile by tile, not over the photo.

Legend: N = images, C = classes, H, W = pixels, h, w = cells.
"""

from __future__ import annotations

import json
import logging
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UsageError
from ..files import write_atomically
from ..kernels.upsample import upsample
from ..networks.saved import KEY, describe, load_network
from ..prediction.tiles import TILE

OPSET = 20
# Height and width of the pictures on which a file must agree with the network before it is written.
CHECKED_SIZES = ((96, 128), (97, 131), (160, 64))


def export(run, onnx: Path | str) -> dict:
    """Write the network of a run (a `Run`, its folder, or a model file) as ONNX; the file holds its weights.

    The file is checked first with onnxruntime at three sizes: scores within 1e-4 of the largest, and the same class
    wherever the two best scores are further apart than that. Equal networks give equal bytes.
    Returns {"onnx": path, "bytes", "opset", "sizes", "largest_difference", "equal_pixels", "large_photos": None, or in
    what the masks of photos that are seen in tiles can differ from the run's}.
    Raises UsageError where onnx or onnxruntime are missing, RuntimeError where the file does not agree.
    """
    network, info = load_network(getattr(run, "folder", run))
    model = to_onnx(network, info)
    agreement = check(model, network)
    path = write_atomically(onnx, model)
    return {"onnx": str(path), "bytes": len(model), "opset": OPSET, **agreement, "large_photos": _large_photos(network)}


class Deployed(nn.Module):
    """The network as it is exported: uint8 photos in; (mask, scores) out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images_NHW3: Tensor) -> tuple[Tensor, Tensor]:
        scores_NChw = self.network(images_NHW3.permute(0, 3, 1, 2).float())
        full_NCHW = upsample(scores_NChw, self.network.grid, images_NHW3.shape[1], images_NHW3.shape[2])
        return full_NCHW.argmax(dim=1).to(torch.int32), scores_NChw


def to_onnx(network: nn.Module, info: dict) -> bytes:
    """The serialised ONNX model of a network in evaluation mode; `info` as for `save_network`."""
    _need("onnx", "onnxscript")
    height, width = CHECKED_SIZES[1]
    example = torch.zeros(2, height, width, 3, dtype=torch.uint8)
    dynamic = torch.export.Dim.DYNAMIC
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            Deployed(network.eval()),
            (example,),
            dynamo=True,
            dynamic_shapes=({0: dynamic, 1: dynamic, 2: dynamic},),
            input_names=["images"],
            output_names=["mask", "scores"],
            opset_version=OPSET,
            verbose=False,
        )
    model = program.model_proto
    # The exporter notes source files and call stacks of this machine at every node.
    del model.metadata_props[:], model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer, *model.functions):
        del part.metadata_props[:]
        part.doc_string = ""
    for port in (*model.graph.input, *model.graph.output):
        del port.metadata_props[:]
    _name_axes(model.graph.input[0], ["batch", "height", "width", None])
    header = {**describe(network, info), "grid": asdict(network.grid), "smallest": network.smallest}
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(header, sort_keys=True)
    return model.SerializeToString(deterministic=True)


def check(model: bytes, network: nn.Module) -> dict:
    """Compare onnxruntime with the network at three sizes; RuntimeError where they differ.

    Scores must be within 1e-4 of the largest at every cell. Where they jump (SegNet: of two cells of a pool that are
    equal up to rounding, the one wins here and the other there, and one such pair deep down moves many scores a little)
    half of them must be within a hundredth, and the classes equal at 95 % of the pixels; a wrong file is far beyond.
    """
    _need("onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    cells, within, classes = (0.5, 1e-2, 0.95) if getattr(network, "jumps", False) else (1.0, 1e-4, 1.0)
    largest, equal, pixels = 0.0, 0, 0
    deployed = Deployed(network.eval())
    for size in CHECKED_SIZES:
        images = _picture(*size)
        mask, scores = session.run(["mask", "scores"], {"images": images.numpy()})
        with torch.no_grad():
            mask_here, scores_here = deployed(images)
            full = upsample(scores_here, network.grid, *size)
        apart_Nhw = (scores_here - torch.from_numpy(scores)).abs().amax(dim=1) / scores_here.abs().max().clamp(min=1)
        difference = float(apart_Nhw.flatten().quantile(cells))
        same = torch.from_numpy(mask) == mask_here
        best = full.topk(min(2, full.shape[1]), dim=1).values
        tie = best[:, 0] - best[:, -1] < 1e-4 * full.abs().amax().clamp(min=1)
        agreeing = float((same | tie).double().mean())
        if scores.shape != tuple(scores_here.shape) or difference > within or agreeing < classes:
            raise RuntimeError(
                f"the ONNX file does not agree with the network at {size[0]}x{size[1]}: scores differ by "
                f"{difference:.1e}, classes at {int((~same).sum())} pixels; nothing was written"
            )
        largest, equal, pixels = max(largest, difference), equal + int(same.sum()), pixels + same.numel()
    sizes = [list(s) for s in CHECKED_SIZES]
    return {"sizes": sizes, "largest_difference": largest, "equal_pixels": equal / pixels}


def _large_photos(network: nn.Module) -> str | None:
    if network.finite_field or (network.working_size is not None and network.working_size <= TILE):
        return None
    return f"above {TILE} px the file pools over each tile, the run over the whole photo: predict those from the run"


def _picture(height: int, width: int) -> Tensor:
    """Two smooth pictures with every brightness, the same each time."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / (7 + 5 * c) + k) * np.cos(y / (11 - 2 * c) + c) for k in range(2) for c in range(3)]
    values = np.stack(waves).reshape(2, 3, height, width).transpose(0, 2, 3, 1)
    return torch.from_numpy(np.ascontiguousarray(np.rint(127.5 + 127.5 * values).astype(np.uint8)))


def _name_axes(port, names: list[str | None]) -> None:
    for axis, name in zip(port.type.tensor_type.shape.dim, names, strict=True):
        if name is not None:
            axis.dim_param = name


def _need(*packages: str) -> None:
    from importlib.util import find_spec

    missing = [p for p in packages if find_spec(p) is None]
    if missing:
        raise UsageError(f"export needs {', '.join(missing)}: pip install 'labels2masks[onnx]'")
