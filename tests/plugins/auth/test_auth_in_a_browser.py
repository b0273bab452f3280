"""The pages in a real browser: what somebody does who got a link, and what a site does that means them no good."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from auth_helpers import PASSWORD
from refreshing import post

from core.ops.processes import Process

CHROMIUM = shutil.which("chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: install Debian's package chromium (apt-get install chromium)"
)

NEW_PASSWORD = "another horse battery"


@pytest.fixture
def web(process: Callable[..., Process]) -> Process:
    from core.ops.servers import free_port

    port = str(free_port())
    return process("web", PORT=port, API_URL=f"http://127.0.0.1:{port}", RATE_LIMIT="0")


@pytest.fixture
def page() -> Iterator[Any]:
    """A page whose console stays empty: a broken script, or one that the policy refused, would speak there."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        opened = browser.new_page()
        said: list[str] = []
        opened.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        opened.on("pageerror", lambda error: said.append(str(error)))
        yield opened
        browser.close()
        assert [line for line in said if "status of 4" not in line] == []


def test_a_link_sets_a_password_and_its_token_leaves_the_address_at_once(
    web: Process, page: Any, make_link: Callable[..., str]
) -> None:
    page.goto(f"{web.url}/auth/setup#token={make_link()}")
    assert page.url == f"{web.url}/auth/setup"
    page.get_by_label("Choose a password").fill(NEW_PASSWORD)
    page.get_by_label("The same once more").fill("something else")
    page.get_by_role("button").click()
    assert page.get_by_role("status").inner_text() == "The two passwords differ."
    page.get_by_label("The same once more").fill(NEW_PASSWORD)
    page.get_by_role("button").click()
    page.get_by_text("Done. admin@example.com can sign in now.").wait_for()
    status, _ = post(web.url, "/api/auth/login", {"email": "admin@example.com", "password": NEW_PASSWORD})
    assert status == 200


def test_a_common_password_and_a_used_link_are_told_in_words(
    web: Process, page: Any, make_link: Callable[..., str]
) -> None:
    token = make_link()
    page.goto(f"{web.url}/auth/setup#token={token}")
    for field in ("Choose a password", "The same once more"):
        page.get_by_label(field).fill("password1")
    page.get_by_role("button").click()
    page.get_by_text("everybody tries first").wait_for()
    assert post(web.url, "/api/auth/setup", {"token": token, "password": NEW_PASSWORD})[0] == 200
    for field in ("Choose a password", "The same once more"):
        page.get_by_label(field).fill(NEW_PASSWORD)
    page.get_by_role("button").click()
    page.get_by_text("The link has been used, has expired or was never made").wait_for()


def test_the_page_that_confirms_an_address_asks_for_the_password_that_was_chosen(web: Process, page: Any) -> None:
    page.goto(f"{web.url}/auth/verify#token=pbl1.x.y")
    page.get_by_label("The password that you chose").fill(PASSWORD)
    page.get_by_role("button").click()
    page.get_by_text("The link has been used, has expired or was never made").wait_for()


def test_asking_for_a_reset_says_the_same_to_everybody(web: Process, page: Any) -> None:
    page.goto(f"{web.url}/auth/forgot")
    page.get_by_label("Your address").fill("nobody@example.com")
    page.get_by_role("button").click()
    page.get_by_text("If there is such an account").wait_for()


def test_an_address_without_its_token_offers_nothing(web: Process, page: Any) -> None:
    page.goto(f"{web.url}/auth/reset")
    page.get_by_text("This address lacks its token").wait_for()
    assert not page.get_by_role("button").is_visible()


SIGN_IN = """async ([email, password]) => {
    const headers = {'Content-Type': 'application/json'}
    const reply = await fetch('/api/auth/login', {method: 'POST', headers, credentials: 'same-origin',
        body: JSON.stringify({email, password, delivery: 'cookies'})})
    return {status: reply.status, body: await reply.json(), cookies: document.cookie}
}"""
CHANGE = """async (csrf) => {
    const headers = {'Content-Type': 'application/json', ...(csrf && {'X-CSRF-Token': csrf})}
    const reply = await fetch('/api/auth/me', {method: 'PATCH', headers, body: '{"display_name": "Alice L."}'})
    return reply.status
}"""
REFRESH = """async () => {
    const headers = {'Content-Type': 'application/json'}
    const reply = await fetch('/api/auth/refresh', {method: 'POST', headers, body: '{}'})
    return [reply.status, (await reply.json()).csrf_token]
}"""
FORM = """<form id="f" method="post" action="{url}/api/auth/logout"></form><script>f.submit()</script>"""


def test_cookies_sign_in_a_page_and_no_other_site_acts_with_them(web: Process, page: Any, tmp_path: Path) -> None:
    body = {"email": "alice@example.com", "password": PASSWORD, "display_name": "Alice"}
    assert post(web.url, "/api/auth/register", body)[0] == 201
    page.goto(f"{web.url}/auth/forgot")
    found = page.evaluate(SIGN_IN, ["alice@example.com", PASSWORD])
    assert found["status"] == 200
    assert found["cookies"] == "", "no script reads them"
    assert "access_token" not in found["body"]
    assert page.evaluate(CHANGE, "") == 403
    assert page.evaluate(CHANGE, found["body"]["csrf_token"]) == 200
    page.reload()
    status, csrf = page.evaluate(REFRESH)
    assert status == 200 and page.evaluate(CHANGE, csrf) == 200
    # A page of another origin sends a form with whatever cookies the browser lets it.
    trap = tmp_path / "trap.html"
    trap.write_text(FORM.format(url=web.url))
    page.goto(trap.as_uri(), wait_until="commit")
    page.wait_for_url(f"{web.url}/**")
    page.goto(f"{web.url}/auth/forgot")
    assert page.evaluate(CHANGE, csrf) == 200, "still signed in"
