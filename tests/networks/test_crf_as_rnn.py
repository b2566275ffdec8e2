"""The mean field as layers: it starts as the dense CRF, all of it learns, and any network can end in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks.test_image_pyramid import Brightness
from torch.nn import functional as F

from labels2masks import networks
from labels2masks.errors import UsageError
from labels2masks.grid import Grid
from labels2masks.kernels.cells import at_cells
from labels2masks.kernels.dense_crf import PRESETS, CRFParameters, mean_field_reference
from labels2masks.kernels.upsample import upsample
from labels2masks.networks.crf_as_rnn import CRFasRNN, EndsInCRF

SMALL = CRFParameters(4, 6, 20, 3, 2)


def two_halves(height: int = 12, width: int = 16, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3 uint8 of a dark and a bright half, probabilities_LHW that favour a class in each, and err)."""
    rng = np.random.default_rng(0)
    right_HW = np.indices((height, width))[1] >= width // 2
    image_HW3 = (60 + 120 * right_HW[..., None] + rng.integers(0, 20, (height, width, 3))).astype(np.uint8)
    scores_LHW = rng.normal(0, 1, (classes, height, width)) + 0.8 * np.stack([~right_HW, right_HW, right_HW & False])
    return image_HW3, np.exp(scores_LHW) / np.exp(scores_LHW).sum(axis=0)


def as_tensors(image_HW3: np.ndarray, probabilities_LHW: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """(scores_1Lhw, images_13HW) as networks hold them."""
    images_13HW = torch.from_numpy(image_HW3).permute(2, 0, 1)[None].float()
    return torch.from_numpy(np.log(probabilities_LHW)).float()[None], images_13HW


ONLY_GAUSSIAN = CRFParameters(0, 1, 1, 3, 2)
STARTS = [(backend, preset, 1) for backend in ("exact", "lattice") for preset in (SMALL, "deeplab", ONLY_GAUSSIAN)]


@pytest.mark.parametrize(("backend", "preset", "stride"), [*STARTS, ("exact", SMALL, 2)])
def test_it_starts_as_the_dense_crf(backend, preset, stride):
    """With stride 2 the layer has a lattice for the way and one for the end, the reference one: equal only if exact."""
    image_HW3, probabilities_LHW = two_halves()
    kernels = (PRESETS[preset] if isinstance(preset, str) else preset).kernels(*image_HW3.shape[:2])
    expected_LHW = mean_field_reference(image_HW3, probabilities_LHW.astype(np.float32), kernels, 4, stride, backend)
    crf = CRFasRNN(3, preset, iterations=(5, 4), source_stride=stride, backend=backend).eval()
    scores_1LHW, images_13HW = as_tensors(image_HW3, probabilities_LHW)
    with torch.inference_mode():
        marginals_LHW = crf(scores_1LHW, images_13HW).softmax(dim=1)[0].numpy()
        np.testing.assert_allclose(marginals_LHW, expected_LHW, atol=2e-5)
        assert np.abs(marginals_LHW - probabilities_LHW).max() > 0.2
        torch.testing.assert_close(CRFasRNN(3, preset, (0, 0))(scores_1LHW, images_13HW).softmax(1), scores_1LHW.exp())


def test_images_of_a_batch_do_not_meet():
    pairs = [as_tensors(*two_halves()), as_tensors(*(axis[..., ::-1, :].copy() for axis in two_halves()))]
    crf = CRFasRNN(3, SMALL, backend="exact").eval()
    together = crf(*(torch.cat(side) for side in zip(*pairs, strict=True)))
    torch.testing.assert_close(together, torch.cat([crf(*pair) for pair in pairs]))


def test_gradients_are_right_in_scores_image_and_every_parameter():
    crf = CRFasRNN(2, CRFParameters(1.5, 2, 40, 0.7, 1.5), (2, 2), train_sigmas=True, source_stride=2, backend="exact")
    crf = crf.double()
    draw = torch.Generator().manual_seed(0)
    scores = torch.randn(1, 2, 3, 2, dtype=torch.float64, generator=draw, requires_grad=True)
    image = (torch.rand(1, 3, 3, 2, dtype=torch.float64, generator=draw) * 90).requires_grad_()
    names, values = zip(*((n, p.detach().clone().requires_grad_()) for n, p in crf.named_parameters()), strict=True)
    assert set(names) == {"compatibility_CC", "weights_KC", "log_factors.0", "log_factors.1"}

    def run(scores, image, *values):
        return torch.func.functional_call(crf, dict(zip(names, values, strict=True)), (scores, image))

    assert torch.autograd.gradcheck(run, (scores, image, *values))


def test_it_learns_what_the_preset_does_not_know():
    """Truth is noise that no smoothing can give: weights and compatibilities move away from smoothing."""
    image_HW3, probabilities_LHW = two_halves()
    scores, images = as_tensors(image_HW3, probabilities_LHW)
    truth_1HW = torch.from_numpy(probabilities_LHW.argmax(axis=0))[None]
    crf = CRFasRNN(3, SMALL, (3, 3))
    optimiser = torch.optim.Adam(crf.parameters(), 0.3)
    losses = []
    for _ in range(12):
        losses.append(F.cross_entropy(crf(scores, images), truth_1HW))
        optimiser.zero_grad()
        losses[-1].backward()
        optimiser.step()
    assert CRFasRNN(3, SMALL, per_class=False).weights_KC.shape == (2, 1)
    assert losses[-1] < 0.5 * losses[0]
    assert (crf.weights_KC < torch.tensor([[4.0], [3.0]])).all()
    assert all(factor.grad is None for factor in crf.log_factors)


def test_cells_have_the_mean_colour_of_their_pixels():
    images = torch.rand(1, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(at_cells(images, Grid.square(4, 2), 3, 5), F.avg_pool2d(images, 4))
    assert torch.equal(at_cells(images, Grid(), 12, 20), images)
    slope = torch.arange(41.0).expand(1, 1, 33, 41)  # brightness says where a cell lies
    for grid, cells in ((Grid.square(8, 4), (5, 6)), (Grid.square(8, 0.5), (5, 6)), (Grid.square(2, 1), (17, 21))):
        found_w = at_cells(slope, grid, *cells)[0, 0, 0]
        inside = slice(1, -1)
        torch.testing.assert_close(
            found_w[inside], (grid.centre_x - 0.5 + grid.stride_x * torch.arange(cells[1]))[inside]
        )
    assert at_cells(torch.ones(1, 1, 1, 1), Grid.square(32, 16), 1, 1) == 1


def test_a_coarse_map_is_smoothed_in_pixels_of_the_photo():
    """Four constant cells of stride 4: the same marginals as of one pixel in 4, seen with the same sigmas."""
    image_HW3, probabilities_LHW = two_halves(8, 8)
    coarse = CRFasRNN(3, CRFParameters(0, 1, 1, 5, 6), (2, 2), backend="exact")
    fine = CRFasRNN(3, CRFParameters(0, 1, 1, 5, 1.5), (2, 2), backend="exact")
    scores, images = as_tensors(image_HW3, probabilities_LHW)
    few = scores[:, :, ::4, ::4]
    torch.testing.assert_close(coarse(few, images, Grid.square(4, 2)), fine(few, images[:, :, ::4, ::4]))


def test_half_precision_scores_are_widened():
    scores, images = as_tensors(*two_halves())
    crf = CRFasRNN(3, SMALL).eval()
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert torch.equal(crf(scores.bfloat16(), images), crf(scores.bfloat16().float(), images))


def test_any_network_can_end_in_it():
    torch.manual_seed(0)
    network = EndsInCRF(networks.build("pspnet", 3, "test_resnet"), CRFasRNN(3, SMALL, (2, 3), source_stride=2))
    assert network.grid == Grid() and network.classes == 3
    images = torch.rand(1, 3, 33, 47) * 255
    network.train()
    (weight, refined, grid), (other_weight, _, other_grid) = network.training_scores(images.expand(2, -1, -1, -1))
    assert (weight, grid, refined.shape) == (1, Grid(), (2, 3, 33, 47)) and (other_weight, other_grid.stride_y) == (
        0.4,
        8,
    )
    refined.square().mean().backward()
    learnt = [name for name, p in network.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert {"crf.compatibility_CC", "crf.weights_KC", "network.classifier.weight"} <= set(learnt)
    plain = Brightness()
    same = EndsInCRF(plain, CRFasRNN(2, SMALL, (0, 0)))
    expected = upsample(plain(images), plain.grid, 33, 47).softmax(1)
    torch.testing.assert_close(same(images).softmax(1), expected)


def test_what_can_not_be_is_said():
    with pytest.raises(UsageError, match="did you mean 'deeplab'"):
        CRFasRNN(3, "deplab")
    with pytest.raises(UsageError, match="iterations of 0 or more"):
        CRFasRNN(3, iterations=(5, -1))
    with pytest.raises(UsageError, match="expected 3 classes"):
        CRFasRNN(3)(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4))
    with pytest.raises(UsageError, match="2 classes and a CRF of 3"):
        EndsInCRF(Brightness(), CRFasRNN(3))
