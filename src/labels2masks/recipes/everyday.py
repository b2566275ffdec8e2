"""The recipe for a person's own photos: good in minutes on a laptop, whatever the labels."""

from ..training import Settings


def everyday() -> Settings:
    """DeepLab v3+ on EfficientNet-Lite0: any mixture of labels, minutes on a laptop.

    The network is that of Chen et al. 2018 with separable convolutions; AdamW at 1e-3 (encoder 3e-4), poly
    schedule, running mean of the weights. Chosen on CamVid and VOC animals (benchmarks/camvid.py, mixed_labels.py).
    """
    return Settings()
