"""*Set or remove a variable* of one container of a Deployment (K21). Credentials only as a reference to a Secret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import MARK, Action, CannotPlan, Patch, PlanDraft, Precondition, Rule
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import drop_container, git, rolling, targets, templates
from deployments.catalogue.workloads.asked import NAME, DeploymentParams
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from monitoring.snapshot import Need, Raw, Snapshot

_KIND = "Deployment"
_UNDO = "Put the variable back as it was, as a new rollout."
_REFUSED = "looks like a credential, which a plan must not carry: give secret_name and secret_key instead"


class SetEnvParams(DeploymentParams, frozen=True, kw_only=True):
    """Which variable of which container, and its value or the Secret that holds it."""

    container: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Container")]
    variable: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,252}$", description="Variable")]
    operation: Annotated[Literal["set", "remove"], msgspec.Meta(description="Set or remove it")] = "set"
    value: Annotated[str, msgspec.Meta(max_length=2000, description="Its value (never a credential)")] = ""
    secret_name: Annotated[str, msgspec.Meta(pattern=rf"{NAME}|^$", description="Or the Secret that holds it")] = ""
    secret_key: Annotated[str, msgspec.Meta(pattern=r"^[-._a-zA-Z0-9]{0,253}$", description="Key in that Secret")] = ""

    def __post_init__(self) -> None:
        """:raises ValueError: nothing to set, two sources at once, or a credential. The value is never quoted."""
        if bool(self.secret_name) != bool(self.secret_key):
            missing = "secret_key" if self.secret_name else "secret_name"
            raise texts.Refused(missing, "secret_name and secret_key belong together")
        if self.operation == "remove" and (self.value or self.secret_name):
            given = "value" if self.value else "secret_name"
            raise texts.Refused(given, "to remove a variable, give neither a value nor a Secret")
        if self.operation == "set" and bool(self.value) == bool(self.secret_name):
            raise texts.Refused("value", "give either a value, or secret_name and secret_key")
        if templates.is_credential(self.variable, self.value):
            raise texts.Refused("value", f"the value of {self.variable} {_REFUSED}")
        if any(mark in self.value for mark in templates.PLACEHOLDERS):
            raise texts.Refused("value", "the value holds text that the engine would replace")


def needs(snapshot: Snapshot, params: SetEnvParams) -> Iterable[Need]:
    """The Deployment, also whole, its pods, and what their end touches."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)


def draft(snapshot: Snapshot, params: SetEnvParams) -> PlanDraft:
    """One strategic patch of the container. :raises CannotPlan: no such container."""
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    raw = snapshot.raw(DEPLOYMENTS, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"Deployment {params.name} went away while the plan was made.")
    field, container = drop_container.find(raw, params.container)
    there = _there(container, params)
    entry, setting = _entry(params, there), _setting(params)
    patched = {"name": params.container, "env": [entry]}
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"template": {"spec": {field: [patched]}}}}
    path = git.env_path(field, params.container, params.variable)
    said = f"{setting} in container {params.container} of Deployment {params.name}"
    way = git.way(snapshot, item, said, _values(params))
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            rolling.not_paused(item),
            _differs(params, there),
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, path, f"variable {params.variable}"),
        ),
        steps=(
            rolling.step(
                _KIND,
                item,
                Patch("strategic", body),
                verb=params.operation,
                title=f"{said[0].upper()}{said[1:]}",
                how="strategic merge patch",
                seconds=params.rollout_seconds,
            ),
        ),
        verification=rolling.verification(_KIND, item, params.hold_seconds),
        undo=_UNDO,
        blast=rolling.blast(snapshot, _KIND, item, _unread(params)),
        managed_by=git.managed_by(snapshot, item.metadata, raw, path),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, item.metadata),
    )


def _there(container: dict[str, Any], params: SetEnvParams) -> dict[str, Any] | None:
    """The variable as it is. :raises CannotPlan: it is there several times, and a patch by name would mean all."""
    found = [e for e in container.get("env") or [] if e.get("name") == params.variable]
    if len(found) > 1:
        raise CannotPlan(
            f"Container {params.container} sets {params.variable} {len(found)} times; remove the extra ones."
        )
    return found[0] if found else None


def _entry(params: SetEnvParams, there: dict[str, Any] | None) -> dict[str, Any]:
    """The list element of the patch. What the other kind of source left there goes: the API allows one of the two."""
    if params.operation == "remove":
        return {"name": params.variable, "$patch": "delete"}
    if params.secret_name:
        new: dict[str, Any] = {"valueFrom": {"secretKeyRef": {"name": params.secret_name, "key": params.secret_key}}}
    else:
        new = {"value": params.value}
    old = there or {}
    if "valueFrom" in new and old.get("valueFrom"):
        new["valueFrom"] = {"$patch": "replace", **new["valueFrom"]}
    stale = {key: None for key in ("value", "valueFrom") if old.get(key) is not None and key not in new}
    return {"name": params.variable, **new, **stale}


def _differs(params: SetEnvParams, there: dict[str, Any] | None) -> Precondition:
    sentence = f"Variable {params.variable} is not so already"
    if params.operation == "remove":
        said = "it is there" if there else "the container does not set it (it may come from envFrom or the image)"
        return Precondition(f"Variable {params.variable} is there", there is not None, said)
    if there is None:
        return Precondition(sentence, True, "the container does not set it yet")
    source = (there.get("valueFrom") or {}).get("secretKeyRef") or {}
    same = (
        (source.get("name"), source.get("key")) == (params.secret_name, params.secret_key)
        if params.secret_name
        else there.get("value") == params.value and not there.get("valueFrom")
    )
    now = f"it comes from {next(iter(there['valueFrom']), 'elsewhere')}" if there.get("valueFrom") else "it has a value"
    return Precondition(sentence, not same, "it is exactly so" if same else now)


def _setting(params: SetEnvParams) -> str:
    if params.operation == "remove":
        return f"remove variable {params.variable}"
    if params.secret_name:
        return f"set variable {params.variable} from key {params.secret_key} of Secret {params.secret_name}"
    return f"set variable {params.variable}"


def _values(params: SetEnvParams) -> dict[str, Any] | None:
    """The values of the Grafana chart that set the same, for its container ``grafana``."""
    if params.container != "grafana" or params.operation == "remove":
        return None
    if params.secret_name:
        source = {"secretKeyRef": {"name": params.secret_name, "key": params.secret_key}}
        return {f"envValueFrom.{_key(params.variable)}": source}
    return {f"env.{_key(params.variable)}": params.value}


def _key(variable: str) -> str:
    return variable.replace(".", "\\.")


def _unread(params: SetEnvParams) -> str:
    if not params.secret_name:
        return ""
    return (
        f"The portal may not read Secrets, so it does not know whether {params.secret_name} has the key "
        f"{params.secret_key}: without it the new pods do not start, and the run fails."
    )


ACTION = Action(
    slug="set-environment-variable",
    title="Set a variable",
    family="Workloads",
    tier=1,
    summary="Set or remove one environment variable of one container of a Deployment.",
    params=SetEnvParams,
    needs=needs,
    draft=draft,
    rules=(Rule("apps", "deployments", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    undo_on_failure=True,
    noise=("spec.replicas",),
    guards=(
        "a value that looks like a credential is refused: it is given as Secret and key",
        "the rollout is not paused and the variable is not so already",
        "Argo CD would not set it back at once",
    ),
    verified_by="The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds.",
    reference="https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/",
)
