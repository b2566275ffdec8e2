"""The worker that decodes: what hangs or dies takes it down and nothing else."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import write_tiny_dataset
from page.photos_folder import write_photos
from PIL import Image

import labels2masks as l2m
from labels2masks.errors import DataError
from labels2masks.formats.image import read_image
from labels2masks.labels import Mask, Tags
from labels2masks.page.photos import MEMORY, Decoder, ShownPhoto


@pytest.fixture
def decoder():
    made = Decoder()
    yield made
    made.close()


def test_pixels_are_those_of_the_one_loader(decoder, tmp_path):
    photo = write_photos(tmp_path, 1) / "p0.png"
    assert (decoder.pixels(photo) == read_image(photo)).all()
    assert decoder.pixels(photo, 32).shape == (24, 32, 3)
    deep = tmp_path / "deep.png"
    Image.fromarray(np.linspace(0, 4095, 48 * 64).reshape(48, 64).astype(np.uint16)).save(deep)
    with pytest.raises(DataError, match="16 bits"):
        decoder.pixels(deep)
    assert (decoder.pixels(deep, levels=(0, 4095)) == read_image(deep, (0, 4095))).all()


def test_sizes_and_reasons(decoder, tmp_path):
    photo = write_photos(tmp_path, 1) / "p0.png"
    good, bad = decoder.sizes([photo, tmp_path / "none.png"])
    assert good == (48, 64) and "no such file" in bad


def test_a_decoder_that_dies_is_started_again(decoder, tmp_path):
    photo = write_photos(tmp_path, 1) / "p0.png"
    decoder.pixels(photo)
    os.kill(decoder._process.pid, signal.SIGKILL)
    decoder._process.wait()
    assert decoder.pixels(photo).shape == (48, 64, 3)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders on this system")
def test_a_file_that_never_ends_is_given_up(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    photo = write_photos(tmp_path, 1) / "p0.png"
    decoder = Decoder(seconds=3)
    try:
        decoder.pixels(photo)
        with pytest.raises(DataError, match="took more than 3 s"):
            decoder.pixels(tmp_path / "pipe.png")
        assert decoder.pixels(photo).shape == (48, 64, 3)
    finally:
        decoder.close()


def test_masks_are_decoded_in_the_worker_and_are_what_the_reader_gives(decoder, tmp_path):
    data = l2m.open(write_tiny_dataset(tmp_path / "tiny", photos=2))
    photo = replace(data.photos[0], labels=(Tags(frozenset({"disc"})), *data.photos[0].labels))
    shown = ShownPhoto(**vars(photo), decoder=decoder)
    tags, mask = shown.labels_loaded()
    assert tags == photo.labels[0] and mask.ids_HW.dtype == np.int32
    assert (mask.ids_HW == photo.labels_loaded()[1].ids_HW).all()
    assert (shown.candidates(48, 64).labels() == photo.candidates(48, 64).labels()).all()
    wide = tmp_path / "wide.png"
    Image.fromarray(np.full((48, 64), 300, np.uint16)).save(wide)
    assert decoder.labels(replace(photo, labels=(Mask(wide),)))[0].ids_HW.max() == 300
    wide.write_bytes(wide.read_bytes()[:60])
    with pytest.raises(DataError, match="wide.png"):
        decoder.labels(replace(photo, labels=(Mask(wide),)))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is read from /proc")
def test_the_worker_has_its_limits(decoder, tmp_path):
    decoder.sizes([])
    limits = Path(f"/proc/{decoder._process.pid}/limits").read_text().splitlines()
    (memory,) = (line.split() for line in limits if line.startswith("Max address space"))
    assert memory[3] == str(MEMORY)
