"""What the server tells every open window as it happens, as server-sent events. Any thread may tell."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

MOST_WAITING = 1_000
"""Events that a window may be behind; one that is further behind is cut off, and comes back and asks for everything."""
MOST_WINDOWS = 64
ALIVE = 15.0
"""Seconds between signs of life, by which a window that was closed is noticed."""


class Events:
    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._windows: list[tuple[asyncio.AbstractEventLoop, asyncio.Queue[bytes | None]]] = []

    def tell(self, name: str, value: dict[str, Any]) -> None:
        """Tell all windows. Returns at once."""
        text = f"event: {name}\ndata: {json.dumps(value, allow_nan=False)}\n\n".encode()
        with self._turn:
            windows = list(self._windows)
        for loop, queue in windows:
            self._give(loop, queue, text)

    def close(self) -> None:
        """End every stream, so that the server can stop."""
        with self._turn:
            windows, self._windows = self._windows, []
        for loop, queue in windows:
            self._give(loop, queue, None)

    async def stream(self) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        window = asyncio.get_running_loop(), queue
        with self._turn:
            if len(self._windows) >= MOST_WINDOWS:  # the oldest gives way: windows that crashed are never said goodbye
                loop, oldest = self._windows.pop(0)
                self._give(loop, oldest, None)
            self._windows.append(window)
        try:
            yield b"retry: 1000\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), ALIVE)
                except TimeoutError:
                    text = b": alive\n\n"
                if text is None or queue.qsize() > MOST_WAITING:
                    return
                yield text
        finally:
            with self._turn:
                self._windows = [w for w in self._windows if w[1] is not queue]

    @staticmethod
    def _give(loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes | None], text: bytes | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, text)
