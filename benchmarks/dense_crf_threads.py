"""Dense CRF with more threads than processors: does a crowded machine cost more than its share?

    python benchmarks/dense_crf_threads.py [--photos 12] [--repeats 5] [--core N] [--json FILE]

The same batch (`dense_crf_batch`, 500x375, 21 labels, preset krahenbuhl, photos of scikit-image with drawn scores) on
one processor by 1, 2, 4, 8 and 16 threads, in turns. Ours has no barrier and no lock that spins, so an image should
take the same time; a mean field on OpenMP with its default spinning barriers took 5 times as long on a crowded
machine. Time is the processor time of all threads: waiting that spins counts in it, other programs on the machine do
not. Peer: one thread. Ratio below 1: what crowding costs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
from accuracy import row
from skimage import data, filters

from labels2masks.files import write_atomically
from labels2masks.kernels.dense_crf import dense_crf_batch, probabilities_from_scores

RESULTS = Path(__file__).with_name("results") / "dense_crf_threads.json"
THREADS = (1, 2, 4, 8, 16)
LABELS = 21


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--core", type=int, help="the processor to be pinned to; default: the last")
    parser.add_argument("--json", type=Path, default=RESULTS)
    options = parser.parse_args()
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores) if options.core is None else options.core})
    images, probabilities = zip(*(drawn(k) for k in range(options.photos)), strict=True)

    def seconds(threads: int) -> float:
        start = time.process_time()
        for _ in dense_crf_batch(images, probabilities, "krahenbuhl", threads, mask=True):
            pass
        return time.process_time() - start

    seconds(1)
    turns = [[seconds(threads) for threads in THREADS] for _ in range(options.repeats)]
    rates = [len(images) / statistics.median(taken) for taken in zip(*turns, strict=True)]
    settings = {
        "photos": len(images),
        "size": [375, 500],
        "labels": LABELS,
        "processors": 1,
        "repeats": options.repeats,
    }
    rows = [
        row(
            f"dense CRF, {threads} threads on one processor",
            rate,
            "images/s",
            "one thread",
            round(rates[0], 2),
            settings,
        )
        for threads, rate in zip(THREADS, rates, strict=True)
    ]
    write_atomically(options.json, lambda file: file.write((json.dumps(rows, indent=1) + "\n").encode()))
    print(json.dumps(rows))


def drawn(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(image_HW3, probabilities_LHW): a cut of a photo, and labels of areas of like brightness, noisy."""
    source_HW3 = (data.coffee(), data.astronaut(), data.rocket())[number % 3]
    image_HW3 = np.ascontiguousarray(source_HW3[:375, :500]) if number % 2 else source_HW3[374::-1, 499::-1].copy()
    area_HW = (filters.gaussian(image_HW3.mean(axis=2), 15) // 13).astype(int) % LABELS
    scores_LHW = 5.0 * (np.arange(LABELS)[:, None, None] == area_HW)
    return image_HW3, probabilities_from_scores(
        scores_LHW + np.random.default_rng(number).normal(0, 1, scores_LHW.shape)
    )


if __name__ == "__main__":
    main()
