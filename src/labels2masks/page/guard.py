"""Who may speak to the page: one ASGI layer in front of everything, which knows nothing of what is behind it.

A request is answered where its Host is one that is served (against names that are made to point here), where it brings
the token, in the cookie or in the header X-Token (against other users and programs of the machine), and where a browser
does not say that it comes from another site. One that changes anything must be JSON, at most `MOST_BYTES` of it, and
say that it comes from the page itself; without an Origin it must bring the token in the header, which no form can.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import socket
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import UsageError

MOST_BYTES = 8 << 20
EVERYWHERE = ("0.0.0.0", "::", "")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def check_address(host: str, token: str | None) -> None:
    """UsageError where others could reach the page and nobody chose its token."""
    if not is_local(host) and not token:
        raise UsageError(
            f"--host {host} lets others in: choose a --token of at least {FEWEST} characters for them, "
            "or leave --host out; what they send is not encrypted"
        )
    if token is not None and (
        len(token) < FEWEST or not (token.isascii() and token.isprintable() and " " not in token)
    ):
        raise UsageError(f"--token takes {FEWEST} or more letters, digits and signs")


FEWEST = 16
"""Characters of a token that somebody chose."""


def is_local(host: str) -> bool:
    """Does the address reach this machine only?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """host, port: where the server listens. token: what everybody must bring."""

    def __init__(self, app: ASGIApp, host: str, port: int, token: str) -> None:
        self.app, self.token, self.port = app, token, port
        self.cookie = f"l2m_page_{port}"  # cookies are not parted by port: two pages would take turns
        self._once: set[str] = set()
        self.everywhere = host in EVERYWHERE
        named = {host, socket.gethostname(), socket.getfqdn()} if not is_local(host) else {host}
        self.hosts = {"127.0.0.1", "localhost", "[::1]", *(f"[{n}]" if ":" in n else n for n in named if n)}

    def once(self) -> str:
        """A token for one visit to the front door: other users see what a browser is started with."""
        self._once.add(made := secrets.token_urlsafe(24))
        return made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in there]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if given := self._door(scope, headers):
            await _answer(guarded, 303, "", {"content-type": "text/plain", "location": "/", "set-cookie": given})
        elif reason := self._refusal(scope["method"], scope["path"], headers):
            await _answer(guarded, 403, reason, {"content-type": "text/plain"} if scope["path"] == "/" else None)
        elif scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, guarded)
        else:
            body = await _body(receive, headers)
            if body is None:
                await _answer(guarded, 413, f"more than {MOST_BYTES >> 20} MiB at once; send it in parts")
            else:
                await self.app(scope, _replayed(body, receive), guarded)

    def _door(self, scope: Scope, headers: dict[str, str]) -> str:
        """The cookie for who opens the address that the terminal shows, with the token in it.

        Lax, not Strict: a link in a terminal that is a page itself leads here, too. No GET changes anything.
        """
        if scope["method"] != "GET" or scope["path"] != "/" or not self._is_host(headers.get("host", "")):
            return ""
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not self._is_token(given):
            if given not in self._once:
                return ""
            self._once.remove(given)
        return f"{self.cookie}={self.token}; HttpOnly; SameSite=Lax; Path=/"

    def _refusal(self, method: str, path: str, headers: dict[str, str]) -> str:
        host = headers.get("host", "")
        if not self._is_host(host):
            return "this page is not served under that name"
        if not self._is_token(headers.get("x-token", "")) and not self._is_token(self._cookie(headers)):
            return "no token, or one of another session: open the address that `l2m page` shows in its terminal"
        origin = headers.get("origin")
        if origin is not None and origin.lower() != f"http://{host.lower()}":
            return "a request from another site"
        opened = method == "GET" and path == "/" and headers.get("sec-fetch-dest") == "document"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and not opened:
            return "a request from another site"
        if method in ("GET", "HEAD"):
            return ""
        if origin is None and not self._is_token(headers.get("x-token", "")):
            return "a change without an Origin must bring the token in the header X-Token"
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return "a change must be sent as application/json"
        return ""

    def _is_host(self, host: str) -> bool:
        name, _, port = host.lower().rpartition(":") if not host.endswith("]") else (host.lower(), "", "")
        if not name:
            name, port = port, ""
        if (int(port) if port.isascii() and port.isdigit() else 80 if not port else -1) != self.port:
            return False
        return name in {h.lower() for h in self.hosts} or (self.everywhere and _is_address(name))

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _cookie(self, headers: dict[str, str]) -> str:
        parts = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return next((value for name, _, value in parts if name == self.cookie), "")


def _is_address(name: str) -> bool:
    """An address in numbers can not be made to point elsewhere."""
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


async def _body(receive: Receive, headers: dict[str, str]) -> bytes | None:
    """All of it, or None where it is too much, of which no more is read."""
    said = headers.get("content-length", "0")
    if not said.isdigit() or len(said) > 12 or int(said) > MOST_BYTES:
        return None
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > MOST_BYTES:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _answer(send: Send, status: int, message: str, headers: dict[str, str] | None = None) -> None:
    """headers: what differs from JSON; a person who opens the page reads plain text."""
    listed = {"content-type": "application/json", **(headers or {})}
    content = (json.dumps({"message": message}) if "json" in listed["content-type"] else message).encode()
    listed["content-length"] = str(len(content))
    start = [(n.encode(), v.encode()) for n, v in listed.items()]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})
