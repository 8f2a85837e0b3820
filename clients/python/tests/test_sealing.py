"""Secrets are sealed as the workers seal them."""

from __future__ import annotations

import base64
import json
from uuid import UUID, uuid4

import corpus
import pytest
from conftest import PATIENCE, RedisServer, Worker
from nacl import bindings

from mission_worker import Agent, Client, Gateway, ProvisionMain
from mission_worker.seal import Keyring, fingerprint

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def job() -> ProvisionMain:
    """One that succeeds at once if its secrets can be opened, because its gateway has no url."""
    gateway = Gateway(id=uuid4(), name="Acme", token=corpus.SECRET)
    return ProvisionMain(gateway=gateway, agent=Agent(id=uuid4(), name="Alice"), auth_token=corpus.SECRET)


def test_redis_never_sees_a_secret_and_a_worker_with_the_key_does(server: RedisServer) -> None:
    with Client.from_url(server.url, secret_key=KEY) as client:
        sent = job()
        enqueued = client.enqueue(sent)
        raw = client._redis.hget(f"{{mission}}:document:{sent.gateway.id}", str(enqueued.id))
        assert isinstance(raw, bytes)
        assert corpus.SECRET.encode() not in raw
        assert b"sealed:" in raw
        shown = client.get(enqueued.id)
        assert shown is not None
        assert shown.document is not None
        assert shown.document["auth_token"] == "***"
        worker = Worker(server, server.folder, MISSION_SECRET_KEY=KEY)
        try:
            ended = client.wait(enqueued.id, PATIENCE)
        finally:
            worker.stop()
    assert (ended.state, ended.runs) == ("done", 1), ended.failure


def test_a_job_of_a_missing_key_says_so(server: RedisServer, worker: Worker) -> None:
    with Client.from_url(server.url, secret_key=KEY) as client:
        cursor = client.cursor()
        enqueued = client.enqueue(job())
        told = (event for event in client.events(cursor, timeout=PATIENCE) if event.to_state == "blocked")
        assert next(told).id == enqueued.id
        found = client.get(enqueued.id)
        assert found is not None
        assert found.failure is not None
        assert found.failure.code == "unknown_key"
        assert Keyring(KEY).id in found.failure.message


def test_urls_with_secrets_are_sealed_and_others_are_not() -> None:
    ring = Keyring(KEY)
    for url, is_sealed in [("wss://me:hunter2@host", True), ("wss://host?t=hunter2", True), ("wss://host/x", False)]:
        content = {"gateway": {"id": str(uuid4()), "url": url}}
        text, changed = ring.seal(content, b"unchanged")
        assert changed == is_sealed
        assert (json.loads(text)["gateway"]["url"] if changed else text) != url
        assert b"hunter2" not in text
        assert content["gateway"]["url"] == url, "what was given is left alone"


def test_the_form_is_the_one_that_workers_open() -> None:
    # The same text stands in the tests of the crate that opens it.
    sealed = "sealed:d55ded2c:ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7HVOK1Zxc7PYE0zJGQJOFlH+6Iet5UxQW"
    ring = Keyring(KEY)
    assert sealed.startswith(f"sealed:{ring.id}:")
    nonce = bytes(range(100, 124))
    aad = f"mission-worker|{UUID(int=7)}|{UUID(int=8)}|auth_token|true||wss://host/x".encode()
    again = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(b"a secret", aad, nonce, bytes(range(32)))
    assert sealed.endswith(base64.b64encode(nonce + again).decode())


def test_fingerprints_of_connections_are_those_of_the_workers() -> None:
    # The same texts stand in the tests of the crate.
    gateway = {"id": str(UUID(int=7)), "url": "wss://host/x", "token": "a secret", "name": "Berlin", "revision": 3}
    plain = fingerprint({"gateway": gateway})
    assert plain == "be9cf8a6bf7f6ad2c6774fd867dbbce8"
    assert Keyring(KEY).fingerprint(plain) == "5075d1f03e6dde2a4de4e2aa543d343a"
    assert fingerprint({"gateway": {"id": str(UUID(int=7))}}) == Keyring(KEY).fingerprint("") == ""


@pytest.mark.parametrize("keys", ["", " ", "hunter2", f"{KEY},hunter2", KEY[:-8]])
def test_bad_keys_are_refused_and_not_shown(keys: str) -> None:
    with pytest.raises(ValueError, match=r"key") as caught:
        Keyring(keys)
    assert "hunter2" not in str(caught.value)
    assert KEY[:8] not in repr(Keyring(KEY))
