"""What of a request to GitHub is made only when it is sent: a branch's commit, and the text of a changed file.

The text may hold credentials, so neither plan nor record has it. It is made of the blob that the plan names, which
GitHub keeps by the hash of its content, and must come out as the blob that was shown: else nothing is sent.
"""

from __future__ import annotations

import base64
from typing import Any, Protocol
from urllib.parse import quote

from deployments.catalogue.action import Call, FileEdit, HeadOf
from deployments.catalogue.argo import git_edit, values
from integrations.errors import Rejected
from integrations.http import Answer


class Reads(Protocol):
    """What is needed of GitHub's reader."""

    def get(self, path: str) -> Answer:
        """:raises SourceError:"""


def completed(effect: Call, github: Reads) -> dict[str, Any]:
    """The whole body. :raises SourceError: it cannot be made; certainly nothing was sent."""
    body = dict(effect.body or {})
    match effect.prepared:
        case HeadOf(repository, branch):
            return body | {"sha": _head(github, repository, branch)}
        case FileEdit() as edit:
            return body | {"content": base64.b64encode(_content(github, edit).encode()).decode()}
        case _:
            return body


def _head(github: Reads, repository: str, branch: str) -> str:
    found = _read(github, f"/repos/{repository}/git/ref/heads/{quote(branch)}")
    sha = (found.get("object") or {}).get("sha")
    if not isinstance(sha, str) or not sha:
        raise Rejected(f"GitHub shows no branch {branch} of {repository} any more.")
    return sha


def _content(github: Reads, edit: FileEdit) -> str:
    found = _read(github, f"/repos/{edit.repository}/git/blobs/{edit.before}")
    try:
        before = base64.b64decode(str(found.get("content") or "")).decode()
        after = git_edit.changed(before, edit.application, edit.namespace, values.parse(edit.values))
    except ValueError as error:
        raise Rejected(f"{edit.path} cannot be changed as planned: {error}.") from None
    if git_edit.blob_sha(before) != edit.before or git_edit.blob_sha(after) != edit.after:
        raise Rejected(f"{edit.path} would not come out as the plan shows it; nothing was sent.")
    return after


def _read(github: Reads, path: str) -> dict[str, Any]:
    answer = github.get(path)
    decoded = answer.json() if answer.status == 200 else None
    return decoded if isinstance(decoded, dict) else {}
