"""One project being served: the listening socket, the project, the engine and the work behind it, opened and closed."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType

import uvicorn

from ..errors import UsageError
from .engine import Engine
from .events import Events
from .guard import is_local
from .project import Project
from .server import app, guarded, new_token
from .work import Jobs


class Served:
    """address: what to open, with the token in it; address_once: with one that is good for one visit. config, socket:
    for the server that runs it."""

    def __init__(
        self,
        photos: Path | str,
        port: int,
        host: str,
        token: str | None,
        classes: Sequence[str],
        encoder: str,
        weights: str,
    ):
        self._close = ExitStack()
        try:
            self.socket = self._close.enter_context(_listening(host, port))
            self.port = self.socket.getsockname()[1]
            self.project = Project(photos, classes)
            self._close.callback(self.project.close)
            self.events = Events()
            self.engine = _engine(self.project, encoder, weights, self.events)
            if self.engine is not None:
                self._close.callback(self.engine.stop)
                self.engine.start()
            self.jobs = _jobs(self.project, self.engine, self.events)
            if self.jobs is not None:
                self._close.callback(self.jobs.stop_all)
            self.token = token or new_token()
            served = app(self.project, self.engine, self.jobs, self.events)
            self._close.callback(served.state.pictures.close)
            name = "127.0.0.1" if not is_local(host) else f"[{host}]" if ":" in host else host
            guard = guarded(served, host, self.port, self.token)
            self.address = f"http://{name}:{self.port}/?token={self.token}"
            self.address_once = f"http://{name}:{self.port}/?token={guard.once()}"
            self.config = uvicorn.Config(
                guard,
                access_log=False,  # it would show the token
                proxy_headers=False,
                ws="none",
                log_level="warning",
                server_header=False,
                timeout_graceful_shutdown=1,
                timeout_keep_alive=30,
            )
        except BaseException:
            self._close.close()
            raise

    def __enter__(self) -> Served:
        return self

    def run(self) -> None:
        """Serve until Ctrl-C or a request to end."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is open is closed before the end
        with suppress(KeyboardInterrupt):
            _Server(self.config, self.events).run(sockets=[self.socket])

    def __exit__(self, *_: object) -> None:
        self.events.close()
        self._close.close()


class _Server(uvicorn.Server):
    """Says goodbye to the windows before it waits for them."""

    def __init__(self, config: uvicorn.Config, events: Events):
        super().__init__(config)
        self._events = events

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._events.close()
        super().handle_exit(sig, frame)


def _engine(project: Project, encoder: str, weights: str, events: Events) -> Engine | None:
    return Engine(project, encoder, weights, events.tell)


def _jobs(project: Project, engine: Engine | None, events: Events) -> Jobs | None:
    return Jobs(project, engine, events.tell) if engine is not None else None


def _listening(host: str, port: int) -> socket.socket:
    """Bound before anything is opened: a port that is taken is told at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)  # a browser that is faster than the server waits
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(f"can not listen on {host}, port {port}: {error}; choose another --port") from None
    return listening
