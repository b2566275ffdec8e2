"""What requests bring and what they are answered with: JSON, planes of bytes, and every failure as {message}, one line.

Legend: h, w = pixels of a small picture.
"""

from __future__ import annotations

import json

import numpy as np
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from ..errors import DataError, UsageError
from ..formats.label_json import Field


class Missing(Exception):
    """There is no such thing (yet)."""


def planes_of(planes: tuple[np.ndarray, ...], version: int = 0) -> Response:
    """Planes of uint8 hw, one behind the other."""
    h, w = planes[0].shape
    headers = {"X-Shape": f"{h} {w}", "X-Planes": str(len(planes))}
    headers["X-Model"] = str(version)
    content = b"".join(np.ascontiguousarray(p, np.uint8).tobytes() for p in planes)
    return Response(content, media_type="application/octet-stream", headers=headers)


async def sent(request: Request, *fields: str) -> Field:
    """The JSON object of a request, with no other fields than these. Raises DataError."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not a number")

    try:
        value = json.loads(await request.body(), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise DataError(f"request: not valid JSON ({error})") from None
    made = Field(value, "request")
    made.only(*fields)
    return made


def say_failures(made: FastAPI) -> None:
    """Every failure as {message}, one line."""

    def line(error: object) -> str:
        return " ".join(str(error).split()) or "no reason given"

    @made.exception_handler(Missing)
    def missing(_: Request, error: Missing) -> Response:
        return JSONResponse({"message": line(error)}, 404)

    @made.exception_handler(UsageError)
    @made.exception_handler(DataError)
    def wrong(_: Request, error: Exception) -> Response:
        return JSONResponse({"message": line(error)}, 400)

    @made.exception_handler(RequestValidationError)
    def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return JSONResponse({"message": line(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")}, 400)

    @made.exception_handler(HTTPException)
    def http(_: Request, error: HTTPException) -> Response:
        return JSONResponse({"message": line(error.detail)}, error.status_code)

    @made.exception_handler(OSError)
    def disk(_: Request, error: OSError) -> Response:
        return JSONResponse({"message": line(f"the disk: {error.strerror or error}; nothing was changed")}, 500)
