"""A notification channel where the cluster has no AlertmanagerConfig kind: a configuration Secret of the portal's own.

The configuration that is in force is taken over with one route and one receiver more, into a new Secret, and the
Alertmanager object is pointed to it (``spec.configSecret``). So the way back is to point to the old one again. It is
refused where somebody else writes the configuration (Argo CD, Helm's values), and where the configuration holds
credentials: a plan would have to show them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
import yaml

from common.redaction import redact
from deployments.catalogue.action import (
    MARK,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    Create,
    Patch,
    PlanDraft,
    Precondition,
    StepSpec,
    Verification,
)
from deployments.catalogue.alerts import managers
from deployments.catalogue.alerts.channel_params import ALL, ChannelParams, is_credential
from deployments.catalogue.alerts.channel_states import CONFIGS
from deployments.catalogue.argo import helm, ownership
from deployments.catalogue.nodes import fields
from integrations.kubernetes.parts import Meta
from monitoring.checks.alerting import TEST_LABEL
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Need, Raw, Snapshot

KEY = "alertmanager.yaml"
_SECONDS = 240
_HOLD = 15
_UNDO = (
    "The Alertmanager object is pointed to its old configuration Secret again, and the new Secret is deleted by uid."
)
_CREDENTIAL = re.compile(
    r"(password|secret|token|api_url|api_key|service_key|routing_key|credentials|auth_identity|webhook_url|bot_token)$"
)


def is_the_only_way(snapshot: Snapshot) -> bool:
    """Whether the cluster does not serve AlertmanagerConfigs at all. :raises Missing: they were not read."""
    try:
        snapshot.objects(CONFIGS)
    except Missing as missing:
        if f"does not serve {CONFIGS}" in str(missing):
            return True
        raise
    return False


def needs(snapshot: Snapshot, owner: Meta) -> Iterable[Need]:
    """The configuration Secret, when there is no other way."""
    try:
        snapshot.objects(CONFIGS)
    except Missing as missing:
        raw = snapshot.replies.get(Raw(managers.ALERTMANAGERS, owner.namespace, owner.name))
        if f"does not serve {CONFIGS}" in str(missing) and raw is not None and isinstance(raw.body, dict):
            yield Raw("secrets", owner.namespace, name_of(owner, raw.body.get("spec") or {}))


def name_of(owner: Meta, spec: Mapping[str, Any]) -> str:
    """The Secret Alertmanager is configured by."""
    return str(spec.get("configSecret") or f"alertmanager-{owner.name}")


def draft(snapshot: Snapshot, params: ChannelParams) -> PlanDraft:
    """A new Secret and the pointer to it. :raises CannotPlan: it is refused, with what to do. :raises Missing:"""
    owner = managers.find(snapshot, managers.ALERTMANAGERS, "", params.alertmanager)
    if params.secret_name:
        raise CannotPlan(
            "This cluster has no AlertmanagerConfig kind, and without it a channel cannot refer to a Secret: install "
            "the operator's AlertmanagerConfig CRD, or write the receiver into the chart's values."
        )
    old = name_of(owner.meta, owner.spec)
    config = _config(snapshot, owner, old, params)
    receiver = params.object_name
    text = _with(config, params, receiver)
    # the name follows from what is in it: the same plan makes the same Secret
    name = f"alertmanager-{owner.meta.name}-portal-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    filled = msgspec.structs.replace(params, alertmanager=owner.meta.name, name=receiver)
    where = {"namespace": owner.meta.namespace}
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, owner, config, receiver)),
        steps=tuple(_steps(owner, name, text, receiver)),
        verification=Verification(
            (CheckSpec("Alerts reach the channel", "alert_route", {**where, "receiver": receiver}),), _HOLD, _SECONDS
        ),
        undo=_UNDO,
        blast=Blast(
            created=(f"Secret {name}",),
            changed=(f"Alertmanager {owner.meta.name}",),
            sentence=f"The operator makes Alertmanager's configuration out of {name}; {old} stays as it is, unused.",
        ),
        managed_by=fields.managed_by(snapshot, owner.raw, "spec", "configSecret"),
        git_way=f"Through Git: the receiver and its route in the values of the chart:\n{_snippet(params, receiver)}",
        locks=ownership.locks(snapshot, owner.meta),
    )


def _config(snapshot: Snapshot, owner: managers.Owner, name: str, params: ChannelParams) -> dict[str, Any]:
    """The configuration in force. :raises CannotPlan: it is somebody else's, holds credentials, or cannot be read."""
    raw = snapshot.raw("secrets", owner.meta.namespace, name)
    meta = fields.meta_of(raw) if raw is not None else Meta()
    by = ownership.tracked(snapshot, meta)
    where = f"the configuration of Alertmanager is in Secret {name}"
    if by is not None:
        raise CannotPlan(
            f"This cluster has no AlertmanagerConfig kind, and {where}, which Argo CD app {by.name} renders and sets "
            f"back. Write the channel into the values of that app instead (alertmanager.config):\n"
            f"{_snippet(params, params.object_name)}"
        )
    text = _text(raw)
    config = helm.read_yaml(text) if text else {"route": {"receiver": "null"}, "receivers": [{"name": "null"}]}
    if not isinstance(config, dict) or not isinstance(config.get("route"), dict):
        raise CannotPlan(f"{where[0].upper()}{where[1:]}, and that cannot be read as YAML with a route.")
    found = _credential(config)
    if found:
        raise CannotPlan(
            f"{where[0].upper()}{where[1:]}, which holds a credential ({found}): a plan would show it. Add this by "
            f"hand, or install the AlertmanagerConfig CRD:\n{_snippet(params, params.object_name)}"
        )
    return config


def _text(raw: Mapping[str, Any] | None) -> str:
    data = (raw or {}).get("data") or {}
    try:
        return base64.b64decode(str(data.get(KEY, "")), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _credential(value: Any, key: str = "") -> str:
    """The first key that holds a credential; empty when none does."""
    if isinstance(value, Mapping):
        return next((found for k, v in value.items() if (found := _credential(v, str(k)))), "")
    if isinstance(value, list):
        return next((found for v in value if (found := _credential(v, key))), "")
    if not isinstance(value, str) or not value:
        return ""
    if key == "url":
        return key if is_credential(value) else ""
    return key if _CREDENTIAL.search(key) or redact(value, 4000) != value else ""


def _preconditions(
    snapshot: Snapshot, owner: managers.Owner, config: Mapping[str, Any], receiver: str
) -> Iterator[Precondition]:
    yield from managers.acted_on(owner, managers.operator(snapshot))
    taken = [r for r in config.get("receivers") or [] if isinstance(r, Mapping) and r.get("name") == receiver]
    yield Precondition(
        f"No receiver is called {receiver}",
        not taken,
        "there is one: choose another name" if taken else "there is none",
    )
    yield fields.stays(snapshot, owner.raw, "spec", "configSecret")


def _steps(owner: managers.Owner, name: str, text: str, receiver: str) -> Iterator[StepSpec]:
    mark = {MARK: "${run.mark}"}
    namespace = owner.meta.namespace
    encoded = base64.b64encode(text.encode()).decode()
    yield StepSpec(
        verb="create",
        title=f"Create Secret {name} with the configuration and the channel",
        how="create",
        resource="secrets",
        namespace=namespace,
        name=name,
        effect=Create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace, "annotations": mark},
                "type": "Opaque",
                "data": {KEY: encoded},
            }
        ),
    )
    yield StepSpec(
        verb="point",
        title=f"Point {clean(owner.meta.name, 120)} to it",
        how="merge patch",
        resource=managers.ALERTMANAGERS,
        namespace=namespace,
        name=owner.meta.name,
        effect=Patch("merge", {"metadata": {"annotations": mark}, "spec": {"configSecret": name}}),
        until=Condition(
            "alertmanager_reaches",
            {"receiver": receiver, "anywhere": True, "namespace": namespace, "name": ""},
        ),
        timeout_seconds=_SECONDS,
    )


# -- the configuration


def _with(config: Mapping[str, Any], params: ChannelParams, receiver: str) -> str:
    """The configuration with one route before the others and one receiver more."""
    route = dict(config["route"])
    route["routes"] = [_route(params, receiver), *(route.get("routes") or [])]
    receivers = [*(config.get("receivers") or []), _receiver(params, receiver)]
    return str(yaml.safe_dump({**config, "route": route, "receivers": receivers}, sort_keys=False))


def _route(params: ChannelParams, receiver: str) -> dict[str, Any]:
    severities = "|".join(map(re.escape, params.severities))
    every = ALL in params.severities or not params.severities
    which = 'alertname!~"Watchdog|InfoInhibitor"' if every else f'severity=~"{severities}"'
    test = {
        "receiver": receiver,
        "matchers": [f'{TEST_LABEL}="true"'],
        "group_by": ["alertname", "run"],
        "group_wait": "1s",
    }
    return {
        "receiver": receiver,
        "matchers": [which],
        "group_by": ["alertname", "namespace"],
        "group_wait": "30s",
        "group_interval": "5m",
        "repeat_interval": "4h",
        "continue": True,
        "routes": [test],
    }


def _receiver(params: ChannelParams, receiver: str) -> dict[str, Any]:
    if params.kind == "webhook":
        return {"name": receiver, "webhook_configs": [{"url": params.url, "send_resolved": True}]}
    mail = {"to": params.recipient, "from": params.sender, "smarthost": params.smarthost}
    return {"name": receiver, "email_configs": [{**mail, "require_tls": params.require_tls, "send_resolved": True}]}


def _snippet(params: ChannelParams, receiver: str) -> str:
    made = {"route": {"routes": [_route(params, receiver)]}, "receivers": [_receiver(params, receiver)]}
    return str(yaml.safe_dump({"alertmanager": {"config": made}}, sort_keys=False))
