"""Who is let in, word by word: token, Host, Origin, type and size of what is sent, and the headers of every answer."""

from __future__ import annotations

import pytest
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from labels2masks.errors import UsageError
from labels2masks.page.guard import MOST_BYTES, Guard, check_address

TOKEN, PORT = "the-right-token-1", 8123
HERE = f"http://127.0.0.1:{PORT}"
RIGHT = {"X-Token": TOKEN, "Origin": HERE, "Content-Type": "application/json"}


async def behind(scope, receive, send):
    """Says how much of a body came through."""
    message = await receive() if scope["method"] == "POST" else {"body": b""}
    await JSONResponse({"bytes": len(message["body"])})(scope, receive, send)


def client(host: str = "127.0.0.1") -> TestClient:
    return TestClient(Guard(behind, host, PORT, TOKEN), HERE, follow_redirects=False)


def test_without_the_token_nothing_is_answered():
    for path in ("/", "/api/project", "/static/main.js", "/nonsense"):
        for headers in ({}, {"X-Token": ""}, {"X-Token": TOKEN[:-1]}, {"X-Token": "\u00fc".encode()}):
            assert client().get(path, headers=headers).status_code == 403
        assert client().get(path, headers={"Cookie": f"l2m_page_{PORT}=wrong"}).status_code == 403
        assert client().get(path, headers={"Cookie": f"l2m_page_{PORT + 1}={TOKEN}"}).status_code == 403
        assert client().get(path, headers={"X-Token": TOKEN}).status_code == 200
    assert client().get("/?token=wrong").status_code == 403
    assert client().get("/").text.startswith("no token") and client().get("/x").json()["message"]
    assert client().get("/?token=").status_code == 403


def test_the_address_with_the_token_gives_a_cookie_that_scripts_and_other_sites_do_not_get():
    page = client()
    answer = page.get(f"/?token={TOKEN}")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert TOKEN not in answer.text
    assert page.get("/api/project").status_code == 200  # the client keeps the cookie
    assert page.get("/api/project", headers={"Cookie": f'odd={{"a": 1}}; l2m_page_{PORT}={TOKEN}'}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8123", "127.0.0.1", "127.0.0.1:80", "localhost:8124", "", "127.0.0.1:8123.x"]
)
def test_under_another_name_nothing_is_served(host):
    """A name that somebody makes to point at this machine, with the right token by some accident."""
    assert client().get("/", headers={"Host": host, "X-Token": TOKEN}).status_code == 403
    assert client().get(f"/?token={TOKEN}", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_the_names_of_this_machine_are_served(host):
    assert client().get("/", headers={"Host": f"{host}:{PORT}", "X-Token": TOKEN}).status_code == 200


def test_open_to_all_addresses_it_is_served_under_addresses_and_the_machines_name_only():
    page = client("0.0.0.0")
    assert page.get("/", headers={"Host": f"192.168.1.7:{PORT}", "X-Token": TOKEN}).status_code == 200
    assert page.get("/", headers={"Host": f"evil.example:{PORT}", "X-Token": TOKEN}).status_code == 403
    assert client().get("/", headers={"Host": f"192.168.1.7:{PORT}", "X-Token": TOKEN}).status_code == 403


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", f"http://127.0.0.1:{PORT + 1}", f"https://127.0.0.1:{PORT}"]
)
def test_another_site_is_refused_even_with_the_cookie(method, origin):
    page = client()
    page.get(f"/?token={TOKEN}")
    headers = {"Origin": origin, "Content-Type": "application/json"}
    assert page.request(method, "/api/photos/0/marks", headers=headers).status_code == 403


def test_what_a_browser_marks_as_coming_from_elsewhere_is_refused():
    assert client().get("/", headers={"X-Token": TOKEN, "Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client().get("/", headers={"X-Token": TOKEN, "Sec-Fetch-Site": "same-site"}).status_code == 403
    assert client().get("/", headers={"X-Token": TOKEN, "Sec-Fetch-Site": "same-origin"}).status_code == 200


def test_a_link_in_another_page_opens_the_front_door_and_nothing_else():
    page = client()
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert page.get(f"/?token={TOKEN}", headers=link).status_code == 303
    assert page.get("/", headers=link).status_code == 200
    assert page.get("/api/project", headers=link).status_code == 403
    assert page.get("/", headers={**link, "Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert page.post("/", headers={**link, "Content-Type": "application/json"}).status_code == 403


def test_what_a_browser_is_started_with_is_good_for_one_visit():
    """Every user of the machine can read the words that a program was started with."""
    guard = Guard(behind, "127.0.0.1", PORT, TOKEN)
    code = guard.once()
    page = TestClient(guard, HERE, follow_redirects=False)
    assert page.get("/api/project", headers={"X-Token": code}).status_code == 403
    assert page.get(f"/?token={code}", headers={"Host": f"evil.example:{PORT}"}).status_code == 403
    assert page.get(f"/?token={code}").status_code == 303 and page.get("/api/project").status_code == 200
    assert TestClient(guard, HERE, follow_redirects=False).get(f"/?token={code}").status_code == 403


def test_a_change_is_json_and_says_where_it_comes_from():
    page = client()
    assert page.post("/x", headers=RIGHT, content=b"{}").json() == {"bytes": 2}
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert page.post("/x", headers={**RIGHT, "Content-Type": kind}, content=b"{}").status_code == 403
    page.get(f"/?token={TOKEN}")
    without = {"Content-Type": "application/json"}
    assert page.post("/x", headers=without, content=b"{}").status_code == 403  # a cookie comes by itself
    assert page.post("/x", headers={**without, "X-Token": TOKEN}, content=b"{}").status_code == 200
    assert page.post("/x", headers={**without, "Origin": HERE}, content=b"{}").status_code == 200


def test_what_is_too_long_is_refused_before_it_is_read():
    page = client()
    assert page.post("/x", headers=RIGHT, content=b"x" * MOST_BYTES).status_code == 200
    assert page.post("/x", headers=RIGHT, content=b"x" * (MOST_BYTES + 1)).status_code == 413
    told = {**RIGHT, "Content-Length": str(10**11)}
    assert page.post("/x", headers=told, content=b"x").status_code == 413
    assert page.post("/x", headers={**RIGHT, "Content-Length": "-5"}, content=b"x").status_code == 413


def test_a_stream_without_an_end_is_cut_off():
    read = 0

    def endless():
        nonlocal read
        while read < 3 * MOST_BYTES:
            read += 1 << 16
            yield b"x" * (1 << 16)

    assert client().post("/x", headers=RIGHT, content=endless()).status_code == 413


@pytest.mark.parametrize("headers", [{"X-Token": TOKEN}, {}])
def test_every_answer_forbids_what_the_page_does_not_need(headers):
    answer = client().get("/", headers=headers)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
    assert (
        policy["frame-ancestors"] == "'none'" and policy["form-action"] == "'none'" and policy["base-uri"] == "'none'"
    )
    assert "unsafe" not in str(policy) and "http" not in str(policy)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in answer.headers


def test_no_web_socket_is_opened():
    with pytest.raises(Exception), client().websocket_connect("/x", headers={"X-Token": TOKEN}):  # noqa: B017
        pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "my-machine", ""])
def test_others_are_let_in_only_with_a_token_that_somebody_chose(host):
    with pytest.raises(UsageError, match="--token"):
        check_address(host, None)
    with pytest.raises(UsageError, match="--token"):
        check_address(host, "short")
    check_address(host, "sixteen-letters!")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_on_this_machine_alone_no_token_need_be_chosen(host):
    check_address(host, None)
