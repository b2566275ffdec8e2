"""Photos are decoded in a process of their own: a file that hangs or blows up a decoder takes that process alone.

The process has limits: memory where the system can limit it, pixels as every reader here, seconds for each photo. It
is told one job a line and answers with one line of JSON and, behind it, so many bytes.

Legend: H, W = pixels of the upright photo; h, w = pixels after shrinking.
"""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, UsageError
from ..formats.dataset import Photo
from ..formats.image import Levels
from ..labels import Label, Mask

SECONDS = 30.0
"""For one photo, and for the sizes of `AT_ONCE` of them; the largest that is read takes 6."""
MEMORY = 6 << 30
"""Bytes of address space: three times what the largest photo that is read needs."""
AT_ONCE = 500
STARTING = 120.0
"""Seconds that a busy machine may need for the process itself."""
OPENING = 1_800.0
"""Seconds for the labels of a whole data set, of which some have a hundred thousand masks."""
READY = b"ready\n"


class Decoder:
    """One worker process, started when it is first needed and again whenever it had to be stopped. Thread-safe."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def sizes(self, paths: Sequence[Path]) -> list[tuple[int, int] | str]:
        """(height, width) of each upright photo, from its header; the reason as text where it can not be read."""
        found: list[tuple[int, int] | str] = []
        for start in range(0, max(len(paths), 1), AT_ONCE):
            part = paths[start : start + AT_ONCE]
            try:
                answer, _ = self._ask({"do": "sizes", "paths": [str(p) for p in part]}, f"{len(part)} photos")
                found += [x if isinstance(x, str) else (x[0], x[1]) for x in answer["sizes"]]
            except DataError as error:  # one of them stops the worker: ask for each alone
                found += [f"{part[0]}: {error}"] if len(part) == 1 else [s for path in part for s in self.sizes([path])]
        return found

    def jpeg(self, path: Path, longest: int, levels: Levels | None = None) -> bytes:
        """The upright photo as JPEG, its long side at most `longest`; nothing of the file's metadata is in it."""
        return self._ask({"do": "jpeg", "path": str(path), "longest": longest, "levels": levels}, str(path))[1]

    def pixels(self, path: Path, longest: int | None = None, levels: Levels | None = None) -> np.ndarray:
        """uint8 hw3, RGB, upright; at its own size, or shrunk so that its long side is at most `longest`."""
        job = {"do": "pixels", "path": str(path), "longest": longest, "levels": levels}
        answer, data = self._ask(job, str(path))
        return np.frombuffer(data, np.uint8).reshape(answer["shape"])

    def open(self, path: Path, base: Path) -> list[str]:
        """Open a data set as `labels2masks.open` does and write it as a label file; returns what was left out of it."""
        return self._ask({"do": "open", "path": str(path), "base": str(base)}, str(path), OPENING)[0]["notes"]

    def labels(self, photo: Photo) -> tuple[Label, ...]:
        """`photo.labels_loaded()`, its masks decoded in the worker. Raises DataError."""
        job = {"do": "labels", "photo": base64.b64encode(pickle.dumps(photo)).decode()}
        answer, data = self._ask(job, str(photo.image))
        made: list[Label] = []
        for label, found in zip(photo.labels, answer["masks"], strict=True):
            if found is not None:
                kind, height, width = found
                ids = np.frombuffer(data, kind, height * width)
                data = data[ids.nbytes :]
                label = Mask(ids_HW=ids.reshape(height, width).astype(np.int32), seconds=label.seconds)
            made.append(label)
        return tuple(made)

    def close(self) -> None:
        with self._turn:
            self._stop()

    def _ask(self, job: dict[str, Any], what: str, seconds: float | None = None) -> tuple[dict[str, Any], bytes]:
        seconds = seconds or self.seconds
        with self._turn:
            process = self._running()
            assert process.stdin and process.stdout
            with _killed_after(seconds, process) as late:
                try:
                    process.stdin.write(json.dumps(job).encode() + b"\n")
                    process.stdin.flush()
                    answer = json.loads(process.stdout.readline())
                    data = process.stdout.read(answer.get("bytes", 0))
                    if len(data) != answer.get("bytes", 0):
                        raise EOFError
                except (OSError, ValueError, EOFError):
                    self._stop()
                    reason = f"took more than {seconds:.0f} s" if late.is_set() else "stopped the decoder"
                    raise DataError(f"{what}: {reason}; expected an ordinary photo: open and save it anew") from None
        if "error" in answer:
            raise DataError(answer["error"])
        return answer, data

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
            self._process = subprocess.Popen(
                [sys.executable, "-m", "labels2masks.page.photos"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **one_thread},
            )
            with _killed_after(STARTING, self._process):
                assert self._process.stdout
                if self._process.stdout.readline() != READY:
                    self._stop()
                    raise DataError("the process that decodes photos does not start; `labels2masks doctor` may say why")
        return self._process

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                try:
                    if pipe:
                        pipe.close()
                except OSError:  # what was written to a process that is gone
                    pass
            self._process.wait()
            self._process = None


@contextmanager
def _killed_after(seconds: float, process: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Kill the process where what is done with it takes longer; the event says so."""
    late = threading.Event()

    def too_late() -> None:
        late.set()
        process.kill()

    alarm = threading.Timer(seconds, too_late)
    alarm.start()
    try:
        yield late
    finally:
        alarm.cancel()


@dataclass(frozen=True)
class ShownPhoto(Photo):
    """A photo whose masks are decoded in the worker, too, whoever looks at its labels."""

    decoder: Decoder | None = field(default=None, compare=False, repr=False)

    def labels_loaded(self) -> tuple[Label, ...]:
        if self.decoder is None or not any(isinstance(x, Mask) for x in self.labels):
            return super().labels_loaded()
        return self.decoder.labels(Photo(self.name, self.image, self.labels, self.vocabulary, self.levels))


def _work() -> None:
    """The worker's side: until its input ends."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):  # Windows, or a system that has a lower limit already
        pass
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    out.write(READY)
    out.flush()
    for line in sys.stdin.buffer:
        job = json.loads(line)
        data = b""
        try:
            answer, data = _done(job)
        except (DataError, UsageError) as error:
            answer = {"error": str(error)}
        except MemoryError:
            answer = {"error": f"{job.get('path')}: needs more memory than a photo may; shrink it first"}
        out.write(json.dumps(answer | {"bytes": len(data)}).encode() + b"\n" + data)
        out.flush()


def _done(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    import cv2

    from ..formats.image import image_size

    if job["do"] == "sizes":
        sizes: list[Any] = []
        for path in job["paths"]:
            try:
                sizes.append(image_size(path))
            except DataError as error:
                sizes.append(str(error))
        return {"sizes": sizes}, b""
    if job["do"] == "open":
        from ..formats import jsonl
        from ..formats.open import open_dataset

        data = open_dataset(job["path"])
        jsonl.write(data, job["base"])
        return {"notes": list(data.notes)}, b""
    if job["do"] == "labels":
        masks, parts = [], []
        photo: Photo = pickle.loads(base64.b64decode(job["photo"]))  # from the page's own process
        for label in photo.labels_loaded():
            ids_HW = label.ids_HW if isinstance(label, Mask) else None
            if ids_HW is not None and 0 <= ids_HW.min(initial=0) <= ids_HW.max(initial=0) < 256:
                ids_HW = ids_HW.astype(np.uint8)  # a quarter to send
            masks.append(None if ids_HW is None else (ids_HW.dtype.str, *ids_HW.shape))
            parts.append(b"" if ids_HW is None else ids_HW.tobytes())
        return {"masks": masks}, b"".join(parts)
    image_HW3 = _read(Path(job["path"]), job["longest"], job["levels"])
    height, width = image_HW3.shape[:2]
    scale = min(1.0, (job["longest"] or max(height, width)) / max(height, width))
    if scale < 1:
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        image_HW3 = cv2.resize(image_HW3, size, interpolation=cv2.INTER_AREA)
    if job["do"] == "pixels":
        return {"shape": image_HW3.shape}, image_HW3.tobytes()
    encoded = cv2.imencode(".jpg", image_HW3[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    return {}, encoded.tobytes()


def _read(path: Path, longest: int | None, levels: Any) -> np.ndarray:
    """uint8 HW3 upright; of a JPEG that is to be shrunk to less than half only so many pixels as are needed."""
    import cv2
    from PIL import Image

    from ..formats.image import image_size, read_image

    fewer = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}
    most = max((n for n in fewer if longest and max(image_size(path)) >= n * longest), default=0)
    data = path.read_bytes() if most else b""
    if data[:2] == b"\xff\xd8" and data.endswith(b"\xff\xd9") and Image.open(io.BytesIO(data)).mode == "RGB":
        bgr_hw3 = cv2.imdecode(np.frombuffer(data, np.uint8), fewer[most])
        if bgr_hw3 is not None:
            return cv2.cvtColor(bgr_hw3, cv2.COLOR_BGR2RGB)
    return read_image(path, tuple(levels) if isinstance(levels, list) else levels)


if __name__ == "__main__":
    _work()
