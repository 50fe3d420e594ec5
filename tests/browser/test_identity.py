"""Who gets in and who does not, in real Chromium and over the bare wire."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from dashboard.gate import DOOR_COOKIE, SESSION_COOKIE
from data import passwords
from engine.policy import OPERATOR
from engine.services import users
from engine.services.users import fingerprint
from engine.users import Role
from tests.browser.conftest import OpenAs, Site, fill_sign_in, settled
from tests.browser.wire import run_script

pytestmark = pytest.mark.browser
NOT_RIGHT = "The name or the password is not right."


def cookie(page: Page, name: str = SESSION_COOKIE) -> str:
    return next(str(found["value"]) for found in page.context.cookies() if found.get("name") == name)


def failures(site: Site, name: str) -> int:
    """Failed attempts on this name so far, as the audit chain counts them."""
    entries = site.store.read(lambda tx: [entry.action for entry in tx.audit.chain() if entry.subject == f"user:{name}"])
    return entries.count("sign_in.failed")


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    """Wait for something that happens behind the page."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, "it did not happen"
        time.sleep(0.05)


def newcomer(site: Site, name: str, role: Role = Role.RESEARCHER) -> str:
    """A person for one test alone."""
    password_hash = passwords.hashed(Site.password(name))
    site.store.run(lambda tx: users.add(tx, name, role, password_hash, by=OPERATOR))
    return name


def test_sign_in_leads_where_one_wanted_to_go(site: Site, new_page: Callable[..., Page]) -> None:
    page = new_page()
    page.goto("/receipt?receipt=CH-2026-000412")
    fill_sign_in(page, "researcher", site.password("researcher"))
    page.get_by_role("button", name="Sign out", exact=True).wait_for()
    assert page.url == f"{site.url}/receipt?receipt=CH-2026-000412"
    found = next(found for found in page.context.cookies() if found.get("name") == SESSION_COOKIE)
    assert found["httpOnly"] and found["sameSite"] == "Lax" and found["path"] == "/" and found["expires"] == -1
    assert SESSION_COOKIE not in str(page.evaluate("document.cookie"))


@pytest.mark.long
def test_a_wrong_password_and_an_unknown_name_read_alike(new_page: Callable[..., Page]) -> None:
    page = new_page()
    for name in ("researcher", "nobody-here"):
        page.goto("/")
        fill_sign_in(page, name, "a wrong password")
        expect(page.get_by_text(NOT_RIGHT)).to_be_visible()


def test_wrong_passwords_lock_after_five(site: Site, new_page: Callable[..., Page]) -> None:
    """Twelve of them are tests/identity's."""
    name, page = newcomer(site, "locked.out"), new_page()
    page.goto("/")
    answers = []
    for turn in range(7):
        fill_sign_in(page, name, f"wrong password {turn}")
        alert = page.get_by_role("alert")
        until(lambda turn=turn: failures(site, name) == min(turn + 1, 5))
        expect(alert).to_contain_text("Too many" if turn >= 5 else NOT_RIGHT)
        settled(page)
        answers.append(alert.inner_text())
    assert [NOT_RIGHT in answer for answer in answers] == [True] * 5 + [False] * 2
    fill_sign_in(page, name, site.password(name))
    expect(page.get_by_role("alert")).to_contain_text("Too many attempts. Try again in 5 minutes.")
    assert SESSION_COOKIE not in {found.get("name") for found in page.context.cookies()}


def test_a_researcher_cannot_open_an_admin_page_by_its_link(site: Site, open_as: OpenAs) -> None:
    page = open_as("researcher")
    expect(page.get_by_role("link", name="Usage")).to_be_visible()
    for hidden in ("Rate cards", "Audit", "Billing queue", "Ingestion", "Overview"):
        expect(page.get_by_role("link", name=hidden)).to_have_count(0)
    for path in ("rates", "accounts", "billing", "audit", "ingestion", "finance"):
        page.goto(f"/{path}")
        expect(page.get_by_text("This page is not for your role")).to_be_visible()


@pytest.mark.parametrize(("name", "listed", "unlisted"), [
    ("admin", ["Home", "Rate cards", "Audit", "Overview"], []),
    ("finance", ["Billing queue", "Overview"], []), ("researcher", ["Usage"], ["Billing queue", "Audit"]),
    ("auditor", ["Audit", "Rate cards", "Overview"], [])])
@pytest.mark.long
def test_each_role_sees_its_sections(open_as: OpenAs, name: str, listed: list[str], unlisted: list[str]) -> None:
    page = open_as(name)
    for title in listed:
        expect(page.get_by_role("link", name=title, exact=False).first).to_be_visible()
    for title in unlisted:
        expect(page.get_by_role("link", name=title, exact=True)).to_have_count(0)


def test_signing_out_kills_the_cookie_for_good(site: Site, open_as: OpenAs) -> None:
    page = open_as("researcher")
    stolen = cookie(page)
    assert "Sign out" in run_script(site.url, headers={"Cookie": f"{SESSION_COOKIE}={stolen}"}).words
    page.get_by_role("button", name="Sign out", exact=True).click()
    page.get_by_label("Username").wait_for()
    replayed = run_script(site.url, headers={"Cookie": f"{SESSION_COOKIE}={stolen}"})
    assert "Sign out" not in replayed.words and "Username" in replayed.words
    page.context.add_cookies([{"name": SESSION_COOKIE, "value": stolen, "url": site.url}])
    page.goto("/usage")
    page.get_by_label("Username").wait_for()


def test_a_forged_header_gets_nothing(site: Site, open_as: OpenAs) -> None:
    """The hash of a live session is no secret worth having: only the gate may say it."""
    token = fingerprint(cookie(open_as("admin"))).hex()
    for header in ("X-Corehours-Session", "x_corehours_session"):
        assert "Sign out" not in run_script(site.url, headers={header: token}).words
        assert httpx.get(f"{site.url}/media/any.csv", headers={header: token}).status_code == 403
    assert "Sign out" not in run_script(site.url, headers={"Cookie": "_streamlit_user=forged"}).words


def test_a_foreign_session_id_gets_nothing(site: Site, open_as: OpenAs) -> None:
    """Resuming the admin's Streamlit session, still open or just left, as a stranger or as somebody else."""
    admin = {"Cookie": f"{SESSION_COOKIE}={cookie(open_as('admin'))}"}
    researcher = {"Cookie": f"{SESSION_COOKIE}={cookie(open_as('researcher'))}"}
    first = run_script(site.url, "rates", admin)
    assert first.session_id and "Rate cards" in first.words
    for headers in (None, {"Cookie": f"{DOOR_COOKIE}=mine"}, researcher):
        taken = run_script(site.url, "rates", headers, session_id=first.session_id)
        assert taken.session_id != first.session_id
        assert "Rate cards" not in taken.words or (headers is researcher and "not for your role" in taken.words)
    assert run_script(site.url, "rates", admin, session_id=first.session_id).session_id == first.session_id


def test_a_websocket_from_another_site_is_refused(site: Site) -> None:
    answer = httpx.get(f"{site.url}/_stcore/stream", headers={
        "Origin": "http://evil.example", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg=="})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/auth/enter", "/auth/logout"])
@pytest.mark.long
def test_another_site_cannot_sign_anybody_in_or_out(site: Site, open_as: OpenAs, path: str) -> None:
    token = cookie(open_as("researcher"))
    headers = {"Cookie": f"{SESSION_COOKIE}={token}", "Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
    assert httpx.get(f"{site.url}{path}", headers=headers).status_code == 403
    assert site.store.read(lambda tx: tx.sessions.holder(fingerprint(token), 30)) is not None


def test_streamlits_own_doors_are_shut(site: Site) -> None:
    for path in ("/auth/login?provider=x", "/oauth2callback?code=x"):
        assert httpx.get(f"{site.url}{path}").status_code == 404
    assert httpx.post(f"{site.url}/_stcore/agent/interact", json={}).status_code >= 400


def test_a_disabled_person_is_out_at_the_next_click(site: Site, new_page: Callable[..., Page]) -> None:
    name, page = newcomer(site, "soon.gone"), new_page()
    page.goto("/profile")
    fill_sign_in(page, name, site.password(name))
    page.get_by_role("link", name="Usage").wait_for()
    site.store.run(lambda tx: users.disable(tx, name, OPERATOR))
    page.wait_for_timeout(2100)
    page.get_by_role("link", name="Usage").click()
    page.get_by_label("Username").wait_for()


@pytest.mark.long
def test_signing_out_in_one_tab_empties_the_other(open_as: OpenAs) -> None:
    """Within ten seconds and without a click: nothing of the person stays on a screen."""
    page = open_as("researcher", "/profile")
    other = page.context.new_page()
    other.goto("/usage")
    other.get_by_role("button", name="Sign out", exact=True).click()
    other.get_by_label("Username").wait_for()
    page.get_by_label("Username").wait_for()
    expect(page.get_by_text("Where you are signed in")).to_have_count(0)


@pytest.mark.long
def test_a_new_password_ends_the_other_sessions(site: Site, new_page: Callable[..., Page]) -> None:
    name, page, other = newcomer(site, "changer"), new_page(), new_page()
    for one in (page, other):
        one.goto("/profile")
        fill_sign_in(one, name, site.password(name))
        one.get_by_role("button", name="Sign out", exact=True).wait_for()
    page.get_by_label("Current password").fill(site.password(name))
    page.get_by_label("New password", exact=True).fill("quite another password")
    page.get_by_label("Repeat new password").fill("quite another password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Password changed.")).to_be_visible()
    other.goto("/usage")
    other.get_by_label("Username").wait_for()
    page.goto("/usage")
    page.get_by_role("button", name="Sign out", exact=True).wait_for()


def test_the_log_has_a_line_a_request_and_no_secret(site: Site, open_as: OpenAs) -> None:
    page = open_as("researcher", "/usage?note=looked-for")
    lines = [json.loads(line) for line in site.dashboard.said().splitlines() if line.startswith("{")]
    assert {"/usage", "/auth/enter"} <= {line["path"] for line in lines if line["event"] == "request"}
    assert [line for line in lines if line["status"] >= 500 or line["address"] != "127.0.0.1"] == []
    for secret in (cookie(page), site.password("researcher"), "looked-for"):
        assert secret not in site.dashboard.said()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.long
def test_light_and_dark(site: Site, new_page: Callable[..., Page], scheme: str, tmp_path: Path) -> None:
    """The theme is ours in both, every byte comes from this site, and the policy lets all of it through."""
    page = new_page(scheme=scheme)
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None)
    page.goto("/profile")
    page.get_by_label("Username").wait_for()
    page.screenshot(path=tmp_path / "sign-in.png")
    fill_sign_in(page, "admin", site.password("admin"))
    page.get_by_text("Where you are signed in").wait_for()
    settled(page)
    page.screenshot(path=tmp_path / "profile.png")
    shade = page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert shade == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 19, 24)"}[scheme]
    assert page.evaluate("document.fonts.check('14px Plex')")
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []
    assert complaints == []
