"""A run of two classes as saliency: whichever of the two is background."""

import numpy as np
import pytest

from labels2masks.classes import Classes
from labels2masks.cues.learnt_saliency import object_class, object_probability
from labels2masks.errors import UsageError


@pytest.mark.parametrize("names", [("background", "thing"), ("thing", "background")])
def test_it_is_the_probability_of_the_other_class(names):
    classes = Classes(names, background="background")
    chances_CHW = np.random.default_rng(0).dirichlet((1, 1), (4, 5)).transpose(2, 0, 1).astype(np.float32)
    found_HW = object_probability(chances_CHW, classes)
    assert found_HW.dtype == np.float32 and np.array_equal(found_HW, chances_CHW[names.index("thing")])


@pytest.mark.parametrize("classes", [Classes(("a", "b")), Classes(("background", "a", "b"), background="background")])
def test_other_runs_are_refused(classes):
    with pytest.raises(UsageError, match="run of two classes"):
        object_class(classes)
