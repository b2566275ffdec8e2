"""A COCO file of 300 MB with 100,000 photos: time and memory of opening it, against reading its JSON at once.

    python benchmarks/open_coco.py [--photos N] [--rounds N] [--folder FOLDER]

ours           open_dataset: every annotation checked, every photo found and its header read, labels as arrays
walked         our stream of values alone, nothing kept: what memory the reading itself takes
json.load      the file as Python's objects, nothing checked: the least that readers which load it at once need
pycocotools    COCO(file): json.load and an index (pip install pycocotools; left out where it is not installed)

The file is drawn: seven outlined objects a photo, 5 to 40 vertices with two decimals, as in COCO's own. Photos are hard
links of a few files. Each side runs in a process of its own, the sides take turns. Time is the processor's; memory is
the growth of the process's peak over what it had when its imports were done; values are medians over the rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from labels2masks.files import write_atomically

RESULTS = Path(__file__).with_name("results") / "open_coco.json"
PHOTOS_A_FILE = 10_000
"""Hard links of one file: disks limit how many there may be."""
OBJECTS = 7
DRAWN = 10_000
"""Different objects, taken in turn."""
HEIGHT, WIDTH = 480, 640


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the photos are drawn; default: a temporary folder")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "FILE"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(measured(asked.side[0], Path(asked.side[1]))))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        file = drawn(Path(folder), asked.photos)
        megabytes = file.stat().st_size / 1e6
        sides = ["ours", "walked", "json.load"]
        sides += ["pycocotools"] if importlib.util.find_spec("pycocotools") else []
        found: dict[str, list[dict]] = {side: [] for side in sides}
        for _ in range(asked.rounds):
            for side in sides:
                command = [sys.executable, __file__, "--side", side, str(file)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                found[side].append(json.loads(out.splitlines()[-1]))
                print(side, found[side][-1], flush=True)
    medians = {s: {k: statistics.median(run[k] for run in runs) for k in runs[0]} for s, runs in found.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows = []
    for side in ("ours", "walked"):
        for peer in (s for s in sides if s not in ("ours", "walked")):
            for key, unit in (("peak_mb", "MB above the imports"), ("cpu_s", "s of processor time")):
                value, of_peer = medians[side][key], medians[peer][key]
                rows.append(
                    {
                        "claim": f"opening a COCO file of {megabytes:.0f} MB, {side}",
                        "value": round(value, 1),
                        "unit": unit,
                        "peer": peer,
                        "peer_value": round(of_peer, 1),
                        "ratio": round(value / of_peer, 3),
                        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
                        "commit": commit,
                        "settings": {
                            "photos": asked.photos,
                            "annotations": asked.photos * OBJECTS,
                            "megabytes": round(megabytes, 1),
                            "rounds": asked.rounds,
                        },
                    }
                )
    write_atomically(asked.json, json.dumps(rows, indent=1) + "\n")
    print(json.dumps(medians, indent=1))


def drawn(folder: Path, photos: int) -> Path:
    """A folder with images/ and annotations/instances_drawn.json, which is returned."""
    (folder / "images").mkdir()
    (folder / "annotations").mkdir()
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 90)).save(buffer, "JPEG")
    original = folder
    for i in range(photos):
        path = folder / "images" / f"{i:012d}.jpg"
        if i % PHOTOS_A_FILE == 0:
            path.write_bytes(buffer.getvalue())
            original = path
        else:
            os.link(original, path)
    rng = np.random.default_rng(0)
    file = folder / "annotations" / "instances_drawn.json"
    with open(file, "w") as out:
        out.write('{"info":{"description":"drawn"},"licenses":[],"images":[')
        for i in range(photos):
            name = f"{i:012d}.jpg"
            entry = {"license": 1, "file_name": name, "coco_url": f"http://example.org/drawn/{name}"}
            entry |= {"height": HEIGHT, "width": WIDTH, "date_captured": "2013-11-14 17:02:52", "id": 10 * i + 9}
            out.write(f"{',' if i else ''}{json.dumps(entry, separators=(',', ':'))}")
        out.write('],"annotations":[')
        shapes = [json.dumps(outlined(rng), separators=(",", ":"))[:-1] for _ in range(DRAWN)]
        for number in range(photos * OBJECTS):
            ids = f'"image_id":{10 * (number // OBJECTS) + 9},"id":{number}}}'
            out.write(f"{',' if number else ''}{shapes[number % DRAWN]},{ids}")
        kinds = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, 91) if i % 9]
        out.write(f'],"categories":{json.dumps(kinds)}}}')
    return file


def outlined(rng: np.random.Generator) -> dict:
    """An object: a star around its centre, as COCO writes it."""
    x, y, radius = rng.uniform(60, WIDTH - 60), rng.uniform(60, HEIGHT - 60), rng.uniform(8, 55)
    angle_N = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 41)))
    reach_N = radius * rng.uniform(0.6, 1, len(angle_N))
    xy_N2 = np.round(np.stack([x + reach_N * np.cos(angle_N), y + reach_N * np.sin(angle_N)], axis=1), 2)
    x0, y0, x1, y1 = *xy_N2.min(axis=0).tolist(), *xy_N2.max(axis=0).tolist()
    return {
        "segmentation": [xy_N2.ravel().tolist()],
        "area": round(2.5 * radius**2, 4),
        "iscrowd": 0,
        "bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)],
        "category_id": int(rng.integers(1, 9)),
    }


def measured(side: str, file: Path) -> dict[str, float]:
    """Seconds, processor seconds and peak megabytes of one side in this process."""
    from labels2masks.formats.open import open_dataset
    from labels2masks.formats.streamed_json import streamed

    if side == "pycocotools":
        from pycocotools.coco import COCO
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start, start_cpu = time.perf_counter(), time.process_time()
    kept: object = None
    with contextlib.redirect_stdout(io.StringIO()):
        if side == "ours":
            kept = open_dataset(file)
        elif side == "walked":
            for _ in streamed(file):
                pass
        elif side == "json.load":
            with open(file, "rb") as opened:
                kept = json.load(opened)
        else:
            kept = COCO(str(file))
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if side == "ours":
        assert sum(len(x.marks) for p in kept for x in p.labels) == OBJECTS * len(kept)  # type: ignore[attr-defined]
    return {"seconds": round(seconds, 1), "cpu_s": round(cpu, 3), "peak_mb": round(peak * 1024 / 1e6, 1)}


if __name__ == "__main__":
    main()
