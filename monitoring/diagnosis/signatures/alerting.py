"""M1 to M3: alerts do not reach a person although somebody meant them to.

Nothing is said of a stack where nobody set up a receiver yet and nothing fires: that is work to be done, not a fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from integrations.kubernetes.parts import KubeObject
from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import STATUS, Config, Matcher
from monitoring.checks.alerting import is_heartbeat
from monitoring.checks.text import clean, count, listing
from monitoring.diagnosis.argo_words import to_values
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.remedies import CHANNEL, TEST_ALERT, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects, Query
from monitoring.verdict import Finding

CONFIGS = "alertmanagerconfigs.monitoring.coreos.com"
FIRING = Query('count by (alertname) (ALERTS{alertstate="firing",alertname!~"Watchdog|InfoInhibitor"})')
FAILED = Query("sum by (integration) (increase(alertmanager_notifications_failed_total[1h])) > 0")
RELOAD = Query("alertmanager_config_last_reload_successful == 0")


def _asked(scene: Scene) -> bool:
    return scene.kind == "alertmanager" and scene.asks("alert_route")


def needs(scene: Scene) -> Iterable[Need]:
    if _asked(scene):
        yield from (STATUS, FIRING, FAILED, RELOAD, Objects(CONFIGS, scene.namespace))


def _rows(scene: Scene, need: Query) -> list[dict[str, Any]]:
    reply = scene.reply(need)
    return (
        [row for row in reply.body if isinstance(row, dict)]
        if reply is not None and isinstance(reply.body, list)
        else []
    )


def not_delivered(scene: Scene) -> Finding | None:
    """M2: Alertmanager tries, and is turned away."""
    if not _asked(scene):
        return None
    rows = _rows(scene, FAILED)
    kinds = [clean(str((row.get("metric") or {}).get("integration", "")), 40) for row in rows]
    if not rows:
        return None
    return finding(
        "M2",
        "notifications_fail",
        "Notifications do not get through",
        f"Alertmanager could not deliver by {listing(kinds) or 'its receiver'} in the last hour. Look at the address "
        "and the "
        "token of that receiver, and at its way out of the cluster.",
        (f"{FAILED.expr}: {listing(kinds)}", *_reload(scene)),
        0.9,
        remedies=(remedy(CHANNEL), remedy(TEST_ALERT)),
    )


def _reload(scene: Scene) -> list[str]:
    return ["alertmanager_config_last_reload_successful is 0"] if _rows(scene, RELOAD) else []


def stale_configuration(scene: Scene) -> Finding | None:
    """M3: the newest configuration was not taken."""
    if not _asked(scene) or not _rows(scene, RELOAD):
        return None
    return finding(
        "M3",
        "configuration_not_taken",
        "Alertmanager runs an older configuration",
        "Alertmanager did not accept its newest configuration and runs the one before. Correct what its log names.",
        ("alertmanager_config_last_reload_successful == 0",),
        0.9,
        remedies=to_values(scene),
    )


def _why_unheard(real: list[str], left: list[str], firing: list[str], default: str) -> tuple[str, str, str] | None:
    """Cause, why and what to do; None while nothing is set up and nothing fires."""
    if real:
        return "receiver_without_route", f"{listing(real)} is set up and no route leads there", "Add a route to it."
    if left:
        return (
            "alertmanagerconfig_not_selected",
            f"AlertmanagerConfig {listing(left)} is there and Alertmanager does not have it",
            "Look at alertmanagerConfigSelector and at the operator's log: it takes only what it selects and what is "
            "valid.",
        )
    if firing:
        fires = count(len(firing), "alert fires", "alerts fire")
        why = f"{fires} now ({listing(firing)}) and the only receiver is {default}"
        return "alerts_fire_unheard", why, "Add a receiver and a route to it."
    return None


def not_reached(scene: Scene) -> Finding | None:
    """M1: a receiver is set up, or alerts fire, and no route leads to anybody."""
    if not _asked(scene):
        return None
    reply = scene.reply(STATUS)
    body = reply.body if reply is not None and isinstance(reply.body, dict) else None
    known = alert_routes.read(body)
    if known is None:
        return None
    hits = _hits(known)
    if hits:
        return _one_namespace(scene, known, hits)
    default = known.root.receiver
    configs: list[KubeObject] = scene.read(CONFIGS, scene.namespace) if scene.known(CONFIGS, scene.namespace) else []
    taken = [c for c in configs if any(c.metadata.name in name for name in known.receivers)]
    left = [c.metadata.name for c in configs if c not in taken]
    firing = sorted(
        {clean(str((row.get("metric") or {}).get("alertname", "")), 80) for row in _rows(scene, FIRING)} - {""}
    )
    said = _why_unheard(sorted(known.real), left, firing, clean(default, 60) or "none")
    if said is None:
        return None
    cause, why, advice = said
    return finding(
        "M1",
        cause,
        "Alerts reach nobody",
        f"Alerts reach nobody: {why}. {advice}",
        (
            f"Alertmanager: default receiver {clean(default, 60) or 'none'}, real receivers "
            f"{listing(sorted(known.real)) or 'none'}",
            *(f"AlertmanagerConfig {clean(name, 120)} is not in its configuration" for name in left[:3]),
            f"firing now: {listing(firing)}" if firing else "",
        ),
        0.9,
        remedies=(remedy(CHANNEL), remedy(TEST_ALERT))
        if cause != "alertmanagerconfig_not_selected"
        else (remedy(CHANNEL),),
    )


Hit = tuple[str, tuple[Matcher, ...]]


def _hits(known: Config) -> list[Hit]:
    """Receivers that send something and that a route other than a heartbeat's leads to, with its matchers."""
    reached = [(route.receiver, path) for route, path in known.root.reached()]
    return [(name, path) for name, path in reached if name in known.real and not is_heartbeat(path)]


def _one_namespace(scene: Scene, known: Config, hits: list[Hit]) -> Finding | None:
    """What an AlertmanagerConfig adds is held to its own namespace, unless the operator is told otherwise."""
    default = known.root.receiver
    if default in known.real:
        return None
    spaces = [next((m.value for m in path if m.label == "namespace" and m.op == "="), "") for _, path in hits]
    if not all(spaces):
        return None
    names = listing(sorted({name for name, _ in hits}))
    return finding(
        "M1",
        "one_namespace",
        "Only alerts of one namespace reach somebody",
        f"Only alerts of namespace {listing(sorted(set(spaces)))} reach {names}; all others "
        f"go to {clean(default, 60)}. Set alertmanagerConfigMatcherStrategy.type of the Alertmanager object to None.",
        [
            f"route to {clean(name, 80)}: namespace={clean(space, 63)}"
            for (name, _), space in zip(hits, spaces, strict=True)
        ][:4],
        0.9,
        remedies=(*to_values(scene), remedy(CHANNEL)),
        reference="https://prometheus-operator.dev/docs/developer/alerting/#specify-global-alertmanager-config",
    )


SIGNATURES = (
    Signature(
        "M2",
        Layer.CONTENT,
        "Alertmanager's notifications fail.",
        "https://prometheus.io/docs/alerting/latest/configuration/#receiver",
        not_delivered,
        needs,
    ),
    Signature(
        "M3",
        Layer.CONTENT,
        "Alertmanager did not take its newest configuration.",
        "https://prometheus.io/docs/alerting/latest/configuration/",
        stale_configuration,
    ),
    Signature(
        "M1",
        Layer.CONTENT,
        "A receiver is set up, or alerts fire, and no route leads to anybody.",
        "https://prometheus.io/docs/alerting/latest/configuration/#route",
        not_reached,
    ),
)
