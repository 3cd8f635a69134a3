"""A stored plan as its page shows it. Pure: rows in, plain values out; secrets were hidden before it was stored."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from deployments.catalogue import registry as actions
from deployments.catalogue.action import Blast, Call, CheckSpec, FileEdit, FollowUp, Precondition
from deployments.engine.document import PlannedStep, load
from deployments.models import Plan
from monitoring.checks import registry as checks
from portal.views import filediff
from portal.views.filediff import Line

_TIER = ("changes nothing", "reversible", "disruptive", "destructive")
_MAX_LINES = 400
#: more names than this are counted
_NAMED = 12


@dataclass(frozen=True, slots=True)
class Change:
    """One object that a step writes."""

    name: str
    tags: tuple[str, ...]
    added: int
    removed: int
    lines: tuple[Line, ...]

    @property
    def fields(self) -> bool:
        """Fields have no line numbers, so their gutters are left away."""
        return all(line.old is None and line.new is None for line in self.lines)


@dataclass(frozen=True, slots=True)
class Right:
    """One rule the writing identity needs."""

    text: str
    allowed: bool
    #: the RBAC rule that grants it, as YAML
    rule: str


@dataclass(frozen=True, slots=True)
class PlanView:
    """Everything on the page of a plan but who looks at it."""

    hash: str
    short: str
    action: str
    title: str
    tier: int
    created_at: datetime
    compared_at: datetime | None
    moved: str
    unread: str
    summary: str
    managed_by: str
    git_way: str
    #: the change as a patch for Git that can be downloaded
    git_patch: bool
    #: what the portal starts by itself after the run
    follow_up: str
    steps: tuple[Any, ...]
    changes: tuple[Change, ...]
    commands: tuple[str, ...]
    blast: tuple[tuple[int, str], ...]
    blast_sentence: str
    preconditions: tuple[Precondition, ...]
    checks: tuple[dict[str, str], ...]
    #: what proves a run without checks
    proof: str
    #: where the differences come from
    changes_from: str
    hold_seconds: int
    undo: str
    rights: tuple[Right, ...]
    rights_sentence: str
    say: str
    one_identity: bool
    targets: tuple[str, ...]

    @property
    def state(self) -> str:
        """Whether it can run as it stands, in the word with which the page's title begins."""
        if self.moved:
            return "Moved"
        return "Ready" if all(pre.met for pre in self.preconditions) else "Unmet"

    @property
    def missing_rules(self) -> tuple[str, ...]:
        """What an administrator must grant, line by line."""
        return tuple(right.rule for right in self.rights if not right.allowed and right.rule)


def plan_view(plan: Plan) -> PlanView:
    """The page's values. :raises msgspec.ValidationError: stored by another version."""
    document = load(plan.document)
    changes = tuple(
        _change(number, step) for number, step in enumerate(document.steps, 1) if step.diff or step.refused or step.note
    )
    rights = tuple(_right(row) for row in plan.rights)
    allowed = sum(right.allowed for right in rights)
    steps = tuple(step.spec for step in document.steps)
    return PlanView(
        hash=plan.hash,
        short=plan.hash[:8],
        action=plan.action,
        title=plan.title,
        tier=plan.tier,
        created_at=plan.created_at,
        compared_at=plan.compared_at,
        moved=plan.moved,
        unread=plan.unread,
        summary=document.summary,
        managed_by=document.managed_by,
        git_way=document.git_way,
        git_patch=bool(document.git_patch),
        follow_up=_follow_up(document.follow_up),
        steps=steps,
        changes=changes,
        commands=tuple(step.command for step in document.steps if step.command),
        blast=_blast(document.blast),
        blast_sentence=document.blast.sentence,
        preconditions=tuple(msgspec.convert(plan.preconditions, list[Precondition])),
        checks=tuple({"title": spec.title, "expected": expected(spec)} for spec in document.verification.checks),
        proof=_proof(plan.action),
        changes_from=_changes_from(document.steps),
        hold_seconds=document.verification.hold_seconds,
        undo=document.undo,
        rights=rights,
        rights_sentence=f"{allowed} of {len(rights)} allowed",
        say=f"{_count(len(changes), 'change')}, {_count(len(steps), 'step')}, {_TIER[plan.tier]}.",
        one_identity=document.one_identity,
        targets=tuple(target_name(key) for key in document.locks),
    )


def _proof(slug: str) -> str:
    """An action that has gone from the catalogue still has plans."""
    try:
        said = actions.get(slug).verified_by
    except LookupError:
        said = ""
    return said or "The steps wait until what they asked for is seen in the cluster."


def _changes_from(steps: Iterable[PlannedStep]) -> str:
    """GitHub, Alertmanager and Grafana answer no dry run; each such difference says so itself."""
    dry = any(step.spec.effect is not None and not isinstance(step.spec.effect, Call) for step in steps)
    return "from a server-side dry run" if dry else "as it will be asked for"


def target_name(key: str) -> str:
    """``Kind name`` of a target key ``cluster/group/Kind/namespace/name``."""
    parts = key.split("/")
    return f"{parts[-3]} {parts[-1]}" if len(parts) >= 4 else key


def expected(spec: CheckSpec) -> str:
    """What a check of the verification wants to read; empty for a type this version does not know."""
    try:
        return checks.get(spec.type).expected(checks.parse(spec.type, spec.params))
    except (LookupError, ValueError):
        return ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _blast(blast: Blast) -> tuple[tuple[int, str], ...]:
    always = [("created", blast.created), ("changed", blast.changed), ("deleted", blast.deleted)]
    sometimes = [
        ("pod ends and comes back", "pods end and come back", blast.restarted),
        ("disruption budget", "disruption budgets", blast.budgets),
        ("claim touched", "claims touched", blast.claims),
        ("Service without endpoints meanwhile", "Services without endpoints meanwhile", blast.endpoints),
        ("alert will fire", "alerts will fire", blast.alerts),
    ]
    rows = [*always, *((one if len(names) == 1 else many, names) for one, many, names in sometimes if names)]
    return tuple((len(names), f"{word}: {_some(names)}" if names else word) for word, names in rows)


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _follow_up(wanted: FollowUp | None) -> str:
    if wanted is None:
        return ""
    minutes, seconds = divmod(wanted.after_seconds, 60)
    after = f"{minutes} min" if minutes and not seconds else f"{wanted.after_seconds} s"
    return f"{wanted.sentence} ({after} after the run succeeded, by the portal itself, in your name)"


def _right(row: Mapping[str, Any]) -> Right:
    missing = row.get("missing") or []
    where = f"{row.get('namespace') or 'cluster'}/{row.get('name', '')}"
    return Right(
        f"{' '.join(missing or row.get('verbs', ()))} {row.get('resource', '')} {where}",
        not missing,
        str(row.get("rule", "")),
    )


def _change(number: int, step: PlannedStep) -> Change:
    spec = step.spec
    edit = spec.effect.prepared if isinstance(spec.effect, Call) else None
    lines = [*filediff.lines(edit.diff)] if isinstance(edit, FileEdit) else [*_lines(step.diff)]
    if step.refused:
        lines.append(Line("fold", f"the API server refused the dry run: {step.refused}"))
    lines += [Line("fold", f"held by another manager: {c['field']} ({c['manager']})") for c in step.conflicts]
    if step.note:
        lines.append(Line("fold", step.note))
    if step.folded:
        lines.append(Line("fold", f"{_count(step.folded, 'field')} that the server keeps itself: not shown"))
    return Change(
        name=edit.path if isinstance(edit, FileEdit) else f"{spec.ref.kind}/{spec.name}",
        tags=tuple(filter(None, (f"step {number}", spec.how, spec.namespace, *_managers(step)))),
        added=sum(line.kind == "add" for line in lines),
        removed=sum(line.kind == "del" for line in lines),
        lines=tuple(lines[:_MAX_LINES]),
    )


def _managers(step: PlannedStep) -> list[str]:
    """Who wrote the fields that change, as the server notes it; our own earlier writes say nothing new."""
    found = {str(row.get("manager", "")) for row in step.diff} - {""}
    return [f"now held by {name}" for name in sorted(found) if not name.startswith("portal-remediation")]


def _lines(diff: Iterable[Mapping[str, Any]]) -> Iterable[Line]:
    """Field-level differences as lines, grouped under their parent's path."""
    parent = None
    for change in diff:
        head, leaf = _split(str(change["path"]))
        if head != parent:
            parent = head
            yield Line("fold", head or "whole object")
        before, after = _shown(change["before"]), _shown(change["after"])
        lead = f"{leaf}: "
        if before is not None and after is not None:
            start, end_before, end_after = _middle(before, after)
            yield Line("del", lead + before[:start], before[start:end_before], before[end_before:])
            yield Line("add", lead + after[:start], after[start:end_after], after[end_after:])
        elif after is not None:
            yield Line("add", lead + after)
        elif before is not None:
            yield Line("del", lead + before)


def _split(path: str) -> tuple[str, str]:
    """A path as parent and leaf: ``spec.source.helm.values:grafana.x`` → (…, ``x``); a quoted key stays whole."""
    if path.endswith('"]') and '["' in path:
        head, _, leaf = path.rpartition('["')
        return head, leaf.removesuffix('"]')
    head, _, leaf = path.rpartition(".")
    if ":" in leaf:
        outer, _, leaf = leaf.rpartition(":")
        head = f"{head}.{outer}" if head else outer
    return head, leaf


def _shown(value: Any) -> str | None:
    """A leaf as text. A keyed hash is a secret: it is shown as dots."""
    if value is None:
        return None
    if isinstance(value, str):
        return "••••••••" if value.startswith("hmac:") else value
    return "true" if value is True else "false" if value is False else str(value)


def _middle(before: str, after: str) -> tuple[int, int, int]:
    """Where two texts begin to differ and where their common end begins, cut at word borders."""
    start = _same(before, after)
    while start and (before[start - 1].isalnum() or after[start - 1].isalnum()):
        start -= 1
    rest_before, rest_after = before[start:], after[start:]
    tail = _same(rest_before[::-1], rest_after[::-1])
    while tail and rest_before[-tail].isalnum():
        tail -= 1
    return start, len(before) - tail, len(after) - tail


def _same(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in pairs)
