"""A GitHub over the lab's Git: the few calls of its REST API with which a change is proposed, and merged by a person.

It keeps the promises that a client relies on: a branch or a pull request is made once, a file is written only over the
content that was named, closed is closed, a token that may only read is told so, and everything has GitHub's own form
(status codes and words of its REST API, version 2022-11-28). Merging commits to the repository that Argo CD reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from lab.git import Repository
from lab.services.http import Answer, Request, answer

NAME = "platform-team/infrastructure-gitops"
_MAIN = "main"
_SHOWN_BYTES = 1024 * 1024


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, message: str, *errors: str) -> None:
        super().__init__(message)
        self.body: dict[str, Any] = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        if errors:
            self.body["errors"] = [{"resource": "PullRequest", "code": "custom", "message": e} for e in errors]
        self.status = status


@dataclass(frozen=True)
class Commit:
    """A commit: every file of it, by path."""

    sha: str
    files: dict[str, str]
    parent: str
    message: str


@dataclass
class Pull:
    """A pull request."""

    number: int
    title: str
    body: str
    head: str
    base: str
    sha: str
    state: str = "open"
    merged: bool = False


@dataclass
class GitHub:
    """One repository behind one token. ``reader`` is a token that may only read."""

    repository: Repository
    token: str
    reader: str = ""
    name: str = NAME
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    pulls: list[Pull] = field(default_factory=list)
    archived: bool = False
    #: what was accepted: (method, path, body)
    ledger: list[tuple[str, str, Any]] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def handle(self, request: Request) -> Answer:
        """The answer of the API to a request; ``path`` without ``/api/v3``."""
        with self._lock:
            try:
                return self._handle(request)
            except _Refused as refused:
                return answer(refused.body, refused.status)
            except (ValueError, KeyError, TypeError, AttributeError):
                return answer({"message": "Problems parsing JSON"}, 400)

    def _handle(self, request: Request) -> Answer:
        may_write = self._signed_in(request)
        self._follow()
        start = f"/repos/{self.name}"
        path = unquote(request.path)
        if path != start and not path.startswith(f"{start}/"):
            raise _Refused(404, "Not Found")
        rest = path.removeprefix(start)
        for method, pattern, do in self._routes():
            found = re.fullmatch(pattern, rest)
            if found is None or method != request.method:
                continue
            if method == "GET":
                return do(request, *found.groups())
            if not may_write:
                raise _Refused(403, "Resource not accessible by personal access token")
            if self.archived:
                raise _Refused(403, "Repository was archived so is read-only.")
            made = do(request, *found.groups())
            self.ledger.append((method, rest, json.loads(request.body or b"null")))
            return made
        raise _Refused(404, "Not Found")

    def _routes(self) -> list[tuple[str, str, Callable[..., Answer]]]:
        return [
            ("GET", "", self._show),
            ("GET", r"/git/ref/heads/(.+)", self._ref),
            ("POST", r"/git/refs", self._create_ref),
            ("DELETE", r"/git/refs/heads/(.+)", self._delete_ref),
            ("GET", r"/git/blobs/([0-9a-f]{40})", self._blob),
            ("GET", r"/contents/(.*)", self._contents),
            ("PUT", r"/contents/(.+)", self._write),
            ("GET", r"/compare/(.+)\.\.\.(.+)", self._compare),
            ("GET", r"/pulls", self._list),
            ("POST", r"/pulls", self._open),
            ("GET", r"/pulls/(\d+)", self._pull),
            ("PATCH", r"/pulls/(\d+)", self._change),
            ("PUT", r"/pulls/(\d+)/merge", self._merge),
        ]

    def _signed_in(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if given not in {self.token, self.reader} - {""}:
            raise _Refused(401, "Bad credentials")
        self._may = given == self.token
        return self._may

    def _follow(self) -> None:
        """The default branch is the lab's Git: a file that somebody edited there is a commit."""
        files = self.repository.files
        head = self.commits.get(self.branches.get(_MAIN, ""))
        if head is None or head.files != files:
            self.branches[_MAIN] = self._commit(files, head.sha if head else "", "somebody's commit").sha

    def _commit(self, files: dict[str, str], parent: str, message: str) -> Commit:
        tree = "".join(f"{path}\0{text}\0" for path, text in sorted(files.items()))
        sha = hashlib.sha1(f"{parent}\0{message}\0{tree}".encode(), usedforsecurity=False).hexdigest()
        self.blobs.update({blob(text): text for text in files.values()})
        return self.commits.setdefault(sha, Commit(sha, dict(files), parent, message))

    def _at(self, branch: str) -> Commit:
        sha = self.branches.get(branch.removeprefix("refs/heads/") or _MAIN, branch)
        if sha not in self.commits:
            raise _Refused(404, f"No commit found for the ref {branch}")
        return self.commits[sha]

    # -- reading

    def _show(self, _request: Request) -> Answer:
        rights = {"admin": False, "maintain": False, "push": self._may, "triage": self._may, "pull": True}
        shown = {"full_name": self.name, "default_branch": _MAIN, "archived": self.archived, "disabled": False}
        return answer({**shown, "private": True, "permissions": rights})

    def _ref(self, _request: Request, branch: str) -> Answer:
        if branch not in self.branches:
            raise _Refused(404, "Not Found")
        return answer({"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": self.branches[branch]}})

    def _blob(self, _request: Request, sha: str) -> Answer:
        if sha not in self.blobs:
            raise _Refused(404, "Not Found")
        return answer({"sha": sha, "encoding": "base64", "content": _base64(self.blobs[sha])})

    def _contents(self, request: Request, path: str) -> Answer:
        files = self._at(request.value("ref", _MAIN)).files
        path = path.strip("/")
        if path in files:
            text = files[path]
            large = len(text.encode()) > _SHOWN_BYTES
            how = {"encoding": "none", "content": ""} if large else {"encoding": "base64", "content": _base64(text)}
            return answer({"type": "file", "path": path, "sha": blob(text), "size": len(text.encode()), **how})
        inside = [name for name in files if not path or name.startswith(f"{path}/")]
        if not inside:
            raise _Refused(404, "Not Found")
        names = sorted({f"{path}/{name.removeprefix(f'{path}/').split('/')[0]}".strip("/") for name in inside})
        return answer([{"type": "file" if name in files else "dir", "path": name} for name in names])

    def _compare(self, _request: Request, base: str, head: str) -> Answer:
        below = [each.sha for each in self._line(self._at(base))]
        mine = self._line(self._at(head))
        own = [each for each in mine if each.sha not in below]
        shared = next((each for each in mine if each.sha in below), None)
        old, new = (shared.files if shared else {}), mine[0].files
        changed = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
        files = [{"filename": path, "sha": blob(new[path]) if path in new else "0" * 40} for path in changed]
        behind = below.index(shared.sha) if shared else len(below)
        return answer({"ahead_by": len(own), "behind_by": behind, "total_commits": len(own), "files": files})

    def _line(self, commit: Commit) -> list[Commit]:
        line = [commit]
        while line[-1].parent:
            line.append(self.commits[line[-1].parent])
        return line

    def _list(self, request: Request) -> Answer:
        state, head = request.value("state", "open"), request.value("head")
        owner = self.name.partition("/")[0]
        found = [
            self._shown(pull)
            for pull in reversed(self.pulls)
            if state in ("all", pull.state) and head in ("", f"{owner}:{pull.head}")
        ]
        return answer(found)

    def _pull(self, _request: Request, number: str) -> Answer:
        return answer(self._shown(self._numbered(number)))

    def _numbered(self, number: str) -> Pull:
        if not 0 < int(number) <= len(self.pulls):
            raise _Refused(404, "Not Found")
        return self.pulls[int(number) - 1]

    def _shown(self, pull: Pull) -> dict[str, Any]:
        if pull.state == "open" and pull.head in self.branches:
            pull.sha = self.branches[pull.head]
        repo = {"full_name": self.name}
        return {
            "number": pull.number,
            "state": pull.state,
            "title": pull.title,
            "body": pull.body,
            "merged_at": "2025-11-23T14:00:00Z" if pull.merged else None,
            "user": {"login": "phaseboard-bot"},
            "head": {"ref": pull.head, "sha": pull.sha, "repo": repo},
            "base": {"ref": pull.base, "repo": repo},
            "html_url": f"https://github.com/{self.name}/pull/{pull.number}",
        }

    # -- writing

    def _create_ref(self, request: Request) -> Answer:
        wanted = request.json()
        name, sha = str(wanted["ref"]).removeprefix("refs/heads/"), str(wanted["sha"])
        if not str(wanted["ref"]).startswith("refs/heads/") or sha not in self.commits:
            raise _Refused(422, "Object does not exist")
        if name in self.branches:
            raise _Refused(422, "Reference already exists")
        self.branches[name] = sha
        return answer({"ref": wanted["ref"], "object": {"type": "commit", "sha": sha}}, 201)

    def _delete_ref(self, _request: Request, branch: str) -> Answer:
        if branch not in self.branches:
            raise _Refused(422, "Reference does not exist")
        del self.branches[branch]
        for pull in self.pulls:
            if pull.head == branch and pull.state == "open":
                pull.state = "closed"
        return Answer(204, {}, b"")

    def _write(self, request: Request, path: str) -> Answer:
        wanted = request.json()
        branch = str(wanted.get("branch") or _MAIN)
        if branch not in self.branches:
            raise _Refused(404, f"Branch {branch} not found")
        before = self._at(branch)
        there = before.files.get(path)
        if there is not None and "sha" not in wanted:
            raise _Refused(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        if wanted.get("sha") != (blob(there) if there is not None else None):
            raise _Refused(409, f"{path} does not match {wanted.get('sha')}")
        text = base64.b64decode(str(wanted["content"])).decode()
        made = self._commit({**before.files, path: text}, before.sha, str(wanted["message"]))
        self.branches[branch] = made.sha
        if branch == _MAIN:
            self.repository.commit(path, text)
        return answer({"content": {"path": path, "sha": blob(text)}, "commit": {"sha": made.sha}}, 200)

    def _open(self, request: Request) -> Answer:
        wanted = request.json()
        head, base = str(wanted["head"]).rpartition(":")[2], str(wanted["base"])
        if base not in self.branches or head not in self.branches:
            raise _Refused(422, "Validation Failed", "head or base is invalid")
        if any(pull.state == "open" and (pull.head, pull.base) == (head, base) for pull in self.pulls):
            raise _Refused(422, "Validation Failed", f"A pull request already exists for {self.name}:{head}.")
        if self.branches[head] in [each.sha for each in self._line(self._at(base))]:
            raise _Refused(422, "Validation Failed", f"No commits between {base} and {head}")
        pull = Pull(
            len(self.pulls) + 1, wanted["title"], str(wanted.get("body") or ""), head, base, self.branches[head]
        )
        self.pulls.append(pull)
        return answer(self._shown(pull), 201)

    def _change(self, request: Request, number: str) -> Answer:
        pull, wanted = self._numbered(number), request.json()
        if pull.merged and wanted.get("state") == "open":
            raise _Refused(422, "Validation Failed", "state cannot be changed")
        pull.state = str(wanted.get("state", pull.state))
        return answer(self._shown(pull))

    def _merge(self, _request: Request, number: str) -> Answer:
        """A person's click: what the branch changed goes to its base, if nobody else changed the same file."""
        pull = self._numbered(number)
        if pull.state != "open" or pull.head not in self.branches:
            raise _Refused(405, "Pull Request is not mergeable")
        head, base = self._at(pull.head), self._at(pull.base)
        below = {each.sha for each in self._line(base)}
        shared = next(each for each in self._line(head) if each.sha in below)
        changed = [path for path, text in head.files.items() if shared.files.get(path) != text]
        if any(base.files.get(path) != shared.files.get(path) for path in changed):
            raise _Refused(405, "Pull Request is not mergeable")
        files = {**base.files, **{path: head.files[path] for path in changed}}
        made = self._commit(files, base.sha, f"Merge pull request #{number}")
        self.branches[pull.base], pull.state, pull.merged = made.sha, "closed", True
        if pull.base == _MAIN:
            for path in changed:
                self.repository.commit(path, files[path])
        return answer({"sha": made.sha, "merged": True, "message": "Pull Request successfully merged"})


def blob(text: str) -> str:
    """How Git names a file of this content."""
    data = text.encode()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _base64(text: str) -> str:
    """As GitHub sends it, in lines."""
    return base64.encodebytes(text.encode()).decode()
