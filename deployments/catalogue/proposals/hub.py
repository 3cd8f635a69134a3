"""What is asked of GitHub's REST API, and what of an answer is believed. Pure.

A path is made of an owner, a name, a branch and a file that were checked before; answers are GitHub's, and what people
wrote there (titles, branch names) is not trusted. A 404 means "not there, or not to be seen with this token".
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote

from monitoring.snapshot import Fetch, GitHubConnection, Snapshot

SOURCE = "github"
CONNECTION = GitHubConnection()
#: every branch of this portal begins so
PREFIX = "phaseboard/"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA = re.compile(r"[0-9a-f]{40}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,199}")


class Connected(NamedTuple):
    """The host in repositories' URLs; whether the token is an app's, of which GitHub says no permissions; where people
    see it."""

    host: str
    installation: bool
    web: str


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository as the token sees it. ``push`` is None where GitHub does not say."""

    name: str
    default_branch: str
    push: bool | None
    archived: bool


@dataclass(frozen=True, slots=True)
class Content:
    """A file as it is on a branch."""

    path: str
    sha: str
    text: str


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull request. ``state`` is open or closed; ``head`` is ``owner/name`` and branch, and the commit it is at."""

    number: int
    state: str
    merged: bool
    head_repository: str
    head: str
    sha: str
    base: str
    by: str
    body: str


class Ahead(NamedTuple):
    """A branch beside its base: commits of its own, and the files they change with what they become."""

    commits: int
    files: dict[str, str]


def is_repository(text: str) -> bool:
    """Whether this is ``owner/name``."""
    return _REPOSITORY.fullmatch(text) is not None


def is_branch(text: str) -> bool:
    """Whether this is a branch's name that can be asked for (Git allows more; what it forbids is refused)."""
    return _BRANCH.fullmatch(text) is not None and not re.search(r"\.\.|//|/\.|\.lock(?:/|$)|[./]$", text)


# -- what is asked


def repository(name: str) -> Fetch:
    return Fetch(SOURCE, f"/repos/{name}")


def ref(name: str, branch: str) -> Fetch:
    return Fetch(SOURCE, f"/repos/{name}/git/ref/heads/{quote(branch)}")


def contents(name: str, path: str, branch: str) -> Fetch:
    """A file, or the names in a folder."""
    return Fetch(SOURCE, f"/repos/{name}/contents/{quote(path)}?ref={quote(branch, safe='')}")


def pulls(name: str, branch: str) -> Fetch:
    """Pull requests from a branch of this repository, newest first, closed ones too."""
    head = quote(f"{name.partition('/')[0]}:{branch}", safe="")
    return Fetch(SOURCE, f"/repos/{name}/pulls?state=all&head={head}&per_page=30")


def pull(name: str, number: int) -> Fetch:
    return Fetch(SOURCE, f"/repos/{name}/pulls/{number}")


def compare(name: str, base: str, branch: str) -> Fetch:
    """What a branch has beyond its base."""
    return Fetch(SOURCE, f"/repos/{name}/compare/{quote(base, safe='')}...{quote(branch, safe='')}")


# -- what is believed


def connected(snapshot: Snapshot) -> Connected:
    """:raises Missing: there is no connection; the sentence says how to make one."""
    body = snapshot.reply(CONNECTION).body
    return Connected(str(body["host"]), bool(body["installation"]), str(body["web"]))


def read_repository(snapshot: Snapshot, name: str) -> Repository | None:
    """None: not there, or not to be seen with this token. :raises Missing: no answer."""
    body = _body(snapshot, repository(name))
    default = body.get("default_branch") if body else None
    if body is None or not isinstance(default, str) or not is_branch(default):
        return None
    rights = body.get("permissions")
    push = bool(rights.get("push")) if isinstance(rights, Mapping) else None
    return Repository(name, default, push, bool(body.get("archived") or body.get("disabled")))


def read_ref(snapshot: Snapshot, name: str, branch: str) -> str:
    """The commit a branch is at; empty: there is no such branch. :raises Missing: no answer."""
    body = _body(snapshot, ref(name, branch))
    found = body.get("object") if body else None
    sha = str(found.get("sha") or "") if isinstance(found, Mapping) else ""
    return sha if _SHA.fullmatch(sha) else ""


def read_content(snapshot: Snapshot, name: str, path: str, branch: str) -> Content | None:
    """A file's text; None: no such file. :raises ValueError: it is there and cannot be read. :raises Missing:"""
    body = _body(snapshot, contents(name, path, branch))
    if not body:
        return None
    sha = str(body.get("sha") or "")
    if body.get("type") != "file" or not _SHA.fullmatch(sha):
        raise ValueError(f"{path} is no file")
    return Content(path, sha, text_of(body, path))


def text_of(body: Mapping[str, Any], path: str) -> str:
    """The text of a file or a blob. :raises ValueError: it is too large, or no UTF-8."""
    if body.get("encoding") != "base64":
        raise ValueError(f"{path} is larger than GitHub shows (1 MB)")
    try:
        return base64.b64decode(str(body.get("content") or ""), validate=False).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"{path} is no UTF-8 text") from None


def read_folder(snapshot: Snapshot, name: str, path: str, branch: str) -> list[str]:
    """The paths of the files in a folder; empty when there is none. :raises Missing:"""
    body = snapshot.reply(contents(name, path, branch)).body
    rows = body if isinstance(body, list) else []
    return sorted(str(row.get("path")) for row in rows if isinstance(row, Mapping) and row.get("type") == "file")


def read_pulls(snapshot: Snapshot, name: str, branch: str) -> list[Pull]:
    """The pull requests from a branch of this repository itself. :raises Missing:"""
    body = snapshot.reply(pulls(name, branch)).body
    found = [_pull(row) for row in (body if isinstance(body, list) else []) if isinstance(row, Mapping)]
    return [each for each in found if each.head == branch and each.head_repository.lower() == name.lower()]


def read_pull(snapshot: Snapshot, name: str, number: int) -> Pull | None:
    """:raises Missing: no answer."""
    body = _body(snapshot, pull(name, number))
    return _pull(body) if body else None


def read_ahead(snapshot: Snapshot, name: str, base: str, branch: str) -> Ahead | None:
    """None: one of the two is not there. :raises Missing:"""
    body = _body(snapshot, compare(name, base, branch))
    if not body or not isinstance(body.get("ahead_by"), int):
        return None
    rows = body.get("files")
    files = [row for row in (rows if isinstance(rows, list) else []) if isinstance(row, Mapping)]
    return Ahead(body["ahead_by"], {str(row.get("filename")): str(row.get("sha")) for row in files})


def _body(snapshot: Snapshot, need: Fetch) -> Mapping[str, Any] | None:
    reply = snapshot.reply(need)
    return reply.body if reply.status == 200 and isinstance(reply.body, Mapping) else None


def _pull(row: Mapping[str, Any]) -> Pull:
    head, base, user = (row.get(key) or {} for key in ("head", "base", "user"))
    return Pull(
        number=int(row["number"]) if str(row.get("number")).isdecimal() else 0,
        state=str(row.get("state")),
        merged=bool(row.get("merged_at")),
        head_repository=str((head.get("repo") or {}).get("full_name") or ""),
        head=str(head.get("ref") or ""),
        sha=str(head.get("sha") or ""),
        base=str(base.get("ref") or ""),
        by=str(user.get("login") or "somebody"),
        body=str(row.get("body") or ""),
    )
