"""What the engine and the jobs behind the page tell, and a way to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Told:
    """Called with (name, value) from any thread; keeps all of it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.news = threading.Condition()

    def __call__(self, name: str, value: Any) -> None:
        with self.news:
            self.events.append((name, value))
            self.news.notify_all()

    def wait(self, happened: Callable[[], object], seconds: float = 200) -> None:
        with self.news:
            assert self.news.wait_for(happened, seconds), self.events

    def ended(self, job: str, seconds: float = 300) -> dict:
        """The last event of a job."""

        def last() -> dict:
            return next((v for _, v in reversed(self.events) if v["id"] == job), {"state": "none"})

        with self.news:
            assert self.news.wait_for(lambda: last()["state"] in ("done", "failed", "stopped"), seconds), last()
        return last()
