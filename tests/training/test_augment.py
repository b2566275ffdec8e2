"""Image and labels move together, and a crop depends on seed, epoch and index alone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import v2

from labels2masks.classes import Classes, Vocabulary
from labels2masks.errors import DataError, UsageError
from labels2masks.formats.dataset import Photo
from labels2masks.labels import Box, Boxes, Mask, Point, Points, Tags, rasterise
from labels2masks.labels.candidates import INK, VOID_ROW
from labels2masks.labels.geometry import moved, pixel_matrix
from labels2masks.training.augment import FILL, _resized, _warped, apply_map, recoloured, training_crop
from labels2masks.training.batches import Crops, Stream, loader
from labels2masks.training.elastic import displacement
from labels2masks.training.settings import Augment, Loss

CLASSES = Classes(("ground", "disc", "dot"), background="ground")
WORDS = Vocabulary.same(CLASSES)
GREY, RED, BLUE = (110, 110, 110), (220, 30, 30), (30, 30, 220)
PLAIN = Augment(colour=0, hue=0, rare=0)
CROP = (96, 128)


@pytest.fixture(scope="module")
def disc(tmp_path_factory):
    """A red disc of radius 40 in the middle of 160x120, its mask and a click in its middle."""
    folder = tmp_path_factory.mktemp("disc")
    image, ids = Image.new("RGB", (160, 120), GREY), Image.new("L", (160, 120), 0)
    ImageDraw.Draw(image).ellipse((40, 20, 120, 100), fill=RED)
    ImageDraw.Draw(ids).ellipse((40, 20, 120, 100), fill=1)
    image.save(folder / "disc.png")
    ids.save(folder / "mask.png")
    click = Points((Point("disc", 80.5, 60.5),))
    return Photo("disc", folder / "disc.png", (Mask(folder / "mask.png"), click), WORDS)


def is_red(image_HW3):
    return (image_HW3[..., 0] > 150) & (image_HW3[..., 2] < 80)


def crop_of(photo, seed, augment=PLAIN, crop=CROP, size=None, rarity=None):
    return training_crop(photo, augment, crop, size, rarity or {}, np.random.default_rng(seed))


def test_mask_and_click_stay_on_the_disc(disc):
    clicks = 0
    for seed in range(50):
        made = crop_of(disc, seed)
        red_HW = is_red(made.image_HW3)
        mask_HW = made.candidates.labels() == 1
        if (red_HW | mask_HW).sum() > 800:
            assert (red_HW & mask_HW).sum() / (red_HW | mask_HW).sum() > 0.9
        ink_HW = made.candidates.source_K[made.candidates.index_HW] == INK
        if ink_HW.any():
            clicks += 1
            assert red_HW[ink_HW].mean() > 0.95
    assert clicks > 25


def test_a_click_survives_any_scale(disc):
    small = replace(disc, labels=disc.labels[1:])
    for seed in range(50):  # without a mask: whole, and so is its click
        made = crop_of(small, seed, Augment(scale=(0.1, 2.0), colour=0, hue=0))
        assert made.candidates.facts.present == (frozenset({1}),)
        ink_HW = made.candidates.labels() == 1
        assert ink_HW.any() and is_red(made.image_HW3)[ink_HW].mean() > 0.5


def test_photos_without_a_mask_are_shown_whole(disc):
    tagged = replace(disc, labels=(Tags(frozenset({"disc"}), complete=frozenset({"disc", "dot"})),))
    for seed in range(50):
        made = crop_of(tagged, seed)
        inside_HW = made.candidates.index_HW != VOID_ROW
        ys, xs = np.nonzero(inside_HW)
        assert inside_HW.sum() == pytest.approx((np.ptp(ys) + 1) * (np.ptp(xs) + 1))  # upright, never turned
        assert (np.ptp(xs) + 1) / (np.ptp(ys) + 1) == pytest.approx(160 / 120, rel=0.04)
        assert made.candidates.facts.present == (frozenset({1}),) and not made.candidates.sets_KC[2:, 2].any()


def test_beyond_the_photo_is_void_and_filled(disc):
    zoomed_out = Augment(scale=(0.3, 0.3), rotate=0, colour=0, hue=0)
    made = crop_of(disc, 1, zoomed_out)
    void_HW = made.candidates.index_HW == VOID_ROW
    assert 0.8 < void_HW.mean() < 0.95
    assert (np.abs(made.image_HW3[void_HW].astype(int) - np.array(FILL)).max(axis=1) == 0).mean() > 0.95
    assert made.image_HW3.shape == (*CROP, 3) and made.image_HW3.dtype == np.uint8


def test_boxes_survive(disc):
    boxed = replace(disc, labels=(Boxes((Box.upright("disc", 40, 20, 121, 101),), complete=frozenset({"disc"})),))
    for seed in range(30):
        made = crop_of(boxed, seed)
        ((classes, bounds),) = made.candidates.facts.boxes
        assert classes == {1}
        red_HW = is_red(made.image_HW3)
        x0, y0, x1, y1 = bounds
        ys, xs = np.nonzero(red_HW)
        assert abs(xs.min() - x0) < 2 and abs(xs.max() + 1 - x1) < 2
        assert abs(ys.min() - y0) < 2 and abs(ys.max() + 1 - y1) < 2
        possible_HW = made.candidates.sets_KC[made.candidates.index_HW][..., 1]
        assert possible_HW[red_HW].mean() > 0.95 and not possible_HW[: max(int(y0) - 1, 0)].any()


@pytest.mark.parametrize("scale", [0.25, 0.5, 0.74, 1.0, 1.7])
def test_the_map_lands_where_it_says(disc, scale):
    image_HW3, labels = disc.loaded()
    matrix_23 = np.array([[scale, 0, 10.0], [0, scale, 5.0]])
    image_HW3, candidates = apply_map(image_HW3, labels, WORDS, matrix_23, (240, 320))
    ys, xs = np.nonzero(is_red(image_HW3))
    assert xs.mean() + 0.5 == pytest.approx(80.5 * scale + 10, abs=0.6)
    assert ys.mean() + 0.5 == pytest.approx(60.5 * scale + 5, abs=0.6)
    ys, xs = np.nonzero(candidates.labels() == 1)
    assert xs.mean() + 0.5 == pytest.approx(80.5 * scale + 10, abs=0.6)


@pytest.mark.parametrize("mirror", [1.0, -1.0])
@pytest.mark.parametrize("zoom", [0.4, 0.8, 1.0, 1.37, 3.1])
def test_a_map_that_does_not_turn_shows_what_a_warp_shows(zoom, mirror):
    """Resizing a part of the photo against warping all of it by the same map, wherever the crop lies."""
    draw = np.random.default_rng(int(10 * zoom))
    photo_HW3 = cv2.resize(draw.integers(0, 256, (5, 6, 3), np.uint8), (100, 80), interpolation=cv2.INTER_CUBIC)
    ids_HW = np.arange(80 * 100, dtype=np.int32).reshape(80, 100) % 3
    for _ in range(20):
        move = draw.uniform(-1.2, 1.2, 2) * zoom * np.array([100, 80])
        matrix_23 = np.array([[mirror * zoom, 0, move[0]], [0, zoom, move[1]]])
        ours_HW3, moved_23 = _resized(photo_HW3, matrix_23, (56, 80))
        assert np.abs(moved_23 - matrix_23).max() <= 0.5 + 1e-9
        theirs_HW3 = _warped(photo_HW3, moved_23, (56, 80))
        beyond_HW = cv2.warpAffine(np.zeros((80, 100), np.uint8), pixel_matrix(moved_23), (80, 56), borderValue=255)
        inside_HW = cv2.dilate(beyond_HW, np.ones((3, 3))) == 0  # no colour from beyond the edges takes part
        apart = np.abs(ours_HW3.astype(int) - theirs_HW3)[inside_HW]
        assert apart.size == 0 or (np.percentile(apart, 99) <= 4 and apart.mean() < 1.5)
        image_HW3, candidates = apply_map(photo_HW3, (Mask(ids_HW=ids_HW),), WORDS, matrix_23, (56, 80))
        assert np.array_equal(image_HW3, ours_HW3)
        there = moved((Mask(ids_HW=ids_HW),), moved_23, 56, 80)
        assert np.array_equal(candidates.labels(), rasterise(there, WORDS, 56, 80).labels())


def test_a_mask_of_another_size_is_refused(disc):
    image_HW3, _ = disc.loaded()
    with pytest.raises(DataError, match="80x60 pixels for an image of 160x120"):
        apply_map(image_HW3, (Mask(ids_HW=np.zeros((60, 80), np.int32)),), WORDS, np.eye(2, 3), CROP)


def test_rare_classes_attract_crops(tmp_path):
    image, ids = Image.new("RGB", (400, 300), GREY), Image.new("L", (400, 300), 0)
    ImageDraw.Draw(image).rectangle((350, 250, 365, 265), fill=BLUE)
    ImageDraw.Draw(ids).rectangle((350, 250, 365, 265), fill=2)
    image.save(tmp_path / "dot.png")
    ids.save(tmp_path / "mask.png")
    photo = Photo("dot", tmp_path / "dot.png", (Mask(tmp_path / "mask.png"),), WORDS)

    def share(rare):
        augment = PLAIN.model_copy(update={"rare": rare})
        made = [crop_of(photo, seed, augment, rarity={0: 1.0, 2: 50.0}).candidates for seed in range(40)]
        return np.mean([(m.labels() == 2).any() for m in made])

    assert share(1.0) > 0.9 and share(0.0) < 0.5


def test_a_crop_depends_on_seed_epoch_and_index_alone(disc):
    crops = Crops([disc, disc], Augment(), CROP, 100, {0: 1.0, 1: 3.0}, seed=7)
    once, _ = crops[3, 1, True]
    crops[0, 0, True]
    again, _ = crops[3, 1, True]
    assert np.array_equal(once.image_HW3, again.image_HW3)
    assert np.array_equal(once.candidates.index_HW, again.candidates.index_HW)
    others = [crops[3, 0, True], crops[4, 1, True], Crops([disc, disc], Augment(), CROP, 100, {}, seed=8)[3, 1, True]]
    assert not any(np.array_equal(once.image_HW3, other.image_HW3) for other, _ in others)


def test_a_run_settles_on_whole_crops_and_mild_zooms(disc):
    crops = Crops([disc] * 3, PLAIN.model_copy(update={"scale": (0.25, 4.0), "settle": 0.5}), (160, 240), None, {}, 0)
    sizes = [step.images_N3HW.shape[2:] for step in loader(crops, Stream(3, 2, 0, 4, 0, settles=2), 0)]
    assert sizes == [(128, 192), (128, 192), (160, 240), (160, 240)]
    assert crops.shown[True][0].scale == (0.5, 2.0)
    never = Crops([disc] * 3, PLAIN.model_copy(update={"settle": 0.0}), (160, 240), None, {}, 0)
    assert [step.images_N3HW.shape[2:] for step in loader(never, Stream(3, 2, 0, 1, 0), 0)] == [(160, 240)]


def test_the_map_is_that_of_torchvision(disc):
    """Zoom, turn and move against torchvision's one step for each picture: same pixels, same labels."""
    image_HW3, labels = disc.loaded()
    height, width = image_HW3.shape[:2]
    ids_HW = labels[0].ids_HW
    turn, zoom, right, down = 8.0, 1.3, 12, -7
    centre = np.array([width / 2, height / 2])
    rad = np.deg2rad(turn)
    linear = zoom * np.array([[np.cos(rad), -np.sin(rad)], [np.sin(rad), np.cos(rad)]])
    matrix_23 = np.column_stack([linear, centre + [right, down] - linear @ centre])
    ours_HW3, candidates = apply_map(image_HW3, (Mask(ids_HW=ids_HW),), WORDS, matrix_23, (height, width))
    theirs = {}
    for name, array, how in [
        ("image", image_HW3.transpose(2, 0, 1), v2.InterpolationMode.BILINEAR),
        ("mask", ids_HW[None].astype(np.uint8), v2.InterpolationMode.NEAREST),
    ]:
        moved = v2.functional.affine(
            torch.from_numpy(array.copy()), angle=turn, translate=[right, down], scale=zoom, shear=[0, 0],
            interpolation=how, fill=255,
        )  # fmt: skip
        theirs[name] = moved.numpy()
    inside_HW = (theirs["mask"][0] != 255) & (candidates.index_HW != VOID_ROW)
    assert inside_HW.mean() > 0.8
    assert (candidates.labels() == theirs["mask"][0])[inside_HW].mean() > 0.997
    apart_HW = np.abs(ours_HW3.astype(int) - theirs["image"].transpose(1, 2, 0)).max(2)
    assert np.percentile(apart_HW[inside_HW], 99) <= 8  # along the disc's edge, OpenCV rounds weights to 1/32 px


@pytest.mark.parametrize("change", ["brightness", "contrast", "saturation"])
def test_colours_change_as_in_torchvision(change):
    picture_HW3 = np.random.default_rng(0).integers(60, 180, (24, 32, 3), np.uint8)
    factor = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0} | {change: 1.25}

    class Drawn:  # the three factors, then no hue
        def uniform(self, low, high, count=None):
            return np.array(list(factor.values())) if count else 0.0

    ours_HW3 = recoloured(picture_HW3, Augment(), Drawn()).astype(int)
    adjust = getattr(v2.functional, f"adjust_{change}")
    theirs_HW3 = adjust(torch.from_numpy(picture_HW3).permute(2, 0, 1), 1.25).permute(1, 2, 0).numpy()
    assert np.abs(ours_HW3 - theirs_HW3).max() <= 2


def test_the_number_of_threads_changes_no_colour(tmp_path):
    """A sum in another order must not show."""
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    photo = Photo("noise", tmp_path / "noise.png", (Tags(frozenset({"disc"})),), WORDS)
    threads, made = cv2.getNumThreads(), {}
    try:
        for count in (1, 2, 4):
            cv2.setNumThreads(count)
            made[count] = [crop_of(photo, seed, Augment(), (512, 512)).image_HW3 for seed in range(6)]
    finally:
        cv2.setNumThreads(threads)
    for count in (2, 4):
        assert all(np.array_equal(a, b) for a, b in zip(made[1], made[count], strict=True))


def test_colours_change_as_they_are_named():
    image_HW3 = np.random.default_rng(0).integers(60, 190, (20, 20, 3)).astype(np.uint8)

    class Fixed:
        """A generator that draws what it is told."""

        def __init__(self, factors, hue=0.0):
            self.draws = [np.array(factors), hue]

        def uniform(self, *_):
            return self.draws.pop(0)

    def changed(*factors):
        return recoloured(image_HW3, Augment(colour=0.3, hue=0.1), Fixed(factors)).astype(float)

    assert np.array_equal(changed(1, 1, 1), image_HW3)
    assert np.abs(changed(1.2, 1, 1) - 1.2 * image_HW3.astype(float)).max() <= 1
    grey_HW = image_HW3 @ np.array([0.299, 0.587, 0.114])
    assert np.abs(changed(1, 0.5, 1) - (0.5 * image_HW3 + 0.5 * grey_HW.mean())).max() <= 1
    assert np.abs(changed(1, 1, 0) - grey_HW[..., None]).max() <= 1
    turned = recoloured(image_HW3, Augment(colour=0, hue=0.5), Fixed((1, 1, 1), 1 / 3)).astype(int)
    assert np.abs(turned - image_HW3[..., [2, 0, 1]].astype(int)).max() <= 1  # a third of a turn: red to green


def test_a_deformed_crop_samples_the_photo_once_and_labels_alike(disc):
    """Pixel by pixel: what q shows is what the photo has at M^-1 (q + field(q))."""
    draw = np.random.default_rng(4)
    photo_HW3 = cv2.resize(draw.integers(0, 256, (6, 8, 3), np.uint8), (40, 30), interpolation=cv2.INTER_CUBIC)
    ids_HW = draw.integers(0, 3, (30, 40)).astype(np.int32)
    rad = 0.4
    turn_22 = 1.2 * np.array([[np.cos(rad), -np.sin(rad)], [np.sin(rad), np.cos(rad)]])
    matrix_23 = np.column_stack([turn_22, [3.0, -9.0]])
    field_HW2 = displacement(24, 32, draw, sigma=2.0)
    image_HW3, candidates = apply_map(photo_HW3, (Mask(ids_HW=ids_HW),), WORDS, matrix_23, (24, 32), field_HW2)
    labels_HW, checked = candidates.labels(), 0
    for y, x in np.ndindex(24, 32):
        there = np.array([x + 0.5, y + 0.5]) + field_HW2[y, x]
        px, py = np.linalg.solve(turn_22, there - matrix_23[:, 2]) - 0.5
        near = np.abs(np.array([px, py]) - np.floor([px, py]) - 0.5).min() < 0.05  # a tie of nearest, rounded to 1/32
        column, row = round(px), round(py)
        if not near:
            outside = not (0 <= column < 40 and 0 <= row < 30)
            assert labels_HW[y, x] == (-1 if outside else ids_HW[row, column])
        if 0 <= px < 39 and 0 <= py < 29:
            c, r, u, v = int(px), int(py), px % 1, py % 1
            corners = photo_HW3[r : r + 2, c : c + 2].astype(float)
            expected = np.einsum("r,c,rck->k", [1 - v, v], [1 - u, u], corners)
            assert np.abs(image_HW3[y, x] - expected).max() <= 4
            checked += 1
    assert checked > 300


def test_an_elastic_deformation_moves_disc_mask_and_click_alike(disc):
    clicks, plain = 0, PLAIN.model_copy(update={"elastic": 0.0})
    for seed in range(20):
        made = crop_of(disc, seed, PLAIN.model_copy(update={"elastic": 8.0}))
        red_HW, mask_HW = is_red(made.image_HW3), made.candidates.labels() == 1
        void_HW = made.candidates.index_HW == VOID_ROW  # mirrored photo
        if mask_HW.sum() > 800:
            assert (red_HW & mask_HW).sum() / ((red_HW | mask_HW) & ~void_HW).sum() > 0.9
        ink_HW = made.candidates.source_K[made.candidates.index_HW] == INK
        if ink_HW.any():
            clicks += 1
            assert red_HW[ink_HW].mean() > 0.95
        assert not np.array_equal(made.image_HW3, crop_of(disc, seed, plain).image_HW3)
    assert clicks > 10


def test_elastic_crops_repeat_and_spare_photos_without_a_mask(disc):
    elastic = Augment(elastic=10.0)
    once, again = (Crops([disc, disc], elastic, CROP, None, {}, seed=7) for _ in range(2))
    assert np.array_equal(once[3, 1, True][0].image_HW3, again[3, 1, True][0].image_HW3)
    clicked = replace(disc, labels=disc.labels[1:])
    same = [crop_of(clicked, 2, augment).image_HW3 for augment in (elastic, Augment())]
    assert np.array_equal(*same)


def test_crops_carry_border_weights_where_the_loss_asks(disc):
    assert Crops([disc], PLAIN, CROP, None, {}, 0, Loss())[0, 0, True][0].border_HW is None
    crops = Crops([disc, disc], PLAIN, CROP, None, {}, 0, Loss(border=10.0, cells="disc"))
    (step,) = loader(crops, Stream(2, 2, 0, 1, 0, settles=0), 0)
    assert step.labels.border_NHW.shape == (2, *CROP) and step.labels.border_NHW.dtype == torch.float32
    with pytest.raises(UsageError, match="did you mean 'disc'"):
        Crops([disc], PLAIN, CROP, None, {}, 0, Loss(border=10.0, cells="disk"))
