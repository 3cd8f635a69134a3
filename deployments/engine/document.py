"""A plan as it is stored: what it consists of, its hash, and the placeholders that are filled in when it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from common import structs
from common.canonical import digest
from deployments.catalogue.action import Blast, FollowUp, GitChange, StepSpec, Verification

_LATER = re.compile(r"\$\{run\.time\+(\d{1,8})\}")
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
#: what stands in previews and records in place of a generated secret
SECRET = "(generated when it runs)"  # noqa: S105 - its place, not a value


class Target(msgspec.Struct, frozen=True):
    """An object the plan writes, as it was when the plan was made. ``uid`` is empty for what is not there."""

    uid: str
    fingerprint: str
    leaves: dict[str, Any]


class PlannedStep(msgspec.Struct, frozen=True):
    """A step with its preview: the field-level difference of the server-side dry run, and the line to run by hand."""

    spec: StepSpec
    target: str = ""
    diff: tuple[dict[str, Any], ...] = ()
    #: how many fields stand behind the rows: what the server keeps itself (managedFields) and what was counted together
    folded: int = 0
    command: str = ""
    #: the server refused the dry run: its words
    refused: str = ""
    #: fields that another manager holds, of a server-side apply: ``{"field", "manager"}``
    conflicts: tuple[dict[str, str], ...] = ()
    #: what could not be asked of the server, and why
    note: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """``Plan.document``. Immutable once stored."""

    steps: tuple[PlannedStep, ...]
    targets: dict[str, Target]
    #: target keys to hold while it runs: every object written, by us or on our behalf, and their Applications
    locks: tuple[str, ...]
    verification: Verification
    undo: str
    blast: Blast
    managed_by: str = ""
    git_way: str = ""
    git_patch: str = ""
    git_change: GitChange | None = None
    #: the host of the GitHub that the worker was connected to when the plan was made or compared; empty: none
    git_host: str = ""
    confirm: str = ""
    follow_up: FollowUp | None = None
    #: leaves that this action leaves out of its fingerprints, beyond the engine's own
    noise: tuple[str, ...] = ()
    #: pre-images are kept so that an undo plan can be made
    undoable: bool = False
    summary: str = ""
    identity: str = ""
    one_identity: bool = False
    objects_read: int = 0


structs.prepare(Document)


def load(raw: Any) -> Document:
    """A stored document. :raises msgspec.ValidationError: written by another version."""
    return msgspec.convert(raw, Document)


def dump(document: Document) -> dict[str, Any]:
    """Plain JSON values."""
    plain: dict[str, Any] = json.loads(msgspec.json.encode(document))
    return plain


def plan_hash(
    cluster: str,
    action: str,
    params: Mapping[str, Any],
    steps: tuple[StepSpec, ...],
    targets: Mapping[str, Target],
    follow_up: FollowUp | None = None,
) -> str:
    """SHA-256 of what is approved: cluster, action, parameters, steps, what follows and, per target, uid and
    fingerprint."""
    return digest(
        {
            "follow_up": json.loads(msgspec.json.encode(follow_up)),
            "cluster": cluster,
            "action": action,
            "params": dict(params),
            "steps": [json.loads(msgspec.json.encode(step)) for step in steps],
            "targets": {key: [target.uid, target.fingerprint] for key, target in targets.items()},
        }
    )


def fill(value: Any, words: Mapping[str, str]) -> Any:
    """A copy with every ``${…}`` placeholder replaced. :raises KeyError: a placeholder nobody knows."""
    if isinstance(value, dict):
        return {key: fill(inner, words) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [fill(inner, words) for inner in value]
    if isinstance(value, str) and "${run." in value:
        value = _LATER.sub(lambda match: _later(words["run.time"], int(match.group(1))), value)
        for name, word in words.items():
            value = value.replace(f"${{{name}}}", word)
        if "${run." in value:
            raise KeyError(value)
    return value


def _later(time: str, seconds: int) -> str:
    """A time of the run plus seconds; in a preview there is no time yet."""
    try:
        return f"{datetime.strptime(time, _STAMP) + timedelta(seconds=seconds):{_STAMP}}"  # noqa: DTZ007 - stays UTC
    except ValueError:
        return f"{time} + {seconds} s"


def words(user: str, mark: str, time: str, secret: str = SECRET) -> dict[str, str]:
    """The values of the placeholders. Without ``secret`` its place is shown, never a value."""
    return {"run.user": user, "run.mark": mark, "run.time": time, "run.secret": secret}


def mark_of(run_id: str, step_index: int) -> str:
    """What a step writes on its object, to be found again after a crash."""
    return f"{run_id}.{step_index + 1}"
