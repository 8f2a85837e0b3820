"""Tests of the daily work of operators in a real browser, with and without scripts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from conftest import Site, provision, wait_for

WITH_AND_WITHOUT = pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
# Number of jobs that expire before they run, enough to require a typed confirmation.
MANY = 120


def dead_jobs(site: Site, number: int) -> None:
    """Enqueues jobs that expire before a worker starts."""
    gateway = site.gateway("Birch").described()
    jobs = [provision(gateway, f"agent {at}") for at in range(number)]
    for first in range(0, number, 50):
        site.enqueue(*jobs[first : first + 50], how=("--expires-in", "1ms"))
    site.start()
    listed = ("jobs", "list", "--state", "dead", "--limit", "1000")
    wait_for(f"{number} dead jobs", lambda: len(site.run(*listed).splitlines()) == number)


def blocked_job(site: Site) -> str:
    """Enqueues a job with a wrong gateway token."""
    gateway = site.gateway("Cedar", token="the-right-token")
    job = site.enqueue(provision(gateway.described("a-wrong-token"), "Ada"))[0]
    site.settles(job, "blocked")
    return job


@WITH_AND_WITHOUT
def test_from_the_first_screen_to_the_job_and_on(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    site.start()
    job = blocked_job(site)
    wrong = provision(site.gateway("Birch").described(), "Olga", about={"soul_template": "{{ agent_name | nonsense }}"})
    dead = site.enqueue(wrong)[0]
    site.settles(dead, "dead")

    page = visit("/", java_script_enabled=scripts)
    headline = page.get_by_role("heading", level=1)
    expect(headline).to_contain_text("1 blocked (needs you)")
    expect(headline).to_contain_text("1 dead")
    cards = page.get_by_role("article")
    expect(cards.first).to_contain_text("Provision Ada")
    expect(cards.first).to_contain_text("token mismatch")
    expect(cards.first).to_contain_text("openclaw config file")
    expect(cards.nth(1)).to_contain_text("filter nonsense is unknown")

    cards.first.get_by_role("link", name="Provision Ada").click()
    expect(page).to_have_url(f"{site.origin}/jobs/{job}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("blocked")
    expect(page.get_by_text("connect", exact=True)).to_be_visible()
    assert "a-wrong-token" not in page.content(), "a secret is shown"

    # The gateway is fixed, and the Retry button runs the job again.
    cedar = next(gateway for gateway in site.gateways if gateway.name == "Cedar")
    port = cedar.port
    cedar.stop()
    site.gateway("Cedar", token="a-wrong-token", port=port)
    retry = page.get_by_role("button", name="Retry", exact=True)
    retry.click()
    expect(page.get_by_role("status")).to_contain_text("Job retried")
    while True:
        site.settles(job, "done", "blocked")
        if site.state(job) == "done":
            break
        # A refused token is not sent again for some seconds, however often Retry is pressed.
        page.goto(f"/jobs/{job}")
        retry.click()
    if not scripts:
        page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    expect(page.get_by_role("heading", name="Changes on the gateway")).to_be_visible()


def test_a_newcomer_gets_a_blocked_job_to_run_by_what_the_page_says(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    blocked_job(site)
    page = visit("/")
    card = page.get_by_role("article").first
    expect(card).to_contain_text(
        "Set the gateway's token in the main backend to gateway.auth.token of the gateway's config"
    )
    expect(card).to_contain_text("The gateway's next job brings the new connection and frees this one")
    card.get_by_role("link", name="Details").click()
    # The main backend sends a new job.
    cedar = site.gateways[0]
    site.enqueue(provision(cedar.described(), "Ada"))
    # The page shows all of it without a reload.
    expect(page.get_by_role("heading", level=1)).to_contain_text("superseded")
    page.get_by_text("Replaced by").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("done")
    page.get_by_role("link", name="Now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Quiet.")


def test_a_job_is_watched_without_loading_the_page_again(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    job = blocked_job(site)
    page = visit(f"/jobs/{job}")
    expect(page.get_by_role("button", name="Live")).to_have_attribute("data-open", "true")
    page.evaluate("window.sameDocument = true")
    site.run("jobs", "cancel", job, "--reason", "not wanted")
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")
    assert page.evaluate("window.sameDocument"), "the page was loaded again"


def test_what_happens_before_the_stream_opens_is_shown_too(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    job = blocked_job(site)
    page = visit("/")
    held: list[Route] = []
    page.route("**/api/v1/events", lambda route: held.append(route))
    page.goto(f"/jobs/{job}")
    wait_for("the request for events", lambda: page.evaluate("1") and held)
    site.run("jobs", "cancel", job)
    expect(page.get_by_role("heading", level=1)).to_contain_text("blocked")
    held[0].continue_()
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")


def test_live_updates_can_be_paused(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    job = blocked_job(site)
    page = visit(f"/jobs/{job}")
    live = page.locator("#live")
    expect(live).to_have_attribute("data-open", "true")
    live.click()
    expect(live).to_have_text("Paused")
    with page.expect_response(lambda answer: answer.url.endswith(job)) as shown:
        site.run("jobs", "cancel", job)
        # Changes during the pause are shown when updates resume, and not before.
        expect(page.get_by_role("heading", level=1)).to_contain_text("blocked")
        live.click()
    assert shown.value.ok
    expect(page.get_by_role("heading", level=1)).to_contain_text("cancelled")


@WITH_AND_WITHOUT
def test_120_jobs_are_found_and_discarded(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    dead_jobs(site, MANY)
    page = visit("/jobs", java_script_enabled=scripts)
    page.get_by_label("Search jobs").fill("state:dead kind:provision")
    page.get_by_role("button", name="Search").click()
    expect(page).to_have_url(f"{site.origin}/jobs?q=state%3Adead+kind%3Aprovision")
    expect(page.get_by_role("row")).to_have_count(51)
    page.get_by_role("link", name="Next 50").click()
    expect(page.get_by_role("row")).to_have_count(51)
    page.go_back()

    page.get_by_role("button", name="Discard all").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Discard {MANY} jobs?")
    page.get_by_label("Reason").fill("they were a test")
    page.get_by_label("Type the number").fill("12")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was done")
    page.get_by_label("Type the number").fill(str(MANY))
    page.get_by_role("button", name="Discard").click()
    progress = page.get_by_role("heading", level=1)
    if scripts:
        expect(progress).to_have_text(f"Discard: {MANY} of {MANY} jobs, 0 skipped.")
    else:
        while "so far" in progress.inner_text():
            page.get_by_role("link", name="Refresh").click()
        expect(progress).to_have_text(f"Discard: {MANY} of {MANY} jobs, 0 skipped.")
    page.get_by_role("link", name="Back to the search").click()
    expect(page.get_by_text("No matching jobs.")).to_be_visible()
    page.goto("/audit")
    expect(page.get_by_text("they were a test").first).to_be_visible()
    expect(page.get_by_role("row").nth(1)).to_contain_text("discard")


@WITH_AND_WITHOUT
def test_a_gateway_is_paused_and_everybody_sees_it(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    site.start()
    job = blocked_job(site)
    elsewhere = visit("/failures")
    if scripts:
        expect(elsewhere.locator("#live")).to_have_attribute("data-open", "true")
    page = visit("/gateways", java_script_enabled=scripts)
    page.get_by_role("row").nth(1).get_by_role("link", name="Pause").click()
    page.get_by_label("Reason").locator("visible=true").fill("moving house")
    page.get_by_role("button", name="Pause this gateway").click()
    expect(page.get_by_role("status").first).to_contain_text("moving house")
    for path in ["/", "/jobs", f"/jobs/{job}", "/failures", "/gateways", "/workers", "/audit", "/api/docs"]:
        page.goto(path)
        expect(page.locator("#banner")).to_contain_text("Gateway Cedar is paused")
    if not scripts:
        elsewhere.reload()
    expect(elsewhere.locator("#banner")).to_contain_text("moving house")
    page.locator("#banner").get_by_role("button", name="Resume").click()
    expect(page.locator("#banner")).not_to_contain_text("paused")


@WITH_AND_WITHOUT
def test_every_action_on_a_job(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    site.start()
    job = blocked_job(site)
    page = visit(f"/jobs/{job}", java_script_enabled=scripts)
    heading = page.get_by_role("heading", level=1)
    page.get_by_text("Snooze…").click()
    page.get_by_label("For").select_option("1h")
    page.get_by_label("Reason").locator("visible=true").fill("until the others are back")
    page.get_by_role("button", name="Snooze").click()
    expect(heading).to_contain_text("snoozed")
    expect(page.locator("#job")).to_contain_text("until the others are back")
    page.get_by_text("Cancel…").click()
    page.get_by_label("Reason").locator("visible=true").fill("gone")
    page.get_by_role("button", name="Cancel this job").click()
    expect(heading).to_contain_text("cancelled")
    page.goto("/audit")
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("cancel")
    expect(rows.nth(2)).to_contain_text("snooze")
    expect(rows.nth(2)).to_contain_text("blocked → snoozed")


def test_workers_are_drained_and_back(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    page = visit("/workers", java_script_enabled=False)
    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("draining")
    page.get_by_role("button", name="Undrain").click()
    expect(page.get_by_role("row").nth(1)).not_to_contain_text("draining")


def test_keys(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    job = blocked_job(site)
    page = visit("/jobs")
    page.keyboard.press("/")
    expect(page.get_by_label("Search jobs")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    expect(page.locator("tr.at")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.origin}/jobs/{job}")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    expect(page.get_by_role("status")).to_contain_text("Job retried")


def test_quiet(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    page = visit("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Quiet. No jobs yet.")
    expect(page.get_by_text("No activity in the last hour.")).to_be_visible()
    page.goto("/jobs?q=colour:red")
    expect(page.get_by_role("alert")).to_contain_text("colour")
    page.goto("/jobs/00000000-0000-0000-0000-000000000001")
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")
