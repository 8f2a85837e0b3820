"""Takes screenshots of the pages at desktop and phone width, light and dark: `MISSION_PICTURES=FOLDER`."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page

from conftest import ROOT, Site
from scene import fill

SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
# Longer pages are cut at this height.
HIGHEST = 1700
MOST_BYTES = 150_000


@pytest.mark.skipif("MISSION_PICTURES" not in os.environ, reason="only when pictures are asked for")
def test_pictures(site: Site, visit: Callable[..., Page]) -> None:
    folder = ROOT / os.environ["MISSION_PICTURES"]
    folder.mkdir(parents=True, exist_ok=True)
    jobs = fill(site)
    pages = {"first": "/", "job": f"/jobs/{jobs['blocked']}"}
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            page = visit("/", viewport={"width": width, "height": height}, color_scheme=scheme)
            for name, path in pages.items():
                page.goto(path)
                save(page.screenshot(full_page=True), folder / f"{name}-{size}-{scheme}.png")


def save(picture: bytes, file: Path) -> None:
    """Keeps the upper part of a screenshot, and reduces its colours to those of the pages."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    upper = image.crop((0, 0, image.width, min(image.height, HIGHEST)))
    upper.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < MOST_BYTES, file
