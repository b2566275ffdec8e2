"""The one loader of photos and masks: upright RGB bytes, or ids exactly as the file holds them.

Everything that can be refused is refused from the header, before a pixel is decoded: the
format (a short allow-list), the number of pixels (178 million; the environment variable
L2M_MAX_PIXELS sets another limit), 16 bits without levels, more than three bands. Every
failure, whatever library it comes from, is a `DataError` of one line that names the file.

Legend: H, W = pixels of the upright image.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin

from ..classes import Colour
from ..errors import DataError
from .matlab import struct_field

FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP", "GIF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm"})
LARGEST = 178_956_970
"""Pixels above which a file is refused; Pillow's own limit for a decompression bomb."""

Levels = tuple[float, float] | Literal["percentile"]

_TURNED = frozenset({5, 6, 7, 8})
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1", b"avif")

# Pillow warns from half of its limit on; ours is checked by hand in `_header`.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_image(path: Path | str, levels: Levels | None = None) -> np.ndarray:
    """uint8 H x W x 3, RGB, upright (the EXIF orientation is applied here and nowhere else).

    Grey, palette and CMYK photos become RGB; an alpha channel is dropped, the colours under it stay.
    levels: for photos of more than 8 bits: the values that become 0 and 255, or "percentile"
        (the photo's own 0.5 and 99.5 %). Photos of 8 bits are never stretched.

    Raises DataError: no such file, unknown or damaged, too large, HEIC, more than 8 bits without
    `levels`, more than three bands.
    """
    data = _bytes(path)
    image, bits = _header(path, data)
    orientation = _orientation(image)
    if bits > 8:
        if levels is None:
            raise DataError(
                f"{path}: {bits} bits a channel; 8 are read as they are: say what is black and white "
                "with --levels LOW HIGH or --levels percentile"
            )
        return _upright(_stretched(path, data, levels), orientation)
    # OpenCV decodes an ordinary JPEG to the same bytes a third faster, but it also decodes half a
    # file without a word: only what ends in the end marker goes there.
    if image.format == "JPEG" and image.mode == "RGB" and data.endswith(b"\xff\xd9"):
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        bgr_HW3 = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        if bgr_HW3 is not None and bgr_HW3.shape[:2] == (image.height, image.width):
            return _upright(cv2.cvtColor(bgr_HW3, cv2.COLOR_BGR2RGB), orientation)
    try:
        rgb_HW3 = np.array(image.convert("RGB"))
    except Exception as error:
        raise _damaged(path, error) from error
    return _upright(rgb_HW3, orientation)


def image_size(path: Path | str) -> tuple[int, int]:
    """(height, width) of the upright image, from the header alone. Raises DataError."""
    with _opened(path) as file:
        image, _ = _header(path, file)
        orientation = _orientation(image)
        return (image.width, image.height) if orientation in _TURNED else (image.height, image.width)


def image_orientation(path: Path | str) -> int:
    """EXIF orientation 1..8 of a photo, 1 where it says none. Raises DataError."""
    with _opened(path) as file:
        return _orientation(_header(path, file)[0])


def read_mask(path: Path | str, colours: Mapping[Colour, int] | None = None) -> np.ndarray:
    """int32 H x W: the ids as stored (grey value, palette index, 16 bits or 1 bit), never converted.

    colours: RGB -> id, for masks saved as RGB; every pixel must have one of these colours. EXIF
    has no say: a mask is what it is. A file .mat is a class mask of SBD, GTcls.Segmentation.

    Raises DataError: no such file, damaged, a JPEG (its ids are blurred), colours without or
    outside the table, a see-through channel that is not uniform.
    """
    data = _bytes(path)
    if Path(path).suffix.lower() == ".mat":
        return _ids_of_mat(path, data)
    image, _ = _header(path, data)
    if image.format == "JPEG":
        raise DataError(f"{path}: a JPEG blurs the ids of a mask; export masks as PNG")
    try:
        values = np.array(image)
    except Exception as error:
        raise _damaged(path, error) from error
    if image.mode in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        ids_HW = values.astype(np.int32)
        if ids_HW.size and not 0 <= ids_HW.min() <= ids_HW.max() <= 65535:
            raise DataError(f"{path}: ids {ids_HW.min()}..{ids_HW.max()}; a mask holds ids 0..65535")
        return ids_HW
    if image.mode in ("LA", "PA") and (values[..., 1] == values[0, 0, 1]).all():
        return values[..., 0].astype(np.int32)
    if image.mode in ("RGB", "RGBA"):
        return _ids_of_colours(path, values[..., :3], colours)
    raise DataError(f"{path}: a mask of mode {image.mode}; expected one channel of ids: save it as an indexed PNG")


def read_segments(path: Path | str, file_ids: Mapping[int, int]) -> np.ndarray:
    """int32 H x W of a panoptic PNG, in which a pixel's segment is red + 256 green + 65536 blue.

    file_ids: segment -> id; any other segment is -1, void. Raises DataError.
    """
    data = _bytes(path)
    image, _ = _header(path, data)
    if image.format == "JPEG" or image.mode not in ("RGB", "RGBA"):
        raise DataError(f"{path}: a panoptic mask of {image.format}, mode {image.mode}; expected PNG in RGB")
    try:
        rgb_HW3 = np.array(image)[..., :3].astype(np.int32)
    except Exception as error:
        raise _damaged(path, error) from error
    values, place_HW = np.unique(rgb_HW3 @ np.array([1, 256, 65536], np.int32), return_inverse=True)
    ids = np.array([file_ids.get(int(v), -1) for v in values], np.int32)
    return ids[place_HW.reshape(rgb_HW3.shape[:2])]


def mask_palette(path: Path | str) -> tuple[Colour, ...]:
    """The palette of an indexed mask, empty where it has none. Raises DataError."""
    with _opened(path) as file:
        image, _ = _header(path, file)
        flat = (image.getpalette() or []) if image.mode == "P" else []
        return tuple((flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat) - 2, 3))


def most_pixels() -> int:
    """The size limit: L2M_MAX_PIXELS, else 178 million."""
    text = os.environ.get("L2M_MAX_PIXELS", "")
    if text and not text.isdigit():
        raise DataError(f"L2M_MAX_PIXELS={text!r}; expected a whole number of pixels")
    return int(text) if text else LARGEST


def _opened(path: Path | str) -> io.BufferedReader:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _bytes(path: Path | str) -> bytes:
    with _opened(path) as file:
        try:
            return file.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _header(path: Path | str, source: bytes | io.BufferedReader) -> tuple[Image.Image, int]:
    """(the image, not yet decoded; bits per channel), after every check that needs no pixel."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    head = file.read(32)
    file.seek(0)
    if not head:
        raise DataError(f"{path}: an empty file; expected an image: copy it again")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        raise DataError(f"{path}: a HEIC/AVIF photo; expected JPEG, PNG or TIFF: convert it first (export as JPEG)")
    limit = most_pixels()
    if Image.MAX_IMAGE_PIXELS is not None and limit > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # a person asked for it by L2M_MAX_PIXELS
    try:
        bits = _tiff_bits(path, file) if head[:2] in (b"II", b"MM") else head[24] if head[1:4] == b"PNG" else 8
        file.seek(0)
        image = Image.open(file, formats=FORMATS)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: {error}".split(",")[0] + f"; the limit is {limit}: {_SMALLER}") from None
    except Exception as error:  # damaged headers raise nearly anything
        raise DataError(
            f"{path}: not a readable image; expected {', '.join(FORMATS)}: open and save it anew"
        ) from error
    if image.width * image.height > limit:
        raise DataError(f"{path}: {image.width}x{image.height} pixels; the limit is {limit}: {_SMALLER}")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        bits = max(bits, 16)
    elif image.format == "PPM" and image.mode == "RGB" and image.tile and image.tile[0].codec_name != "raw":
        bits = 16  # Pillow scales 16-bit PPM down by itself
    return image, bits


_SMALLER = "cut or shrink it, or set L2M_MAX_PIXELS"


def _tiff_bits(path: Path | str, file: io.BytesIO | io.BufferedReader) -> int:
    """Bits per channel of a TIFF; bands are counted here because Pillow reads RGB + infra-red as RGB + alpha."""
    ifh = file.read(8)
    if ifh[2] == 43 or ifh[3] == 43:  # BigTIFF
        ifh += file.read(8)
    tags = TiffImagePlugin.ImageFileDirectory_v2(ifh)
    file.seek(tags.next)
    tags.load(file)
    bits = tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 1)
    alpha = [x for x in tags.get(TiffImagePlugin.EXTRASAMPLES, ()) if x in (1, 2)]
    real = samples - len(alpha[:1])
    if real > 3 and photometric != 5:
        raise DataError(f"{path}: {real} bands; 3 are read (RGB): write the three that you want as an 8-bit RGB file")
    return max(bits) if isinstance(bits, tuple) else int(bits)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8. Pillow turns a TIFF by itself; a PNG says it before its pixels or not at all."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    try:
        value = image.getexif().get(274, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return 1
    return value if value in range(1, 9) else 1


def _upright(image_HWc: np.ndarray, orientation: int) -> np.ndarray:
    """Undo an EXIF orientation (EXIF 2.3, tag 274: where row 0 and column 0 are seen)."""
    if orientation in _TURNED:
        image_HWc = image_HWc.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image_HWc = image_HWc[::-1]
    if orientation in (2, 3, 6, 7):
        image_HWc = image_HWc[:, ::-1]
    return np.ascontiguousarray(image_HWc)


def _stretched(path: Path | str, data: bytes, levels: Levels) -> np.ndarray:
    """uint8 HW3 of a deeper photo: `levels` become 0 and 255, linearly."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype.kind not in "uif":
        raise DataError(f"{path}: a damaged or unusual file of more than 8 bits; write it as 8-bit RGB")
    values = values[..., None] if values.ndim == 2 else values
    if values.shape[2] not in (1, 3, 4):
        raise DataError(f"{path}: {values.shape[2]} bands; 3 are read (RGB): write them as an 8-bit RGB file")
    values = (values[..., 2::-1] if values.shape[2] > 1 else np.repeat(values, 3, axis=2)).astype(np.float32)
    if levels == "percentile":
        finite = values[np.isfinite(values)]
        low, high = np.percentile(finite, (0.5, 99.5)) if finite.size else (0.0, 1.0)
    else:
        low, high = levels
    scaled = (np.nan_to_num(values, nan=low) - low) * (255.0 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _ids_of_mat(path: Path | str, data: bytes) -> np.ndarray:
    limit = most_pixels()
    try:
        ids_HW = struct_field(data, "GTcls", "Segmentation", limit)
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected a class mask of SBD, GTcls.Segmentation: copy it again") from error
    if not 0 <= ids_HW.min() <= ids_HW.max() <= 65535:
        raise DataError(f"{path}: ids {ids_HW.min()}..{ids_HW.max()}; a mask holds ids 0..65535")
    return ids_HW


def _ids_of_colours(path: Path | str, rgb_HW3: np.ndarray, colours: Mapping[Colour, int] | None) -> np.ndarray:
    remedy = "save one channel of ids, or give the classes' colours in classes.json or class_dict.csv"
    if not colours:
        raise DataError(f"{path}: a mask saved as RGB; expected one channel of ids: {remedy}")
    packed_HW = (rgb_HW3.astype(np.int32) << np.array([16, 8, 0], np.int32)).sum(axis=2, dtype=np.int32)
    values, place_HW = np.unique(packed_HW, return_inverse=True)
    table = {(r << 16) | (g << 8) | b: i for (r, g, b), i in colours.items()}
    unknown = [(v >> 16, v >> 8 & 255, v & 255) for v in map(int, values) if v not in table]
    if unknown:
        raise DataError(
            f"{path}: a mask saved as RGB with {len(unknown)} colours that no class has, such as {unknown[0]}; {remedy}"
        )
    return np.array([table[int(v)] for v in values], np.int32)[place_HW.reshape(packed_HW.shape)]


def _damaged(path: Path | str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"{path}: damaged ({reason}); expected a whole image: copy or export it again")
