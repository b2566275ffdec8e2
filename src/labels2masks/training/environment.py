"""Where a run was made: what a person needs to make it again, and nothing that says whose machine it was."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..kernels import variant
from .plan import available_cores

PACKAGES = (
    *("torch", "torchvision", "timm", "accelerate", "safetensors", "numpy", "pillow", "scikit-image"),
    *("opencv-python-headless", "pydantic"),
)


def environment(threads: int | None, processes: int) -> dict[str, Any]:
    """JSON values: versions, processor, memory in GiB, GPUs, threads and processes that trained. No names, no paths."""
    return {
        "labels2masks": __version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES if _installed(name)},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": _memory(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "kernels": variant(),
        "threads": threads,
        "processes": processes,
    }


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def _processor() -> str:
    """The model's name: Linux keeps it in a file only, elsewhere `platform` knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _memory() -> float | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None  # Windows
    return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
