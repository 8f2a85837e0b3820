"""Checks and shows the URLs of gateways as workers do, which read URLs as browsers do."""

from __future__ import annotations

import re

from ada_url import URL


def fault(url: str) -> str | None:
    """Return the fault of a gateway's URL; none if a worker can use it. Never quotes the URL."""
    try:
        parsed = URL(url)
        labels = parsed.hostname.split(".")
        # Workers also refuse names that are encoded without need, such as `xn--`.
        if any(label[:4] == "xn--" and label[4:].encode().decode("punycode").isascii() for label in labels):
            raise ValueError
    except ValueError:
        return "not a url (its scheme, host or port is missing or invalid)"
    scheme = parsed.protocol.removesuffix(":")
    return None if scheme in ("ws", "wss") else f"scheme `{scheme[:40]}` is not ws or wss"


def is_secure(url: str) -> bool:
    """Return whether a worker uses TLS with a gateway at that URL, which has no fault."""
    return URL(url).protocol == "wss:"


def masked(url: str) -> str:
    """Return the URL without the secrets that people put into it."""
    cleaned = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(0x21)))))
    match = re.fullmatch(r"(wss?://)([^/\\?#]*)([^?#]*)(\?[^#]*)?(#.*)?", cleaned, re.IGNORECASE | re.DOTALL)
    if match is None:
        # An unusual form; any part of it may be secret.
        return "***"
    scheme, authority, path, query, fragment = (part or "" for part in match.groups())
    login, at, host = authority.rpartition("@")
    if ":" in login:
        login = login.partition(":")[0] + ":***"
    return f"{scheme}{login}{at}{host}{path}{'?***' if query else ''}{fragment}"
