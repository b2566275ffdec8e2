"""Why did the network say that? One page for one photo: what it said, what it looked at, what its maps hold.

    l2m explain runs/DATE-photos photo.jpg          labels2masks.explain(run, "photo.jpg")

Effective field: how much each pixel moves the scores at one place (`evaluation.effective_field`). Class activation: the
maps of the coarsest stage, weighted by how much each channel raises the scores of a class where the network says that
class; Selvaraju et al., "Grad-CAM", arXiv 1610.02391, on the pixels of a class as in Vinogradova, Dibrov, Myers,
arXiv 2002.11434. For a network that ends in one linear layer on those maps this is its class's score map, as in Zhou et
al., "CAM", arXiv 1512.04150.

The page is self-contained: no script, no request, pictures inside and without EXIF.

Legend: H, W = pixels of the photo as the network sees it; C = classes, D = channels; h, w = cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__
from ..classes import Classes
from ..evaluation.effective_field import effective_field, side_of
from ..evaluation.receptive_field import SMALLEST, Layer, receptive_field
from ..files import write_atomically
from ..formats.image import read_image
from ..kernels.upsample import upsample
from ..prediction.network import predict_confidence
from .field import as_seen, field_over, heat
from .frame import frame
from .layer_plan import of_run
from .markup import Content, Markup, element, joined
from .overlay import overlay
from .pictures import data_uri, strip

CLASSES_SHOWN, CHANNELS_SHOWN, TILE = 6, 6, 150


def explain(run: Any, image: Path | str | np.ndarray, out: Path | str | None = None) -> Path:
    """Write the page for one photo; returns its path.

    run: a run folder, a `Run` or a model.safetensors. image: a file or uint8 HW3 RGB; shrunk to what the network works
    on. out: the page; None = explain-<stem>.html in the run folder, or beside the model file, over an earlier one.
    Raises UsageError for an ONNX file, which has no gradients.
    """
    place = Path(getattr(run, "folder", run))
    network, classes = of_run(place)
    name = "photo" if isinstance(image, np.ndarray) else Path(image).name
    image_HW3 = as_seen(network, image if isinstance(image, np.ndarray) else read_image(image))
    out = out or (place if place.is_dir() else place.parent) / f"explain-{Path(name).stem}.html"
    return write_atomically(out, page_of(network, classes, image_HW3, name, place.resolve().name))


def page_of(network: nn.Module, classes: Classes, image_HW3: np.ndarray, photo: str, run: str) -> str:
    """The whole HTML file."""
    mask_HW, confidence_HW = predict_confidence(network, image_HW3)
    height, width = image_HW3.shape[:2]
    layers = receptive_field(network, (max(height, SMALLEST), max(width, SMALLEST)), stages=True)
    found = [int(c) for c in np.argsort(-np.bincount(mask_HW.ravel(), minlength=len(classes))) if (mask_HW == c).any()]
    maps, cams = activations(network, image_HW3, mask_HW, found[:CLASSES_SHOWN], layers)
    made = [
        ("said", "What it said", _said(image_HW3, mask_HW, confidence_HW, classes, found)),
        ("field", "What it looked at", _fields(network, image_HW3, mask_HW, confidence_HW, classes, found, layers)),
        ("classes", "What speaks for each class", _cams(image_HW3, cams, classes)),
        ("maps", "What its maps hold", _maps(maps)),
        ("plan", "Its layers", _plan(layers)),
    ]
    header = element(
        "header",
        element("p", "One photo explained", class_="over"),
        element("h1", element("bdi", photo)),
        element("p", f"{network.name}, run ", element("bdi", run), f", {width}x{height} pixels", class_="about"),
    )
    return frame(f"{photo}: what {run} looked at", header, made, __version__)


def activations(
    network: nn.Module, image_HW3: np.ndarray, mask_HW: np.ndarray, classes: Sequence[int], layers: Sequence[Layer]
) -> tuple[list[tuple[Layer, np.ndarray]], dict[int, np.ndarray]]:
    """([(stage, maps_Dhw float32), ...], {class: activation_HW float32 from 0 on}).

    The activations are of the widest of the coarsest stages; no class has one where no stage could be caught.
    """
    caught: dict[str, list[Tensor]] = {layer.held[0]: [] for layer in layers if layer.held}
    height, width = image_HW3.shape[:2]

    def keep(name: str) -> Callable[..., None]:
        return lambda module, inputs, output: caught[name].append(output)

    with ExitStack() as stack, torch.enable_grad():
        for name in caught:
            stack.callback(network.get_submodule(name).register_forward_hook(keep(name)).remove)
        image_13HW = torch.from_numpy(image_HW3.copy()).permute(2, 0, 1)[None].float().requires_grad_()
        full_CHW = upsample(network(image_13HW), network.grid, height, width)[0]
        told = [(layer, caught[layer.held[0]][layer.held[1]]) for layer in layers if layer.held and layer.grid]
        told = [(layer, t) for layer, t in told if t.ndim == 4 and t.shape[1] == layer.channels]
        # Scores are no features: the class would only be its own evidence.
        features = [(layer, t) for layer, t in told if layer.channels > network.classes]
        chosen = max(features, key=lambda f: (f[0].grid.stride_y, f[0].channels), default=None)  # type: ignore[union-attr]
        cams = {}
        for c in classes if chosen else ():
            layer, maps_1Dhw = chosen  # type: ignore[misc]
            score = full_CHW[c][torch.from_numpy(mask_HW == c)].sum()
            (gradient_1Dhw,) = torch.autograd.grad(score, maps_1Dhw, retain_graph=True)
            weights_1D11 = gradient_1Dhw.mean(dim=(2, 3), keepdim=True)
            cam_11hw = (weights_1D11 * maps_1Dhw).sum(dim=1, keepdim=True).relu().detach()
            cams[c] = upsample(cam_11hw, layer.grid, height, width)[0, 0].numpy()  # type: ignore[arg-type]
    return [(layer, t[0].detach().float().numpy()) for layer, t in told], cams


def _said(
    image_HW3: np.ndarray, mask_HW: np.ndarray, confidence_HW: np.ndarray, classes: Classes, found: Sequence[int]
) -> Content:
    shares = ", ".join(f"{classes.names[c]} {100 * np.mean(mask_HW == c):.0f} %" for c in found)
    doubt_HW3 = cv2.applyColorMap((255 * (1 - confidence_HW)).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    panels = {"photo": image_HW3, "prediction": overlay(image_HW3, mask_HW, classes), "doubt": doubt_HW3}
    return joined(_panels(panels), element("p", f"Of the pixels: {shares}. Doubt is bright.", class_="note"))


def _fields(
    network: nn.Module,
    image_HW3: np.ndarray,
    mask_HW: np.ndarray,
    confidence_HW: np.ndarray,
    classes: Classes,
    found: Sequence[int],
    layers: Sequence[Layer],
) -> Content:
    """For each class found the field of its surest inner pixel."""
    panels = {}
    for c in found[:CLASSES_SHOWN]:
        position = surest(mask_HW == c, confidence_HW)
        influence_HW = effective_field(network, image_HW3, position)
        half, most = (side_of(influence_HW, position, share) for share in (0.5, 0.9))
        drawn = field_over(image_HW3, influence_HW, position, layers[-1].field)
        panels[f"{classes.names[c]}: half from {half} px, nine tenths from {most} px"] = drawn
    text = (
        "Bright pixels move the scores at the cross. The white square holds half of that influence, the grey frame is "
        "what the layers could see at all"
        + (", but for what is pooled over the whole image." if layers[-1].whole_image else ".")
    )
    return joined(_panels(panels), element("p", text, class_="note"))


def surest(inside_HW: np.ndarray, confidence_HW: np.ndarray) -> tuple[float, float]:
    """(y, x): of the pixels at least half as deep inside the region as its deepest, the one of highest confidence."""
    padded = np.pad(inside_HW.astype(np.uint8), 1)
    depth_HW = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    deep_HW = depth_HW >= depth_HW.max() / 2
    y, x = np.unravel_index(int(np.argmax(np.where(deep_HW & inside_HW, confidence_HW, -1))), inside_HW.shape)
    return float(y), float(x)


def _cams(image_HW3: np.ndarray, cams: dict[int, np.ndarray], classes: Classes) -> Content:
    if not cams:
        return None
    text = "Class activation maps of the coarsest stage: bright where its maps raise the scores of the class."
    panels = {classes.names[c]: heat(image_HW3, cam_HW) for c, cam_HW in cams.items()}
    return joined(_panels(panels), element("p", text, class_="note"))


def _maps(maps: Sequence[tuple[Layer, np.ndarray]]) -> Content:
    parts: list[Content] = []
    for layer, maps_Dhw in maps:
        told = layer.row()
        title = f"{told['name']}: {told['channels']} maps, stride {told['stride']}, field {told['field']}"
        tiles = {f"{d}": _tile(maps_Dhw[d]) for d in strongest(maps_Dhw)}
        parts += [element("h3", title), element("img", src=data_uri(strip(tiles)), alt=title, class_="wide")]
    return joined(*parts, element("p", "The maps that vary most, each by itself.", class_="note")) if parts else None


def strongest(maps_Dhw: np.ndarray, most: int = CHANNELS_SHOWN) -> list[int]:
    """Channels that vary most over the photo, in that order."""
    return [int(d) for d in np.argsort(-maps_Dhw.std(axis=(1, 2)), kind="stable")[:most]]


def _tile(map_hw: np.ndarray) -> np.ndarray:
    low, high = float(map_hw.min()), float(map_hw.max())
    grey = (255 * (map_hw - low) / max(high - low, 1e-12)).astype(np.uint8)
    scale = TILE / max(grey.shape)
    size = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    return cv2.applyColorMap(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), cv2.COLORMAP_VIRIDIS)[..., ::-1]


def _plan(layers: Sequence[Layer]) -> Content:
    rows = [layer.row() for layer in layers]
    columns = [key for key in rows[0] if any(row[key] not in (None, False) for row in rows)]
    head = element("thead", element("tr", *(element("th", key, scope="col") for key in columns)))
    lines = [element("tr", *(element("td", _cell(row[key])) for key in columns)) for row in rows]
    return element("div", element("table", head, element("tbody", *lines), class_="words"), class_="scrolled")


def _cell(value: Any) -> str:
    return "" if value in (None, False) else "yes" if value is True else str(value)


def _panels(panels: dict[str, np.ndarray]) -> Markup:
    figures = [
        element(
            "figure",
            element("img", src=data_uri(np.ascontiguousarray(picture)), alt=caption, loading="lazy"),
            element("figcaption", caption),
            tabindex=0,
        )
        for caption, picture in panels.items()
    ]
    return element("div", *figures, class_="panels")
