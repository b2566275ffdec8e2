"""The routes of training, results, audit and export: what `work` does in the background, asked for and looked at."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from starlette.concurrency import run_in_threadpool

from ..errors import UsageError
from .project import Project
from .replies import Missing, planes_of, sent
from .work import Jobs

EXPORTS = "exports"
MOST_LISTED = 1_000
MOST_MINUTES = 7 * 24 * 60
MOST_CLICKS = 100_000


def work_routes(project: Project, jobs: Jobs) -> APIRouter:
    made = APIRouter(prefix="/api")

    @made.post("/train")
    async def train(request: Request) -> Any:
        body = await sent(request, "minutes", "recipe")
        minutes = body.at("minutes").number()
        if not 0 < minutes <= MOST_MINUTES:
            raise UsageError(f"minutes {minutes:g}; expected more than 0 and at most {MOST_MINUTES}")
        recipe = body.at("recipe").text() if body.has_value("recipe") else "frozen"
        return {"job": await run_in_threadpool(lambda: jobs.train(minutes, recipe))}

    @made.get("/jobs")
    def all_jobs() -> Any:
        return jobs.jobs()

    @made.post("/jobs/{job}/stop")
    async def stop(job: str) -> Any:
        await run_in_threadpool(lambda: _found(jobs.stop, job))
        return {}

    @made.get("/jobs/{job}/photos/{i}")
    def of_job(job: str, i: int) -> Response:
        planes = _found(jobs.photo, job, _photo(project, i))
        if planes is None:
            raise Missing("nothing to look at yet")
        return planes_of(planes)

    @made.get("/runs")
    def runs() -> Any:
        return jobs.runs()

    @made.get("/runs/{name}/photos")
    def run_photos(name: str, request: Request) -> Any:
        return _found(jobs.run_photos, name, request.query_params.get("class"))

    @made.get("/runs/{name}/photos/{i}")
    def run_photo(name: str, i: int) -> Response:
        planes = _found(jobs.run_photo, name, _photo(project, i))
        if planes is None:
            raise Missing("this run has no prediction of the photo")
        return planes_of(planes)

    @made.post("/audit")
    async def audit(request: Request) -> Any:
        body = await sent(request, "run", "clicks")
        clicks = body.at("clicks").number()
        if not (1 <= clicks <= MOST_CLICKS and clicks == int(clicks)):
            raise UsageError(f"clicks {clicks:g}; expected a whole number from 1 to {MOST_CLICKS}")
        run = body.at("run").text()
        return {"id": await run_in_threadpool(lambda: _found(jobs.audit, run, int(clicks)))}

    @made.get("/audit/next")
    def audit_next() -> Any:
        return jobs.audit_next()

    @made.post("/audit/answer")
    async def audit_answer(request: Request) -> Any:
        body = await sent(request, "number", "name")
        name = body.at("name").text() if body.has_value("name") else "unclear"
        number = body.at("number").whole()
        await run_in_threadpool(lambda: jobs.audit_answer(number, name))
        return {}

    @made.get("/audit/estimate")
    def audit_estimate() -> Any:
        return jobs.audit_estimate()

    @made.post("/export")
    async def export(request: Request) -> Any:
        body = await sent(request, "what", "format")
        what = body.at("what").text()
        written_as = body.at("format").text() if body.has_value("format") else None
        return {"job": await run_in_threadpool(lambda: _found(jobs.export, what, written_as))}

    @made.get("/exports")
    def exports() -> list[str]:
        folder = project.folder / EXPORTS
        found = (p for p in sorted(folder.rglob("*")) if p.is_file() and not p.name.startswith("."))
        names = [p.relative_to(folder).as_posix() for p, _ in zip(found, range(MOST_LISTED), strict=False)]
        return names

    @made.get("/exports/{file:path}")
    def exported(file: str) -> Response:
        """Sent to be saved: shown in the page's own address, a file could speak for the page."""
        folder = (project.folder / EXPORTS).resolve()
        path = folder if "\0" in file else (folder / file).resolve()
        if not (path.is_relative_to(folder) and path.is_file()):
            raise Missing(f"no export {file!r}")
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)

    return made


def _photo(project: Project, i: int) -> int:
    if not 0 <= i < len(project):
        raise Missing(f"no photo {i}; this project has {len(project)}")
    return i


def _found(ask: Any, *about: Any) -> Any:
    try:
        return ask(*about)
    except KeyError:
        raise Missing(f"there is no {about[0]!r}") from None
