"""*Create a notification channel*: an AlertmanagerConfig of the portal's own, so that alerts reach people.

The chart ships a single receiver that sends nothing, so nobody is told of anything. This adds one beside it and touches
nothing of what is there; where Alertmanager binds it to its own namespace and alerts of the whole cluster are wanted,
the matcher strategy changes too. Without the operator's AlertmanagerConfig kind see ``config_secret``.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from deployments.catalogue.action import (
    MARK,
    Action,
    Apply,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Patch,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import channel_params, config_secret, managers, strategy
from deployments.catalogue.alerts.channel_params import ChannelParams
from deployments.catalogue.alerts.channel_states import CONFIGS
from deployments.catalogue.alerts.selection import Fit, fit, namespace_fit, shown
from deployments.catalogue.argo import git_patch, helm, ownership, values
from deployments.catalogue.argo.git_patch import GitPatch
from deployments.catalogue.nodes import fields, names
from integrations.kubernetes.parts import KubeObject
from monitoring.checks.alert_routes import STATUS
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Objects, Raw, Snapshot

SLUG = "create-notification-channel"
_SECONDS = 240
_HOLD = 15
_UNDO = "The AlertmanagerConfig is deleted by its uid, and the matcher strategy is set back if the plan changed it."


@dataclass(frozen=True, slots=True)
class Case:
    """What was read, and what follows from it."""

    params: ChannelParams
    owner: managers.Owner
    operator: managers.Operator | None
    namespace: str
    labels: Fit
    home: Fit
    change: strategy.Change
    others: list[KubeObject]
    existing: dict[str, Any] | None

    @property
    def receiver(self) -> str:
        return self.params.receiver_of(self.namespace)

    @property
    def anywhere(self) -> bool:
        return self.params.scope == "cluster"

    @property
    def loosens(self) -> bool:
        """Whether the matcher strategy must change."""
        return self.anywhere and bool(self.change.after)


def needs(snapshot: Snapshot, params: ChannelParams) -> Iterable[Need]:
    """Alertmanager's object and configuration, the channels there are, the operator, the Secret, who owns what."""
    yield STATUS
    yield from managers.needs(snapshot, managers.ALERTMANAGERS, "", params.alertmanager)
    yield Objects(CONFIGS)
    yield from managers.operator_needs()
    yield from ownership.needs()
    with suppress(Missing, CannotPlan):
        owner = managers.choose(snapshot, managers.ALERTMANAGERS, "", params.alertmanager)
        namespace = params.namespace or owner.namespace
        yield Raw("namespaces", "", namespace)
        yield Raw(CONFIGS, namespace, params.object_name)
        if params.secret_name:
            yield Raw("secrets", namespace, params.secret_name)
        yield from config_secret.needs(snapshot, owner)


def draft(snapshot: Snapshot, params: ChannelParams) -> PlanDraft:
    """One server-side apply, and a patch where the strategy must change. :raises CannotPlan, Missing:"""
    if config_secret.is_the_only_way(snapshot):
        return config_secret.draft(snapshot, params)
    case = _case(snapshot, params)
    filled = msgspec.structs.replace(
        params, alertmanager=case.owner.meta.name, namespace=case.namespace, name=params.object_name
    )
    way = _git(snapshot, case)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, case)),
        steps=tuple(_steps(case)),
        verification=verification(case.receiver, case.owner.meta.namespace, "" if case.anywhere else case.namespace),
        undo=_UNDO,
        blast=_blast(case),
        managed_by=_managed_by(snapshot, case),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, case.owner.meta) if case.loosens else (),
    )


def verification(receiver: str, namespace: str, alerts_of: str) -> Verification:
    """The check that reads the routes Alertmanager really runs."""
    params = {"namespace": namespace, "receiver": receiver, **({"alerts_of": alerts_of} if alerts_of else {})}
    return Verification((CheckSpec("Alerts reach the channel", "alert_route", params),), _HOLD, _SECONDS)


def _case(snapshot: Snapshot, params: ChannelParams) -> Case:
    owner = managers.find(snapshot, managers.ALERTMANAGERS, "", params.alertmanager)
    namespace = params.namespace or owner.meta.namespace
    space = snapshot.raw("namespaces", "", namespace)
    if space is None:
        raise CannotPlan(f"There is no namespace {namespace}.")
    home = namespace_fit(
        owner.spec.get("alertmanagerConfigNamespaceSelector"),
        namespace == owner.meta.namespace,
        fields.meta_of(space).labels,
    )
    return Case(
        params=params,
        owner=owner,
        operator=(running := managers.operator(snapshot)),
        namespace=namespace,
        labels=fit(owner.spec.get("alertmanagerConfigSelector"), {}),
        home=home,
        change=strategy.change(owner, running, namespace),
        others=snapshot.objects(CONFIGS),
        existing=snapshot.raw(CONFIGS, namespace, params.object_name),
    )


def _is_ours(existing: dict[str, Any] | None) -> bool:
    return bool(existing) and MARK in ((existing or {}).get("metadata") or {}).get("annotations", {})


# -- what must hold


def _preconditions(snapshot: Snapshot, case: Case) -> Iterator[Precondition]:
    name = clean(case.owner.meta.name, 120)
    yield from managers.acted_on(case.owner, case.operator)
    yield _selected(case, name)
    yield _looked_into(case, name)
    yield _free(case)
    if case.params.secret_name:
        yield secret(snapshot, case.params, case.namespace)
    if case.loosens:
        yield from strategy.preconditions(
            snapshot, case.owner, case.change, case.namespace, case.params.object_name, case.others
        )


def _selected(case: Case, name: str) -> Precondition:
    sentence = f"{name} takes AlertmanagerConfigs by labels that can be given"
    selector = case.owner.spec.get("alertmanagerConfigSelector")
    if case.labels.problem:
        way = "Set alertmanager.alertmanagerSpec.alertmanagerConfigSelector to {} in the chart's values"
        return Precondition(sentence, False, f"alertmanagerConfigSelector: {case.labels.problem}. {way}")
    reserved = [key for key in case.labels.missing if names.owner_of(key)]
    if reserved:
        return Precondition(sentence, False, f"it selects by {listing(reserved)}, which nobody may set")
    return Precondition(sentence, True, f"alertmanagerConfigSelector is {shown(selector)}")


def _looked_into(case: Case, name: str) -> Precondition:
    sentence = f"{name} looks into namespace {case.namespace}"
    selector = case.owner.spec.get("alertmanagerConfigNamespaceSelector")
    if case.home.problem:
        return Precondition(sentence, False, f"alertmanagerConfigNamespaceSelector: {case.home.problem}")
    if case.home.missing:
        lacking = ", ".join(f"{key}={value}" for key, value in case.home.missing.items())
        return Precondition(sentence, False, f"the namespace lacks {lacking} (action set-label)")
    everywhere = "all namespaces" if selector == {} else "its own" if selector is None else shown(selector)
    return Precondition(sentence, True, f"alertmanagerConfigNamespaceSelector: {everywhere}")


def _free(case: Case) -> Precondition:
    name = case.params.object_name
    sentence = f"AlertmanagerConfig {name} is nobody else's"
    if case.existing is None:
        return Precondition(sentence, True, "there is none of this name")
    if not _is_ours(case.existing):
        return Precondition(sentence, False, "there is one that this portal did not make: choose another name")
    said = "the portal made it and writes it anew; a test alert shows whether a new address is in force"
    return Precondition(sentence, True, said)


def secret(snapshot: Snapshot, params: ChannelParams, namespace: str) -> Precondition:
    """The Secret and its key are there; else the line that makes them. What it holds is not looked at."""
    name, key = params.secret_name, params.secret_key
    sentence = f"Secret {name} with key {key} is there"
    value = f"{key}=<{params.secret_holds}>"
    line = ["kubectl", "-n", namespace, "create", "secret", "generic", name, f"--from-literal={value}"]
    try:
        raw = snapshot.raw("secrets", namespace, name)
    except Missing as missing:
        rule = f'{{apiGroups: [""], resources: [secrets], resourceNames: [{name}], verbs: [get]}}'
        return Precondition(sentence, False, f"it could not be read ({missing}); the reading identity needs {rule}")
    if raw is None:
        return Precondition(sentence, False, f"it is not there. Run: {shlex.join(line)}")
    if key not in (raw.get("data") or {}):
        have = listing(sorted(map(str, raw.get("data") or {}))) or "none"
        return Precondition(
            sentence, False, f"it has the keys {have}; add {key}, or delete it and run: {shlex.join(line)}"
        )
    return Precondition(sentence, True, "the key is there; its value is not looked at")


# -- steps


def _steps(case: Case) -> Iterator[StepSpec]:
    loaded = {"receiver": case.receiver, "namespace": case.namespace, "name": case.params.object_name}
    yield StepSpec(
        verb="apply",
        title=f"Write AlertmanagerConfig {case.params.object_name}",
        how="server-side apply",
        resource=CONFIGS,
        namespace=case.namespace,
        name=case.params.object_name,
        effect=Apply(channel_params.body(case.params, case.namespace, case.labels.missing)),
        until=Condition("alertmanager_reaches", {**loaded, "anywhere": case.anywhere and not case.loosens}),
        timeout_seconds=_SECONDS,
    )
    if case.loosens:
        spec = {"alertmanagerConfigMatcherStrategy": {"type": case.change.after}}
        yield StepSpec(
            verb="loosen",
            title=f"Set the matcher strategy of {clean(case.owner.meta.name, 120)} to {case.change.after}",
            how="merge patch",
            resource=managers.ALERTMANAGERS,
            namespace=case.owner.meta.namespace,
            name=case.owner.meta.name,
            effect=Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": spec}),
            until=Condition("alertmanager_reaches", {**loaded, "anywhere": True}),
            timeout_seconds=_SECONDS,
        )


# -- words


def _blast(case: Case) -> Blast:
    target = f"AlertmanagerConfig {case.params.object_name}"
    made = case.existing is None
    which = "of the whole cluster" if case.anywhere else f"of namespace {case.namespace}"
    kinds = listing(case.params.severities)
    what = (
        "every alert but heartbeats" if channel_params.ALL in case.params.severities else f"alerts of severity {kinds}"
    )
    return Blast(
        created=(target,) if made else (),
        changed=(
            *(() if made else (target,)),
            *((f"Alertmanager {case.owner.meta.name}",) if case.loosens else ()),
        ),
        sentence=(
            f"People are told of {what} {which}, those that fire now among them. Alertmanager reloads its "
            "configuration; no pod restarts, and the receivers that are there stay as they are."
        ),
    )


def _managed_by(snapshot: Snapshot, case: Case) -> str:
    return fields.managed_by(snapshot, case.owner.raw, *strategy.FIELD) if case.loosens else ""


def _git(snapshot: Snapshot, case: Case) -> GitPatch:
    """The same through Git: the object is a manifest; the strategy is a value of the chart."""
    manifest = (
        f"Through Git: keep AlertmanagerConfig {case.params.object_name} as a manifest beside the others; nothing in "
        "it is a credential."
    )
    if not case.loosens:
        return GitPatch(manifest)
    app = ownership.application(snapshot, case.owner.meta)
    if app is None or helm.source_of(app, "kube-prometheus-stack") is None:
        said = f"Set spec.{'.'.join(strategy.FIELD[1:])}: {case.change.after} where the object is written."
        return GitPatch(f"{manifest} {said}")
    made = git_patch.for_values(snapshot, app, values.setting({strategy.VALUE: case.change.after}))
    return replace(made, sentence=f"{made.sentence} {manifest}")


ACTION = Action(
    slug=SLUG,
    title="Create a notification channel",
    family="Alerts",
    tier=1,
    summary="Tell people of alerts by webhook, Slack or e-mail: an AlertmanagerConfig with its own route and receiver.",
    params=ChannelParams,
    needs=needs,
    draft=draft,
    rules=(
        Rule("monitoring.coreos.com", "alertmanagerconfigs", ("get", "create", "patch", "delete")),
        Rule("monitoring.coreos.com", "alertmanagers", ("get", "patch")),
        Rule("", "secrets", ("get", "create", "delete")),
    ),
    undo=_UNDO,
    undoable=True,
    guards=(
        "The Alertmanager object selects it, by labels taken from its own selector",
        "The operator runs and the object is not paused",
        "The Secret with the credential is there; its value is never read into the plan",
        "Alerts of the whole cluster: nobody reverts the matcher strategy, no other channel is loosened by it",
    ),
    verified_by="The check alert_route: the configuration Alertmanager runs leads alerts to the channel",
    reference="https://prometheus-operator.dev/docs/developer/alerting/#using-alertmanagerconfig-resources",
)
