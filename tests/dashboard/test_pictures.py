"""Pictures of the pages, at the width of a desk and of a phone, light and dark."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Site
from playwright.sync_api import Page
from scene import fill

PICTURES = Path(os.environ.get("MISSION_PICTURES", ROOT / "docs/screenshots"))
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


@pytest.mark.skipif("MISSION_PICTURES" not in os.environ, reason="only when pictures are asked for")
def test_pictures(site: Site, visit: Callable[..., Page]) -> None:
    jobs = fill(site)
    PICTURES.mkdir(parents=True, exist_ok=True)
    pages = {"first": "/", "job": f"/jobs/{jobs['blocked']}"}
    more = {"done": f"/jobs/{jobs['done']}", "jobs": "/jobs", "gateway": f"/gateways/{jobs['cedar']}",
            "failures": "/failures", "workers": "/workers", "audit": "/audit", "bulk": "/bulk?action=discard&q=state:dead",
            "docs": "/api/docs", "dead": f"/jobs/{jobs['dead']}", "away": f"/jobs/{jobs['away']}"}
    if os.environ["MISSION_PICTURES"] != str(ROOT / "docs/screenshots"):
        pages |= more
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            page = visit("/", viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in pages.items():
                page.goto(path)
                page.screenshot(path=PICTURES / f"{name}-{size}-{scheme}.png", full_page=True)
