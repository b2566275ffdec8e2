"""Each row of the design's table of statements, then what happens where labels meet.

Classes: 0 background, 1 cat, 2 dog, 3 person; small rasters that a reader can check in the head.
"""

import numpy as np
import pytest

from labels2masks.classes import Classes, Vocabulary, choose, join, widen
from labels2masks.errors import DataError, UsageError
from labels2masks.labels import (
    INK,
    MASK,
    REGION,
    AreaShares,
    Box,
    Boxes,
    Mask,
    Point,
    Points,
    Region,
    Regions,
    Scribbles,
    Stroke,
    Tags,
    is_mask,
    painted_mask,
    rasterise,
)

NAMES = ("background", "cat", "dog", "person")
CLASSES = Classes(NAMES, background="background", groups={"animal": ("cat", "dog")})
SAME = Vocabulary.same(CLASSES)
THINGS = frozenset(NAMES[1:])
ALL, BG, CAT, DOG, PERSON = {0, 1, 2, 3}, 0, 1, 2, 3
H, W = 20, 30


def drawn(*labels, vocabulary=SAME, **options):
    return rasterise(labels, vocabulary, H, W, **options)


def set_at(candidates, y, x):
    return set(map(int, np.flatnonzero(candidates.sets_KC[candidates.index_HW[y, x]])))


def sets(candidates):
    return {frozenset(np.flatnonzero(candidates.sets_KC[k])) for k in np.unique(candidates.index_HW)}


def mask(**at):
    ids_HW = np.zeros((H, W), np.int32)
    for file_id, region in at.items():
        ids_HW[region] = int(file_id[1:])
    return Mask(ids_HW=ids_HW)


# The table, row by row.


def test_nothing_is_open():
    assert sets(drawn()) == {frozenset(ALL)}


def test_full_mask_is_exactly_one_class_and_void_is_no_statement():
    made = drawn(mask(_1=np.s_[:5, :5], _255=np.s_[10:, :]))
    assert set_at(made, 0, 0) == {CAT} and set_at(made, 7, 7) == {BG} and set_at(made, 15, 3) == set()
    assert made.index_HW[15, 3] == 0 and made.decided() == 1.0
    assert set(made.source_K[np.unique(made.index_HW)]) == {0, MASK}
    assert (made.labels()[10:] == -1).all() and made.labels()[0, 0] == CAT


def test_point_is_one_class_on_the_ink_and_the_possible_classes_elsewhere():
    made = drawn(Points((Point("dog", 10.5, 8.5),)))
    assert set_at(made, 8, 10) == {DOG} and set_at(made, 8, 12) == {DOG} and set_at(made, 8, 14) == ALL
    assert made.source_K[made.index_HW[8, 10]] == INK
    tagged = drawn(Tags(frozenset({"dog"}), complete=THINGS), Points((Point("dog", 10.5, 8.5),)))
    assert set_at(tagged, 8, 10) == {DOG} and set_at(tagged, 0, 0) == {BG, DOG}


def test_scribble_is_one_class_along_the_line():
    made = drawn(Scribbles((Stroke("cat", ((2.5, 5.5), (25.5, 5.5)), width=3),)))
    assert all(set_at(made, 5, x) == {CAT} for x in range(2, 26))
    assert set_at(made, 5, 28) == ALL and set_at(made, 8, 10) == ALL
    dot = drawn(Scribbles((Stroke("cat", ((4.5, 4.5),), width=1),)))
    assert set_at(dot, 4, 4) == {CAT}


def test_box_inside_background_or_the_class_outside_background():
    boxes = Boxes((Box.upright("cat", 2, 2, 12, 12), Box.upright("dog", 8, 2, 20, 12)), complete=THINGS)
    made = drawn(boxes)
    assert set_at(made, 5, 4) == {BG, CAT} and set_at(made, 5, 9) == {BG, CAT, DOG} and set_at(made, 5, 15) == {BG, DOG}
    assert set_at(made, 15, 4) == {BG} and set_at(made, 2, 2) == {BG, CAT} and set_at(made, 1, 2) == {BG}
    assert set_at(made, 5, 11) == {BG, CAT, DOG} and set_at(made, 5, 12) == {BG, DOG}


def square(name, x0, y0, x1, y1, crowd=False):
    return Region(name, ((np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.float32),),), crowd)


def test_an_outline_is_its_class_and_where_all_are_outlined_the_rest_is_background():
    made = drawn(Regions((square("cat", 2, 2, 12, 12), square("dog", 8, 2, 20, 12)), THINGS))
    assert set_at(made, 5, 4) == {CAT} and set_at(made, 5, 9) == {DOG} and set_at(made, 15, 4) == {BG}
    assert set_at(made, 2, 2) == {CAT} and set_at(made, 1, 2) == {BG} and set_at(made, 11, 19) == {DOG}
    assert made.source_K[made.index_HW[5, 4]] == MASK
    loose = drawn(Regions((square("cat", 2, 2, 12, 12),)))
    assert set_at(loose, 5, 4) == {CAT} and set_at(loose, 15, 4) == ALL
    one = drawn(Regions((square("cat", 2, 2, 12, 12),), frozenset({"cat"})))
    assert set_at(one, 15, 4) == {BG, DOG, PERSON}


def test_a_crowd_says_nothing_but_hides_nothing():
    made = drawn(Regions((square("dog", 0, 0, 6, 6), square("cat", 2, 2, 12, 12, crowd=True)), THINGS))
    assert set_at(made, 4, 4) == {DOG} and set_at(made, 8, 8) == set() and set_at(made, 15, 4) == {BG}
    coarse = drawn(Regions((square("animal", 2, 2, 12, 12),), THINGS))
    assert set_at(coarse, 5, 5) == {CAT, DOG} and set_at(coarse, 15, 5) == {BG}


def test_outlines_of_everything_are_a_mask():
    regions = Regions((square("cat", 2, 2, 12, 12), square("dog", 14, 2, 20, 12, crowd=True)), THINGS)
    assert is_mask(regions, CLASSES) and is_mask(mask(), CLASSES)
    assert not is_mask(Regions(regions.marks, frozenset({"cat", "dog"})), CLASSES)
    assert not is_mask(Regions((square("animal", 2, 2, 9, 9),), THINGS), CLASSES)
    assert is_mask(Regions(regions.marks, frozenset({"animal", "person"})), CLASSES)
    painted = painted_mask(regions, CLASSES, H, W)
    assert (drawn(painted).labels() == drawn(regions).labels()).all()
    assert painted.ids_HW[5, 5] == 1 and painted.ids_HW[5, 15] == -1 and painted.ids_HW[0, 0] == 0


def test_an_outline_of_a_class_chosen_away_is_void():
    chosen, meaning = choose(CLASSES, ["cat"])
    vocabulary = Vocabulary(CLASSES, chosen, meaning)
    made = drawn(Regions((square("dog", 2, 2, 12, 12), square("cat", 5, 5, 8, 8)), THINGS), vocabulary=vocabulary)
    assert set_at(made, 3, 3) == set() and set_at(made, 6, 6) == {1} and set_at(made, 15, 15) == {0}


def test_a_mask_may_leave_several_classes_and_is_no_truth_then():
    inferred = Mask(
        ids_HW=np.where(np.arange(W) < 9, 200, 1) * np.ones((H, 1), int), sets={200: frozenset({"cat", "dog"})}
    )
    made = drawn(inferred)
    assert set_at(made, 3, 3) == {CAT, DOG} and set_at(made, 3, 20) == {CAT}
    assert not is_mask(inferred, CLASSES) and not is_mask(Mask(sets={}), CLASSES)
    chosen, meaning = choose(CLASSES, ["cat"])
    without_dog = drawn(inferred, vocabulary=Vocabulary(CLASSES, chosen, meaning))
    assert set_at(without_dog, 3, 3) == set() and set_at(without_dog, 3, 20) == {1}
    with pytest.raises(DataError, match="ids 200"):
        drawn(Mask(ids_HW=inferred.ids_HW))


def test_extreme_clicks_are_on_the_object():
    box = Box("cat", Box.upright("cat", 5, 5, 20, 15).corners, ((5, 10), (10, 5), (20, 10), (10, 15)))
    made = drawn(Boxes((box,), THINGS))
    assert set_at(made, 10, 6) == {CAT} and set_at(made, 9, 12) == {BG, CAT} and set_at(made, 18, 12) == {BG}


def test_boxes_complete_for_one_class_leave_the_others_possible():
    made = drawn(Boxes((Box.upright("cat", 2, 2, 12, 12),), complete=frozenset({"cat"})))
    assert set_at(made, 5, 4) == ALL and set_at(made, 15, 15) == {BG, DOG, PERSON}
    assert sets(drawn(Boxes((Box.upright("cat", 2, 2, 12, 12),)))) == {frozenset(ALL)}


def test_tags_are_background_or_one_of_them():
    made = drawn(Tags(frozenset({"cat"}), complete=THINGS))
    assert sets(made) == {frozenset({BG, CAT})} and made.source_K[made.index_HW[0, 0]] == REGION
    assert sets(drawn(Tags(frozenset({"cat"})))) == {frozenset(ALL)}
    assert sets(drawn(Tags(absent=frozenset({"cat"})))) == {frozenset({BG, DOG, PERSON})}
    assert sets(drawn(Tags(frozenset({"cat"}), complete=frozenset({"cat", "dog"})))) == {frozenset({BG, CAT, PERSON})}


def test_coarse_class_is_any_of_its_members():
    made = drawn(Points((Point("animal", 10.5, 8.5),)))
    assert set_at(made, 8, 10) == {CAT, DOG}
    boxed = drawn(Boxes((Box.upright("animal", 2, 2, 12, 12),), complete=frozenset({"animal", "person"})))
    assert set_at(boxed, 5, 5) == {BG, CAT, DOG} and set_at(boxed, 15, 15) == {BG}
    assert sets(drawn(Tags(frozenset({"animal"}), complete=THINGS))) == {frozenset({BG, CAT, DOG})}


def test_negative_ink_is_all_but_the_class():
    made = drawn(Scribbles((Stroke("cat", ((2.5, 5.5), (25.5, 5.5)), width=3, negative=True),)))
    assert set_at(made, 5, 10) == {BG, DOG, PERSON} and set_at(made, 12, 10) == ALL
    assert set_at(drawn(Points((Point("animal", 10.5, 8.5, negative=True),))), 8, 10) == {BG, PERSON}
    assert set_at(drawn(Points((Point("background", 10.5, 8.5, negative=True),))), 8, 10) == {CAT, DOG, PERSON}
    assert made.facts.present == ()


def test_mask_of_a_data_set_that_lacks_a_class():
    pets = Classes(("bg", "cat"), background="bg")
    joined = join(CLASSES, pets)
    vocabulary = widen(Vocabulary.same(pets), joined)
    made = drawn(mask(_1=np.s_[:5]), vocabulary=vocabulary)
    assert set_at(made, 0, 0) == {CAT} and set_at(made, 10, 0) == {BG, DOG, PERSON}
    boxed = drawn(Boxes((Box.upright("cat", 2, 2, 12, 12),), complete=frozenset({"cat"})), vocabulary=vocabulary)
    assert set_at(boxed, 15, 15) == {BG, DOG, PERSON}
    tagged = drawn(Tags(complete=frozenset({"cat"})), vocabulary=vocabulary)
    assert sets(tagged) == {frozenset({BG, DOG, PERSON})}


# Where labels meet.


def test_statements_intersect_whatever_the_order_of_the_labels():
    labels = [
        Tags(frozenset({"cat"}), complete=THINGS),
        Boxes((Box.upright("cat", 2, 2, 12, 12),), complete=THINGS),
        Points((Point("cat", 5.5, 5.5),)),
    ]
    for order in (labels, labels[::-1]):
        made = drawn(*order)
        assert set_at(made, 5, 5) == {CAT} and set_at(made, 10, 10) == {BG, CAT} and set_at(made, 15, 15) == {BG}
        assert made.conflicts == 0


def test_ink_wins_over_tags_that_exclude_it_and_the_pixels_are_counted():
    made = drawn(Tags(frozenset({"cat"}), complete=THINGS), Points((Point("dog", 10.5, 8.5),)))
    assert set_at(made, 8, 10) == {DOG} and set_at(made, 0, 0) == {BG, CAT}
    assert made.conflicts == (made.labels() == DOG).sum() > 0
    denied = drawn(Tags(absent=frozenset({"dog"})), Points((Point("dog", 10.5, 8.5),)))
    assert set_at(denied, 8, 10) == {DOG} and set_at(denied, 0, 0) == {BG, CAT, PERSON} and denied.conflicts > 0


def test_a_click_kind_that_promises_all_does_not_deny_what_another_label_marks():
    made = drawn(Points((Point("cat", 3.5, 3.5),), complete=THINGS), Scribbles((Stroke("dog", ((15.5, 15.5),)),)))
    assert made.conflicts == 0 and set_at(made, 15, 15) == {DOG} and set_at(made, 0, 25) == {BG, CAT, DOG}


def test_ink_wins_over_mask_and_mask_over_box():
    made = drawn(mask(_1=np.s_[:, :15]), Points((Point("dog", 5.5, 5.5),)))
    assert set_at(made, 5, 5) == {DOG} and set_at(made, 5, 10) == {CAT}
    assert made.conflicts == (made.labels() == DOG).sum()
    made = drawn(mask(_1=np.s_[:, :15]), Boxes((Box.upright("cat", 0, 0, 10, H),), complete=THINGS))
    assert set_at(made, 5, 12) == {CAT} and made.conflicts == 5 * H
    assert set_at(made, 5, 5) == {CAT} and made.trust_K[made.index_HW[5, 5]] == 1


def test_the_newer_of_two_clicks_wins():
    made = drawn(Points((Point("dog", 5.5, 5.5), Point("cat", 5.5, 5.5))))
    assert set_at(made, 5, 5) == {CAT} and made.conflicts == (made.labels() == CAT).sum()


def test_void_is_never_filled():
    everything = (
        mask(_255=np.s_[:, :15]),
        Tags(frozenset({"cat"}), complete=THINGS),
        Boxes((Box.upright("cat", 0, 0, W, H),), complete=THINGS),
        Points((Point("cat", 5.5, 5.5),)),
    )
    made = drawn(*everything)
    assert (made.index_HW[:, :15] == 0).all() and (made.index_HW[:, 15:] != 0).all()
    outside_HW = np.zeros((H, W), bool)
    outside_HW[:, 28:] = True
    assert (drawn(Points((Point("cat", 29.5, 5.5),)), outside_HW=outside_HW).index_HW[:, 28:] == 0).all()


def test_two_partial_masks_complete_each_other():
    left, right = mask(_1=np.s_[:5, :5], _255=np.s_[:, 15:]), mask(_2=np.s_[:5, 25:], _255=np.s_[:, :20])
    for masks in ((left, right), (right, left)):
        made = drawn(*masks)
        assert set_at(made, 0, 0) == {CAT} and set_at(made, 0, 29) == {DOG} and set_at(made, 9, 9) == {BG}
        assert (made.index_HW[:, 15:20] == 0).all() and made.conflicts == 0


def test_padding_of_a_moved_mask_is_void():
    ids_HW = np.zeros((H, W), np.int32)
    ids_HW[:, 25:] = -1
    made = drawn(Mask(ids_HW=ids_HW))
    assert (made.index_HW[:, 25:] == 0).all() and (made.labels()[:, :25] == BG).all()
    made = drawn(Mask(ids_HW=ids_HW), Tags(frozenset({"cat"}), complete=THINGS))
    assert (made.index_HW[:, 25:] == 0).all() and (made.labels()[:, :25] == BG).all()


def test_a_class_chosen_away_is_void_and_denies_nothing_inside_its_box():
    chosen, meaning = choose(CLASSES, ["cat"])
    vocabulary = Vocabulary(CLASSES, chosen, meaning)
    made = drawn(mask(_1=np.s_[:5], _2=np.s_[10:]), vocabulary=vocabulary)
    assert set_at(made, 0, 0) == {1} and set_at(made, 7, 0) == {0} and set_at(made, 12, 0) == set()
    boxes = Boxes((Box.upright("cat", 0, 0, 5, 5), Box.upright("dog", 10, 0, 20, 10)), complete=THINGS)
    made = drawn(boxes, vocabulary=vocabulary)
    assert set_at(made, 2, 2) == {0, 1} and set_at(made, 15, 2) == {0} and set_at(made, 5, 15) == {0, 1}
    assert made.facts.boxes == ((frozenset({1}), (0, 0, 5, 5)),)


def test_merged_classes():
    chosen, meaning = choose(CLASSES, merge={"beast": ["cat", "dog"]})
    vocabulary = Vocabulary(CLASSES, chosen, meaning)
    assert set_at(drawn(Points((Point("dog", 5.5, 5.5),)), vocabulary=vocabulary), 5, 5) == {1}
    not_cat = Points((Point("cat", 5.5, 5.5, negative=True),))
    assert set_at(drawn(not_cat, vocabulary=vocabulary), 5, 5) == {0, 1, 2}  # a dog is a beast, too
    assert sets(drawn(Tags(absent=frozenset({"cat"})), vocabulary=vocabulary)) == {frozenset({0, 1, 2})}
    assert sets(drawn(Tags(absent=frozenset({"cat", "dog"})), vocabulary=vocabulary)) == {frozenset({0, 2})}


def test_others_as_background_never_deny_background():
    chosen, meaning = choose(CLASSES, ["cat"], others="background")
    vocabulary = Vocabulary(CLASSES, chosen, meaning)
    boxes = Boxes((Box.upright("cat", 0, 0, 5, 5), Box.upright("dog", 10, 0, 20, 10)), complete=THINGS)
    made = drawn(boxes, vocabulary=vocabulary)
    assert set_at(made, 2, 2) == {0, 1} and set_at(made, 15, 2) == {0} == set_at(made, 5, 15)
    assert sets(drawn(Tags(absent=frozenset({"dog"})), vocabulary=vocabulary)) == {frozenset({0, 1})}


# Facts of the whole image.


def test_presence_shares_and_boxes():
    labels = (
        Tags(frozenset({"animal"}), complete=frozenset({"person"})),
        Boxes((Box.upright("cat", 2, 3, 9, 8), Box.upright("dog", 20, 10, 40, 15))),
        AreaShares({"cat": 0.3, "dog": 0.0, "animal": 0.5}),
        Points((Point("background", 1, 1), Point("person", 1, 1, negative=True))),
    )
    facts = drawn(*labels).facts
    assert set(facts.present) == {frozenset({CAT, DOG}), frozenset({CAT}), frozenset({DOG}), frozenset({BG})}
    assert facts.boxes == ((frozenset({CAT}), (2, 3, 9, 8)),)  # the second box leaves the raster
    assert facts.shares == {CAT: 0.3, DOG: 0.0} and facts.complete == {PERSON}
    crop = drawn(*labels, whole=False).facts
    assert crop.present == () and crop.shares == {} and crop.boxes == facts.boxes and crop.complete == facts.complete


def test_shares_of_merged_classes_add():
    chosen, meaning = choose(CLASSES, merge={"beast": ["cat", "dog"]})
    facts = drawn(AreaShares({"cat": 0.25, "dog": 0.5}), vocabulary=Vocabulary(CLASSES, chosen, meaning)).facts
    assert facts.shares == {1: 0.75}


def test_a_box_always_covers_a_pixel_and_a_turned_box_its_own_area():
    made = drawn(Boxes((Box.upright("cat", 5.6, 5.6, 5.9, 5.9),), complete=THINGS))
    assert (made.index_HW != made.index_HW[0, 0]).sum() == 1
    diamond = Box("cat", ((15, 2), (22, 9), (15, 16), (8, 9)))
    assert not diamond.is_upright and diamond.bounds == (8, 2, 22, 16)
    made = drawn(Boxes((diamond,), complete=THINGS))
    assert set_at(made, 9, 15) == {BG, CAT} and set_at(made, 3, 9) == {BG} and made.facts.boxes == ()


# What is refused.


def test_mask_of_another_size_and_unknown_ids_are_refused_with_the_file():
    with pytest.raises(DataError, match=r"a\.png: a mask of 4x3 pixels for an image of 30x20"):
        drawn(Mask("a.png", np.zeros((3, 4), np.int32)))
    with pytest.raises(DataError, match=r"b\.png: ids 7, 9 are neither classes nor void; known ids are 0, 1, 2"):
        drawn(Mask("b.png", mask(_7=np.s_[:3], _9=np.s_[4:5]).ids_HW))


@pytest.mark.parametrize("ids", [(0, 7, 9, 255), (0, 7, 300, 65535)], ids=["bytes", "16 bits"])
def test_every_id_of_a_mask_alone_becomes_its_class(ids):
    *classes, void = ids
    source = Classes(NAMES[:3], file_ids=tuple(classes), void_ids=frozenset({void}))
    ids_HW = np.random.default_rng(0).choice([*ids, -1], (H, W)).astype(np.int32)
    expected_HW = np.array([classes.index(i) if i in classes else -1 for i in ids_HW.flat]).reshape(H, W)
    made = drawn(Mask(ids_HW=ids_HW), vocabulary=Vocabulary.same(source))
    assert (made.labels() == expected_HW).all() and ((made.index_HW == 0) == (expected_HW == -1)).all()
    unknown_HW = ids_HW.copy()
    unknown_HW[3, 4] = classes[-1] + 1
    with pytest.raises(DataError, match=f"ids {classes[-1] + 1} are neither"):
        drawn(Mask(ids_HW=unknown_HW), vocabulary=Vocabulary.same(source))
    unknown_HW[3, 4] = 70000
    with pytest.raises(DataError, match="ids 70000 are neither"):
        drawn(Mask(ids_HW=unknown_HW), vocabulary=Vocabulary.same(source))


def test_masks_of_one_source_share_their_table_and_another_source_has_its_own():
    first, second = drawn(mask(_1=np.s_[:5, :5])), drawn(mask(_2=np.s_[:5, :5]), vocabulary=Vocabulary.same(CLASSES))
    assert first.sets_KC is second.sets_KC and first.trust_K is second.trust_K
    swapped = Vocabulary(CLASSES, CLASSES, SAME.sets | {"cat": frozenset({"dog"}), "dog": frozenset({"cat"})})
    assert set_at(drawn(mask(_1=np.s_[:5, :5]), vocabulary=swapped), 0, 0) == {DOG}


def test_unknown_names_and_impossible_images_are_refused():
    with pytest.raises(UsageError, match="unknown class 'cta' - did you mean 'cat'"):
        drawn(Points((Point("cta", 3, 3),)))
    no_background = Vocabulary.same(Classes(("cat", "dog")))
    with pytest.raises(DataError, match="leave no class possible"):
        drawn(Tags(complete=frozenset({"cat", "dog"})), vocabulary=no_background)
