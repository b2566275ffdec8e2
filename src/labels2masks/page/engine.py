"""The instant model behind the page: features once, a fit after every change, the masks of whatever is looked at.

    engine = Engine(project, "tf_efficientnet_lite0", "auto", tell)
    engine.start()                  another process computes features; what lies on the disk is there at once
    engine.changed(3)               photo 3 has other labels: fit again, then tell("model", ...)
    engine.mask(3, longest=512)

Two threads: one listens to the process that computes features, one fits. A fit takes the labels as they are when it
begins; what changes meanwhile is one further fit, however much it was. In between, the fitting thread goes through all
photos and notes how sure the model is of each. Masks are made in the thread that asks for them.

Legend: H, W = pixels of a mask; h, w = cells; C = classes.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..classes import Classes
from ..errors import DataError
from ..formats.dataset import Photo
from ..grid import Grid
from ..labels import AreaShares, Boxes, Candidates, Tags
from ..prediction.views import scaled, shrinking
from .elsewhere import Elsewhere
from .features import CELLS, SEEN, Maps, Store
from .shown import SURE, masked

if TYPE_CHECKING:
    from .fit import Fit

Tell = Callable[[str, dict[str, Any]], None]
Mask = tuple[np.ndarray, np.ndarray]

IN_MEMORY = 64
"""Photos whose maps stay in memory: the open one and the thumbnails around it. About 1.5 MB each."""
THUMB = 128
"""Masks up to this long side are thumbnails; the last `VISIBLE` that were asked for follow a change."""
VISIBLE = 40
QUIET = 0.3
"""Seconds without a change after which the model looks at all photos."""
OFTEN = 1.0
"""Seconds between two fits while features arrive and nobody draws."""
RELABELLED = 100
"""Photos that a relabelling round looks at, at most."""


class Project(Protocol):
    """What the engine asks of a project. photo: with its labels as of now. size: (height, width).

    pixels: uint8 HW3 RGB, upright, no side above `longest`.
    """

    @property
    def private(self) -> Path: ...
    @property
    def classes(self) -> Classes: ...
    def __len__(self) -> int: ...
    def photo(self, i: int) -> Photo: ...
    def size(self, i: int) -> tuple[int, int]: ...
    def pixels(self, i: int, longest: int | None = None) -> np.ndarray: ...
    def checked(self, i: int) -> bool: ...


@dataclass(frozen=True)
class Model:
    """weights_DC: None before labels decide or narrow anything. photos: how many it learnt from."""

    version: int = 0
    weights_DC: np.ndarray | None = None
    photos: int = 0
    message: str = "draw something: the model learns from the first mark on"


class Engine:
    """encoder, weights: as `l2m train` takes them; None: the installed package. tell(event, value): from any thread."""

    def __init__(self, project: Project, encoder: str, weights: str | None, tell: Tell):
        self.project, self.tell = project, tell
        self.store = Store(project.private / "features", encoder, weights or "auto")
        self._model = Model()
        self.skipped: dict[int, str] = {}
        self._files: dict[int, Path] = {}
        self._maps: OrderedDict[int, Maps] = OrderedDict()
        self._scores: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._said: OrderedDict[tuple[int, int], tuple[Photo, Candidates]] = OrderedDict()
        self._sure: dict[int, float] = {}
        self._opened: int | None = None
        self._looked_at: OrderedDict[int, None] = OrderedDict()
        self._memory = Lock()
        self._news = Condition()
        self._changed: set[int] = set()
        self._arrived: set[int] = set()
        self._again = False  # all photos' labels are to be read anew
        self._stopped = False
        self._elsewhere = Elsewhere(self.store)
        self._fit: Fit | None = None

    def start(self) -> None:
        """Begin: features in the background, and a fit as soon as there are some."""
        for work in (self._listen, self._fitting):
            Thread(target=work, daemon=True, name=f"page{work.__name__}").start()

    def stop(self) -> None:
        with self._news:
            self._stopped = True
            self._news.notify_all()
        self._elsewhere.stop()

    @property
    def features(self) -> dict[str, int]:
        """{"done", "total"}; a photo that can not be read is done, too."""
        return {"done": len(self._files) + len(self.skipped), "total": len(self.project)}

    @property
    def model(self) -> dict[str, Any]:
        """{"version", "photos": how many it learnt from, "message"}."""
        model = self._model
        return {"version": model.version, "photos": model.photos, "message": model.message}

    def changed(self, i: int) -> None:
        """The labels of photo i are others now."""
        with self._news:
            self._changed.add(i)
            self._news.notify_all()

    def classes_changed(self) -> None:
        """The class list is another: every label is read anew."""
        with self._news:
            self._again = True
            self._news.notify_all()

    def mask(self, i: int, longest: int, sure: float = SURE) -> Mask | None:
        """(index_HW uint8, 255 = undecided; confidence_HW uint8), the photo shrunk so that no side is above `longest`.

        sure: the least probability that decides; 0 = every pixel is decided.
        None while the photo's features are not there. Raises DataError for labels that can not be read.
        """
        maps = self._of(i)
        if maps is None:
            return None
        if longest > THUMB and self._opened != i:
            with self._news:
                self._opened = i
                self._news.notify_all()
        if longest <= THUMB:
            with self._memory:
                self._looked_at[i] = None
                self._looked_at.move_to_end(i)
                while len(self._looked_at) > VISIBLE:
                    self._looked_at.popitem(last=False)
        return masked(*self._made_from(i, maps, longest), sure)

    def confidence(self, i: int) -> float | None:
        """0..1: the mean probability of what the model says of the photo; None before it has looked."""
        return self._sure.get(i) if self._model.weights_DC is not None else None

    def next(self, after: int | None) -> int | None:
        """The photo that the model is least sure of among those not checked; not `after` itself.

        Before it has looked, the one behind `after`.
        """
        open_ = [i for i in range(len(self.project)) if i != after and not self.project.checked(i)]
        looked_at = [(sure, i) for i in open_ if (sure := self.confidence(i)) is not None]
        if looked_at:
            return min(looked_at)[1]
        return min(open_, key=lambda i: (after is not None and i < after, i), default=None)

    def sharpened(self, i: int, how: str) -> Mask:
        """The mask by "crf" or "grabcut"; see `sharpen`. Raises UsageError, or DataError where there is no mask yet."""
        from .sharpen import sharpened

        maps = self._of(i)
        if maps is None:
            raise DataError("this photo's features are not computed yet: wait a moment")
        return sharpened(how, self.project.pixels(i, SEEN), *self._made_from(i, maps, SEEN))

    # Masks

    def _of(self, i: int) -> Maps | None:
        with self._memory:
            if i in self._maps:
                self._maps.move_to_end(i)
                return self._maps[i]
        if i not in self._files:
            return None
        maps = self.store.read(self._files[i])
        with self._memory:
            self._maps[i] = maps
            while len(self._maps) > IN_MEMORY:
                self._maps.popitem(last=False)
        return maps

    def _scored(self, i: int, maps: Maps, classes: int, keep: bool) -> np.ndarray:
        from ..training.ridge import TEMPERATURE

        model = self._model
        if model.weights_DC is None or model.weights_DC.shape[1] != classes:
            return np.zeros((classes, *maps.cells), np.float32)
        with self._memory:
            if (model.version, i) in self._scores:
                return self._scores[model.version, i]
        scores_Chw = maps.scores(model.weights_DC / np.float32(TEMPERATURE))
        if keep:
            with self._memory:
                self._scores[model.version, i] = scores_Chw
                while len(self._scores) > IN_MEMORY:
                    self._scores.popitem(last=False)
        return scores_Chw

    def _candidates(self, i: int, longest: int, keep: bool = True) -> Candidates:
        from ..training.ridge import candidates_at

        photo = self.project.photo(i)
        with self._memory:
            known = self._said.get((i, longest))
        if known is not None and known[0] is photo:
            return known[1]
        size = self.project.size(i)
        candidates = candidates_at(photo, size, shrinking(*size, longest))
        if keep:
            with self._memory:
                self._said[i, longest] = photo, candidates
                self._said.move_to_end((i, longest))
                while len(self._said) > IN_MEMORY:
                    self._said.popitem(last=False)
        return candidates

    def _made_from(self, i: int, maps: Maps, longest: int, keep: bool = True) -> tuple[np.ndarray, Grid, Candidates]:
        """(scores_Chw, where they lie in pixels of the mask, candidates of the mask's size)."""
        candidates = self._candidates(i, longest, keep)
        height, width = candidates.index_HW.shape
        grid = scaled(CELLS, height / maps.height, width / maps.width)
        return self._scored(i, maps, candidates.sets_KC.shape[1], keep), grid, candidates

    # Features

    def _listen(self) -> None:
        """Find what lies on the disk, and have the rest computed: what has labels first."""
        missing: dict[int, Photo] = {}
        for i in range(len(self.project)):
            photo = self.project.photo(i)
            try:
                file = self.store.file(photo)
            except DataError as error:
                self._leave_out(i, str(error))
                continue
            if file.is_file():
                self._arrive(i, file)
            else:
                missing[i] = photo
        self.tell("features", self.features)
        order = sorted(missing, key=lambda i: not missing[i].labels)
        try:
            for i, why in self._elsewhere.computed({i: missing[i] for i in order}):
                if why is None:
                    self._arrive(i, self.store.file(missing[i]))
                else:
                    self._leave_out(i, why)
                self.tell("features", self.features)
        except (DataError, OSError) as error:
            self.tell("error", {"message": str(error)})

    def _arrive(self, i: int, file: Path) -> None:
        self._files[i] = file
        with self._news:
            self._arrived.add(i)
            self._news.notify_all()

    def _leave_out(self, i: int, why: str) -> None:
        self.skipped[i] = why
        self.tell("error", {"message": f"left out: {why}"})

    # Fits

    def _fitting(self) -> None:
        """Fit after each change; when it is quiet, look at every photo."""
        unseen: list[int] = []
        due, looking, last = False, False, 0.0
        kept: int | None = None
        while not self._stopped:
            changed, arrived = self._taken(None if not (due or unseen) else 0.0 if looking and not due else QUIET)
            try:
                for i in sorted(changed | arrived):
                    due = self._put(i) or due
                if due and (changed or not arrived or time.monotonic() - last > OFTEN):
                    due, looking, last, unseen = False, False, time.monotonic(), sorted(self._files, reverse=True)
                    self._publish(sorted(changed))
                elif self._opened is not None and self._opened != kept:
                    kept = self._opened
                    if self._fit is not None:
                        self._fit.keep(kept)
                elif unseen and not arrived:
                    looking = True
                    self._look(unseen.pop())
                    if not unseen:
                        self._tell_model(sorted(self._files))
            except Exception as error:  # the page goes on labelling, and the next change is fitted again
                self.tell("error", {"message": f"the instant model: {' '.join(str(error).split())}"})

    def _taken(self, seconds: float | None) -> tuple[set[int], set[int]]:
        """(changed, arrived) photos, waited for at most so long."""
        with self._news:
            if not (self._changed or self._arrived or self._again or self._stopped) and seconds != 0:
                self._news.wait(seconds)
            if self._again:
                self._fit, self._again = None, False
                self._model = replace(self._model, weights_DC=None)
                self._changed |= set(self._files)
            taken = self._changed & set(self._files), self._arrived
            self._changed, self._arrived = set(), set()
        return taken

    def _put(self, i: int) -> bool:
        """Read the photo's labels into the fit; is there anything to fit anew?"""
        from .fit import Fit, Said

        try:
            said = Said.by(self._candidates(i, SEEN)) if self.project.photo(i).labels else None
            if said is None and (self._fit is None or i not in self._fit.said):
                return False
            if self._fit is None:
                maps = self.store.read(self._files[i])
                self._fit = Fit(maps.features, self.project.classes, lambda k: self.store.read(self._files[k]))
            self._fit.put(i, said)
        except DataError as error:
            self.tell("error", {"message": f"labels left out: {error}"})
            return False
        return True

    def _publish(self, changed: Sequence[int]) -> None:
        fit = self._fit
        if fit is None:
            return
        weights_DC, message = fit.weights(), ""
        if weights_DC is not None and not fit.decides_objects:
            # The labels of this moment bind at once; what stands out is found out after that.
            before_DC = self._model.weights_DC
            self._set(before_DC, "tags and boxes alone: looking for what stands out")
            self._tell_model(changed)
            found_DC = self._standing_out(fit, weights_DC)
            weights_DC, message = (before_DC, message) if found_DC is None else (found_DC, "from tags and boxes alone")
        self._set(weights_DC, message)
        self._tell_model(changed)

    def _standing_out(self, fit: Fit, weights_DC: np.ndarray) -> np.ndarray | None:
        """weights_DC of a relabelling round; None where a photo has come that decides objects."""
        from ..training.instant import again
        from .fit import SHRINKAGE

        photos = sorted(fit.said)
        photos = photos[:: max(1, -(-len(photos) // RELABELLED))]

        def seen(what: str) -> Iterator[tuple[np.ndarray, Candidates]]:
            for i in photos:
                if any(self._draws(k) for k in list(self._changed)) or self._stopped:
                    raise _Overtaken
                maps = self.store.read(self._files[i])
                yield maps.all(), self._candidates(i, SEEN)

        try:
            return again(seen, weights_DC, fit.classes, np.ones(len(fit.classes)), SHRINKAGE)
        except _Overtaken:
            return None

    def _draws(self, i: int) -> bool:
        return any(not isinstance(label, Tags | Boxes | AreaShares) for label in self.project.photo(i).labels)

    def _set(self, weights_DC: np.ndarray | None, message: str) -> None:
        fit = self._fit
        assert fit is not None
        message = Model.message if weights_DC is None and not message else message
        self._model = Model(self._model.version + 1, weights_DC, len(fit.said), message)

    def _tell_model(self, changed: Sequence[int]) -> None:
        with self._memory:
            photos = list(dict.fromkeys([*changed, *self._looked_at]))
        self.tell("model", {"version": self._model.version, "message": self._model.message, "photos": photos})

    def _look(self, i: int) -> None:
        """Note how sure the model is of the photo. Nothing of it stays in memory."""
        with self._memory:
            maps = self._maps.get(i)
        try:
            _, sure_HW = masked(*self._made_from(i, maps or self.store.read(self._files[i]), THUMB, keep=False))
        except DataError:
            return  # said when it was put into the fit
        self._sure[i] = float(sure_HW.mean()) / 255


class _Overtaken(Exception):
    pass
