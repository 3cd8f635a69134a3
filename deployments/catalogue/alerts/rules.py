"""*Revert a bad rule*: take a group that does not load or fails out of a PrometheusRule, or delete the object.

One group that Prometheus could not load keeps the whole object out (the operator leaves it out with an Event); a group
that loads and fails fires nothing, and nobody sees that it does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from common.redaction import redact
from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    Condition,
    Delete,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import loading, managers
from deployments.catalogue.alerts.selection import fit, namespace_fit
from deployments.catalogue.argo import ownership
from deployments.catalogue.nodes import fields
from integrations.kubernetes.parts import KubeObject, Meta
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Missing, Need, Objects, Raw, Snapshot

_SECONDS = 300
_UNDO = "The groups as they were are set back, or the object is created again (with another uid)."
_NAMED = re.compile(r'group "([^"]{1,200})"')


class RevertParams(Params, frozen=True):
    """Which rule object, and how much of it goes."""

    namespace: Annotated[
        str,
        msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Namespace of the PrometheusRule"),
    ]
    name: Annotated[
        str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", description="Name of the PrometheusRule")
    ]
    group: Annotated[
        str, msgspec.Meta(max_length=200, description="Group that fails; empty: the only one that does")
    ] = ""
    remove: Annotated[
        Literal["group", "object"],
        msgspec.Meta(description="Take the group out and keep the others, or delete the whole object"),
    ] = "group"


@dataclass(frozen=True, slots=True)
class _Case:
    """The object and what is wrong with it. ``why`` is empty for a group that reads well."""

    params: RevertParams
    raw: Mapping[str, Any]
    meta: Meta
    group: str
    why: str

    @property
    def groups(self) -> list[Any]:
        return [g for g in (self.raw.get("spec") or {}).get("groups") or [] if isinstance(g, dict)]

    @property
    def rest(self) -> list[Any]:
        return [g for g in self.groups if g.get("name") != self.group]

    @property
    def leaving(self) -> list[Any]:
        return self.groups if self.params.remove == "object" else [g for g in self.groups if g not in self.rest]


def needs(snapshot: Snapshot, params: RevertParams) -> Iterable[Need]:
    """The object, what Prometheus has loaded, the operator's Events, and every Prometheus object whole."""
    yield Raw(loading.RULE_OBJECTS, params.namespace, params.name)
    yield Raw("namespaces", "", params.namespace)
    yield loading.RULES
    yield Objects("events", params.namespace)
    with suppress(Missing):
        raw = snapshot.raw(loading.RULE_OBJECTS, params.namespace, params.name)
        if raw is not None:
            meta = fields.meta_of(raw)
            file = loading.file_of(meta.namespace, meta.name, meta.uid)
            yield from (loading.failures(file, which) for which in ("failures", "evaluations"))
    yield Objects(managers.PROMETHEUSES)
    yield from managers.operator_needs()
    yield from ownership.needs()
    with suppress(Missing):
        for item in snapshot.objects(managers.PROMETHEUSES):
            yield Raw(managers.PROMETHEUSES, item.metadata.namespace, item.metadata.name)


def draft(snapshot: Snapshot, params: RevertParams) -> PlanDraft:
    """One patch or one deletion. :raises CannotPlan: nothing fails, or several do. :raises Missing:"""
    case = _case(snapshot, params)
    return PlanDraft(
        params={**msgspec.to_builtins(params), "group": case.group},
        preconditions=tuple(_preconditions(snapshot, case)),
        steps=(_step(case),),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=_blast(case),
        managed_by=fields.managed_by(snapshot, case.raw, "spec", "groups")
        if params.remove == "group"
        else ownership.sentence(snapshot, case.meta),
        git_way=_git_way(snapshot, case),
        locks=ownership.locks(snapshot, case.meta),
    )


def _case(snapshot: Snapshot, params: RevertParams) -> _Case:
    raw = snapshot.raw(loading.RULE_OBJECTS, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"There is no PrometheusRule {params.name} in namespace {params.namespace}.")
    meta = fields.meta_of(raw)
    there = [str(g.get("name", "")) for g in (raw.get("spec") or {}).get("groups") or [] if isinstance(g, dict)]
    if params.group and params.group not in there:
        raise CannotPlan(f"PrometheusRule {params.name} has no group {clean(params.group, 80)}: {listing(there)}.")
    bad = _failing(snapshot, meta) or _left_out(snapshot, meta, there)
    if not bad and not params.group:
        raise CannotPlan(f"Every group of PrometheusRule {params.name} is loaded and no rule of it fails.")
    if len(bad) > 1 and not params.group:
        raise CannotPlan(f"Several groups of {params.name} may be meant ({listing(sorted(bad))}): name one.")
    group = params.group or next(iter(bad))
    return _Case(params, raw, meta, group, bad.get(group, ""))


def _failing(snapshot: Snapshot, meta: Meta) -> dict[str, str]:
    """Loaded groups with a rule that failed at its last evaluation, and which."""
    bad: dict[str, str] = {}
    file = loading.file_of(meta.namespace, meta.name, meta.uid)
    for group in loading.groups(snapshot, file):
        if group.failing:
            first, share = group.failing[0], loading.failed_share(snapshot, file, group.name)
            said = f"rule {clean(first.name, 80)} failed at {clean(first.at, 30)}: {clean(first.error, 200)}"
            bad[group.name] = f"{said}{f'; the group {share}' if share else ''}"
    return bad


def _left_out(snapshot: Snapshot, meta: Meta, there: list[str]) -> dict[str, str]:
    """The groups that may be why the operator leaves the object out: the one it names, else all of them.

    :raises CannotPlan: no Prometheus selects the object, so nobody tried to load it.
    """
    if loading.groups(snapshot, loading.file_of(meta.namespace, meta.name, meta.uid)) or not there:
        return {}
    if not _selected(snapshot, meta):
        raise CannotPlan(
            f"No Prometheus object selects PrometheusRule {meta.name}, so nothing of it was tried: its labels are "
            "wrong (action fix-monitor-selection)."
        )
    told = loading.rejection(snapshot, meta.namespace, meta.uid)
    named = _NAMED.search(told)
    if named and named.group(1) in there:
        return {named.group(1): told}
    why = told or "it is selected and Prometheus has loaded none of its groups; the operator's log says why"
    return dict.fromkeys(there, why)


def _selected(snapshot: Snapshot, meta: Meta) -> bool:
    space = snapshot.raw("namespaces", "", meta.namespace)
    labels = fields.meta_of(space).labels if space is not None else {}
    items: list[KubeObject] = snapshot.objects(managers.PROMETHEUSES)
    for item in items:
        raw = snapshot.raw(managers.PROMETHEUSES, item.metadata.namespace, item.metadata.name) or {}
        spec = raw.get("spec") or {}
        own = item.metadata.namespace == meta.namespace
        home = namespace_fit(spec.get("ruleNamespaceSelector"), own, labels)
        if home.met and fit(spec.get("ruleSelector"), meta.labels).met:
            return True
    return False


def _preconditions(snapshot: Snapshot, case: _Case) -> Iterator[Precondition]:
    group = clean(case.group, 80)
    yield Precondition(
        f"Group {group} does not load, or fails",
        bool(case.why),
        case.why or "Prometheus has loaded it and no rule fails",
    )
    others = listing(clean(str(g.get("name", "")), 80) for g in case.rest)
    if case.params.remove == "group":
        yield Precondition(
            "Other groups of the object stay",
            bool(case.rest),
            others if case.rest else f"{group} is its only group: choose to delete the object",
        )
    else:
        yield Precondition("What goes with it is known", True, f"its other groups: {others or 'none'}")
    running = managers.operator(snapshot)
    sentence = "The Prometheus operator is running"
    evidence = f"{running.name} {running.shown}" if running else "no Deployment of this cluster runs its image"
    yield Precondition(sentence, running is not None and running.ready > 0, evidence)
    yield _stays(snapshot, case)


def _stays(snapshot: Snapshot, case: _Case) -> Precondition:
    if case.params.remove == "group":
        return fields.stays(snapshot, case.raw, "spec", "groups")
    found = ownership.tracked(snapshot, case.meta)
    sentence = "Argo CD does not make it again at once"
    if found is None:
        return Precondition(sentence, True, "no Argo CD Application renders it")
    if ownership.reverts(snapshot, case.meta):
        return Precondition(
            sentence, False, f"app {found.name} has selfHeal on: take it out of Git, or pause auto-sync"
        )
    return Precondition(sentence, True, f"app {found.name} does not heal it: it stays away until the next sync")


def _step(case: _Case) -> StepSpec:
    params, whole = case.params, case.params.remove == "object"
    rest = [] if whole else sorted(str(g.get("name", "")) for g in case.rest)
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"groups": case.rest}}
    return StepSpec(
        verb="delete" if whole else "remove",
        title=f"Delete {params.name}" if whole else f"Take group {clean(case.group, 80)} out of {params.name}",
        how="delete" if whole else "merge patch",
        resource=loading.RULE_OBJECTS,
        namespace=params.namespace,
        name=params.name,
        effect=Delete() if whole else Patch("merge", body),
        until=Condition(
            "prometheus_group_gone",
            {
                "namespace": params.namespace,
                "name": params.name,
                "uid": case.meta.uid,
                "group": "" if whole else case.group,
                "rest": rest,
            },
        ),
        timeout_seconds=_SECONDS,
    )


def _blast(case: _Case) -> Blast:
    rules = [rule for group in case.leaving for rule in group.get("rules") or [] if isinstance(rule, Mapping)]
    alerts = sorted({str(rule["alert"]) for rule in rules if rule.get("alert")})
    recorded = sorted({str(rule["record"]) for rule in rules if rule.get("record")})
    target = f"PrometheusRule {case.params.name}"
    gone = f"Nobody is told of {listing(alerts, 6)} any more." if alerts else "It has no alerts."
    used = f" What uses {listing(recorded, 6)} has no data." if recorded else ""
    return Blast(
        changed=() if case.params.remove == "object" else (target,),
        deleted=(target,) if case.params.remove == "object" else (),
        sentence=f"{count(len(rules), 'rule')} of {count(len(case.leaving), 'group')} go. {gone}{used}",
    )


def _git_way(snapshot: Snapshot, case: _Case) -> str:
    found = ownership.tracked(snapshot, case.meta)
    if found is None:
        return ""
    source = found.app.spec.source if found.app is not None else None
    where = f" of {redact(source.repo_url, 200)}" if source is not None and source.repo_url else ""
    return (
        f"Through Git first: correct group {clean(case.group, 80)} in the manifest or chart{where} that renders "
        f"PrometheusRule {case.params.name}."
    )


ACTION = Action(
    slug="revert-bad-rule",
    title="Revert a bad rule",
    family="Alerts",
    tier=2,
    summary="Take a group of rules that does not load or always fails out of its PrometheusRule, or delete the object.",
    params=RevertParams,
    needs=needs,
    draft=draft,
    rules=(Rule("monitoring.coreos.com", "prometheusrules", ("get", "patch", "create", "delete")),),
    undo=_UNDO,
    undoable=True,
    guards=(
        "The group fails at its last evaluation, or the operator leaves the object out",
        "Other groups of the object stay, unless the object is to go",
        "Argo CD does not set it back at once",
    ),
    verified_by="Prometheus no longer has the group, and has loaded all other groups of the object",
    reference="https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/",
)
