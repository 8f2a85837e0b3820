"""Fixtures: each test has its own Redis, gateways, worker and browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

ROOT = Path(__file__).parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
# Timeout in seconds of everything a test waits for; nothing needs a tenth of it.
PATIENCE = 30.0

Document = dict[str, Any]


def wait_for(what: str, look: Callable[[], Any]) -> Any:
    """Polls until there is a value, and fails after the timeout."""
    until = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < until, f"{what} did not come within {PATIENCE} s"
        time.sleep(0.02)
    return found


def identity(name: str) -> str:
    """Returns the same id for the same name, so that tests are readable."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


class Gateway:
    """A simulated gateway that requires a token."""

    def __init__(self, name: str, token: str, port: int = 0, profile: str = "2026.9.6") -> None:
        self.name, self.token = name, token
        words = [str(TARGET / "gateway-sim"), "--profile", profile, "--token", token, "--port", str(port)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        self.id = identity(name)

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def described(self, token: str | None = None) -> Document:
        return {
            "id": self.id,
            "name": self.name,
            "url": self.url,
            "token": token or self.token,
            "workspace_root": "/srv/openclaw",
        }

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def provision(gateway: Document, agent: str, about: Document | None = None, **more: Any) -> Document:
    """Returns a job that provisions an agent."""
    return {
        "version": 1,
        "kind": "provision",
        "gateway": gateway,
        "agent": {"id": identity(agent), "name": agent, "identity_profile": {"role": "Builder"}} | (about or {}),
        "board": {"id": identity("Launch"), "name": "Launch", "objective": "Ship it"},
        "auth_token": f"secret-of-{agent}",
        **more,
    }


class Site:
    """A queue, and a worker that serves the dashboard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings: dict[str, str] = {}
        self.gateways: list[Gateway] = []
        self.worker: subprocess.Popen[bytes] | None = None
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "", "--dir", str(folder)],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        wait_for("Redis", (folder / "redis.sock").exists)
        self.origin = ""

    def gateway(self, name: str, token: str = "token-of-the-gateway", port: int = 0) -> Gateway:
        gateway = Gateway(name, token, port)
        self.gateways.append(gateway)
        return gateway

    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "MISSION_REDIS_URL": f"unix://{self.folder / 'redis.sock'}",
            "MISSION_DATA_DIR": str(self.folder / "worker"),
            "MISSION_HTTP_ADDR": "127.0.0.1:0",
            **self.settings,
        }

    def run(self, *words: str, text: str = "") -> str:
        """Runs a command of the worker and returns what it prints."""
        run = subprocess.run(
            [str(TARGET / "worker"), *words],
            env=self.environment(),
            input=text,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        return run.stdout

    def enqueue(self, *documents: Document, how: tuple[str, ...] = ()) -> list[str]:
        lines = "\n".join(json.dumps(document) for document in documents)
        printed = self.run("enqueue", *how, "-", text=lines)
        return [json.loads(line)["id"] for line in printed.splitlines()]

    def start(self, **settings: str) -> None:
        """Starts the worker, and waits until it answers."""
        self.settings |= settings
        log = self.folder / "worker.log"
        with log.open("wb") as file:
            self.worker = subprocess.Popen(
                [str(TARGET / "worker"), "run"], env=self.environment(), stdout=file, stderr=file
            )

        def address() -> str:
            assert self.worker and self.worker.poll() is None, log.read_text()
            plain = re.sub(r"\x1b\[[0-9;]*m", "", log.read_text())
            found = re.search(r'http"?[=:]\s*"?(127\.0\.0\.1:\d+)', plain)
            return found.group(1) if found else ""

        self.origin = "http://" + wait_for("the worker's address", address)

    def state(self, job: str) -> str:
        return str(json.loads(self.run("jobs", "show", job))["state"])

    def settles(self, job: str, *states: str) -> None:
        """Waits until the job is in one of the states."""
        wait_for(f"{job} in {states}", lambda: self.state(job) in states)

    def token(self, name: str, role: str) -> str:
        """Creates a token for a user; call this before the worker is started."""
        printed = json.loads(self.run("token", name, "--role", role))
        lines = self.settings.get("MISSION_HTTP_TOKENS", "")
        self.settings["MISSION_HTTP_TOKENS"] = f"{lines} {printed['entry']}".strip()
        return str(printed["token"])

    def own_token(self) -> str:
        """Returns the local admin token."""
        return str(json.loads(self.run("token", "show"))["token"])

    def close(self) -> None:
        for process in [self.worker, *(gateway.process for gateway in self.gateways), self.redis]:
            if process:
                process.kill()
                process.wait()


@pytest.fixture
def site() -> Iterator[Site]:
    # Not the folder of pytest, because its path can be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="mission-"))
    site = Site(folder)
    yield site
    site.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = os.environ.get("MISSION_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "chromium is missing; `make dashboard` installs it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A user with a browser. An error in the browser fails the test."""

    def __init__(self, browser: Browser, site: Site, **how: Any) -> None:
        self.site = site
        self.context: BrowserContext = browser.new_context(base_url=site.origin, **how)
        self.context.set_default_timeout(PATIENCE * 1000)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("request", self._requested)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)

    def _requested(self, request: Request) -> None:
        self.requests.append(request.url)

    def close(self) -> None:
        self.context.close()
        strangers = [url for url in self.requests if not url.startswith((self.site.origin + "/", "data:"))]
        assert not strangers, f"requests that leave the origin: {strangers}"
        # Chromium reports each answer that is not 2xx; tests that provoke one check it themselves.
        broken = [said for said in self.complaints if "the server responded with a status of" not in said]
        assert not broken, broken


@pytest.fixture
def visit(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Opens a page of the started site: `visit("/jobs", java_script_enabled=False)`.

    If no other token exists, the visitor has the local admin token, unless `stranger` is set.
    """
    visitors: list[Visitor] = []

    def open_page(path: str = "/", token: str | None = None, stranger: bool = False, **how: Any) -> Page:
        visitor = Visitor(browser, site, **how)
        visitors.append(visitor)
        if not stranger and "MISSION_HTTP_TOKENS" not in site.settings:
            own = {"token": site.own_token(), "next": "/"}
            assert visitor.context.request.post("/login", form=own, max_redirects=0).status == 303
        visitor.page.goto(path)
        if token:
            visitor.page.get_by_label("Token").fill(token)
            visitor.page.get_by_role("button", name="Sign in").click()
        return visitor.page

    yield open_page
    for visitor in visitors:
        visitor.close()
