"""The recipe that answers first: a linear classifier on frozen features, in closed form, from any labels."""

from ..training.settings import Optimiser, Settings


def instant() -> Settings:
    """A classifier of cells on frozen EfficientNet-Lite0, fitted in one pass over the photos or three, from any labels.

    Hypercolumns (Hariharan et al. 2015) and ridge regression: what every slower recipe has to beat.
    """
    return Settings(network="linear", solver="ridge", epochs=1)


def instant_and_unlabelled() -> list[Settings]:
    """`instant`, and from it steps by which the classifier agrees with its own running mean on photos without labels.

    The encoder and every statistic stay as they are: the steps move what the closed form found, and nothing else.
    """
    steps = Settings(network="linear", frozen=("encoder",), batch_norm="frozen", optimiser=Optimiser(rate=3e-4))
    return [instant(), steps]
