r"""The dense CRF as the last layers of a network: its mean field, unrolled and trained with everything before it.

Zheng, Jayasumana, Romera-Paredes, Vineet, Su, Du, Huang, Torr, "Conditional Random Fields as Recurrent Neural
Networks", ICCV 2015, arXiv 1502.03240, algorithm 1 and section 4. From scores U, for every iteration:

    Q = softmax(U')                          (U' = U at first)
    message_l = sum over kernels k of w_kl K_k Q_l    K normalised symmetrically
    U' = U - sum over l' of mu_ll' message_l'

and the scores U' of the last iteration are the output: softmax gives the marginals, cross-entropy takes them as they
are. Learned are the compatibility mu (starts as Potts: 1 between different labels), the weights w of every class and
kernel, and, where asked for, the standard deviations. It starts as the dense CRF of a preset. The paper trains with 5
iterations and predicts with 10.

The kernels are those of `kernels.dense_crf`, the filter is `kernels.gaussian_torch`.

Legend: N = images; C = classes; K = kernels; H, W = pixels; h, w = cells; P = h * w, S = cells that send messages.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import UsageError, did_you_mean
from ..grid import Grid
from ..kernels.cells import at_cells, place_and_colour_features, place_features
from ..kernels.dense_crf import PRESETS, CRFParameters
from ..kernels.gaussian_torch import GaussianOperator
from ..kernels.upsample import upsample

Filter = Callable[[Tensor], Tensor]


class CRFasRNN(nn.Module):
    """forward(scores_NChw, images_N3HW RGB 0..255, grid) -> scores_NChw after the mean field.

    preset: a name of `dense_crf.PRESETS`, or CRFParameters; its own iterations are not used.
    iterations: in training and in evaluation.
    per_class: a kernel's weight for every class, as in the paper; else one for all.
    train_sigmas: the standard deviations learn too, at about six times the filters. On the lattice gradients to them
        are approximate (on a photo of 80x60 the right signs, 8 to 18 % too small), else exact.
    source_stride: messages come from every such row and column; the last iteration reaches every cell.
    backend: of `GaussianOperator`.
    Raises UsageError for an unknown preset and for numbers that can not be.
    """

    def __init__(
        self,
        classes: int,
        preset: str | CRFParameters = "deeplab",
        iterations: tuple[int, int] = (5, 10),
        per_class: bool = True,
        train_sigmas: bool = False,
        source_stride: int = 1,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        parameters = PRESETS.get(preset) if isinstance(preset, str) else preset
        if parameters is None:
            raise UsageError(f"no CRF preset {preset!r}{did_you_mean(str(preset), PRESETS)}")
        if classes < 1 or min(iterations) < 0 or source_stride < 1:
            raise UsageError(
                f"expected classes and source_stride of 1 or more and iterations of 0 or more, got {classes}, "
                f"{source_stride} and {iterations}"
            )
        kernels = parameters.kernels(1, 1)
        self.classes, self.iterations, self.source_stride, self.backend = classes, iterations, source_stride, backend
        self.compatibility_CC = nn.Parameter(1 - torch.eye(classes))
        weights_K = torch.tensor([weight for weight, _, _ in kernels], dtype=torch.float32)
        self.weights_KC = nn.Parameter(weights_K[:, None].repeat(1, classes if per_class else 1))
        # Of each kernel xy, or xy and rgb. What is learned is the logarithm of a factor: sigmas stay above zero, and
        # begin as the preset's to the last bit, where a lattice changes with the last bit.
        self.sigmas = [[sigma for sigma in sigmas if sigma] for _, *sigmas in kernels]
        self.log_factors = nn.ParameterList(
            nn.Parameter(torch.zeros(len(sigmas)), requires_grad=train_sigmas) for sigmas in self.sigmas
        )

    def forward(self, scores_NChw: Tensor, images_N3HW: Tensor, grid: Grid = Grid()) -> Tensor:  # noqa: B008
        """Differentiable in scores, parameters and images. `grid` says where the cells of the scores lie.

        Cells of a stride above 1 have the mean colour of their pixels; sigmas stay in pixels.
        Raises UsageError for another number of classes, or of images.
        """
        if scores_NChw.shape[1] != self.classes or len(images_N3HW) != len(scores_NChw):
            raise UsageError(
                f"scores {tuple(scores_NChw.shape)} and images {tuple(images_N3HW.shape)}: expected {self.classes} "
                "classes and as many images"
            )
        # Messages add up to more than half precision can tell apart.
        with torch.autocast(scores_NChw.device.type, enabled=False):
            result_NPC = self._mean_field(scores_NChw, images_N3HW, grid)
        return result_NPC.mT.reshape(scores_NChw.shape)

    def _mean_field(self, scores_NChw: Tensor, images_N3HW: Tensor, grid: Grid) -> Tensor:
        height, width = scores_NChw.shape[2:]
        precision = torch.promote_types(scores_NChw.dtype, torch.float32)
        unary_NPC = scores_NChw.flatten(2).mT.log_softmax(dim=-1, dtype=precision)
        colours_N3hw = at_cells(images_N3HW.to(unary_NPC), grid, height, width)
        cells_hw = torch.arange(height * width, device=scores_NChw.device).view(height, width)
        sending_S = cells_hw[:: self.source_stride, :: self.source_stride].flatten()
        to_senders, to_all = self._filters(colours_N3hw, grid, sending_S)
        count = self.iterations[0 if self.training else 1]
        unary_NSC = unary_NPC[:, sending_S]
        result = unary_NSC if count else unary_NPC
        for step in range(count):
            unary, filters = (unary_NPC, to_all) if step == count - 1 else (unary_NSC, to_senders)
            sent_NSC = result.softmax(dim=-1)
            message = sum(weight_C * heard(sent_NSC) for weight_C, heard in zip(self.weights_KC, filters, strict=True))
            result = unary - message @ self.compatibility_CC.T
        return result

    def _filters(self, colours_N3hw: Tensor, grid: Grid, sending_S: Tensor) -> tuple[list[Filter], list[Filter]]:
        """Each kernel, normalised, from the senders to themselves and to all cells."""
        to_senders, to_all = [], []
        for sigmas_0, log_factors in zip(self.sigmas, self.log_factors, strict=True):
            sigma_xy, *sigma_rgb = (sigma * factor for sigma, factor in zip(sigmas_0, log_factors.exp(), strict=True))
            if sigma_rgb:
                features = place_and_colour_features(colours_N3hw, grid, sigma_xy, *sigma_rgb)
            else:
                height, width = colours_N3hw.shape[2:]
                features = place_features(grid, height, width, sigma_xy, colours_N3hw)
            every = features.shape[-2] == len(sending_S)
            sources = features if every else features[..., sending_S, :]
            outer = GaussianOperator(sources, None if every else features, self.backend)
            inner = outer if every else GaussianOperator(sources, None, self.backend)
            norm = (outer.filter(torch.ones_like(sources[..., :1])) + 1e-20) ** -0.5
            norm_of_senders = norm if every else norm[..., sending_S, :]
            to_senders.append(_normalised(inner, norm_of_senders, norm_of_senders))
            to_all.append(_normalised(outer, norm_of_senders, norm))
        return to_senders, to_all


def _normalised(operator: GaussianOperator, before: Tensor, after: Tensor) -> Filter:
    return lambda values: after * operator.filter(before * values)


class EndsInCRF(nn.Module):
    """forward(images_N3HW RGB 0..255) -> scores_NCHW at every pixel: a network's scores, enlarged, through a CRFasRNN.

    Any network of ours, and trained as one: the loss is taken behind the CRF, and on the network's other heads. A
    network that has learned already is a better start than an untrained one (the paper starts from FCN-8s).
    It has no name on the command line and no ONNX file: a lattice is not made of ONNX's operations.
    Raises UsageError where the numbers of classes differ.
    """

    def __init__(self, network: nn.Module, crf: CRFasRNN) -> None:
        super().__init__()
        if network.classes != crf.classes:
            raise UsageError(f"a network of {network.classes} classes and a CRF of {crf.classes}")
        self.network, self.crf = network, crf
        self.classes, self.grid, self.finite_field = network.classes, Grid(), False
        self.smallest, self.working_size = network.smallest, network.working_size

    def forward(self, images_N3HW: Tensor) -> Tensor:
        return self._refined(self.network(images_N3HW), self.network.grid, images_N3HW)

    def training_scores(self, images_N3HW: Tensor) -> list[tuple[float, Tensor, Grid]]:
        (weight, scores_NChw, grid), *others = self.network.training_scores(images_N3HW)
        return [(weight, self._refined(scores_NChw, grid, images_N3HW), self.grid), *others]

    def _refined(self, scores_NChw: Tensor, grid: Grid, images_N3HW: Tensor) -> Tensor:
        return self.crf(upsample(scores_NChw, grid, *images_N3HW.shape[2:]), images_N3HW)
