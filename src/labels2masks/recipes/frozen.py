"""The recipe for a laptop: the encoder stays as ImageNet made it, a small head learns in a minute or two."""

from ..training.settings import Augment, Optimiser, Settings


def frozen() -> Settings:
    """A small head of parallel dilation on a frozen encoder, through which every photo passes once.

    Zoom and mirroring alone: what an encoder sees of other colours or a turned photo is not known without asking it.
    """
    return Settings(
        network="hypercolumns",
        solver="frozen",
        frozen=("encoder",),
        epochs=8,
        augment=Augment(scale=(0.75, 1.33), settle=0, rotate=0, colour=0, hue=0),
        optimiser=Optimiser(rate=2e-3, encoder=1.0),
    )
