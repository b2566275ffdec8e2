"""Fast paths on the CPU: a small C++ extension, and beside each kernel the plain numpy that defines it.

The extension is optional. Where it was not built, the reference serves, with one warning
at first use; `L2M_REQUIRE_KERNELS=1` makes that an error (tests and CI set it).
"""

from __future__ import annotations

import os
import warnings
from importlib import import_module
from types import ModuleType

_kernels: ModuleType | None = None
try:
    _kernels = import_module("._kernels", __name__)
except ImportError as error:
    _why = str(error)

_warned = False


def extension() -> ModuleType | None:
    """The compiled kernels, or None where the reference must serve.

    Raises RuntimeError where `L2M_REQUIRE_KERNELS=1` is set and they are missing.
    """
    global _warned
    if _kernels is None:
        remedy = "install a C++ compiler and run: pip install --force-reinstall --no-deps labels2masks"
        if os.environ.get("L2M_REQUIRE_KERNELS", "0") not in ("", "0"):
            raise RuntimeError(f"the compiled kernels are required and missing ({_why}); {remedy}")
        if not _warned:
            warnings.warn(f"no compiled kernels, the slower reference serves ({_why}); {remedy}", stacklevel=3)
        _warned = True
    return _kernels


def variant() -> str:
    """The instruction set the kernels use here ('avx512', 'avx2', 'baseline'), or 'numpy' without the extension."""
    return "numpy" if _kernels is None else _kernels.variant()
