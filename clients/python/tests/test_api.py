"""The HTTP API keeps to its own description: a thousand requests, made from it, that fit it and that do not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import PATIENCE, RedisServer, Worker

TOKEN = "a-token-for-the-tests-of-the-api"
CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def address(server: RedisServer, folder: Path) -> Iterator[str]:
    config = folder / "worker.toml"
    config.write_text("[http]\nrequests_per_second = 0\n")
    worker = Worker(server, folder, MISSION_CONFIG=str(config), MISSION_API_TOKEN=TOKEN)
    log, until = folder / "worker.log", time.monotonic() + PATIENCE
    while not (found := re.search(r'"worker started".*?"http":"([^"]+)"', log.read_text())):
        assert time.monotonic() < until and worker.process.poll() is None, "the worker does not start"
        time.sleep(0.01)
    yield f"http://{found[1]}/api/v1"
    assert worker.process.poll() is None, "the worker has ended"
    worker.stop()


def test_the_api_keeps_to_its_description(address: str, folder: Path) -> None:
    asked = urllib.request.Request(f"{address}/openapi.json", headers={"authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(asked) as answer:
        description = json.load(answer)
    assert description["info"]["version"]
    (folder / "openapi.json").write_text(json.dumps(description))

    words = ["--config-file", str(CONFIG), "--no-color", "run", "openapi.json", "--url", address]
    run = [sys.executable, "-m", "schemathesis.cli", *words, "--header", f"Authorization: Bearer {TOKEN}"]
    tried = subprocess.run(run, cwd=folder, capture_output=True, text=True, timeout=300)
    assert tried.returncode == 0, tried.stdout[-10_000:] + tried.stderr
