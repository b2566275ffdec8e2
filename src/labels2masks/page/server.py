"""The routes of the page: thin, since what they do is in `project`, `engine` and `work`.

Nothing is put into HTML here: the files of `static` are sent as they are, and everything else is JSON or pixels.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from .class_names import hex_colour
from .engine import Engine
from .events import Events
from .guard import Guard
from .photos import Decoder
from .project import Conflict, Project
from .replies import Missing, planes_of, say_failures, sent
from .work import Jobs
from .work_routes import work_routes

STATIC = Path(__file__).parent / "static"
LONGEST, THUMB, MASK, MASK_THUMB = 2048, 192, 512, 96
MOST_LONGEST = 8192
KEPT_BYTES = 64 << 20
"""Small pictures that are kept ready: a few thousand thumbnails."""

NOTHING_TOLD: Any = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""Newer versions of FastAPI tell a collector of requests where the environment names one; photos' names are in them."""


class Pictures:
    """JPEGs of photos, the last ones kept. Thumbnails and the photo that is open are decoded by one worker each."""

    def __init__(self, project: Project):
        self.project = project
        self._thumbs, self._turn, self._size = Decoder(), Lock(), 0
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        Thread(target=self._thumbs.sizes, args=([],), daemon=True).start()  # the first thumbnail need not wait for it

    def jpeg(self, i: int, longest: int) -> bytes:
        with self._turn:
            if (i, longest) in self._kept:
                self._kept.move_to_end((i, longest))
                return self._kept[i, longest]
        decoder = self._thumbs if longest <= THUMB else self.project.decoder
        made = decoder.jpeg(self.project.image(i), longest, self.project.states[i].photo.levels)
        with self._turn:
            if (i, longest) not in self._kept:
                self._size += len(made)
            self._kept[i, longest] = made
            while self._size > KEPT_BYTES:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made

    def close(self) -> None:
        self._thumbs.close()


def app(project: Project, engine: Engine | None, jobs: Jobs | None, events: Events) -> FastAPI:
    """The page without its guard. engine, jobs: None where nothing is computed."""
    made = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=NOTHING_TOLD)
    pictures = Pictures(project)
    made.state.pictures = pictures

    def there(i: int) -> int:
        if not 0 <= i < len(project):
            raise Missing(f"no photo {i}; this project has {len(project)}")
        return i

    def told(i: int, version: int) -> dict[str, Any]:
        """After a change of photo i: every window and the engine hear of it."""
        if engine is not None:
            engine.changed(i)
        events.tell("photo", {"i": i, "version": version, "state": shown(i)["state"]})
        return {"version": version}

    def shown(i: int) -> dict[str, Any]:
        height, width = project.size(i)
        confidence = engine.confidence(i) if engine is not None else None
        state = project.state(i)
        return {
            "i": i,
            "name": project.states[i].photo.name,
            "width": width,
            "height": height,
            "state": "suggested" if state == "untouched" and confidence is not None else state,
            "confidence": confidence,
            "version": project.version(i),
        }

    @made.get("/")
    def page() -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html; charset=utf-8")

    @made.get("/api/project")
    def describe() -> dict[str, Any]:
        with project.lock:
            classes = project.classes
            named = zip(classes.names, classes.colours, strict=True)
            return {
                "name": project.folder.name,
                "folder": str(project.folder),
                "notes": [*project.notes, *filter(None, [project.file.failure])],
                "classes": [
                    {"name": n, "colour": hex_colour(c), "background": n == classes.background} for n, c in named
                ],
                "photos": [shown(i) for i in range(len(project))],
                "features": engine.features if engine is not None else {"done": 0, "total": len(project)},
                "model": engine.model if engine is not None else {"version": 0, "photos": 0, "message": ""},
                "can": dict.fromkeys(("train", "audit", "export"), jobs is not None),
                "recipes": jobs.recipes() if jobs is not None else [],
                "formats": jobs.formats() if jobs is not None else {},
                "palettes": {"colour-blind": [hex_colour(c) for c in told_apart(len(classes))]},
            }

    @made.get("/api/photos/{i}/image")
    def image(i: int, side: int = LONGEST) -> Response:
        longest = min(max(side, 1), MOST_LONGEST)
        return Response(pictures.jpeg(there(i), longest), media_type="image/jpeg")

    @made.get("/api/photos/{i}/thumb")
    def thumb(i: int) -> Response:
        return Response(pictures.jpeg(there(i), THUMB), media_type="image/jpeg")

    def marks_now(i: int) -> dict[str, Any]:
        with project.lock:
            return {
                "version": project.version(i),
                "marks": [m.to_json() for m in project.marks(i)],
                "answers": {n: project.answers(i).get(n) for n in project.classes.foreground},
                "checked": project.checked(i),
            }

    @made.get("/api/photos/{i}/marks")
    def marks(i: int) -> dict[str, Any]:
        return marks_now(there(i))

    @made.post("/api/photos/{i}/marks")
    async def change_marks(i: int, request: Request) -> Any:
        body = await sent(request, "base", "add", "remove")
        base = body.at("base").number()
        remove = [item.text() for item in body.items("remove", default=True)]
        add = body.at("add") if "add" in body else None
        return await run_in_threadpool(lambda: told(i, project.change_marks(there(i), int(base), add, remove)))

    @made.post("/api/photos/{i}/answer")
    async def answer(i: int, request: Request) -> Any:
        body = await sent(request, "name", "value")
        value = body.at("value").text() if body.has_value("value") else None
        return await run_in_threadpool(lambda: told(i, project.answer(there(i), body.at("name").text(), value)))

    @made.post("/api/photos/{i}/checked")
    async def checked(i: int, request: Request) -> Any:
        body = await sent(request, "value")
        return await run_in_threadpool(lambda: told(i, project.check(there(i), body.at("value").flag())))

    @made.post("/api/classes")
    async def classes(request: Request) -> Any:
        body = await sent(request, "op", "name", "to", "colour")
        op, name = body.at("op").text(), body.at("name").text()
        to, colour = (body.at(k).text() if body.has_value(k) else None for k in ("to", "colour"))

        def change() -> dict[str, Any]:
            project.change_class(op, name, to, colour)
            if engine is not None:
                engine.classes_changed()
            events.tell("classes", {})
            return describe()

        return await run_in_threadpool(change)

    @made.get("/api/photos/{i}/mask")
    def mask(i: int, size: str = "full") -> Response:
        if engine is None:
            raise Missing("masks are not computed in this session")
        planes = engine.mask(there(i), MASK_THUMB if size == "thumb" else MASK)
        if planes is None:
            raise Missing("no mask yet: the photo's features are being computed, or nothing is labelled yet")
        return planes_of(planes, engine.model["version"])

    @made.post("/api/photos/{i}/sharpen")
    async def sharpen(i: int, request: Request) -> Response:
        how = (await sent(request, "how")).at("how").text()
        if engine is None:
            raise Missing("masks are not computed in this session")
        return await run_in_threadpool(lambda: planes_of(engine.sharpened(there(i), how), engine.model["version"]))

    @made.get("/api/next")
    def following(after: int | None = None) -> dict[str, Any]:
        if engine is not None:
            return {"i": engine.next(after)}
        waiting = [i for i in range(len(project)) if not project.checked(i) and i != after]
        return {"i": next((i for i in waiting if after is not None and i > after), waiting[0] if waiting else None)}

    @made.get("/api/events")
    async def listen() -> StreamingResponse:
        return StreamingResponse(events.stream(), media_type="text/event-stream")

    @made.exception_handler(Conflict)
    def conflict(_: Request, error: Conflict) -> Response:
        return JSONResponse({"message": str(error), **marks_now(error.i)}, 409)

    say_failures(made)
    if jobs is not None:
        made.include_router(work_routes(project, jobs))
    made.mount("/static", StaticFiles(directory=STATIC, follow_symlink=False))
    return made


def guarded(served: FastAPI, host: str, port: int, token: str) -> Guard:
    return Guard(served, host, port, token)


def new_token() -> str:
    return secrets.token_urlsafe(24)


def told_apart(count: int) -> list[tuple[int, int, int]]:
    """Colours that people with any colour vision tell apart, as far as there are such.

    Wong 2011, "Points of view: Color blindness", with black for the ground; beyond its eight each again, darker.
    """
    eight = [
        (0, 0, 0),
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (0, 114, 178),
        (213, 94, 0),
        (204, 121, 167),
    ]
    made = []
    for i in range(count):
        turn, place = divmod(i, len(eight))
        r, g, b = eight[place] if turn == 0 or place else (128, 128, 128)
        made.append((r * 5 // (5 + turn), g * 5 // (5 + turn), b * 5 // (5 + turn)))
    return made
