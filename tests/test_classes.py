"""Choosing, merging and joining class lists, and what a source's words mean in another list."""

import pytest

from labels2masks.classes import Classes, Vocabulary, choose, distinct_colours, join, widen
from labels2masks.errors import UsageError

VOC = Classes(("background", "cat", "dog", "bus"), background="background", file_ids=(0, 8, 12, 6))
TOWN = Classes(("sky", "road", "car"), void_ids=frozenset({11}))
ANIMALS = Classes(
    ("background", "cat", "dog", "horse"), background="background", groups={"pet": ("cat", "dog"), "any": ("horse",)}
)


def test_defaults_and_json_round_trip():
    assert TOWN.file_ids == (0, 1, 2) and TOWN.background is None and len(TOWN) == 3
    assert VOC.foreground == ("cat", "dog", "bus")
    for classes in (VOC, TOWN, ANIMALS):
        assert Classes.from_json(classes.to_json()) == classes
    assert len(set(distinct_colours(40))) == 40


def test_void_id_is_the_sets_own_else_a_free_one():
    assert TOWN.void_id == 11 and VOC.void_id == 255
    full = Classes(("a", "b"), file_ids=(0, 255))
    assert full.void_ids == frozenset() and full.void_id == 254


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (dict(names=("a", "a")), "distinct"),
        (dict(names=()), "at least one"),
        (dict(names=("a", "b"), file_ids=(3, 3)), "distinct file ids"),
        (dict(names=("cat",), background="cta"), "did you mean 'cat'"),
        (dict(names=("cat",), groups={"pet": ("dog",)}), "group 'pet'"),
        (dict(names=("cat",), groups={"cat": ("cat",)}), "name of its own"),
    ],
)
def test_a_wrong_list_is_refused_with_the_reason(broken, says):
    with pytest.raises(UsageError, match=says):
        Classes(**broken)


def test_unknown_name_gives_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'dog'"):
        VOC.index("dgo")


def test_choose_keeps_background_and_makes_the_rest_void_or_background():
    chosen, meaning = choose(VOC, ["dog"])
    assert chosen.names == ("background", "dog") and chosen.file_ids == (0, 12)
    assert meaning == {"background": {"background"}, "cat": set(), "dog": {"dog"}, "bus": set()}
    _, meaning = choose(VOC, ["dog"], others="background")
    assert meaning["cat"] == {"background"}
    with pytest.raises(UsageError, match="--others void"):
        choose(TOWN, ["sky"], others="background")
    with pytest.raises(UsageError, match="'void' or 'background'"):
        choose(VOC, ["dog"], others="ignore")
    with pytest.raises(UsageError, match="did you mean 'cat'"):
        choose(VOC, ["catt"])


def test_merge_takes_id_and_colour_of_the_first_and_may_reuse_a_name():
    chosen, meaning = choose(VOC, merge={"pet": ["cat", "dog"]})
    assert chosen.names == ("background", "pet", "bus") and chosen.file_ids == (0, 8, 6)
    assert chosen.colours[1] == VOC.colours[1]
    assert meaning["cat"] == meaning["dog"] == {"pet"}
    chosen, meaning = choose(VOC, ["cat"], merge={"cat": ["dog"]})
    assert chosen.names == ("background", "cat") and meaning["dog"] == {"cat"}


def test_merging_into_background_keeps_a_background():
    chosen, meaning = choose(VOC, merge={"background": ["bus"]})
    assert chosen.background == "background" and meaning["bus"] == {"background"}


def test_merging_the_background_away_is_refused():
    with pytest.raises(UsageError, match="background"):
        choose(VOC, merge={"rest": ["background", "bus"]})


def test_choose_keeps_the_groups_that_still_mean_something():
    chosen, _ = choose(ANIMALS, ["cat", "dog"])
    assert chosen.groups == {"pet": ("cat", "dog")}


def test_join_unites_names_and_finds_free_ids():
    both = join(VOC, TOWN)
    assert both.names == ("background", "cat", "dog", "bus", "sky", "road", "car")
    assert both.file_ids[:4] == VOC.file_ids and len(set(both.file_ids)) == 7
    assert not both.void_ids & set(both.file_ids) and both.background == "background"
    other = Classes(("bg", "cat", "person"), background="bg")
    assert join(VOC, other).names == ("background", "cat", "dog", "bus", "person")


def test_background_of_a_set_that_lacks_a_class_may_be_that_class():
    other = Classes(("bg", "cat", "person"), background="bg")
    both = join(VOC, other)
    voc, them = widen(Vocabulary.same(VOC), both), widen(Vocabulary.same(other), both)
    assert voc.meaning("background") == {"background", "person"}
    assert voc.meaning("cat") == {"cat"}
    assert them.meaning("bg") == {"background", "dog", "bus"}
    # A set without background says exactly what it says.
    assert widen(Vocabulary.same(TOWN), join(VOC, TOWN)).meaning("road") == {"road"}


def test_joining_three_sets_widens_step_by_step():
    first, second, third = (Classes(("bg", n), background="bg") for n in "abc")
    two = join(first, second)
    three = join(two, third)
    vocabulary = widen(widen(Vocabulary.same(first), two), three)
    assert vocabulary.meaning("bg") == {"bg", "b", "c"} and vocabulary.meaning("a") == {"a"}


def test_a_class_that_was_chosen_away_is_not_hidden_in_the_background():
    other = Classes(("background", "dog"), background="background")
    chosen, meaning = choose(VOC, ["cat"])
    wide = widen(Vocabulary(VOC, chosen, meaning), join(chosen, other))
    assert wide.meaning("background") == {"background"} and wide.meaning("dog") == frozenset()
    # Where it was made background, background may well be that class.
    chosen, meaning = choose(VOC, ["cat"], others="background")
    wide = widen(Vocabulary(VOC, chosen, meaning), join(chosen, other))
    assert wide.meaning("background") == {"background", "dog"} == wide.meaning("dog")


def test_ruled_out_needs_every_name_that_may_mean_the_target():
    merged, meaning = choose(ANIMALS, merge={"beast": ["cat", "dog"]})
    vocabulary = Vocabulary(ANIMALS, merged, meaning)
    assert vocabulary.ruled_out({"cat"}) == frozenset() and vocabulary.ruled_out({"pet"}) == {"beast"}
    wide = widen(Vocabulary.same(ANIMALS), join(ANIMALS, Classes(("background", "person"), background="background")))
    assert wide.ruled_out({"background"}) == {"background", "person"}
    assert wide.ruled_out({"cat"}) == {"cat"}


def test_background_is_never_complete():
    chosen, meaning = choose(ANIMALS, ["cat"], others="background")
    vocabulary = Vocabulary(ANIMALS, chosen, meaning)
    assert vocabulary.complete(ANIMALS.names) == {"cat"}


def test_meaning_of_a_group_is_its_members_and_void_where_a_member_is_void():
    vocabulary = Vocabulary.same(ANIMALS)
    assert vocabulary.meaning("pet") == {"cat", "dog"}
    chosen, meaning = choose(ANIMALS, ["cat"])
    assert Vocabulary(ANIMALS, chosen, meaning).meaning("pet") == frozenset()
    with pytest.raises(UsageError, match="unknown class"):
        vocabulary.meaning("zebra")


def test_a_promise_holds_for_a_target_only_if_every_name_that_may_mean_it_is_promised():
    merged, meaning = choose(ANIMALS, merge={"beast": ["cat", "dog"]})
    vocabulary = Vocabulary(ANIMALS, merged, meaning)
    assert vocabulary.complete({"cat"}) == frozenset()
    assert vocabulary.complete({"cat", "dog"}) == {"beast"}
    # A class that the source never knew has no promise, whatever is promised.
    person = join(ANIMALS, Classes(("background", "person"), background="background"))
    wide = widen(Vocabulary.same(ANIMALS), person)
    assert wide.complete(set(ANIMALS.names)) == {"cat", "dog", "horse"}
    with pytest.raises(UsageError, match="unknown class 'zebra'"):
        vocabulary.complete({"zebra"})
