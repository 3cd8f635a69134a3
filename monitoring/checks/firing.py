"""Which alerts fire, as Alertmanager tells it: since when, and to whom. Silenced and inhibited ones are told apart.

Heartbeats (Watchdog and the like) are sent while all is well and are counted apart: that one arrives shows that the way
from Prometheus to Alertmanager is whole. ``GET /api/v2/alerts`` lists each alert with ``startsAt``, its receivers and
``status.state`` (``active``, ``suppressed``, ``unprocessed``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from msgspec import Meta

from monitoring.checks import alert_routes
from monitoring.checks.alert_routes import STATUS
from monitoring.checks.alerting import HEARTBEAT
from monitoring.checks.base import CheckType, Params, failing, unknown, verified
from monitoring.checks.text import clean, count, listing
from monitoring.snapshot import Fetch, Missing, Need, Snapshot
from monitoring.verdict import Verdict

ALERTS = Fetch("alertmanager", "/api/v2/alerts")
#: more are counted, not listed
_SHOWN = 60
_SEVERITIES = ("critical", "error", "warning", "info")
_SAYS = ("summary", "description", "message")
#: labels that say what an alert is about, best first
_ABOUT = ("pod", "deployment", "statefulset", "daemonset", "job_name", "name", "node", "instance", "job", "namespace")


class AlertsFiring(Params, frozen=True):
    """Parameters of ``alerts_firing``."""

    namespace: Annotated[str, Meta(description="where Alertmanager is, for the line to run by hand")] = "monitoring"
    failing: Annotated[
        tuple[str, ...], Meta(max_length=8, description="severities that must not fire; empty: the list is only told")
    ] = ()


def _needs(_: Snapshot, __: AlertsFiring) -> Iterable[Need]:
    yield ALERTS
    yield STATUS


def _evaluate(snapshot: Snapshot, params: AlertsFiring, _: datetime) -> Verdict:
    reply = snapshot.reply(ALERTS)
    if reply.status != 200 or not isinstance(reply.body, list):
        sentence = f"Alertmanager answers with HTTP {reply.status}, so what fires is not known. Read its log."
        return unknown("bad_status", sentence, f"HTTP {reply.status}")
    real = _real(snapshot)
    rows = [_row(raw, real) for raw in reply.body if isinstance(raw, Mapping)]
    beats = [row for row in rows if row["name"] in HEARTBEAT]
    told = sorted((row for row in rows if row["name"] not in HEARTBEAT), key=_order)
    firing = [row for row in told if row["state"] != "suppressed"]
    facts = {
        "alerts": told[:_SHOWN],
        "firing": len(firing),
        "silenced": len(told) - len(firing),
        "heartbeat": any(row["name"] == "Watchdog" for row in beats),
    }
    observed = f"{len(firing)} firing"
    bad = [row for row in firing if row["severity"] in params.failing]
    if bad:
        names = listing(dict.fromkeys(row["name"] for row in bad))
        return failing("firing", f"{count(len(bad), 'alert')} must not fire: {names}.", observed, facts=facts)
    names = f": {listing(dict.fromkeys(row['name'] for row in firing))}" if firing else ""
    return verified(
        f"{count(len(firing), 'alert')} fire{'' if len(firing) != 1 else 's'}{names}.", observed, facts=facts
    )


def _real(snapshot: Snapshot) -> set[str] | None:
    """Receivers that send something; None when the configuration is not known."""
    try:
        reply = snapshot.reply(STATUS)
    except Missing:
        return None
    config = alert_routes.read(reply.body) if reply.status == 200 and isinstance(reply.body, dict) else None
    return config.real if config is not None else None


def _row(raw: Mapping[str, Any], real: set[str] | None) -> dict[str, Any]:
    labels, status = _texts(raw.get("labels")), raw.get("status")
    notes = _texts(raw.get("annotations"))
    receivers = [str(each.get("name", "")) for each in raw.get("receivers") or () if isinstance(each, Mapping)]
    named = [name for name in receivers if real is None or name in real]
    about = next((f"{key} {labels[key]}" for key in _ABOUT if labels.get(key)), "")
    return {
        "id": clean(str(raw.get("fingerprint", "")), 64),
        "name": clean(labels.get("alertname", "without a name"), 120),
        "severity": clean(labels.get("severity", ""), 40),
        "about": clean(about, 120),
        "says": clean(next((notes[key] for key in _SAYS if notes.get(key)), ""), 240),
        "since": _moment(raw.get("startsAt")),
        "state": str(status.get("state", "")) if isinstance(status, Mapping) else "",
        "told": sorted(clean(name, 80) for name in named)[:4],
    }


def _texts(raw: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in raw.items()} if isinstance(raw, Mapping) else {}


def _moment(raw: Any) -> str:
    """ISO 8601 in UTC, to the second; empty when it cannot be read."""
    try:
        at = datetime.fromisoformat(str(raw))
    except ValueError:
        return ""
    return at.astimezone(UTC).isoformat(timespec="seconds") if at.tzinfo is not None else ""


def _order(row: Mapping[str, Any]) -> tuple[bool, int, str, str, str]:
    """Firing before silenced, worst first, then the oldest."""
    severity = row["severity"]
    rank = _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)
    return row["state"] == "suppressed", rank, row["since"], row["name"], row["id"]


def _command(params: AlertsFiring) -> str:
    where = f"/api/v1/namespaces/{params.namespace}/services/alertmanager-operated:9093"
    return f"kubectl get --raw {where}/proxy{ALERTS.path}"


TYPES = (
    CheckType(
        slug="alerts_firing",
        title="What fires is known",
        summary="Alertmanager lists the alerts that fire; those of some severities may be made a failure.",
        params=AlertsFiring,
        needs=_needs,
        evaluate=_evaluate,
        command=_command,
        expected=lambda p: f"no {' or '.join(p.failing)} alert" if p.failing else "the list of alerts",
        source="alertmanager",
        watched=False,
        limit_seconds=60,
        poll_seconds=10,
    ),
)
