"""Writes to GitHub's REST API. Importable by ``deployments.engine`` alone (import-linter holds it to that).

Every request is sent once: one whose answer did not arrive raises ``Unreachable`` with ``maybe_done``, and so does one
that met what is there already (``Conflict``): the caller looks before it acts again. What is proposed is the plan's
matter; that no branch but the portal's own is written, and nothing is merged, is held here too (:data:`_ASKED`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from integrations import http
from integrations.errors import Rejected
from integrations.github import answers
from integrations.github.reader import GitHub

#: branches of this portal; no other is written, and none is ever merged
BRANCHES = "phaseboard/"
_REPOSITORY = r"/repos/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+"
_BRANCH = re.compile(rf"{BRANCHES}[a-z0-9][a-z0-9.-]*")
_Allowed = Callable[[Mapping[str, Any]], bool]
#: all that is ever asked: method and path, and what the body must say
_ASKED: tuple[tuple[str, re.Pattern[str], _Allowed], ...] = (
    (
        "POST",
        re.compile(rf"{_REPOSITORY}/git/refs"),
        lambda body: _ours(str(body.get("ref")).removeprefix("refs/heads/")),
    ),
    ("PUT", re.compile(rf"{_REPOSITORY}/contents/[^?#]+"), lambda body: _ours(body.get("branch"))),
    ("POST", re.compile(rf"{_REPOSITORY}/pulls"), lambda body: _ours(body.get("head"))),
    ("PATCH", re.compile(rf"{_REPOSITORY}/pulls/[0-9]+"), lambda body: dict(body) == {"state": "closed"}),
    ("DELETE", re.compile(rf"{_REPOSITORY}/git/refs/heads/{_BRANCH.pattern}"), lambda body: not body),
)


def _ours(branch: object) -> bool:
    return isinstance(branch, str) and _BRANCH.fullmatch(branch) is not None


class GitHubWriter:
    """The operating identity's hand on one GitHub."""

    def __init__(self, url: str = "", token_file: str = "", host: str = "") -> None:
        self._github = GitHub(url, token_file, host)

    @property
    def address(self) -> str:
        return self._github.endpoint.address

    def send(self, method: http.Method, path: str, body: Any = None) -> http.Answer:
        """Send one request, once; the answer's status is less than 300.

        :raises Rejected: no connection, what must never be asked, or GitHub refuses what was sent.
        :raises Unauthorized, Forbidden, NotFound: the token is not accepted, or may not. :raises Conflict: the file or
        branch moved, or it is there already (``maybe_done``). :raises TooManyRequests: the rate limit is used up.
        :raises Unreachable: no answer, or a 5xx; ``maybe_done`` says whether it may have happened.
        """
        given = body if isinstance(body, Mapping) else {}
        allowed = any(m == method and form.fullmatch(path) and may(given) for m, form, may in _ASKED)
        if not allowed or "/../" in f"{path}/":
            raise Rejected(f"{method} {path} is nothing this portal asks of GitHub.")
        answer = self._github.endpoint.send(method, path, body, token=self._github.token())
        error = answers.failure(answer, f"{method} {path.partition('?')[0]}", now=time.time(), write=True)
        if error is not None:
            raise error
        return answer
