"""The one loader: upright RGB, ids untouched, and one clear line for every bad file."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from labels2masks.errors import DataError
from labels2masks.formats.image import image_size, read_image, read_mask

RNG = np.random.default_rng(0)
PHOTO = np.kron(RNG.integers(0, 256, (3, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def fails(read, path: Path, *words: str) -> None:
    with pytest.raises(DataError) as caught:
        read(path)
    text = str(caught.value)
    assert path.name in text and "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_upright_once(tmp_path, orientation, suffix):
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[274] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == "jpg" else {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(PHOTO).save(path, exif=exif, **options)
    turned = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1)}
    turned |= {6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a.swapaxes(0, 1), 2), 8: np.rot90}
    expected = turned.get(orientation, lambda a: a)(PHOTO)
    image = read_image(path)
    assert image.shape == expected.shape and image_size(path) == expected.shape[:2]
    assert np.abs(image.astype(int) - expected).max() <= (12 if suffix == "jpg" else 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_are_read_right(tmp_path, mode):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image = Image.fromarray(PHOTO).convert(mode)
    image.save(path)
    assert np.array_equal(read_image(path), np.asarray(image.convert("RGB")))
    assert image_size(path) == PHOTO.shape[:2]


def test_cmyk_jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PHOTO).convert("CMYK").save(path, quality=95)
    assert np.abs(read_image(path).astype(int) - PHOTO).mean() < 6


def test_jpeg_equals_pillow(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(PHOTO).save(path)
    quick = read_image(path)
    path.write_bytes(path.read_bytes() + b"trailing")
    assert np.array_equal(quick, read_image(path))


def test_16_bits_need_levels(tmp_path):
    deep = (np.arange(48, dtype=np.uint16) * 1000).reshape(6, 8)
    for name in ("grey.png", "grey.tif"):
        Image.fromarray(deep).save(tmp_path / name)
        fails(read_image, tmp_path / name, "16 bits", "--levels")
        image = read_image(tmp_path / name, levels=(0, 47000))
        assert image.shape == (6, 8, 3) and image[0, 0, 0] == 0 and image[-1, -1, 2] == 255
    colour = np.stack([deep, deep[::-1], deep[:, ::-1]], axis=2)
    cv2.imwrite(str(tmp_path / "rgb.png"), colour[..., ::-1])
    fails(read_image, tmp_path / "rgb.png", "16 bits")
    image = read_image(tmp_path / "rgb.png", levels=(0, 65535))
    assert np.array_equal(image, np.rint(colour / 257).astype(np.uint8))
    assert read_image(tmp_path / "rgb.png", levels="percentile").max() == 255


def test_bad_photos(tmp_path):
    whole = tmp_path / "whole.jpg"
    Image.fromarray(np.tile(PHOTO, (8, 8, 1))).save(whole)
    for name, data in {
        "half.jpg": whole.read_bytes()[:1500],
        "empty.jpg": b"",
        "text.png": b"hello",
    }.items():
        (tmp_path / name).write_bytes(data)
        fails(read_image, tmp_path / name)
    fails(read_image, tmp_path / "gone.jpg", "no such file")
    heic = tmp_path / "phone.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    fails(read_image, heic, "HEIC", "JPEG")
    (tmp_path / "half.png").write_bytes(b"")
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "half.png")
    data = (tmp_path / "half.png").read_bytes()
    (tmp_path / "half.png").write_bytes(data[: len(data) // 2])
    fails(read_image, tmp_path / "half.png", "damaged")


def test_huge_header_is_refused_before_decoding(tmp_path, monkeypatch):
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    def png(side: int) -> bytes:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    for side in (14_000, 60_000):
        (tmp_path / "huge.png").write_bytes(png(side))
        fails(read_image, tmp_path / "huge.png", "limit")
        fails(image_size, tmp_path / "huge.png", "limit")
    Image.fromarray(PHOTO).save(tmp_path / "small.png")
    monkeypatch.setenv("L2M_MAX_PIXELS", "100")
    fails(read_image, tmp_path / "small.png", "L2M_MAX_PIXELS")


def test_more_than_three_bands(tmp_path):
    path = tmp_path / "bands.tif"
    Image.fromarray(np.dstack([PHOTO, PHOTO[..., 0]])).save(path)
    assert read_image(path).shape == PHOTO.shape  # real alpha
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack("<HHI", 338, 3, 1)) + 8
    data[at : at + 2] = struct.pack("<H", 0)  # "unspecified": infra-red, for instance
    path.write_bytes(bytes(data))
    fails(read_image, path, "4 bands", "RGB")


def test_masks_are_indices(tmp_path):
    ids = np.array([[0, 1, 255], [7, 11, 3]], np.uint8)
    palette = Image.fromarray(ids)
    palette.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tobytes())
    palette.save(tmp_path / "p.png")
    Image.fromarray(ids).save(tmp_path / "l.png")
    Image.fromarray(ids.astype(np.uint16) + 900).save(tmp_path / "i.png")
    Image.fromarray(ids > 5).save(tmp_path / "b.png")
    for name, expected in {"p": ids, "l": ids, "i": ids.astype(int) + 900, "b": ids > 5}.items():
        mask = read_mask(tmp_path / f"{name}.png")
        assert mask.dtype == np.int32 and np.array_equal(mask, expected)


def test_masks_in_colour_need_a_table(tmp_path):
    colours = {(0, 0, 0): 0, (128, 0, 0): 7}
    rgb = np.array([[(0, 0, 0), (128, 0, 0)]], np.uint8)
    Image.fromarray(rgb).save(tmp_path / "m.png")
    fails(read_mask, tmp_path / "m.png", "RGB", "classes.json")
    assert read_mask(tmp_path / "m.png", colours).tolist() == [[0, 7]]
    Image.fromarray(rgb + 1).save(tmp_path / "n.png")
    with pytest.raises(DataError, match="2 colours"):
        read_mask(tmp_path / "n.png", colours)
    Image.fromarray(rgb[..., 0]).save(tmp_path / "m.jpg")
    fails(read_mask, tmp_path / "m.jpg", "JPEG", "PNG")
