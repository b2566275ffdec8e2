"""One matrix of one struct out of a MATLAB 5 file, in memory and time that the file's own bytes bound.

MathWorks, "MAT-File Format", level 5: a header of 128 bytes, then elements of (type, bytes, content); a matrix is an
element of elements, one of type 15 is another element deflated. A general reader makes what the file declares, such
as a struct of 2^31 fields; here nothing is made before its bytes are there, and a deflated element ends at a limit.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np

NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, DEFLATED = 14, 15
STRUCT = 2
LONGEST_NAME, MOST_FIELDS = 64, 1000
HEADER = b"MATLAB 5.0 MAT-file".ljust(116)


def struct_field(data: bytes, variable: str, field: str, most_bytes: int) -> np.ndarray:
    """The numeric matrix `variable.field` of a MATLAB 5 file's content, H x W, whole numbers as int32.

    most_bytes: variables that are longer, all together, when they are inflated are refused. Raises ValueError: what is
        wrong, in a few words.
    """
    if data[:4] == b"\x89HDF" or data[:10] == b"MATLAB 7.3":
        raise ValueError("a MATLAB 7.3 file; expected version 5 to 7: save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(data[126:128])
    if order is None:
        raise ValueError("not a MATLAB 5 file")
    for kind, content in _elements(memoryview(data)[128:], order):
        if kind == DEFLATED:
            inflated = _inflated(content, most_bytes)
            most_bytes -= len(inflated)
            kind, content = next(_elements(memoryview(inflated), order), (0, content))
        if kind == MATRIX:
            parts = _elements(content, order)
            flags = next(parts, (0, memoryview(b"")))[1]
            _dims(parts, order)
            name = bytes(next(parts, (0, memoryview(b"")))[1])
            if name == variable.encode() and len(flags) == 8 and _number(flags[:4], order) & 255 == STRUCT:
                return _field(parts, field, order)
    raise ValueError(f"no struct {variable!r}")


def struct_file(variable: str, fields: dict[str, np.ndarray]) -> bytes:
    """A MATLAB 5 file with one struct, without the time stamp that its header usually holds."""
    from scipy.io import savemat  # half as long to import as all the readers together, and only a writer needs it

    file = io.BytesIO()
    savemat(file, {variable: fields}, do_compression=True)
    return HEADER + file.getvalue()[116:]


def _inflated(content: memoryview, most_bytes: int) -> bytes:
    try:
        made = zlib.decompressobj().decompress(content, most_bytes + 1)
    except zlib.error as error:
        raise ValueError(f"damaged ({error})") from None
    if len(made) > most_bytes:
        raise ValueError("more bytes than a mask of the largest photo has")
    return made


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """(type, content) of the elements one after the other; up to four bytes of content lie within the tag."""
    while len(data) >= 8:
        first = _number(data[:4], order)
        if first >> 16:
            kind, size, start, step = first & 0xFFFF, first >> 16, 4, 8
        else:
            kind, size, start = first, _number(data[4:8], order), 8
            step = 8 + (size if kind == DEFLATED else -(-size // 8) * 8)
        if (start == 4 and size > 4) or start + size > len(data):
            raise ValueError("it ends in the middle of a variable")
        yield kind, data[start : start + size]
        data = data[step:]


def _field(parts: Iterator[tuple[int, memoryview]], field: str, order: str) -> np.ndarray:
    """The matrix of the first element's `field`; parts: what follows the struct's own name."""
    length = next(parts, (0, memoryview(b"")))[1]
    joined = bytes(next(parts, (0, memoryview(b"")))[1])
    width = _number(length, order) if len(length) == 4 else 0
    if not 0 < width <= LONGEST_NAME or len(joined) > MOST_FIELDS * width:
        raise ValueError("a struct whose field names make no sense")
    names = [joined[i : i + width].split(b"\0")[0] for i in range(0, len(joined), width)]
    for name, (kind, content) in zip(names, parts, strict=False):
        if name == field.encode() and kind == MATRIX:
            inner = _elements(content, order)
            next(inner, None)  # flags: the class in memory; how the numbers are stored is said with them
            dims = _dims(inner, order)
            next(inner, None)  # the name, empty in a struct
            kind, content = next(inner, (0, content))
            return _matrix(kind, content, dims, order)
    raise ValueError(f"no field {field!r}")


def _dims(parts: Iterator[tuple[int, memoryview]], order: str) -> tuple[int, ...]:
    content = next(parts, (0, memoryview(b"")))[1]
    return tuple(int(n) for n in np.frombuffer(content[: len(content) // 4 * 4], f"{order}i4"))


def _matrix(kind: int, content: memoryview, dims: tuple[int, ...], order: str) -> np.ndarray:
    if kind not in NUMBERS:
        raise ValueError(f"numbers of type {kind}")
    dtype = np.dtype(order + NUMBERS[kind])
    if len(dims) != 2 or min(dims) < 1 or dims[0] * dims[1] * dtype.itemsize != len(content):
        raise ValueError(f"{len(content)} bytes for a matrix of {'x'.join(map(str, dims))}")
    values = np.frombuffer(content, dtype)
    if dtype.kind == "f" and not (np.isfinite(values).all() and (np.abs(values) < 2**31).all()):
        raise ValueError("numbers that are no ids")
    if dtype.itemsize == 8 and (np.clip(values, -(2**31), 2**31 - 1) != values).any():
        raise ValueError("numbers that are no ids")
    ids = values.astype(np.int32)
    if (ids != values).any():
        raise ValueError("numbers that are no ids")
    return ids.reshape(dims, order="F")


def _number(content: memoryview, order: str) -> int:
    return int.from_bytes(content, "little" if order == "<" else "big")
