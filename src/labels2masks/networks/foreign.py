"""Weights that were trained elsewhere: a foreign state dict and a map of names -> one of our networks, checked.

    theirs = torchvision.models.segmentation.deeplabv3_resnet50(weights="DEFAULT").eval()
    ours = build("deeplab_v3", 21, "resnet50", settings={"output_stride": 8, "smooth": True})
    fill_from(ours, theirs.state_dict(), TORCHVISION_DEEPLAB_V3, ignored=("aux_classifier.",), original=...)
    save_network("torchvision.safetensors", ours, {"classes": classes})

Nothing is guessed and nothing is left over: a tensor that is missing, unknown or of another shape is an error that
names it, and the network then stays as it was. Tensors may be changed before: a first convolution trained on BGR
is `weight.flip(1)` for our RGB, a fully connected layer a convolution after `reshape`.

timm's and torchvision's ResNets share all names, so their classifiers load by `--weights FILE` without a map; so does
torchvision's VGG16.

Legend: N = images, C = classes, h, w = cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ..errors import DataError

# Regular expressions on the whole of a foreign name -> our name; the first that matches counts.
Names = Mapping[str, str]

# `DeepLabV3(smooth=True)` at output stride 8; leave out "aux_classifier.".
TORCHVISION_DEEPLAB_V3: Names = {
    r"backbone\.(.*)": r"encoder.features.\1",
    r"classifier\.0\.convs\.0\.(.*)": r"pooling.near.\1",
    r"classifier\.0\.convs\.1\.(.*)": r"pooling.dilated.0.\1",
    r"classifier\.0\.convs\.2\.(.*)": r"pooling.dilated.1.\1",
    r"classifier\.0\.convs\.3\.(.*)": r"pooling.dilated.2.\1",
    r"classifier\.0\.convs\.4\.1\.(.*)": r"pooling.image.0.\1",
    r"classifier\.0\.convs\.4\.2\.(.*)": r"pooling.image.1.\1",
    r"classifier\.0\.project\.([01]\..*)": r"pooling.project.0.\1",
    r"classifier\.1\.(.*)": r"smooth.0.\1",
    r"classifier\.2\.(.*)": r"smooth.1.\1",
    r"classifier\.4\.(.*)": r"classifier.\1",
}


def fill_from(
    network: nn.Module,
    foreign: Mapping[str, Tensor],
    names: Names,
    ignored: Sequence[str] = (),
    original: Callable[[Tensor], Tensor] | None = None,
) -> float | None:
    """Fill `network` with `foreign`, in place, and run it once; it is left in evaluation mode.

    names: from foreign names to ours. ignored: beginnings of foreign names that are left out.
    original: images_N3HW (RGB, 0..255) -> scores_NChw of the foreign network on the same cells, for the comparison;
        None where only its file is at hand, then the scores need only be numbers.
    Returns the largest difference as a share of the largest score, or None without `original`.
    Raises DataError for names or shapes that do not fit, and for scores that differ by more than 1e-4; the network
    then is what it was.
    """
    ours = network.state_dict()
    values = _renamed(foreign, names, ignored)
    optional = {k for k in ours if k.endswith("num_batches_tracked")}
    problems = {
        "lacks": sorted(ours.keys() - values.keys() - optional),
        "has unknown": sorted(values.keys() - ours.keys()),
        "has other shapes for": sorted(k for k in ours.keys() & values.keys() if ours[k].shape != values[k].shape),
    }
    for what, keys in problems.items():
        if keys:
            raise DataError(
                f"the foreign weights do not fit {network.name}: after renaming, the file {what} {len(keys)} tensors, "
                f"for instance {', '.join(keys[:4])}; correct the name map, or the network's settings"
            )
    before = {k: v.clone() for k, v in ours.items()}
    with torch.no_grad():
        for key, value in values.items():
            ours[key].copy_(value)
    try:
        return _verified(network, original)
    except DataError:
        network.load_state_dict(before)
        raise


def _renamed(foreign: Mapping[str, Tensor], names: Names, ignored: Sequence[str]) -> dict[str, Tensor]:
    values: dict[str, Tensor] = {}
    for theirs, value in foreign.items():
        if theirs.startswith(tuple(ignored)):
            continue
        matched = next(((m, ours) for p, ours in names.items() if (m := re.fullmatch(p, theirs))), None)
        if matched is None:
            raise DataError(f"the name map says nothing of the foreign tensor {theirs!r}: name it, or ignore it")
        ours = matched[0].expand(matched[1])
        if ours in values:
            raise DataError(f"two foreign tensors would both become {ours!r}, the second is {theirs!r}")
        values[ours] = value
    return values


def _verified(network: nn.Module, original: Callable[[Tensor], Tensor] | None) -> float | None:
    # Whole strides: where they are not, each network has its own way with the border.
    parameter = next(network.parameters())
    images = torch.randint(0, 256, (2, 3, 96, 128), generator=torch.Generator().manual_seed(0))
    images = images.to(parameter.device, parameter.dtype)
    with torch.no_grad():
        scores = network.eval()(images)
        expected = None if original is None else original(images)
    if not torch.isfinite(scores).all():
        raise DataError(f"{network.name} gives no numbers with the foreign weights: is each in its right place?")
    if expected is None:
        return None
    if expected.shape != scores.shape:
        shapes = f"{tuple(expected.shape)}, {network.name} of {tuple(scores.shape)}"
        raise DataError(f"the original gives scores of {shapes}: compare them before they are enlarged")
    difference = float((scores - expected).abs().max() / expected.abs().max().clamp(min=1e-12))
    if not difference <= 1e-4:
        raise DataError(
            f"{network.name} with the foreign weights differs from the original by {difference:.1e} of the largest "
            "score: has it another stride, dilation, normalisation or order of channels?"
        )
    return difference
