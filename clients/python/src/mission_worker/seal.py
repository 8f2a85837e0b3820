"""Seals the secrets of a job document before they reach Redis, and makes fingerprints of connections.

See docs/protocol.md of the project.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from ._schema import is_blank

_MARK = "sealed:"
_KEY_BYTES, _NONCE_BYTES = 32, 24
_DIGITS = 32


class Keyring:
    """The workers' sealing keys. Only the first is used here."""

    def __init__(self, keys: str) -> None:
        """Read base64 keys separated by commas or white space. Raises `ValueError`, which never shows a key."""
        made = []
        for number, text in enumerate(filter(None, re.split(r"[,\s]+", keys)), 1):
            try:
                key = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                key = b""
            if len(key) != _KEY_BYTES:
                raise ValueError(f"key {number} is not base64 of {_KEY_BYTES} bytes; `worker key new` makes one")
            made.append(key)
        if not made:
            raise ValueError("secret_key is empty; leave it out, or give it what `worker key new` prints")
        try:
            from nacl import bindings
        except ImportError as error:
            raise ImportError("sealing needs PyNaCl: pip install 'mission-worker-client[sealing]'") from error
        self._encrypt = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt
        self._key = made[0]
        self.id = hashlib.sha256(b"mission-worker key id\0" + self._key).hexdigest()[:8]
        """Return the id of the sealing key; it is not secret."""

    def __repr__(self) -> str:
        return f"Keyring({self.id})"

    def seal(self, content: Mapping[str, Any], text: bytes) -> tuple[bytes, bool]:
        """Seal the secrets of a checked document. Returns whether there were any."""
        gateway = dict(content["gateway"])
        sealed = {**content, "gateway": gateway}
        url, goes_to = str(gateway.get("url") or ""), _goes_to(gateway)
        agent = _id(content.get("agent"))
        places = [
            (sealed, "auth_token", f"{agent}|auth_token|{goes_to}"),
            (gateway, "token", f"|gateway.token|{goes_to}"),
        ]
        # Only URLs that contain a password or a query.
        if set(url) & {"@", "?"}:
            places.append((gateway, "url", "gateway.url"))
        any_sealed = False
        for holder, name, context in places:
            if isinstance(holder.get(name), str):
                holder[name] = self._sealed(f"mission-worker|{_id(gateway)}|{context}", holder[name])
                any_sealed = True
        return (json.dumps(sealed, ensure_ascii=False).encode(), True) if any_sealed else (text, False)

    def fingerprint(self, plain: str) -> str:
        """Return a fingerprint that only holders of the key can compute."""
        return _digest(b"mission-worker fingerprint\0" + self._key + plain.encode()) if plain else ""

    def _sealed(self, context: str, secret: str) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        hidden = self._encrypt(secret.encode(), context.encode(), nonce, self._key)
        return f"{_MARK}{self.id}:{base64.b64encode(nonce + hidden).decode()}"


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return the fingerprint of a checked document's connection, as it is without a key; empty if it has none."""
    gateway = content["gateway"]
    if is_blank(gateway.get("url")):
        return ""
    place = f"mission-worker|{_id(gateway)}||gateway.token|{_goes_to(gateway)}"
    return _digest(f"{place}|{gateway.get('token') or ''}".encode())


def _goes_to(gateway: Mapping[str, Any]) -> str:
    any_certificate = "true" if gateway.get("allow_insecure_tls") is True else "false"
    return f"{any_certificate}|{gateway.get('tls_fingerprint') or ''}|{gateway.get('url') or ''}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _id(part: Mapping[str, Any] | None) -> str:
    return str(UUID(part["id"])) if part else ""
