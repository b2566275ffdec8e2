"""SBD, Cityscapes, ADE20K, CamVid and mask folders: their facts, their traps, and round trips without loss."""

import json
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from formats.contracts_reader import damaged, reads_or_refuses, writer_contract
from formats.mask_layouts import IDS, POLYGONS, make_ade20k, make_cityscapes, make_sbd, save, text
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy.io import loadmat, savemat
from scipy.ndimage import binary_erosion

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats import ade20k, camvid, cityscapes, folder, jsonl, sbd, voc
from labels2masks.formats.convert import WRITERS, convert
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.formats.image import read_mask
from labels2masks.formats.matlab import struct_field, struct_file
from labels2masks.formats.open import open_dataset
from labels2masks.labels import Mask, Region, Regions, Tags

FULL_COLOUR = bytes(np.random.default_rng(0).permutation(256).astype(np.uint8)) * 3


def named(photo: Photo) -> np.ndarray | None:
    """Class name of every pixel, '' = void; None without a mask."""
    if not photo.has_mask:
        return None
    made = photo.candidates(*photo.loaded()[0].shape[:2])
    sets_KC = made.sets_KC
    of_row = ["" if s.all() or not s.any() else "|".join(np.array(photo.vocabulary.target.names)[s]) for s in sets_KC]
    return np.array(of_row)[made.index_HW]


def same_masks(data: Dataset, again: Dataset) -> None:
    assert len(data) == len(again)
    for photo in data:
        other = next(p for p in again if p.name == photo.name)
        ours, theirs = named(photo), named(other)
        assert (ours is None) == (theirs is None)
        assert ours is None or (ours == theirs).all()


LISTS = {
    voc: Classes(("background", "cat", "dog"), background="background", file_ids=(0, 255, 300)),
    sbd: voc.CLASSES,
    cityscapes: cityscapes.CLASSES,
    ade20k: ade20k.CLASSES,
    camvid: camvid.CLASSES,
    folder: Classes(("a", "b", "c"), file_ids=(255, 7, 60000), void_ids=frozenset()),
    jsonl: Classes(("a", "b"), file_ids=(0, 255), void_ids=frozenset()),
}


def drawn(draw, classes: Classes, root: Path) -> Dataset:
    """Three photos; the last has no mask. Masks of random classes and void pixels."""
    vocabulary = Vocabulary.same(classes)
    photos = []
    for i, name in enumerate(("a_1", "sub_b", "c")):
        height, width = draw(st.integers(1, 6)), draw(st.integers(1, 6))
        ids = draw(st.lists(st.sampled_from([-1, *classes.file_ids]), min_size=height * width, max_size=height * width))
        image = save(root / f"{name}.{'jpg' if i else 'png'}", np.zeros((height, width, 3), np.uint8))
        mask = Mask(ids_HW=np.array(ids, np.int32).reshape(height, width))
        photos.append(Photo(name, image, (mask,) if i < 2 else (), vocabulary))
    splits = {"train": ("a_1", "c"), "val": ("sub_b",)}
    return Dataset(classes, tuple(photos), splits)


@pytest.mark.parametrize("module", LISTS, ids=lambda m: m.__name__.rsplit(".", 1)[-1])
@settings(max_examples=12)
@given(data=st.data())
def test_round_trip(module, data):
    with TemporaryDirectory() as folder_name:
        root = Path(folder_name)
        before = drawn(data.draw, LISTS[module], root / "photos")
        after = writer_contract(module, before, root / "set")
        assert after.classes.names == before.classes.names
        assert {s: set(n) for s, n in after.splits.items()} == {s: set(n) for s, n in before.splits.items()}
        same_masks(before, after)


def test_cambridge_classes_are_written_in_colours(tmp_path):
    ids_HW = np.array([[*camvid.CAMBRIDGE.file_ids, -1]], np.int32)
    photo = Photo("a", save(tmp_path / "a.png", np.zeros((1, 32, 3), np.uint8)), (Mask(ids_HW=ids_HW),), None)
    data = Dataset(camvid.CAMBRIDGE, (Photo(photo.name, photo.image, photo.labels, Vocabulary.same(camvid.CAMBRIDGE)),))
    again = writer_contract(camvid, data, tmp_path / "set")
    assert again.classes == camvid.CAMBRIDGE
    same_masks(data, again)
    with Image.open(tmp_path / "set" / "train_labels" / "a_L.png") as image:
        assert image.mode == "RGB" and image.getpixel((0, 0)) == (64, 128, 64) and image.getpixel((31, 0)) == (0, 0, 0)


def test_camvid_as_cambridge_published_it(tmp_path):
    colours = np.zeros((12, 16, 3), np.uint8)
    colours[:6] = 128
    for name in ("0001TP_006690", "Seq05VD_f00000"):
        save(tmp_path / camvid.STILLS / f"{name}.png")
        save(tmp_path / camvid.APPROVED / f"{name}_L.png", colours)
    data = open_dataset(tmp_path)
    assert data.format == "camvid" and len(data.classes) == 31 and set(named(data.photos[0]).ravel()) == {"Sky", ""}
    table = "64 128 64\tAnimal\n128 128 128\t\tSky\n0 0 0\tVoid\n"
    text(tmp_path / "label_colors.txt", table)
    data = open_dataset(tmp_path)
    assert data.classes.names == ("Animal", "Sky") and data.classes.void_ids == {2, 255}
    assert set(named(data.photos[1]).ravel()) == {"Sky", ""}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("class_dict.csv", "name, r, g, b\nroof,10,20,30\nunlabelled,255,255,255\n\nvoid,0,0,0\n"),
        ("label_colors.txt", "r g b name\n10 20 30 roof\n255 255 255  unlabelled\n0 0 0 void\n"),
    ],
)
def test_colour_tables(tmp_path, file, content):
    colour = np.full((12, 16, 3), 255, np.uint8)
    colour[:3], colour[3:5] = (10, 20, 30), 0
    save(tmp_path / "train" / "a.png"), save(tmp_path / "train_labels" / "a_L.png", colour)
    text(tmp_path / file, content)
    data = open_dataset(tmp_path)
    assert data.format == "folder" and data.splits == {"train": ("train/a",)}
    assert data.classes.names == ("roof", "unlabelled") and data.classes.colours[0] == (10, 20, 30)
    names = named(data.photos[0])
    assert set(names[:3].ravel()) == {"roof"} and set(names[3:5].ravel()) == {""}
    colour[0, 0] = 1
    save(tmp_path / "train_labels" / "a_L.png", colour)
    with pytest.raises(DataError, match="colours that no class has"):
        data.photos[0].loaded()
    for broken in ("roof,10,20", "10 20", "roof,10,20,300", "10 20 300 roof", "1e2 0 0 x,1,1", ",1,1,1", "roof,-1,0,0"):
        text(tmp_path / file, content.split("\n")[0] + "\n" + broken + "\n")
        with pytest.raises(DataError, match=f"{file}, line 2"):
            open_dataset(tmp_path)


def test_indices_of_a_palette_never_go_through_its_colours(tmp_path):
    """`convert("L")` would give the brightness of a colour: the ids 0, 1, 255 become others."""
    for module in (folder, sbd, voc):
        data = open_dataset(write_palette_folder(tmp_path / module.__name__))
        assert np.array_equal(read_mask(data.photos[0].labels[0].path), IDS)
        (mask,) = data.photos[0].labels_loaded()
        assert np.array_equal(mask.ids_HW, IDS)
        same_masks(data, writer_contract(module, data, tmp_path / module.__name__ / "out"))
    deep = np.where(IDS == 1, np.uint16(40000), IDS.astype(np.uint16))
    save(tmp_path / "deep" / "images" / "a.jpg"), save(tmp_path / "deep" / "masks" / "a.png", deep)
    data = open_dataset(tmp_path / "deep")
    assert data.classes.file_ids == (0, 40000)
    same_masks(data, writer_contract(folder, data, tmp_path / "deep_again"))
    assert read_mask(tmp_path / "deep_again" / "masks" / "a.png").max() == 40000
    written = convert(data, tmp_path / "deep_voc", to="voc")  # two classes fit, in other ids
    assert any("numbered anew" in sentence for sentence in written.left_out)
    same_masks(data, open_dataset(tmp_path / "deep_voc"))


def write_palette_folder(root: Path) -> Path:
    save(root / "images" / "a.jpg"), save(root / "masks" / "a.png", IDS, FULL_COLOUR)
    text(root / "classes.txt", "background\nthing\n")
    return root


def test_more_classes_than_a_byte_holds(tmp_path):
    classes = Classes(tuple(f"c{i}" for i in range(300)))
    data = Dataset(classes, (Photo("a", save(tmp_path / "a.jpg"), (), Vocabulary.same(classes)),))
    for to in ("voc", "sbd"):
        with pytest.raises(UsageError, match="--to folder"):
            convert(data, tmp_path / to, to=to)
    assert not (tmp_path / "voc").exists()
    writer_contract(folder, data, tmp_path / "folder")


@pytest.mark.parametrize("to", ["cityscapes", "ade20k", "camvid"])
def test_other_classes_are_refused_before_anything_is_written(tmp_path, to):
    data = open_dataset(write_palette_folder(tmp_path / "in"))
    with pytest.raises(UsageError, match=f"{to} has no class 'thing'.*--to folder"):
        convert(data, tmp_path / "out", to=to)
    assert not (tmp_path / "out").exists()
    renamed = open_dataset(tmp_path / "in", merge={"car": ["thing"]})  # chosen and merged classes, too
    written = convert(renamed, tmp_path / "out", to=to)
    assert any("background becomes void" in s for s in written.left_out)
    assert set(named(open_dataset(tmp_path / "out").photos[0]).ravel()) == {"car", ""}


@pytest.mark.parametrize("to", WRITERS)
def test_names_that_lead_out_of_the_folder_stay_inside(tmp_path, to):
    classes = Classes(("background", "car"), background="background")
    image = save(tmp_path / "in" / "a.jpg")
    names = ("../../a", "/etc/a", "x/../../b", ".hidden", "C:\\a", "A/b", "a/B", "", "n\nl")
    labels = (Mask(ids_HW=IDS.astype(np.int32) % 255), Tags(frozenset({"car"}), complete=frozenset({"car"})))
    photos = tuple(Photo(n, image, labels, Vocabulary.same(classes)) for n in names)
    data = Dataset(classes, photos, {"../up": names[:2], "..__up": names[:1], "train": names[2:]})
    if to == "jsonl":
        with pytest.raises(UsageError, match="'../../a': its name must be"):
            convert(data, tmp_path / "out" / to, to=to)
        return
    written = convert(data, tmp_path / "out" / to, to=to)
    assert len(open_dataset(written.path)) == len(names)
    assert any("names" in s for s in written.left_out)
    assert to not in ("voc", "sbd", "folder") or any("splits whose names are one" in s for s in written.left_out)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "out"} and {p.name for p in (tmp_path / "out").iterdir()} == {
        to
    }


def test_outlines_of_everything_are_painted(tmp_path):
    classes = Classes(("background", "car"), background="background")
    square = (np.array([[2, 2], [6, 2], [6, 6], [2, 6]], np.float32),)
    regions = Regions((Region("car", (square,)),), complete=frozenset({"car"}))
    some = Regions((Region("car", (square,)),))
    image = save(tmp_path / "a.jpg")
    photos = (
        Photo("a", image, (regions, Tags(frozenset({"car"}))), Vocabulary.same(classes)),
        Photo("b", image, (some,), Vocabulary.same(classes)),
    )
    data = Dataset(classes, photos)
    for module in (folder, sbd, cityscapes):
        written = module.write(data, tmp_path / module.__name__)
        said = "\n".join(written.left_out)
        assert "regions are painted as a mask" in said and "tags, which" in said and "photos without a mask" in said
        assert "regions, which" in said and "photo 'b'" in said
        again = open_dataset(written.path)
        assert (named(again.photos[0]) == "car").sum() == 16 and not again.photos[1].labels


def test_a_mask_of_another_size_is_named(tmp_path):
    classes = Classes(("background", "car"), background="background")
    image = save(tmp_path / "a.jpg")
    photo = Photo("a", image, (Mask(ids_HW=np.zeros((3, 3), np.int32)),), Vocabulary.same(classes))
    with pytest.raises(DataError, match="3x3 pixels for an image of 16x12"):
        folder.write(Dataset(classes, (photo,)), tmp_path / "out")
    photo = Photo("a", image, (Mask(ids_HW=IDS.astype(np.int32) * 0 + 9),), Vocabulary.same(classes))
    with pytest.raises(DataError, match="holds 9, which is neither"):
        folder.write(Dataset(classes, (photo,)), tmp_path / "out2")


# SBD


def test_sbd(tmp_path):
    data = open_dataset(make_sbd(tmp_path))
    assert data.classes == voc.CLASSES and data.splits == {"train": ("a", "c"), "val": ("b",)}
    assert (named(data.photos[0]) == "cat").sum() == 24 and not data.photos[2].labels
    written = sbd.write(data, tmp_path / "out")
    made = loadmat(tmp_path / "out" / "cls" / "a.mat")["GTcls"][0, 0]
    assert made["Segmentation"].dtype == np.uint8 and made["CategoriesPresent"].ravel().tolist() == [8]
    first = (tmp_path / "out" / "cls" / "a.mat").read_bytes()
    sbd.write(data, tmp_path / "out2")
    assert (tmp_path / "out2" / "cls" / "a.mat").read_bytes() == first, "no time stamp"
    assert written.left_out == ("photos without a mask are in sbd, without a label: once, in photo 'c'",)


@settings(max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from(["u1", "i2", "u2", "i4", "f4", "f8", "i8"]),
    deflate=st.booleans(),
    before=st.booleans(),
)
def test_matlab_matrix_equals_scipy(shape, dtype, deflate, before):
    ids_HW = np.random.default_rng(0).integers(0, 120, shape).astype(dtype)
    fields = {"Boundaries": np.eye(2), "Segmentation": ids_HW, "CategoriesPresent": np.array([1])}
    with TemporaryDirectory() as folder_name:
        path = Path(folder_name) / "a.mat"
        savemat(path, ({"other": np.eye(3)} if before else {}) | {"GTcls": fields}, do_compression=deflate)
        expected = loadmat(path)["GTcls"][0, 0]["Segmentation"]
        assert np.array_equal(read_mask(path), expected)


def test_hostile_matlab_files(tmp_path):
    whole = struct_file("GTcls", {"Segmentation": IDS})
    bomb = zlib.compress(bytes(2**26), 9)
    deflated = whole[:128] + (15).to_bytes(4, "little") + len(bomb).to_bytes(4, "little") + bomb
    with pytest.raises(ValueError, match="more bytes than a mask"):
        struct_field(deflated, "GTcls", "Segmentation", 1000)
    other = struct_file("other", {"Segmentation": IDS})
    limit = 2 * len(zlib.decompress(other[136:]))
    for times, says in ((2, "no struct 'GTcls'"), (3, "more bytes than a mask")):
        with pytest.raises(ValueError, match=says):
            struct_field(other[:128] + other[128:] * times, "GTcls", "Segmentation", limit)
    for content in (
        b"",
        whole[:128],
        whole[:200],
        b"\x89HDF\r\n",
        deflated,
        struct_file("GTinst", {"Segmentation": IDS}),
    ):
        path = tmp_path / "a.mat"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.mat") as caught:
            read_mask(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=150)
@given(st.data())
def test_damaged_matlab_content(data):
    """What is deflated is damaged inside, where sizes and types are."""
    plain = zlib.decompress(struct_file("GTcls", {"Segmentation": IDS})[136:])
    inner = damaged(plain, data.draw)
    try:
        ids_HW = struct_field(b" " * 124 + b"\0\1IM" + inner, "GTcls", "Segmentation", 10**6)
        assert ids_HW.dtype == np.int32 and ids_HW.ndim == 2
    except ValueError as error:
        assert "\n" not in str(error)


# Cityscapes


def test_cityscapes(tmp_path):
    data = open_dataset(make_cityscapes(tmp_path))
    assert data.splits == {"train": ("aachen_000000_000019", "bochum_000000_000313"), "val": ("ulm_1_2",)}
    assert len(data.classes) == 19 and data.classes.colours[13] == (0, 0, 142)
    masked, _, outlined = data.photos
    assert isinstance(masked.labels[0], Mask) and isinstance(outlined.labels[0], Regions) and outlined.has_mask
    names = named(masked)
    assert (names == "car").sum() == 24 and (names[8:, :4] == "").all() and (names == "road").sum() == 192 - 24 - 16
    names = named(outlined)
    assert set(names.ravel()) == {"road", "car", ""} and names[3, 5] == "car", "the license plate is its car"
    assert (names[9:11, 1:3] == "").all(), "what is drawn over says nothing"
    again = open_dataset(convert(data, tmp_path / "out", to="cityscapes").path)
    same_masks(data, again)
    assert again.splits == data.splits
    assert (tmp_path / "out/gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png").is_file()
    for to in ("jsonl", "folder"):
        same_masks(data, open_dataset(convert(data, tmp_path / to, to=to).path))
    with pytest.raises(UsageError, match="--to jsonl"):
        convert(data, tmp_path / "voc", to="voc")


@pytest.mark.parametrize(
    "polygon", [[[3, 2], [8, 2], [8, 5], [3, 5]], [[1, 1], [14, 3], [9, 10]], [[7, 0], [15, 6], [2, 11]]]
)
def test_polygons_are_as_cityscapes_draws_them(tmp_path, polygon):
    """To a pixel at the outline, which Cityscapes' own drawing (by Pillow) takes in as a whole."""
    root = make_cityscapes(tmp_path)
    objects = [POLYGONS["objects"][0], {"label": "car", "polygon": polygon}]
    text(root / "gtFine/val/ulm/ulm_1_2_gtFine_polygons.json", json.dumps(POLYGONS | {"objects": objects}))
    mine_HW = named(open_dataset(root).photos[2]) == "car"
    image = Image.new("1", (16, 12))
    ImageDraw.Draw(image).polygon([tuple(xy) for xy in polygon], fill=1)
    theirs_HW = np.array(image)
    assert not (mine_HW & ~theirs_HW).any()
    assert not (binary_erosion(theirs_HW, np.ones((3, 3))) & ~mine_HW).any()


def test_cityscapes_other_truths(tmp_path):
    root = make_cityscapes(tmp_path)
    fine = root / "gtFine" / "val" / "ulm" / "ulm_1_2_gtFine_polygons.json"
    coarse = root / "gtCoarse" / "val" / "ulm" / "ulm_1_2_gtCoarse_polygons.json"
    objects = [*POLYGONS["objects"], {"label": "zebra", "polygon": [[1, 1], [2, 2], [3, 1]]}]
    objects += [{"label": "sky", "polygon": p} for p in ([[1, 1], [2]], [[1, 1]], [[float("nan"), 0], [1, 1], [2, 2]])]
    fine.unlink()
    text(coarse, json.dumps(POLYGONS | {"objects": objects}))
    data = open_dataset(root)
    assert len(data.notes) == 2 and "zebra" not in str(data.photos[2].labels)
    assert not data.photos[2].has_mask, "coarse outlines leave things out"
    assert "road" in set(named_any(data.photos[2]))
    for file in root.rglob("*labelIds.png"):
        ids_HW = np.where(IDS == 1, 13, np.where(IDS == 255, 255, 0)).astype(np.uint8)
        save(file.with_name(file.name.replace("labelIds", "labelTrainIds")), ids_HW)
        file.unlink()
    data = open_dataset(root)
    assert set(named(data.photos[0]).ravel()) == {"car", "road", ""} and data.classes.file_ids == tuple(range(19))
    text(coarse, json.dumps({"imgHeight": 12, "objects": []}))
    open_dataset(root)  # polygons are not looked at beside train ids
    for file in root.rglob("*labelTrainIds.png"):
        file.unlink()
    with pytest.raises(DataError, match="imgWidth"):
        open_dataset(root)


def named_any(photo: Photo) -> list[str]:
    made = photo.candidates(*photo.loaded()[0].shape[:2])
    one = made.sets_KC[made.index_HW].sum(axis=2) == 1
    return [photo.vocabulary.target.names[i] for i in np.argmax(made.sets_KC[made.index_HW][one], axis=1)]


# ADE20K


def test_ade20k(tmp_path):
    data = open_dataset(make_ade20k(tmp_path))
    assert data.splits == {"train": ("ADE_a", "ADE_b"), "val": ("ADE_c",)} and len(data.classes) == 150
    assert data.classes.names[0] == "wall" and data.classes.names[149] == "flag" and data.classes.names[20] == "car"
    assert (named(data.photos[0]) == "car").sum() == 24 and (named(data.photos[0]) == "").sum() == 192 - 24
    text(
        tmp_path / "objectInfo150.txt", "Idx\tRatio\tTrain\tVal\tName\n21\t0.1\t1\t1\tauto, car \n22 \t0.1\t1\t1\tsea\n"
    )
    assert open_dataset(tmp_path).classes.names == ("auto", "sea")
    for broken in ("x\ty\n", "1\n", "0\tcar\n", "1\tcar\n1\tsea\n", "\n", "1\tcar\n2\tcar, auto\n"):
        text(tmp_path / "objectInfo150.txt", broken)
        with pytest.raises(DataError, match="objectInfo150"):
            open_dataset(tmp_path)


def test_the_full_ade20k_is_refused(tmp_path):
    (tmp_path / "ADE20K_2021_17_01").mkdir()
    (tmp_path / "ADE20K_2021_17_01" / "index_ade20k.pkl").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(DataError, match="ADEChallengeData2016"):
        open_dataset(tmp_path)


# What a file holds may be anything


@pytest.mark.parametrize(
    ("maker", "file"),
    [
        (make_sbd, "dataset/cls/a.mat"),
        (make_sbd, "dataset/train.txt"),
        (make_cityscapes, "gtFine/val/ulm/ulm_1_2_gtFine_polygons.json"),
        (make_ade20k, "objectInfo150.txt"),
        (make_ade20k, "annotations/training/ADE_a.png"),
    ],
)
def test_fuzz(maker, file, tmp_path):
    root = maker(tmp_path)
    if file == "objectInfo150.txt":
        text(root / file, "Idx\tName\n21\tcar, auto\n22\tsea\n")
    whole = (root / file).read_bytes()

    @settings(max_examples=60)
    @given(st.data())
    def fuzzed(data):
        (root / file).write_bytes(damaged(whole, data.draw))
        reads_or_refuses(root)

    fuzzed()
    (root / file).write_bytes(whole)
    assert reads_or_refuses(root) is not None


@pytest.mark.parametrize("file", ["class_dict.csv", "label_colors.txt"])
def test_fuzz_colour_tables(file, tmp_path):
    colour = np.zeros((12, 16, 3), np.uint8)
    save(tmp_path / "images" / "a.png"), save(tmp_path / "masks" / "a.png", colour)
    content = {
        "class_dict.csv": "name,r,g,b\nroof,10,20,30\nvoid,0,0,0\n",
        "label_colors.txt": "1 2 3\tx\n0 0 0\tVoid\n",
    }

    @given(st.data())
    def fuzzed(data):
        (tmp_path / file).write_bytes(damaged(content[file].encode(), data.draw))
        reads_or_refuses(tmp_path)

    fuzzed()
