"""Checks of every page: accessibility, security headers, size, own origin only, both colour schemes, phone width."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from conftest import Site
from scene import fill

MOST_BYTES_OF_ASSETS = 100_000


def pages(jobs: dict[str, str], stranger: bool) -> list[str]:
    fixed = (
        "/ /?range=24h /?range=7d /jobs /jobs?q=nonsense: /failures /gateways /workers /audit /api/docs /login /nowhere"
    )
    of_jobs = [f"/jobs/{jobs[name]}" for name in ("blocked", "done", "dead", "away")]
    acting = [] if stranger else ["/bulk?q=state:blocked&action=retry"]
    return [*fixed.split(), *of_jobs, f"/gateways/{jobs['cedar']}", *acting]


def test_all_pages(site: Site, visit: Callable[..., Page]) -> None:
    jobs = fill(site)
    for scheme in ("light", "dark"):
        # Users who are not signed in see a hint around each page.
        stranger = scheme == "dark"
        page = visit("/", color_scheme=scheme, viewport={"width": 1280, "height": 900}, stranger=stranger)
        for path in pages(jobs, stranger):
            answer = page.goto(path)
            assert answer
            policy = answer.header_value("content-security-policy") or ""
            assert "default-src 'none'" in policy and "unsafe" not in policy, policy
            assert " style=" not in page.content(), f"{path} has styles inline"
            found = Axe().run(page).response["violations"]
            faults = [fault for fault in found if fault["impact"] in ("serious", "critical")]
            told = [(fault["id"], [node["html"] for node in fault["nodes"][:3]]) for fault in faults]
            assert not told, f"{path} in {scheme}: {told}"
    for stranger in (False, True):
        narrow = visit("/", viewport={"width": 360, "height": 740}, stranger=stranger)
        for path in pages(jobs, stranger):
            narrow.goto(path)
            width = narrow.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert width <= 0, f"{path} is wider than a phone"


def test_assets_are_small_and_kept(site: Site, visit: Callable[..., Page]) -> None:
    site.start()
    page = visit("/")
    paths = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.content())
    assert len(paths) == 4
    answers = [page.request.get(path) for path in paths]
    assert all(answer.ok and "immutable" in answer.headers["cache-control"] for answer in answers)
    assert sum(len(answer.body()) for answer in answers) < MOST_BYTES_OF_ASSETS


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_light_and_dark_can_be_chosen(site: Site, visit: Callable[..., Page], scripts: bool) -> None:
    site.start()
    page = visit("/workers", color_scheme="light", java_script_enabled=scripts)
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.locator("body").evaluate(f"() => {ground}") if scripts else ""
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    if scripts:
        assert page.evaluate(ground) != light
    page.goto("/jobs")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
