"""Checks and shows the URLs of gateways as workers do, which read URLs as browsers do."""

from __future__ import annotations

import contextlib
import ipaddress
import re
from urllib.parse import unquote_to_bytes

_REMOVED = re.compile(r"[\t\n\r]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROLS_AND_SPACE = "".join(map(chr, range(0x21)))
_FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_NUMBER = re.compile(r"0[xX][0-9A-Fa-f]*|[0-9]+")


def fault(url: str) -> str | None:
    """Return the fault of a gateway's URL; none if a worker can use it. Never quotes the URL."""
    cleaned = _REMOVED.sub("", url.strip(_CONTROLS_AND_SPACE))
    scheme = _SCHEME.match(cleaned)
    if scheme is None:
        return "not a url (no scheme)"
    name = scheme[1].lower()
    if name not in ("ws", "wss"):
        return f"scheme `{name[:40]}` is not ws or wss"
    authority = re.split(r"[/\\?#]", cleaned[scheme.end() :].lstrip("/\\"), maxsplit=1)[0]
    host, port = _host_and_port(authority.rpartition("@")[2])
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65535):
        return "not a url (invalid port number)"
    return _host_fault(host)


def is_secure(url: str) -> bool:
    """Return whether a worker uses TLS with a gateway at that URL."""
    return _REMOVED.sub("", url.strip(_CONTROLS_AND_SPACE))[:4].lower() == "wss:"


def masked(url: str) -> str:
    """Return the URL without the secrets that people put into it."""
    cleaned = _REMOVED.sub("", url.strip(_CONTROLS_AND_SPACE))
    match = re.fullmatch(r"(wss?://)([^/\\?#]*)([^?#]*)(\?[^#]*)?(#.*)?", cleaned, re.IGNORECASE | re.DOTALL)
    if match is None:
        # An unusual form; any part of it may be secret.
        return "***"
    scheme, authority, path, query, fragment = (part or "" for part in match.groups())
    login, at, host = authority.rpartition("@")
    if ":" in login:
        login = login.partition(":")[0] + ":***"
    return f"{scheme}{login}{at}{host}{path}{'?***' if query else ''}{fragment}"


def _host_and_port(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\[[^\]]*\])(?::(.*))?", text, re.DOTALL)
    if match is not None:
        return match[1], match[2] or ""
    host, _, port = text.partition(":")
    return host, port


def _host_fault(host: str) -> str | None:
    if not host:
        return "not a url (empty host)"
    if host.startswith("["):
        return None if _is_ipv6(host) else "not a url (invalid IPv6 address)"
    try:
        name = unquote_to_bytes(host).decode()
        for label in name.lower().split("."):
            if label.startswith("xn--") and label[4:].encode().decode("punycode").isascii():
                return "not a url (invalid international domain name)"
    except UnicodeError:
        return "not a url (invalid international domain name)"
    # Python has an older IDNA than workers. Names that it does not understand are left to them.
    with contextlib.suppress(UnicodeError):
        name = name.encode("idna").decode() if not name.isascii() else name
    if not name or _FORBIDDEN_IN_HOST.search(name):
        return "not a url (invalid domain character)"
    labels = name.removesuffix(".").split(".")
    # A name whose last part is a number is an address, or invalid.
    if _NUMBER.fullmatch(labels[-1]) and not _is_ipv4(labels):
        return "not a url (invalid IPv4 address)"
    return None


def _is_ipv4(parts: list[str]) -> bool:
    if len(parts) > 4:
        return False
    numbers = []
    for part in parts:
        if not _NUMBER.fullmatch(part):
            return False
        try:
            if part[:2] in ("0x", "0X"):
                numbers.append(int(part[2:] or "0", 16))
            else:
                numbers.append(int(part, 8 if part.startswith("0") else 10))
        except ValueError:
            return False
    return all(number <= 255 for number in numbers[:-1]) and numbers[-1] < 256 ** (5 - len(numbers))


def _is_ipv6(host: str) -> bool:
    try:
        address = ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return address.scope_id is None
