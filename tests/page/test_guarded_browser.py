"""The page in a real Chromium: who has no token or comes from elsewhere, and names that would like to be markup."""

from __future__ import annotations

MARKUP = "<img src=x onerror=document.title='owned'>"


def test_without_the_token_nothing_is_shown(browser, server):
    page = browser.new_page()
    for address in (server.address, f"{server.address}/?token=wrong", f"{server.address}/api/project"):
        answer = page.goto(address)
        assert answer.status == 403
        assert "token" in page.inner_text("body") and "photo0" not in page.content()
    page.close()


def test_a_foreign_page_can_neither_read_nor_write(context, desk, server):
    desk.press("2", "p")
    desk.click((25, 30))
    desk.saved()
    foreign = context.new_page()
    foreign.route("http://elsewhere.test/", lambda r: r.fulfill(body="<!doctype html>", content_type="text/html"))
    foreign.goto("http://elsewhere.test/")
    tried = """async ([address, type, i]) => {
        try {
            const answer = await fetch(address + "/api/photos/" + i + "/checked", {
                method: "POST", mode: "no-cors", credentials: "include",
                headers: {"Content-Type": type}, body: '{"value": true}' });
            await answer.text();
        } catch (error) { return String(error); }
    }"""
    for kind in ("application/json", "text/plain"):
        foreign.evaluate(tried, [server.address, kind, desk.i])
    read = foreign.evaluate(
        "async (a) => { try { return await (await fetch(a + '/api/project', {credentials: 'include'})).text(); }"
        " catch (error) { return 'refused'; } }",
        server.address,
    )
    assert read == "refused"
    found = server.get(f"/api/photos/{desk.i}/marks")
    assert found["checked"] is False and len(found["marks"]) == 1


def test_names_stay_text(desk):
    desk.press("a")
    desk.page.get_by_label("Name").fill(MARKUP)
    desk.press("Enter")
    desk.page.locator(".classes").get_by_text(MARKUP).wait_for()
    desk.press("p")
    desk.click((25, 30))
    desk.shows(1)
    desk.saved()
    assert desk.page.locator(".marks li").inner_text().startswith(MARKUP)
    desk.press("o")
    desk.page.get_by_role("button", name="<b onclick=alert(1)>x, ").wait_for()
    assert desk.page.title() != "owned" and desk.page.locator("img[src='x'], b").count() == 0
    desk.press("Shift+A")
    desk.page.get_by_role("button", name="Remove").click()
    desk.page.get_by_role("button", name="Really remove").click()
    desk.page.locator(".classes").get_by_text(MARKUP).wait_for(state="detached")
