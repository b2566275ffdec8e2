"""A network in one safetensors file: the weights, and in the header all that is needed to build it again.

The header's entry "labels2masks" is JSON:
    {"version": 1, "network", "encoder", "settings", "classes": Classes.to_json(), "working_size", "checksum", ...info}
Nothing is ever unpickled. Equal networks give equal bytes: no time stamps, sorted keys.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from ..classes import Classes
from ..errors import DataError, UsageError
from ..files import write_atomically
from . import build

FILE = "model.safetensors"
KEY = "labels2masks"
VERSION = 1


def save_network(path: Path | str, network: nn.Module, info: dict) -> Path:
    """Write `network` whole or not at all.

    info: must hold "classes" (Classes, or its JSON), and may hold anything else JSON can say.
    Raises UsageError where the classes do not number the network's scores.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    return write_atomically(path, to_bytes(tensors, {KEY: seal(describe(network, info), tensors)}))


def describe(network: nn.Module, info: dict) -> dict:
    """The header of a saved or exported network, as JSON values."""
    classes = info["classes"]
    classes = classes if isinstance(classes, Classes) else Classes.from_json(classes)
    if len(classes) != network.classes:
        raise UsageError(f"the network scores {network.classes} classes, the class list has {len(classes)}")
    return {
        **info,
        "version": VERSION,
        "network": network.name,
        "encoder": network.encoder_name,
        "settings": network.settings,
        "working_size": network.working_size,
        "classes": classes.to_json(),
    }


def load_network(path: Path | str) -> tuple[nn.Module, dict]:
    """(network in evaluation mode on the CPU, header) from a file or a run folder.

    Raises UsageError where there is no such file, DataError where it is damaged or none of ours.
    """
    info, tensors = _read(path)
    names = info["classes"]["names"]
    network = build(info["network"], len(names), info["encoder"], settings=info["settings"])
    network.working_size = info["working_size"]
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        detail = " ".join(str(error).split())[:300]
        raise DataError(f"{path}: the weights do not fit the network its header names: {detail}") from None
    return network.eval(), info


def seal(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """The header as JSON with a checksum of it and the tensors: one bit that flips on the disk is found.

    In the one entry of the file's metadata, because safetensors writes several in any order.
    """
    plain = json.loads(json.dumps(header))
    return json.dumps({**plain, "checksum": _checksum(plain, tensors)})


def unseal(text: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The header again, without its checksum. Raises ValueError where it does not hold; files without one are older."""
    header: dict[str, Any] = json.loads(text)
    given = header.pop("checksum", None)
    if given is not None and given != _checksum(header, tensors):
        raise ValueError("its checksum does not hold")
    return header


def _checksum(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.blake2b(json.dumps(header, sort_keys=True).encode(), digest_size=16)
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return found.hexdigest()


def start_from(network: nn.Module, classes: Classes, path: Path | str) -> dict:
    """Fill `network` from an earlier run, in place; rows of the heads are matched by class name.

    Everything of equal name and shape is copied. Where an axis counts classes, only the rows of classes
    that both know are; the others keep their fresh values.
    Returns {"copied": number of tensors, "left": [tensors of `network` that stay fresh],
    "shared_classes": [...], "new_classes": [...]}. Raises DataError where nothing fits.
    """
    info, theirs = _read(path)
    their_names = list(info["classes"]["names"])
    shared = [n for n in classes.names if n in their_names]
    our_rows = torch.tensor([classes.index(n) for n in shared], dtype=torch.long)
    their_rows = torch.tensor([their_names.index(n) for n in shared], dtype=torch.long)
    axes = _class_axes(network)
    ours = network.state_dict()
    copied, left = 0, []
    with torch.no_grad():
        for key, mine in ours.items():
            if key not in theirs or not _fits(mine, theirs[key], axes[key], len(their_names)):
                left.append(key)
                continue
            from_there: list = [slice(None)] * mine.dim()
            to_here: list = [slice(None)] * mine.dim()
            for axis in axes[key]:
                from_there[axis], to_here[axis] = their_rows, our_rows
            if len(axes[key]) == 2:  # a class-to-class kernel: all pairs, so rows stand against columns
                first = axes[key][0]
                from_there[first], to_here[first] = their_rows[:, None], our_rows[:, None]
            mine[tuple(to_here)] = theirs[key][tuple(from_there)].to(mine.dtype).to(mine.device)
            copied += 1
    if copied == 0:
        raise DataError(f"{path} ({info['network']}, {info['encoder']}) shares no weights with {network.name}")
    new = [n for n in classes.names if n not in shared]
    return {"copied": copied, "left": left, "shared_classes": shared, "new_classes": new}


def _class_axes(network: nn.Module) -> dict[str, list[int]]:
    """For each tensor the axes that count classes: those that grow when the network has one class more."""
    with torch.device("meta"):
        larger = build(network.name, network.classes + 1, network.encoder_name, settings=network.settings)
    sizes = {k: v.shape for k, v in larger.state_dict().items()}
    return {k: [i for i, n in enumerate(v.shape) if sizes[k][i] != n] for k, v in network.state_dict().items()}


def _fits(mine: Tensor, other: Tensor, axes: list[int], classes: int) -> bool:
    expected = [classes if i in axes else n for i, n in enumerate(mine.shape)]
    return list(other.shape) == expected


def _read(path: Path | str) -> tuple[dict, dict[str, Tensor]]:
    path = Path(path)
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise UsageError(f"no model in {path}: expected a run folder with {FILE}, or such a file")
    try:
        with safe_open(file, "pt") as opened:
            header = (opened.metadata() or {}).get(KEY)
            tensors = {k: opened.get_tensor(k) for k in opened.keys()} if header else {}  # noqa: SIM118
    except Exception as error:
        raise DataError(f"{file} is no readable safetensors file: {error}") from None
    if header is None:
        raise DataError(f"{file} holds weights without our header: give it as --weights FILE of an encoder instead")
    try:
        info = unseal(header, tensors)
    except ValueError as error:
        raise DataError(f"{file} is damaged ({error}): copy it again, or train again") from None
    if info.get("version") != VERSION:
        raise DataError(f"{file} has version {info.get('version')}, this program reads {VERSION}: update labels2masks")
    return info, tensors
