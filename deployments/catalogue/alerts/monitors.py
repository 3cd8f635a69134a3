"""*Let Prometheus pick up a monitor or a rule*: the labels its selector wants, written from the selector itself.

The chart selects by ``release: <name>`` unless told otherwise, so what others bring is silently left out. Which labels
are lacking is read from the Prometheus object, never assumed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Blast,
    CannotPlan,
    Condition,
    Params,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import loading, managers, scraping
from deployments.catalogue.alerts.selection import Fit, fit, namespace_fit, shown
from deployments.catalogue.argo import ownership
from deployments.catalogue.nodes import fields, names
from integrations.kubernetes.parts import KubeObject, Meta
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Objects, Raw, Snapshot

_GROUP = "monitoring.coreos.com"
#: kind → (resource, the selector's field in the Prometheus object)
KINDS = {
    "ServiceMonitor": (f"servicemonitors.{_GROUP}", "serviceMonitor"),
    "PodMonitor": (f"podmonitors.{_GROUP}", "podMonitor"),
    "PrometheusRule": (loading.RULE_OBJECTS, "rule"),
}
_SECONDS = 300
_UNDO = "The labels as they were are set back; Prometheus then leaves the object out again."
_Name = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", description="Name of the object")
]
_Namespace = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Namespace of the object")
]


class SelectionParams(Params, frozen=True):
    """What Prometheus should pick up."""

    kind: Annotated[
        Literal["ServiceMonitor", "PodMonitor", "PrometheusRule"], msgspec.Meta(description="Kind of the object")
    ]
    namespace: _Namespace
    name: _Name
    prometheus: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$",
            description="Prometheus object that should; empty: the only one",
        ),
    ] = ""

    @property
    def resource(self) -> str:
        return KINDS[self.kind][0]


@dataclass(frozen=True, slots=True)
class _Case:
    """The object, the Prometheus object, and how the one fits the other."""

    params: SelectionParams
    raw: Mapping[str, Any]
    meta: Meta
    space: Mapping[str, Any]
    owner: managers.Owner
    selector: Any
    space_selector: Any
    labels: Fit
    home: Fit


def needs(snapshot: Snapshot, params: SelectionParams) -> Iterable[Need]:
    """The object and every Prometheus object whole, namespaces, and what there is to scrape."""
    yield Raw(params.resource, params.namespace, params.name)
    yield Raw("namespaces", "", params.namespace)
    yield Objects(managers.PROMETHEUSES)
    yield from managers.operator_needs()
    yield from ownership.needs()
    if params.kind != "PrometheusRule":
        yield from scraping.needs(params.kind)
    with suppress(Missing):
        for item in snapshot.objects(managers.PROMETHEUSES):
            yield Raw(managers.PROMETHEUSES, item.metadata.namespace, item.metadata.name)


def draft(snapshot: Snapshot, params: SelectionParams) -> PlanDraft:
    """One or two patches of labels, and the wait until it is loaded. :raises CannotPlan, Missing:"""
    case = _case(snapshot, params)
    steps = tuple(_steps(case))
    targets = [f"{params.kind} {params.name}"] if case.labels.missing else []
    targets += [f"Namespace {params.namespace}"] if case.home.missing else []
    return PlanDraft(
        params={**msgspec.to_builtins(params), "prometheus": case.owner.meta.name},
        preconditions=tuple(_preconditions(snapshot, case)),
        steps=steps,
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(changed=tuple(targets), sentence=_consequence(case)),
        managed_by=ownership.sentence(
            snapshot,
            case.meta,
            named_in_git=any(
                fields.in_git(snapshot, case.raw, "metadata", "labels", key) for key in case.labels.missing
            ),
        ),
        git_way=_git_way(case),
        locks=ownership.locks(snapshot, case.meta),
    )


def _case(snapshot: Snapshot, params: SelectionParams) -> _Case:
    raw = snapshot.raw(params.resource, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"There is no {params.kind} {params.name} in namespace {params.namespace}.")
    space = snapshot.raw("namespaces", "", params.namespace)
    if space is None:
        raise CannotPlan(f"There is no namespace {params.namespace}.")
    owner = managers.find(snapshot, managers.PROMETHEUSES, "", params.prometheus)
    field = KINDS[params.kind][1]
    selector, space_selector = owner.spec.get(f"{field}Selector"), owner.spec.get(f"{field}NamespaceSelector")
    meta, home = fields.meta_of(raw), fields.meta_of(space)
    own = params.namespace == owner.meta.namespace
    case = _Case(
        params, raw, meta, space, owner, selector, space_selector,
        fit(selector, meta.labels), namespace_fit(space_selector, own, home.labels),
    )  # fmt: skip
    if case.labels.met and case.home.met:
        more = "" if params.kind == "PrometheusRule" else f" {scraping.what(snapshot, params.kind, raw)[1]}"
        raise CannotPlan(
            f"Prometheus {clean(owner.meta.name, 120)} selects {params.kind} {params.name} already, so its labels are "
            f"not what is wrong.{more}"
        )
    return case


# -- what must hold


def _preconditions(snapshot: Snapshot, case: _Case) -> Iterator[Precondition]:
    name, field = clean(case.owner.meta.name, 120), KINDS[case.params.kind][1]
    lacking = ", ".join(f"{key}={value}" for key, value in case.labels.missing.items())
    yield Precondition(
        f"Labels would make {name} select it",
        not case.labels.problem,
        f"{field}Selector: {case.labels.problem}: {shown(case.selector)}"
        if case.labels.problem
        else f"{field}Selector is {shown(case.selector)}; {f'lacking: {lacking}' if lacking else 'it fits'}",
    )
    yield _namespace(case, name, field)
    yield from managers.acted_on(case.owner, managers.operator(snapshot))
    yield _others(snapshot, case)
    for key in case.labels.missing:
        yield fields.stays(snapshot, case.raw, "metadata", "labels", key)
    for key in case.home.missing:
        yield fields.stays(snapshot, case.space, "metadata", "labels", key)
    if case.params.kind != "PrometheusRule":
        found, evidence = scraping.what(snapshot, case.params.kind, case.raw)
        yield Precondition("There is something to scrape", found, evidence)


def _namespace(case: _Case, name: str, field: str) -> Precondition:
    sentence = f"{name} looks into namespace {case.params.namespace}, or does when it has its labels"
    what = f"{field}NamespaceSelector"
    if case.home.problem:
        said = f"{what}: {case.home.problem}. Change it in the values of the chart"
        return Precondition(sentence, False, said)
    reserved = [key for key in case.home.missing if names.owner_of(key)]
    if reserved:
        said = f"{what} asks for {listing(reserved)}, which nobody may set; add the namespace to the selector"
        return Precondition(sentence, False, said)
    lacking = ", ".join(f"{key}={value}" for key, value in case.home.missing.items())
    everywhere = "all namespaces" if case.space_selector == {} else "its own" if case.space_selector is None else ""
    selects = everywhere or shown(case.space_selector)
    return Precondition(sentence, True, f"{what}: {selects}; {f'lacking: {lacking}' if lacking else 'it fits'}")


def _others(snapshot: Snapshot, case: _Case) -> Precondition:
    """A label that is changed, not added, may be what another Prometheus selects by."""
    sentence = "No other Prometheus loses it"
    changed = {key: value for key, value in case.labels.missing.items() if key in case.meta.labels}
    field = KINDS[case.params.kind][1]
    after = {**case.meta.labels, **case.labels.missing}
    losing = []
    items: list[KubeObject] = snapshot.objects(managers.PROMETHEUSES)
    for item in items:
        raw = snapshot.raw(managers.PROMETHEUSES, item.metadata.namespace, item.metadata.name) or {}
        selector = (raw.get("spec") or {}).get(f"{field}Selector")
        another = item.metadata.uid != case.owner.meta.uid
        if another and fit(selector, case.meta.labels).met and not fit(selector, after).met:
            losing.append(item.metadata.name)
    if losing:
        return Precondition(sentence, False, f"{listing(sorted(losing))} selects it by the label that would change")
    was = ", ".join(f"{key}={clean(case.meta.labels[key], 63)}" for key in changed)
    return Precondition(sentence, True, f"it has {was} now" if was else "labels are only added")


# -- steps


def _steps(case: _Case) -> Iterator[StepSpec]:
    params = case.params
    loaded = _loaded(case)
    if case.home.missing:
        key, value = next(iter(case.home.missing.items()))
        where = {"resource": "namespaces", "namespace": "", "name": params.namespace}
        yield _label(case.home.missing, until=Condition("label_is", {**where, "key": key, "value": value}), **where)
    where = {"resource": params.resource, "namespace": params.namespace, "name": params.name}
    if case.labels.missing:
        yield _label(case.labels.missing, until=loaded, **where)
    else:
        yield StepSpec(
            verb="wait",
            title=f"Wait until Prometheus has loaded {params.name}",
            how="read",
            resource=params.resource,
            namespace=params.namespace,
            name=params.name,
            until=loaded,
            timeout_seconds=_SECONDS,
        )


def _label(labels: Mapping[str, str], until: Condition, *, resource: str, namespace: str, name: str) -> StepSpec:
    text = ", ".join(f"{key}={value}" for key, value in labels.items())
    return StepSpec(
        verb="label",
        title=f"Label {name} {text}",
        how="merge patch",
        resource=resource,
        namespace=namespace,
        name=name,
        effect=Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}, "labels": dict(labels)}}),
        until=until,
        timeout_seconds=_SECONDS,
    )


def _loaded(case: _Case) -> Condition:
    params = case.params
    if params.kind != "PrometheusRule":
        return Condition("prometheus_target_up", {"pool": loading.pool_of(params.kind, params.namespace, params.name)})
    groups = sorted(str(g.get("name", "")) for g in (case.raw.get("spec") or {}).get("groups") or [])
    where = {"namespace": params.namespace, "name": params.name, "uid": case.meta.uid}
    return Condition("prometheus_rule_loaded", {**where, "groups": groups})


def _consequence(case: _Case) -> str:
    if case.params.kind == "PrometheusRule":
        rules = [r for g in (case.raw.get("spec") or {}).get("groups") or [] for r in g.get("rules") or []]
        alerts = sorted({str(r["alert"]) for r in rules if r.get("alert")})
        said = (
            f"Prometheus begins to evaluate {len(rules)} rules{f'; it may fire {listing(alerts)}' if alerts else ''}."
        )
    else:
        said = "Prometheus begins to scrape what it selects."
    if case.home.missing:
        said += f" Other selectors see the labels of namespace {case.params.namespace} too (NetworkPolicies, webhooks)."
    return said


def _git_way(case: _Case) -> str:
    if not case.labels.missing:
        return f"Through Git: add the labels to the manifest of namespace {case.params.namespace}."
    lacking = ", ".join(f"{key}: {value}" for key, value in case.labels.missing.items())
    return (
        f"Through Git: add metadata.labels {lacking} to the manifest of {case.params.kind} {case.params.name}; a label "
        "that only the cluster has is lost when the object is made anew."
    )


ACTION = Action(
    slug="fix-monitor-selection",
    title="Let Prometheus pick up a monitor or a rule",
    family="Alerts",
    tier=1,
    summary="Give a ServiceMonitor, PodMonitor or PrometheusRule the labels that Prometheus' own selector wants.",
    params=SelectionParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule(_GROUP, "servicemonitors", ("get", "patch")),
        Rule(_GROUP, "podmonitors", ("get", "patch")),
        Rule(_GROUP, "prometheusrules", ("get", "patch")),
        Rule("", "namespaces", ("get", "patch")),
    ),
    undo=_UNDO,
    undoable=True,
    guards=(
        "Labels can make the selector fit; what it refuses is said",
        "The namespace is one that Prometheus looks into, or can be labelled so",
        "The operator runs and the Prometheus object is not paused",
        "No other Prometheus loses the object; Argo CD does not set the labels back",
        "A monitor selects a Service or pod with the port it names",
    ),
    verified_by="Every target of the monitor is up, or all groups of the rule object are loaded and none fails",
    reference="https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PrometheusSpec",
)
