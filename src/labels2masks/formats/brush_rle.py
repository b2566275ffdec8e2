"""The run-length code of Label Studio's brush: an RGBA picture, of which the alpha says where was painted.

A stream of bits, the highest of each byte first. Its head: 32 bits, the number of words; 5 bits, the bits of a word
less one; four times 4 bits, the bits of a length field less one. Then blocks until all words are there: 1 bit, whether
one word is repeated; 2 bits, which of the four length fields follows; the length less one; and one word, or as many
words as the length says. The words are red, green, blue and alpha of every pixel, in rows.
(The layout is that of the JavaScript package @thi.ng/rle-pack, which the labelling page uses.)

Legend: H, W = pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LENGTH_BITS = (3, 4, 8, 16)
"""Of the length fields that we write, as the labelling page does."""


def decoded(code: Sequence[int], height: int, width: int) -> np.ndarray:
    """bool HW: where the alpha is above 0.

    code: the stream's bytes. height, width: of the photo, known from elsewhere: nothing larger is ever held.
    Raises ValueError for a stream of another size, a broken one, and what is no stream of bytes.
    """
    try:
        stream = bytes(code)
    except TypeError:
        raise ValueError("a brush stroke is a list of whole numbers 0..255") from None
    bits = _Bits(stream)
    words = bits.read(32)
    word_bits = bits.read(5) + 1
    length_bits = [bits.read(4) + 1 for _ in range(4)]
    if words != 4 * height * width:
        raise ValueError(f"a brush stroke of {words} words for a photo of {width}x{height}, expected 4 a pixel")
    painted = np.zeros(height * width, bool)
    at = 0
    while at < words:
        repeated = bits.read(1)
        length = bits.read(length_bits[bits.read(2)]) + 1
        end = at + length
        if end > words:
            raise ValueError("a brush stroke that runs beyond its end")
        if repeated:
            if bits.read(word_bits):
                painted[at // 4 : end // 4] = True  # word 4 p + 3, a pixel's alpha, is in at..end for just these p
        else:
            start = bits.at
            bits.skip(length * word_bits)
            for i in range((3 - at) % 4, length, 4):
                painted[(at + i) // 4] = bits.peek(start + i * word_bits, word_bits) > 0
        at = end
    return painted.reshape(height, width)


def encoded(painted_HW: np.ndarray) -> list[int]:
    """The stream's bytes for a bool HW: white and opaque where it is True, nothing elsewhere."""
    flat = painted_HW.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]])
    made = [f"{4 * flat.size:032b}{7:05b}", *(f"{n - 1:04b}" for n in LENGTH_BITS)]
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        word = f"{255 if flat[start] else 0:08b}"
        left = 4 * (end - start)
        while left:
            length = min(left, 1 << LENGTH_BITS[-1])
            field = next(i for i, n in enumerate(LENGTH_BITS) if length <= 1 << n)
            made.append(f"1{field:02b}{length - 1:0{LENGTH_BITS[field]}b}{word}")
            left -= length
    text = "".join(made)
    text += "0" * (-len(text) % 8)
    return list(int(text, 2).to_bytes(len(text) // 8, "big"))


class _Bits:
    """Reads whole numbers from a stream of bits. ValueError at its end."""

    def __init__(self, stream: bytes):
        self.stream, self.at = stream, 0

    def read(self, count: int) -> int:
        self.skip(count)
        return self.peek(self.at - count, count)

    def skip(self, count: int) -> None:
        self.at += count
        if self.at > 8 * len(self.stream):
            raise ValueError("a brush stroke that ends too early")

    def peek(self, at: int, count: int) -> int:
        end = at + count
        return int.from_bytes(self.stream[at // 8 : -(-end // 8)], "big") >> (-end % 8) & ((1 << count) - 1)
