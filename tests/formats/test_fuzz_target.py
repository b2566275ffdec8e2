"""What `fuzz_readers.py` runs by the million runs once here, without atheris."""

import pytest
from formats.fuzz_readers import formats, target

from labels2masks.formats.open import READERS


def test_every_reader_has_a_target():
    assert set(formats()) == {reader.__name__.rsplit(".", 1)[-1] for reader in READERS}


@pytest.mark.parametrize("name", sorted(formats()))
def test_one_input(name, tmp_path):
    test_one_input, seeds = target(name, tmp_path)
    for seed in [*seeds, b"", *(seed[:2] for seed in seeds)]:
        test_one_input(seed)
