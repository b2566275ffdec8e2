"""`l2m masks --maps`: other tools' maps narrow what people said, from the command line."""

import numpy as np
import pytest
from narrowing.scenes import CLASSES, VOCABULARY, photo, truth
from PIL import Image

import labels2masks as l2m
from labels2masks.cli import main
from labels2masks.errors import UsageError
from labels2masks.formats import jsonl
from labels2masks.formats.dataset import Dataset, Photo
from labels2masks.labels import Mask, Tags

THINGS = frozenset(CLASSES.foreground)


def test_maps_narrow_tags(tmp_path, capsys):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    photos = tuple(Photo(n, tmp_path / "a.png", (Tags(THINGS, complete=THINGS),), VOCABULARY) for n in "ab")
    data = jsonl.write(Dataset(CLASSES, photos), tmp_path / "set").path
    ids_HW = truth()
    for name, c in (("disc", 1), ("bar", 2)):
        (tmp_path / "maps" / name).mkdir(parents=True)
        value = np.where(ids_HW == c, 242, 0).astype(np.uint8)
        value[0] = 128  # half sure
        Image.fromarray(value).save(tmp_path / "maps" / name / "a.png")
    command = ["masks", str(data), "--steps", "from_maps", "--maps", str(tmp_path / "maps"), "--sure", "0.8"]
    assert main([*command[:2], str(tmp_path / "out"), *command[2:]]) == 0
    assert "no map of a class for photo 'b'" in capsys.readouterr().out
    a, b = l2m.open(tmp_path / "out")
    label_HW = a.candidates(*ids_HW.shape).labels()
    assert (label_HW[1:] == ids_HW[1:]).all() and (label_HW[0] == -1).all()
    assert any(isinstance(x, Mask) for x in a.labels) and not any(isinstance(x, Mask) for x in b.labels)
    with pytest.raises(UsageError, match="--maps FOLDER"):
        l2m.masks(data, tmp_path / "other", steps=["from_maps"])
    with pytest.raises(UsageError, match=r"0\.\.1"):
        l2m.masks(data, tmp_path / "other", steps=["from_maps"], maps=tmp_path / "maps", sure=2)
