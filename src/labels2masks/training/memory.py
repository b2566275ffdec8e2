"""How tensors lie in memory while a network trains on a CPU, and what becomes of the memory that they free.

Two things cost a step more than its arithmetic explains. Dense 3x3 convolutions run fastest on contiguous maps,
depthwise and 1x1 ones on maps with their channels last: a ResNet under a decoder of separable convolutions wants both.
And glibc gives the memory of every large tensor back to the system and asks for it again in the next step, which
the system answers page by page with zeros: a fifth of a step for maps of 50 MB.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MEMORY_FORMATS = ("channels_last", "contiguous", "mixed")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Parameters of glibc's mallopt (malloc.h)."""


def lay_out(network: nn.Module, memory_format: str | None) -> None:
    """Put weights into a memory format; maps follow the weights that make them.

    memory_format: "contiguous", "channels_last", or "mixed": the part named `encoder` contiguous, the rest not. Where
    there is no such part mixed is channels_last.
    """
    last = memory_format in ("channels_last", "mixed")
    network.to(memory_format=torch.channels_last if last else torch.contiguous_format)  # type: ignore[call-overload]
    if memory_format == "mixed" and hasattr(network, "encoder"):
        network.encoder.to(memory_format=torch.contiguous_format)


def laid_out(images_N3HW: Tensor, memory_format: str | None) -> Tensor:
    """The images in the format of the first weights: decoded photos come with their channels last."""
    last = memory_format == "channels_last"
    return images_N3HW.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, the process keeps freed memory for its next tensors; at the end it gives back what is free.

    On Linux with glibc; elsewhere nothing happens. Peak memory grows by a few percent (fragments).
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        yield
        return
    libc.mallopt(M_MMAP_MAX, 0)
    libc.mallopt(M_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        # A process starts with thresholds that grow with what it frees, up to these; once set they stay.
        libc.mallopt(M_MMAP_MAX, 65536)
        libc.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(M_TRIM_THRESHOLD, 64 << 20)
        libc.malloc_trim(0)
