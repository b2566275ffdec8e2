"""Maps and masks of other tools: where they lie, what their numbers mean, and files that are made to hurt."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from formats.contracts_reader import damaged
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError
from labels2masks.formats.dataset import Photo
from labels2masks.formats.maps import read_maps, read_saliency, read_segments_of
from labels2masks.prediction.write import write_scores

H, W = 12, 18
CLASSES = Classes(("background", "cat", "dog"), background="background")
NAMES = CLASSES.names
HALF = np.repeat(np.linspace(0, 1, H, dtype=np.float32)[:, None], W, axis=1)


def photo(folder: Path, name: str = "sub/a", size: tuple[int, int] = (H, W)) -> Photo:
    path = folder / "photos" / f"{Path(name).name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1]).save(path)
    return Photo(name, path, (), Vocabulary.same(CLASSES))


def png(path: Path, values: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    (image if mode is None else image.convert(mode)).save(path)
    return path


def npz(path: Path, **arrays) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)
    return path


@pytest.mark.parametrize("place", ["maps/cat/sub/a.png", "maps/sub/a/cat.png"])
@pytest.mark.parametrize(
    ("values", "exact"),
    [
        ((HALF * 255).astype(np.uint8), 1 / 255),
        ((HALF * 65535).astype(np.uint16), 1 / 65535),
        (np.repeat((HALF * 255).astype(np.uint8)[..., None], 3, axis=2), 1 / 255),
    ],
)
def test_pictures_of_a_class(tmp_path, place, values, exact):
    a = photo(tmp_path)
    png(tmp_path / place, values)
    maps = read_maps(tmp_path / "maps", a, NAMES)
    assert list(maps) == ["cat"] and maps["cat"].dtype == np.float32
    np.testing.assert_allclose(maps["cat"], HALF, atol=exact)
    assert read_segments_of(tmp_path / "maps", a) is None and read_saliency(tmp_path / "maps", a) is None


def test_masks_are_masks_and_faint_maps_are_faint(tmp_path):
    a = photo(tmp_path)
    png(tmp_path / "cat" / "sub" / "a.png", HALF > 0.5)  # 1 bit
    png(tmp_path / "dog" / "sub" / "a.png", (HALF > 0.5).astype(np.uint8))  # 1 of 255
    maps = read_maps(tmp_path, a, NAMES)
    np.testing.assert_array_equal(maps["cat"], HALF > 0.5)
    assert maps["dog"].max() < 0.004, "the map of a class that is hardly there"
    indexed = Image.fromarray((HALF * 9).astype(np.uint8))
    indexed.putpalette(list(range(256)) * 3)
    indexed.save(tmp_path / "dog" / "sub" / "a.png")
    with pytest.raises(DataError, match="indexed colours"):
        read_maps(tmp_path, a, NAMES)
    png(tmp_path / "dog" / "sub" / "a.png", np.stack([HALF, HALF, 0 * HALF], axis=2).astype(np.uint8))
    with pytest.raises(DataError, match="coloured"):
        read_maps(tmp_path, a, NAMES)


def test_arrays_by_name_and_of_any_size(tmp_path):
    a = photo(tmp_path)
    npz(tmp_path / "sub" / "a.npz", cat=HALF.astype(np.float16), dog=np.ones((4, 6), bool), cow=HALF)
    maps = read_maps(tmp_path, a, NAMES)
    assert list(maps) == ["cat", "dog"] and (maps["dog"] == 1).all() and maps["dog"].shape == (H, W)
    npz(tmp_path / "sub" / "a.npz", cat=np.kron(HALF, np.ones((2, 2), np.float32)))
    np.testing.assert_allclose(read_maps(tmp_path, a, NAMES)["cat"], HALF, atol=1e-6)
    coarse = np.array([[0, 1, 1], [0, 1, 1], [0, 1, 1]], np.float32)  # square, as a ViT's
    npz(tmp_path / "sub" / "a.npz", cat=coarse)
    row = read_maps(tmp_path, a, NAMES)["cat"][0]
    assert (np.diff(row) >= 0).all() and row[0] == 0 and row[-1] == 1 and 0.4 < row[5:7].mean() < 0.6


def test_what_predict_writes(tmp_path):
    a = photo(tmp_path)
    probabilities_CHW = np.stack([1 - HALF, HALF, 0 * HALF])
    write_scores(tmp_path / "maps" / "sub" / "a.npz", probabilities_CHW, CLASSES)
    maps = read_maps(tmp_path / "maps", a, NAMES)
    np.testing.assert_allclose(np.stack([maps[n] for n in NAMES]), probabilities_CHW, atol=1e-3)


def test_saliency_and_segments(tmp_path):
    a = photo(tmp_path)
    png(tmp_path / "sub" / "a.png", (HALF * 255).astype(np.uint8))
    png(tmp_path / "sub" / "a" / "10.png", (HALF > 0.5).astype(np.uint8))
    png(tmp_path / "sub" / "a" / "2.png", (HALF <= 0.5).astype(np.uint8) * 255)
    (tmp_path / "sub" / "a" / "metadata.csv").write_text("id\n")
    np.testing.assert_allclose(read_saliency(tmp_path, a), HALF, atol=1 / 255)
    segments = read_segments_of(tmp_path, a)
    assert segments.dtype == bool and (segments == [HALF <= 0.5, HALF > 0.5]).all(), "2 before 10"
    np.save(tmp_path / "sub" / "a.npy", np.stack([HALF > 0.3, HALF > 0.7, HALF < 0]))
    assert (read_segments_of(tmp_path, a) == [HALF > 0.3, HALF > 0.7, HALF < 0]).all()
    np.save(tmp_path / "sub" / "a.npy", HALF)
    assert (read_saliency(tmp_path, a) == HALF).all() and read_maps(tmp_path, a, NAMES) == {}


@pytest.mark.parametrize("name", ["../photos/a", "/etc/passwd", "a/../../a", "", "C:\\a", "a\x00b", "sub\\a"])
def test_names_lead_nowhere(tmp_path, name):
    found = photo(tmp_path, "a")
    png(tmp_path / "photos" / "cat.png", np.ones((H, W), bool))
    png(tmp_path / "photos" / "a" / "cat.png", np.ones((H, W), bool))
    (tmp_path / "maps").mkdir()
    lost = Photo(name, found.image, (), found.vocabulary)
    assert read_maps(tmp_path / "maps", lost, (*NAMES, "../photos/cat", "..")) == {}
    assert read_saliency(tmp_path / "maps", lost) is None and read_segments_of(tmp_path / "maps", lost) is None


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"cat": HALF * np.nan}, "not within 0..1"),
        ({"cat": HALF * 9}, "not within 0..1"),
        ({"cat": HALF - 0.5}, "not within 0..1"),
        ({"cat": HALF.T}, "expected its shape"),
        ({"cat": HALF[None]}, "one map"),
        ({"cat": HALF.astype(np.int64)}, "int64"),
        ({"cat": HALF, "classes": np.array(["cat"])}, r"\(classes, h, w\)"),
        ({"p": np.stack([HALF, HALF]), "classes": np.array(["cat"])}, r"\(classes, h, w\)"),
        ({"classes": np.array(["cat"])}, "no other array"),
        ({"cat": np.array([{}], object)}, "no readable array"),
        ({"cat": np.zeros((500, 750), bool)}, "too large"),
    ],
)
def test_arrays_that_are_no_maps(tmp_path, arrays, says):
    a = photo(tmp_path)
    npz(tmp_path / "sub" / "a.npz", **arrays)
    with pytest.raises(DataError, match=says) as caught:
        read_maps(tmp_path, a, NAMES)
    assert "\n" not in str(caught.value)


def bomb(path: Path, shape: tuple[int, ...]) -> Path:
    """An archive of a few kilobytes whose array is said to have this shape."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|b1", "fortran_order": False, "shape": shape})
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat.npy", head.getvalue() + bytes(1_000_000))
    return path


@pytest.mark.parametrize("shape", [(100_000, 100_000), (10**12, H, W), (10**12,), (-1, -1)])
def test_bombs_take_no_memory(tmp_path, shape):
    a = photo(tmp_path)
    bomb(tmp_path / "sub" / "a.npz", shape)
    tracemalloc.start()
    for read in (lambda f, p: read_maps(f, p, NAMES), read_saliency, read_segments_of):
        try:
            assert read(tmp_path, a) is None, "not of this layout"
        except DataError as error:
            assert "\n" not in str(error)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()
    Image.new("L", (3000, 2000)).save(tmp_path / "sub" / "a.png")
    (tmp_path / "sub" / "a.npz").unlink()
    with pytest.raises(DataError, match="too large"):
        read_saliency(tmp_path, a)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    a = photo(folder)
    kind = data.draw(st.sampled_from(["a.npz", "a.npy", "a.png"]))
    if kind == "a.npz":
        file = npz(folder / "sub" / kind, cat=HALF)
    elif kind == "a.npy":
        (folder / "sub").mkdir()
        np.save(file := folder / "sub" / kind, np.stack([HALF > 0.5]))
    else:
        file = png(folder / "sub" / kind, (HALF * 255).astype(np.uint8))
    file.write_bytes(damaged(file.read_bytes(), data.draw))
    for read in (
        lambda: read_maps(folder, a, NAMES),
        lambda: read_saliency(folder, a),
        lambda: read_segments_of(folder, a),
    ):
        try:
            read()
        except DataError as error:
            assert "\n" not in str(error)
