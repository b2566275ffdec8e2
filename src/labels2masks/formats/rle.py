"""COCO's run lengths as text, and back.

An RLE is {"size": [height, width], "counts": runs}, runs down the columns, zeros first; as text each run is written in
digits of 5 bits from the lowest on, character 48 + digit + 32 where more follow, in two's complement; from the fourth
run on the difference to the run two before. (The format of the COCO API's mask functions, Lin et al. 2014.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..labels.outlines import from_run_lengths

MOST_DIGITS = 7
"""Characters of a run: 35 bits, more than any image has pixels."""


def compressed(counts: Sequence[int]) -> str:
    """The text of uncompressed runs."""
    out = bytearray()
    for i, run in enumerate(counts):
        rest = run - counts[i - 2] if i > 2 else run
        more = True
        while more:
            digit = rest & 31
            rest >>= 5
            more = rest != (-1 if digit & 16 else 0)
            out.append(48 + digit + 32 * more)
    return out.decode("ascii")


def decompressed(text: str) -> np.ndarray:
    """int64 runs of a text. Raises ValueError for other characters and for runs that no image has."""
    digit_N = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if digit_N.size and not (digit_N.min() >= 0 and digit_N.max() < 64 and digit_N[-1] < 32):
        raise ValueError("run lengths as text, characters '0' to 'o'")
    last = np.flatnonzero(digit_N < 32)
    first = np.concatenate([[0], last + 1])[:-1]
    if (last - first >= MOST_DIGITS).any():
        raise ValueError(f"runs of at most {MOST_DIGITS} characters")
    place_N = np.arange(digit_N.size) - np.repeat(first, last - first + 1)
    runs = np.add.reduceat((digit_N & 31) << (5 * place_N), first) if first.size else np.zeros(0, np.int64)
    runs = runs - np.where(digit_N[last] & 16, np.int64(1) << (5 * (last - first + 1)), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def pixels_of_rle(value: Any, height: int, width: int) -> np.ndarray:
    """bool HW of an RLE object. ValueError, before memory is taken, where it does not fit the photo's size."""
    size, counts = (value.get("size"), value.get("counts")) if isinstance(value, dict) else (None, None)
    if size != [height, width]:
        raise ValueError(f"size {[height, width]}, the photo's")
    if isinstance(counts, str):
        return from_run_lengths(decompressed(counts), height, width)  # type: ignore[arg-type]
    if not isinstance(counts, list) or not all(type(c) is int and 0 <= c <= height * width for c in counts):
        raise ValueError("counts as whole numbers or as text")
    return from_run_lengths(counts, height, width)
