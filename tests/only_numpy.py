"""What someone who wants only the CRF has: this package, numpy, nothing else. Run by cibuildwheel on every wheel.

    python -m venv alone && alone/bin/pip install numpy && alone/bin/pip install --no-deps labels2masks
    alone/bin/python tests/only_numpy.py [--any-kernels]

Checks the CRF, the filter and what else stands on them, and that the kernels were compiled (unless --any-kernels says
that the numpy reference will do); the code without AVX2 in a second process. Ends with the seconds of processor time
from the start of Python to the first mask.
"""

import os
import subprocess
import sys
import time

import labels2masks as l2m

OTHERS = ("torch", "torchvision", "timm", "cv2", "PIL", "skimage", "scipy", "pydantic", "rich", "typer", "defusedxml")


def main() -> None:
    import numpy as np

    y_HW, x_HW = np.indices((60, 80))
    disc_HW = (y_HW - 30) ** 2 + (x_HW - 40) ** 2 < 400
    image_HW3 = np.where(disc_HW[..., None], (200, 80, 60), (60, 90, 200)).astype(np.uint8)
    off_HW = (y_HW - 26) ** 2 + (x_HW - 43) ** 2 < 450
    probabilities_LHW = np.where(off_HW, 0.6, 0.4) * np.ones((2, 1, 1))
    probabilities_LHW[0] = 1 - probabilities_LHW[1]
    mask_HW = l2m.dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", mask=True)
    seconds = time.process_time()
    assert (mask_HW != disc_HW).mean() < 0.02 < (off_HW != disc_HW).mean()

    from labels2masks.kernels import variant
    from labels2masks.pydensecrf import densecrf, utils

    crf = densecrf.DenseCRF2D(80, 60, 2)
    crf.setUnaryEnergy(utils.unary_from_softmax(probabilities_LHW.astype(np.float32)))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image_HW3, compat=10)
    marginals_LN = np.array(crf.inference(10))
    expected_LHW = l2m.dense_crf(image_HW3, probabilities_LHW, "krahenbuhl", compatible=True)
    np.testing.assert_allclose(marginals_LN.reshape(2, 60, 80), expected_LHW, atol=2e-4)

    smooth_PC = l2m.GaussianFilter(np.zeros((9, 2)), normalisation="after").filter(np.arange(9.0)[:, None])
    np.testing.assert_allclose(smooth_PC, 4, rtol=1e-5)
    labels_HW = np.where((y_HW + x_HW) % 40 == 0, disc_HW, -1)
    assert (l2m.propagate_labels(image_HW3, labels_HW, 2).argmax(axis=0) == disc_HW).mean() > 0.99
    assert l2m.guided_upsample(probabilities_LHW[:, ::4, ::4], image_HW3, 4, 13, l2m.Grid.square(4, 0.5)).shape[0] == 2
    assert l2m.superpixel_vote(probabilities_LHW, y_HW // 9 * 9 + x_HW // 9).shape == (2, 60, 80)

    foreign = [name for name in OTHERS if sys.modules.get(name)]
    assert not foreign, f"loaded without need: {foreign}"
    assert variant() != "numpy" or "--any-kernels" in sys.argv, "the kernels were not compiled"
    print(f"labels2masks {l2m.__version__}, kernels {variant()}, {seconds:.2f} s to the first mask")
    if "L2M_KERNELS" not in os.environ:
        subprocess.run([sys.executable, *sys.argv], check=True, env={**os.environ, "L2M_KERNELS": "baseline"})


if __name__ == "__main__":
    main()
