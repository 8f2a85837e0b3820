"""Tests of permissions, by page and by forged request."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from conftest import Site
from test_operating import blocked_job

# Every form that changes something, with its fields.
FORMS = {
    "/jobs/{job}/retry": {},
    "/jobs/{job}/snooze": {"for": "1h"},
    "/jobs/{job}/cancel": {},
    "/jobs/{job}/discard": {},
    "/bulk": {"q": "state:blocked", "action": "cancel"},
    "/pause": {"scope": "all"},
    "/resume": {"scope": "all"},
    "/workers/{worker}/drain": {},
}


def csrf(page: Page) -> str:
    return str(page.locator("input[name=csrf]").first.get_attribute("value"))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_viewer_looks_and_does_nothing(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    token = site.token("vera", "viewer")
    site.start()
    job = blocked_job(site)
    page = visit("/", token=token, java_script_enabled=scripts)
    expect(page.get_by_text("vera", exact=False).first).to_be_visible()
    for path in ["/", "/jobs", f"/jobs/{job}", "/failures", "/gateways", "/workers"]:
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        for name in ["Retry", "Pause", "Drain", "Cancel", "Discard", "Snooze"]:
            expect(page.get_by_role("button", name=name)).to_have_count(0)
    # Hidden actions are refused, too: with the session, and with the token of its forms.
    sent = {"csrf": csrf(page)}
    for path, fields in FORMS.items():
        answer = page.request.post(path.format(job=job, worker="any"), form=sent | fields, max_redirects=0)
        assert answer.status == 403, f"{path} answers {answer.status}"
    assert site.state(job) == "blocked"


def test_a_forged_request_does_nothing(site: Site, visit: Callable[..., Page]) -> None:
    token = site.token("otto", "operator")
    site.start()
    job = blocked_job(site)
    page = visit("/", token=token)
    own = {"csrf": csrf(page)}
    for path, fields in FORMS.items():
        address = path.format(job=job, worker="any")
        answer = page.request.post(address, form=fields, max_redirects=0)
        assert answer.status == 403, f"{address} without its token answers {answer.status}"
        foreign = {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        answer = page.request.post(address, form=own | fields, headers=foreign, max_redirects=0)
        assert answer.status == 403, f"{address} from another site answers {answer.status}"
    assert site.state(job) == "blocked"
    answer = page.request.post(f"/jobs/{job}/cancel", form=own, max_redirects=0)
    assert answer.status == 303
    assert site.state(job) == "cancelled"


def test_signing_in_and_out(site: Site, visit: Callable[..., Page]) -> None:
    token = site.token("ada", "admin")
    site.start()
    page = visit("/jobs?q=state:dead")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.get_by_label("Token").fill("not a token")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("not known to this worker")
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.origin}/jobs?q=state:dead")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")
    page.goto("/audit")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_on_this_machine_one_looks_and_is_told_how_to_act(
    site: Site, visit: Callable[..., Page], scripts: bool
) -> None:
    site.start()
    job = blocked_job(site)
    page = visit(f"/jobs/{job}", stranger=True, java_script_enabled=scripts)
    expect(page.get_by_role("heading", level=1)).to_contain_text("blocked")
    expect(page.get_by_role("button", name="Retry")).to_have_count(0)
    sent = {"csrf": csrf(page)}
    for path, fields in FORMS.items():
        answer = page.request.post(path.format(job=job, worker="any"), form=sent | fields, max_redirects=0)
        assert answer.status == 401, f"{path} answers {answer.status}"
    assert site.state(job) == "blocked"

    hint = page.get_by_text("run worker token show on this machine")
    expect(hint).to_be_visible()
    hint.get_by_role("link", name="sign in").click()
    expect(page.get_by_text("worker token show", exact=True)).to_be_visible()
    page.get_by_label("Token").fill(site.own_token())
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.origin}/jobs/{job}")
    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("Job retried")
