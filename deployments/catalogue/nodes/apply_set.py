"""*Apply a manifest set*: server-side apply of pasted objects under the set's own field manager, in the order of need.

Facts: an apply names the whole intent; a field that the same manager leaves out next time is removed. So a set is
always applied whole, and never takes fields over by force: a conflict with another manager is shown and stops the plan.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import yaml

from deployments.catalogue import texts
from deployments.catalogue.action import (
    MARK,
    Action,
    Apply,
    Blast,
    CheckSpec,
    Condition,
    Create,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, ownership
from deployments.catalogue.nodes import fields, manifest_kinds, manifests, names, pod_safety, sets
from deployments.catalogue.nodes.manifests import Manifest
from deployments.catalogue.nodes.sets import SetName
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.objects import Service
from integrations.kubernetes.parts import Meta
from monitoring.checks.text import count, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_UNDO = "What it creates is deleted by its uid, what it changes is set back to what it was."
_NAMESPACE = r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$"
_SECONDS = 60


class ApplySetParams(Params, frozen=True):
    """The set and its objects."""

    set: SetName
    manifests: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=65536,
            description="Manifests as YAML documents, at most 64 KiB and 30 objects; no credentials",
            extra={"placeholders": True},
        ),
    ]
    namespace: Annotated[
        str,
        msgspec.Meta(
            pattern=_NAMESPACE, description="Namespace of the objects that name none; empty: every object names its own"
        ),
    ] = ""
    rollout_seconds: Annotated[
        int, msgspec.Meta(ge=5, le=7200, description="How long each rollout may take (seconds)")
    ] = 600
    hold_seconds: Annotated[
        int, msgspec.Meta(ge=1, le=3600, description="How long workloads must stay ready (seconds)")
    ] = 10

    def __post_init__(self) -> None:
        try:
            self.objects()
        except ValueError as error:
            raise texts.Refused("manifests", str(error)) from None

    def objects(self) -> tuple[Manifest, ...]:
        """The parsed manifests, in the order in which they are applied. :raises ValueError: one sentence."""
        return _read(self.manifests, self.namespace, self.set)


#: parsed when they are given, when they are planned and when the plan is compared again; nobody changes the bodies
_read = lru_cache(maxsize=4)(manifests.read)


def needs(_snapshot: Snapshot, params: ApplySetParams) -> Iterable[Need]:
    """The namespaces, each object as it is now, and what else belongs to the set."""
    yield Objects("namespaces")
    yield from ownership.needs()
    yield from sets.needs(params.set)
    yield from (Objects("services", where) for where in sorted({one.namespace for one in params.objects()}))
    yield from (Raw(m.resource, m.namespace, m.name) for m in params.objects() if m.resource != manifest_kinds.SECRETS)


def draft(snapshot: Snapshot, params: ApplySetParams) -> PlanDraft:
    """One apply per object. :raises Missing: something was not read."""
    objects = params.objects()
    live = {m: _live(snapshot, m) for m in objects}
    workloads = [
        m for m in objects if m.resource in manifest_kinds.WORKLOADS and m.body.get("spec", {}).get("replicas") != 0
    ]
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            *_namespaces(snapshot, objects),
            _no_system(snapshot, objects),
            _stays_inside(objects),
            _own_accounts(objects),
            _own_addresses(objects),
            _is_ours(params.set, live),
            _not_argo(snapshot, objects, live),
        ),
        steps=tuple(_step(params, one) for one in objects),
        verification=Verification(
            tuple(_check(one) for one in workloads), params.hold_seconds if workloads else 0, params.hold_seconds + 120
        ),
        undo=_UNDO,
        blast=_blast(snapshot, params, live),
        managed_by=f"Fields of these objects belong to portal-remediation/{params.set}. No Argo CD app knows them.",
        git_way=(
            "Through Git, which comes first: commit the manifests to a path that an Argo CD Application renders, then "
            "Argo CD applies them and keeps them so. What is applied here stays only until somebody deletes it."
        ),
        git_patch=_git_patch(params.set, objects),
    )


def _live(snapshot: Snapshot, one: Manifest) -> Meta | None:
    """The object as it is; None for what is not there, and for a Secret, which the portal does not read."""
    if one.resource == manifest_kinds.SECRETS:
        return None
    raw = snapshot.raw(one.resource, one.namespace, one.name)
    return fields.meta_of(raw) if raw is not None else None


# -- preconditions


def _namespaces(snapshot: Snapshot, objects: Iterable[Manifest]) -> Iterable[Precondition]:
    there = {item.metadata.name: item.metadata for item in snapshot.objects("namespaces")}
    for name in sorted({one.namespace for one in objects}):
        found = there.get(name)
        going = found is not None and found.deletion_timestamp is not None
        evidence = "it is being deleted" if going else "it is there" if found else f"kubectl create namespace {name}"
        yield Precondition(f"Namespace {name} is there", found is not None and not going, evidence)


def _no_system(snapshot: Snapshot, objects: Iterable[Manifest]) -> Precondition:
    wanted = sorted({one.namespace for one in objects})
    bad = sets.system_namespaces(snapshot, wanted)
    evidence = f"{listing(bad)}: a set there could change the cluster or Argo CD itself" if bad else listing(wanted, 8)
    return Precondition("No object is put into a system namespace", not bad, evidence)


def _stays_inside(objects: Iterable[Manifest]) -> Precondition:
    found = [f"{one.title}: {word}" for one in objects for word in pod_safety.breakouts(manifests.pod_spec(one.body))]
    return Precondition("No pod of the set reaches out to its node", not found, listing(found) or "baseline kept")


def _own_accounts(objects: Sequence[Manifest]) -> Precondition:
    """Who may create a pod may run it as any ServiceAccount of its namespace, an administrator's too."""
    own = {(one.namespace, one.name) for one in objects if one.resource == "serviceaccounts"}
    used = {
        (one.namespace, pod_safety.account(spec)): one.title
        for one in objects
        if (spec := manifests.pod_spec(one.body))
    }
    foreign = [f"{title} runs as {name}" for (where, name), title in sorted(used.items())
               if name != "default" and (where, name) not in own]  # fmt: skip
    evidence = listing(foreign) or f"{count(len(own), 'ServiceAccount')} of its own"
    return Precondition("Its pods run as ServiceAccounts of the set, or as default", not foreign, evidence)


def _own_addresses(objects: Iterable[Manifest]) -> Precondition:
    """``externalIPs`` lets a Service take traffic of any address in the cluster (CVE-2020-8554)."""
    spec = {one.title: one.body.get("spec") for one in objects if one.resource == "services"}
    taking = [title for title, found in spec.items() if isinstance(found, dict) and found.get("externalIPs")]
    evidence = f"{listing(taking)} names externalIPs" if taking else f"{count(len(spec), 'Service')} looked at"
    return Precondition("No Service takes an address that is not its own", not taking, evidence)


def _is_ours(name: str, live: dict[Manifest, Meta | None]) -> Precondition:
    there = {one: meta for one, meta in live.items() if meta is not None}
    foreign = [one.title for one, meta in there.items() if not sets.belongs(meta, name)]
    going = [one.title for one, meta in there.items() if meta.deletion_timestamp is not None]
    if foreign:
        evidence = f"{listing(foreign)} is there and was not applied with set {name}: rename it in the manifests"
    elif going:
        evidence = f"{listing(going)} is being deleted: wait until it is gone"
    else:
        evidence = f"{len(there)} of {len(live)} are there already, all of the set"
    return Precondition("What is there already belongs to the set", not foreign and not going, evidence)


def _not_argo(snapshot: Snapshot, objects: Iterable[Manifest], live: dict[Manifest, Meta | None]) -> Precondition:
    """Argo CD would set such an object back, or prune it because Git does not have it."""
    apps = (
        {app.metadata.name for app in snapshot.objects(calls.APPLICATIONS)}
        if snapshot.serves(calls.APPLICATIONS)
        else set()
    )
    tracked = [one.title for one, meta in live.items() if meta is not None and ownership.tracked(snapshot, meta)]
    labelled = [
        f"{one.title} (label {names.ARGO_INSTANCE})"
        for one in objects
        if (one.body["metadata"].get("labels") or {}).get(names.ARGO_INSTANCE) in apps
    ]
    found = tracked + labelled
    evidence = f"{listing(found)}: change it in Git" if found else f"{count(len(apps), 'Application')} looked at"
    return Precondition("Argo CD takes none of them for its own", not found, evidence)


# -- steps


def _step(params: ApplySetParams, one: Manifest) -> StepSpec:
    body = manifests.labelled(one, params.set)
    metadata = body["metadata"]
    body["metadata"] = {**metadata, "annotations": {**(metadata.get("annotations") or {}), MARK: "${run.mark}"}}
    where: dict[str, Any] = {"namespace": one.namespace, "name": one.name}
    secret = one.resource == manifest_kinds.SECRETS
    until: Condition | None = Condition("object_applied", {"resource": one.resource, **where, "mark": "${run.mark}"})
    timeout = _SECONDS
    if one.resource in manifest_kinds.WORKLOADS:
        kind = manifest_kinds.WORKLOADS[one.resource]
        until = Condition("workload_rolled_out", {"kind": kind, **where, "selector": _selector(one.body)})
        timeout = params.rollout_seconds
    return StepSpec(
        verb="create" if secret else "apply",
        title=f"Create {one.title} with a value made for it" if secret else f"Apply {one.title}",
        how="create" if secret else "server-side apply",
        resource=one.resource,
        namespace=one.namespace,
        name=one.name,
        effect=Create(body) if secret else Apply(body, params.set),
        # a Secret is not read back: the answer to the create is the proof
        until=None if secret else until,
        timeout_seconds=timeout,
    )


def _selector(body: dict[str, Any]) -> str:
    spec = body.get("spec")
    chosen = spec.get("selector") if isinstance(spec, dict) else None
    labels = chosen.get("matchLabels") if isinstance(chosen, dict) else None
    return ",".join(f"{k}={v}" for k, v in sorted(labels.items())) if isinstance(labels, dict) else ""


def _check(one: Manifest) -> CheckSpec:
    kind = manifest_kinds.WORKLOADS[one.resource]
    return CheckSpec(
        f"{kind} {one.name} is ready", "workload_ready", {"namespace": one.namespace, "name": one.name, "kind": kind}
    )


# -- words


def _blast(snapshot: Snapshot, params: ApplySetParams, live: dict[Manifest, Meta | None]) -> Blast:
    here = {one.key for one in live}
    stale = [
        member
        for member in sets.members(snapshot, params.set)
        if (member.resource, member.meta.namespace, member.meta.name) not in here
    ]
    left = f" Still there of an earlier set and left alone: {listing(m.title for m in stale)}." if stale else ""
    caught = _caught(snapshot, live)
    served = f" Service {listing(caught)} begins to send to its pods, by their labels." if caught else ""
    restart = " Pods of a workload that is there restart where its template changes." if any(live.values()) else ""
    return Blast(
        created=tuple(one.title for one, meta in live.items() if meta is None),
        changed=tuple(one.title for one, meta in live.items() if meta is not None),
        unchanged=tuple(member.title for member in stale),
        claims=tuple(one.title for one in live if one.resource == manifest_kinds.CLAIMS),
        sentence=f"{count(len(live), 'object')} of set {params.set}; nothing else is written.{served}{restart}{left}",
    )


def _caught(snapshot: Snapshot, objects: Iterable[Manifest]) -> list[str]:
    """Services outside the set that select pods of it: a label too many puts new pods behind a live address."""
    mine = list(objects)
    own = {one.key for one in mine}
    found: set[str] = set()
    for one in mine:
        labels = manifests.pod_labels(one.body)
        services: list[Service] = snapshot.objects("services", one.namespace) if labels else []
        for service in services:
            chosen = service.spec.selector
            if (
                chosen
                and chosen.items() <= labels.items()
                and ("services", one.namespace, service.metadata.name) not in own
            ):
                found.add(f"{one.namespace}/{service.metadata.name}")
    return sorted(found)


def _git_patch(name: str, objects: Iterable[Manifest]) -> str:
    """A new file with the manifests, as a diff that ``git apply`` takes. Secrets have no place in it."""
    bodies = [one.body for one in objects if one.resource != manifest_kinds.SECRETS]
    if not bodies:
        return ""
    text = yaml.safe_dump_all(bodies, sort_keys=False, allow_unicode=True, width=1000)
    path = f"manifests/{name}.yaml"
    lines = difflib.unified_diff([], text.splitlines(keepends=True), "/dev/null", f"b/{path}")
    return f"diff --git a/{path} b/{path}\nnew file mode 100644\n{''.join(lines)}"


def rules(verbs: tuple[str, ...]) -> tuple[Rule, ...]:
    """Per kind a set may hold: these verbs."""
    return tuple(Rule(RESOURCES[key].group, RESOURCES[key].plural, verbs) for key in manifest_kinds.ORDER)


ACTION = Action(
    slug="apply-set",
    title="Apply a manifest set",
    family="Objects",
    tier=2,
    summary="Server-side apply of up to 30 pasted objects under a field manager of their own.",
    params=ApplySetParams,
    needs=needs,
    draft=draft,
    rules=rules(("get", "patch", "create", "delete")),
    undo=_UNDO,
    undoable=True,
    guards=(
        "The namespaces are there, and none is Kubernetes' or Argo CD's",
        "No pod reaches out to its node or runs as a foreign ServiceAccount",
        "What is there already belongs to the set, and Argo CD takes none of it for its own",
        "No credential, no Namespace, no CRD, no rights, no Application",
        "No field of another manager is taken over",
    ),
    verified_by="Each object reads as it was written; its workloads are rolled out and stay ready.",
    reference="https://kubernetes.io/docs/reference/using-api/server-side-apply/",
)
