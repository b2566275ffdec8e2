"""The one loader of images and masks. H1 REPLACES THIS."""
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps
def read_image(path):
    return np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))
def read_mask(path):
    return np.asarray(Image.open(path)).astype(np.int32)
