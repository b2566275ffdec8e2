"""Other tools' maps as a narrowing step: what they are sure of is decided, within what the labels leave possible."""

import numpy as np
import pytest
from contracts import step_contract
from hypothesis import given
from hypothesis import strategies as st
from narrowing.scenes import VOCABULARY, H, W, all_cues, boxed, photo, tagged, truth
from PIL import Image

from labels2masks.errors import UsageError
from labels2masks.formats.dataset import Photo
from labels2masks.labels import REGION, VOID_ROW, Candidates
from labels2masks.narrowing import Cues, Threshold, decide, from_maps, map_cues

C = 3


@st.composite
def cases(draw):
    """Random candidates with void pixels, and maps of some classes."""
    rng = np.random.default_rng(draw(st.integers(0, 100_000)))
    made = Candidates.open(5, 6, C)
    for _ in range(draw(st.integers(0, 3))):
        set_C = rng.random(C) < 0.5
        set_C[rng.integers(C)] = True
        made = made.state(rng.random((5, 6)) < 0.5, set_C, REGION, 0.9)
    made = made.mapped(lambda index_HW: np.where(rng.random((5, 6)) < 0.2, VOID_ROW, index_HW))
    cam_CHW = rng.random((C, 5, 6)) * (rng.random((C, 1, 1)) < 0.7)
    return made, Cues(cam_CHW=np.round(cam_CHW, draw(st.integers(0, 3))).astype(np.float32))


@given(cases())
def test_contract(case):
    candidates, cues = case
    step_contract(from_maps, np.zeros((5, 6, 3), np.uint8), candidates, cues)


@given(cases(), st.integers(0, C - 1))
def test_a_stronger_map_never_speaks_against_its_class(case, c):
    candidates, cues = case
    stronger_CHW = cues.cam_CHW.copy()
    stronger_CHW[c] = np.maximum(stronger_CHW[c], 0.5 + stronger_CHW[c] / 2)
    image_HW3 = np.zeros((5, 6, 3), np.uint8)

    def share(of_cues):
        evidence = from_maps(image_HW3, candidates, of_cues)
        p_CHW = np.exp(evidence.log_scores_CHW)
        return np.where(evidence.confidence_HW > 0, p_CHW[c] / p_CHW.sum(axis=0), 0)

    if cues.cam_CHW[c].any():  # else it counts as a class without a map
        assert (share(Cues(cam_CHW=stronger_CHW)) >= share(cues) - 1e-6).all()


def one_row(*maps, candidates=None):
    cues = Cues(cam_CHW=np.array(maps, np.float32)[:, None])
    candidates = candidates or Candidates.open(1, len(maps[0]), len(maps))
    evidence = from_maps(np.zeros((1, len(maps[0]), 3), np.uint8), candidates, cues)
    return decide(candidates, evidence, Threshold(0.8))


def test_by_hand():
    # Background has no map: it gets what the strongest map leaves.
    assert one_row([0, 0, 0, 0], [0.9, 0.5, 0.1, 0.9], [0.0, 0.1, 0.1, 0.9]).labels().tolist() == [[1, -1, 0, -1]]
    # Two classes without a map share the rest: neither is ever sure.
    assert one_row([0, 0, 0], [0.9, 0.5, 0.0], [0, 0, 0]).labels().tolist() == [[1, -1, -1]]
    # What is no candidate is not heard, and who has no map among the candidates hears nothing.
    boxes = Candidates.open(1, 2, 3).state((slice(None), slice(0, 1)), np.array([True, False, True]), REGION, 1.0)
    narrowed = one_row([0, 0], [0.99, 0.99], [0.0, 0.0], candidates=boxes)
    assert narrowed.labels().tolist() == [[-1, 1]]


@pytest.mark.parametrize("labels", [boxed, tagged])
def test_masks_of_a_tool_narrow_labels(labels):
    ids_HW = truth()
    cues = Cues(cam_CHW=np.stack([ids_HW == c for c in range(3)]).astype(np.float32) * 0.95)
    narrowed = decide(labels(), from_maps(photo(), labels(), cues), Threshold(0.8))
    label_HW = narrowed.labels()
    assert (label_HW == ids_HW)[label_HW >= 0].all() and (label_HW >= 0).mean() > 0.9


def test_missing_maps_are_named():
    with pytest.raises(UsageError, match="'from_maps' needs the cue cam_CHW; given: background"):
        from_maps(photo(), tagged(), Cues(background=0))


def test_cues_from_files(tmp_path):
    Image.fromarray(photo()).save(tmp_path / "a.png")
    a = Photo("a", tmp_path / "a.png", (), VOCABULARY)
    nothing = map_cues(tmp_path / "maps", a)
    assert nothing == Cues(background=0)
    ids_HW = truth()
    for name, c in (("disc", 1), ("bar", 2)):
        path = tmp_path / "maps" / name / "a.png"
        path.parent.mkdir(parents=True)
        Image.fromarray((ids_HW == c).astype(np.uint8) * 255).save(path)
    np.save(tmp_path / "maps" / "a.npy", np.stack([ids_HW == 1, ids_HW == 2, ids_HW > 0]))
    cues = map_cues(tmp_path / "maps", a)
    assert cues.cam_CHW.shape == (3, H, W) and not cues.cam_CHW[0].any() and cues.scores_CHW is None
    assert cues.proposals_SHW.shape == (3, H, W) and cues.saliency_HW is None
    narrowed = decide(tagged(), from_maps(photo(), tagged(), cues), Threshold(0.8))
    assert (narrowed.labels() == ids_HW).all()
    probabilities_CHW = np.exp(all_cues().scores_CHW)
    np.savez(tmp_path / "maps" / "a.npz", p=probabilities_CHW, classes=np.array(VOCABULARY.target.names))
    cues = map_cues(tmp_path / "maps", a)
    np.testing.assert_allclose(cues.scores_CHW, all_cues().scores_CHW, atol=1e-5)
