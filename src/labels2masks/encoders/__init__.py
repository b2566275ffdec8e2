"""Image -> feature maps on constant Grids."""

from .pyramid import Pyramid

__all__ = ["Pyramid"]
