"""Which host a GitHub connection is for, and whether a repository that somebody named is on it. Pure.

A repository's URL comes from an Application and is not trusted: of it only the host is compared and owner and name are
kept, so that nothing but the configured host is ever asked and no credential inside a URL travels on.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

API = "https://api.github.com"
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
#: ``git@github.com:owner/name.git``, Git's short form of SSH
_SHORT = re.compile(r"(?:[A-Za-z0-9_.-]{1,64}@)?([A-Za-z0-9.-]{1,253}):(?!/)(.{1,300})")
#: other names of the same host: GitHub's SSH over port 443
_ALIASES = {"ssh.github.com": "github.com", "www.github.com": "github.com", "api.github.com": "github.com"}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def host_of(api: str, given: str = "") -> str:
    """The host in the URLs of repositories: of ``https://api.github.com`` it is ``github.com``, of GitHub Enterprise's
    ``https://git.example.org/api/v3`` the same. ``given`` says otherwise."""
    return _canonical(given.strip() or _netloc(api))


def web_of(api: str) -> str:
    """Where people see what is on it: ``https://github.com``. Empty when that is not https: then nothing is linked."""
    host = _canonical(_netloc(api))
    return f"https://{host}" if host and urlsplit(api).scheme == "https" else ""


def usable(api: str) -> str:
    """Why no token is sent to this address; empty when it may be."""
    try:
        parts = urlsplit(api)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        return "PORTAL_GITHUB_URL is not a URL."
    if parts.username or parts.password or parts.query or parts.fragment:
        return "PORTAL_GITHUB_URL may hold no credentials and no query; the token has a file of its own."
    if parts.scheme == "https" and host:
        return ""
    if parts.scheme == "http" and host in _LOOPBACK:
        return ""
    return "PORTAL_GITHUB_URL must be an https URL: a token is sent to it."


def normalised(url: str) -> str:
    """``host/owner/name`` of a repository's URL (https, ssh, or Git's short form); empty for what is no such URL."""
    text = url.strip()
    if "://" in text:
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            return ""
        if parts.scheme not in ("https", "http", "ssh", "git") or parts.query or parts.fragment:
            return ""
        web = parts.scheme in ("https", "http") and port not in (None, 443, 80)
        host, path = f"{host}:{port}" if web else host, parts.path
    else:
        found = _SHORT.fullmatch(text)
        if found is None:
            return ""
        host, path = found[1], found[2]
    pieces = path.strip("/").removesuffix(".git").split("/")
    if not host or len(pieces) != 2 or not all(_PART.fullmatch(piece) for piece in pieces):
        return ""
    return f"{_canonical(host)}/{pieces[0]}/{pieces[1]}"


def repository_on(remote: str, host: str) -> str:
    """``owner/name`` of ``host/owner/name`` when it is on this host; else empty."""
    where, _, repository = remote.partition("/")
    return repository if host and where == host else ""


def _netloc(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port}" if port not in (None, 443) else host


def _canonical(host: str) -> str:
    lowered = host.lower().rstrip(".")
    return _ALIASES.get(lowered, lowered)
