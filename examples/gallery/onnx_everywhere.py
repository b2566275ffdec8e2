"""Export a run, and predict with onnxruntime alone: a photo's bytes in, the class of every pixel out.

    python examples/gallery/onnx_everywhere.py [FOLDER]

The run is the one of train_and_look.py in the same FOLDER, trained now if there is none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from panels import figure, save
from PIL import Image
from train_and_look import large, shown, trained

from labels2masks.sample import CLASSES


def main(folder: Path) -> Path:
    run = trained(folder)
    if not (folder / "model.onnx").exists():
        run.export(folder / "model.onnx")

    # From here on nothing of ours is needed: this is what another program does.
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["labels2masks"])["classes"]["names"]
    rows = []
    for path in sorted((folder / "photos" / "images").glob("*.jpg"))[-3:]:
        image_HW3 = np.asarray(Image.open(path).convert("RGB"))
        mask_HW = session.run(["mask"], {"images": image_HW3[None]})[0][0]

        found = ", ".join(names[i] for i in np.unique(mask_HW) if i)
        equal = np.mean(mask_HW == run.predict(image_HW3))
        rows.append(
            [
                (path.name, large(image_HW3)),
                (f"onnxruntime: {found or 'nothing'}", shown(image_HW3, mask_HW)),
                (f"the run: {equal:.2%} of the pixels equal", shown(image_HW3, run.predict(image_HW3))),
            ]
        )
    return save(figure(rows, CLASSES, 320), folder / "onnx_everywhere.png")


if __name__ == "__main__":
    print(main(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
