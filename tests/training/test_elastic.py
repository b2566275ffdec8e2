"""Elastic deformation: smooth, of the size it says, the same for picture, map and clicks."""

from __future__ import annotations

import numpy as np

from labels2masks.labels import Mask, Tags
from labels2masks.labels.kinds import Box, Boxes, Point, Points, Scribbles, Stroke
from labels2masks.training.elastic import deformed, displacement, moved_labels, moved_points


def test_the_field_passes_through_its_points_and_is_smooth() -> None:
    coarse = np.random.default_rng(3).normal(0, 10.0, (3, 3, 2))
    field_HW2 = displacement(65, 81, np.random.default_rng(3))
    assert field_HW2.shape == (65, 81, 2) and field_HW2.dtype == np.float32
    assert np.allclose(field_HW2[::32, ::40], coarse, atol=1e-4)
    steps = np.abs(np.diff(field_HW2, axis=0)).max(), np.abs(np.diff(field_HW2, axis=1)).max()
    assert max(steps) < np.ptp(coarse) / 10
    assert displacement(1, 7, np.random.default_rng(0)).shape == (1, 7, 2)


def test_size_of_the_displacements() -> None:
    corners = [displacement(5, 5, np.random.default_rng(n))[0, 0] for n in range(400)]
    assert abs(np.std(corners) - 10) < 1


def test_no_displacement_changes_nothing() -> None:
    image_HW3 = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    field_HW2 = displacement(9, 12, np.random.default_rng(0), sigma=0)
    assert np.array_equal(deformed(image_HW3, field_HW2), image_HW3)
    assert np.array_equal(deformed(image_HW3[..., 0].astype(np.int16), field_HW2, -1), image_HW3[..., 0])


def test_outside_is_mirrored_in_pictures_and_void_in_maps() -> None:
    image_HW3 = np.arange(6, dtype=np.uint8)[None, :, None].repeat(3, 2).repeat(4, 0) * 10
    shift = np.zeros((4, 6, 2), np.float32)
    shift[..., 0] = 2
    assert deformed(image_HW3, shift)[0, :, 0].tolist() == [20, 30, 40, 50, 40, 30]
    assert deformed(image_HW3[..., 0].astype(np.int16), shift, -1)[0].tolist() == [20, 30, 40, 50, -1, -1]


def test_clicks_go_where_the_picture_goes() -> None:
    field_HW2 = displacement(120, 160, np.random.default_rng(1))
    image_HW3 = np.zeros((120, 160, 3), np.uint8)
    clicks = [(40, 50), (100, 60), (80, 90)]
    for x, y in clicks:
        image_HW3[y - 1 : y + 2, x - 1 : x + 2] = 255
    seen_HW = deformed(image_HW3, field_HW2)[..., 0].astype(float)
    for (x, y), (there_x, there_y) in zip(clicks, moved_points(np.array(clicks) + 0.5, field_HW2), strict=True):
        ys, xs = np.mgrid[0:120, 0:160]
        near = (np.abs(xs + 0.5 - there_x) < 6) & (np.abs(ys + 0.5 - there_y) < 6)
        weight = seen_HW * near
        assert weight.sum() > 0, (x, y)
        assert abs((weight * (xs + 0.5)).sum() / weight.sum() - there_x) < 0.3
        assert abs((weight * (ys + 0.5)).sum() / weight.sum() - there_y) < 0.3


def test_every_kind_of_label_moves() -> None:
    shift = np.zeros((4, 6, 2), np.float32)
    shift[..., 0] = 2  # what was at x + 2 is now at x
    ids_HW = np.arange(24, dtype=np.int32).reshape(4, 6) + 60_000
    labels = (
        Tags(frozenset({"a"})),
        Points((Point("a", 3.5, 1.5), Point("a", 0.5, 0.5))),
        Scribbles((Stroke("a", ((2.0, 1.0), (5.0, 3.0)), 3.0),)),
        Boxes((Box.upright("a", 2, 0, 4, 2),)),
        Mask(ids_HW=ids_HW),
    )
    tags, points, scribbles, boxes, mask = moved_labels(labels, shift)
    assert tags == labels[0]
    assert points.marks == (Point("a", 1.5, 1.5),)
    assert scribbles.marks == (Stroke("a", ((0.0, 1.0), (3.0, 3.0)), 3.0),)
    assert boxes.marks[0].bounds == (0, 0, 2, 2)
    assert np.array_equal(mask.ids_HW[:, :4], ids_HW[:, 2:]) and (mask.ids_HW[:, 4:] == -1).all()
