"""The package as it is installed elsewhere, and its README."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import corpus
import pytest
from conftest import ROOT, RedisServer

from mission_worker import Client

CLIENT = ROOT / "clients/python"
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (CLIENT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def test_a_wheel_has_types_scripts_and_the_schema(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", str(folder), str(CLIENT)], check=True)
    (wheel,) = folder.glob("mission_worker_client-*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = set(files.namelist())
        scripts = {
            name: files.read(f"mission_worker/{name}") for name in ("enqueue.lua", "connection.lua", "forget.lua")
        }
    expected = {"py.typed", "get.lua", "job.schema.json", "client.py"}
    assert {f"mission_worker/{name}" for name in expected} <= names
    for name, script in scripts.items():
        assert script == (CLIENT / "src/mission_worker" / name).read_bytes()
    assert not any(name.startswith("tests") for name in names)


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_of_the_readme_are_python(example: str) -> None:
    compile(example, "README.md", "exec", flags=0x2000)  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


def test_the_readme_has_examples() -> None:
    assert len(EXAMPLES) >= 3


def test_a_job_can_be_enqueued_without_a_client(server: RedisServer) -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    example = re.search(r"^id=.*?job\.json\)\"$", text, re.DOTALL | re.MULTILINE)
    assert example is not None
    document = json.dumps(corpus.document("cleanup"))
    script = example[0].replace("$(cat job.json)", "$DOCUMENT").replace("redis-cli", "redis-cli -s $SOCKET")
    environment = {**os.environ, "DOCUMENT": document, "SOCKET": str(server.socket)}
    said = subprocess.run(
        ["bash", "-ec", script], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    job_id, state = said.stdout.split()
    assert state == "ready", said
    with Client.from_url(server.url) as client:
        job = client.get(job_id)
        assert job is not None
        assert (job.kind, job.document is not None) == ("cleanup", True)
        ours = client.enqueue(document, delay=1)
        ours_stored = client.get(ours.id)
        assert ours_stored is not None
        assert (ours_stored.gateway, ours_stored.subject) == (job.gateway, job.subject)
