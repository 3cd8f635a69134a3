"""T1, T2: Prometheus does not get a target, or does not know it. Prometheus' own last error of the target is quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from re import Pattern
from typing import Any

from integrations.kubernetes.custom import OperatorObject
from integrations.kubernetes.parts import KubeObject
from monitoring.checks.operator import PROMETHEUSES
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis.base import Layer, Signature, finding, pattern, says
from monitoring.diagnosis.owning import PROMETHEUS
from monitoring.diagnosis.remedies import FIX_MONITOR, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Fetch, Need, Objects, Query, labels_match
from monitoring.verdict import Finding

TARGETS = Fetch("prometheus", "/api/v1/targets?state=active")
MONITORS = "servicemonitors.monitoring.coreos.com"


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    story: str
    advice: str


_WHYS = (
    _Why(
        "target_refuses_sign_in",
        pattern(r"http status (?:401|403)|unauthorized|forbidden"),
        "it does not let Prometheus in",
        "Give the scrape the token or rights it needs.",
    ),
    _Why(
        "target_other_scheme",
        pattern(r"http response to https client|malformed http response|http request to an https"),
        "one side speaks https and the other http",
        "Correct the scheme of its ServiceMonitor's endpoint.",
    ),
    _Why(
        "target_certificate",
        pattern(r"x509|certificate|tls:"),
        "its certificate is not accepted",
        "Give the scrape its CA, or renew the certificate.",
    ),
    _Why(
        "target_content_type",
        pattern(r"blank content-type|fallback_scrape_protocol|unsupported content-?type"),
        "it does not say what its answer is, which Prometheus 3 no longer takes",
        "Set fallbackScrapeProtocol in its ServiceMonitor, or correct the exporter.",
    ),
    _Why(
        "target_wrong_path",
        pattern(
            r"http status 404|http status 30\d|text/html|expected a valid start token|"
            r"invalid metric"
        ),
        "what it answers are no metrics",
        "Correct the path, or the port that is scraped.",
    ),
    _Why("target_fails", pattern(r"http status \d{3}"), "it answers with an error", "Read its log."),
    _Why(
        "target_unknown_name",
        pattern(r"no such host|server misbehaving"),
        "its name does not resolve",
        "Look whether the Service is there, under this name.",
    ),
    _Why(
        "target_times_out",
        pattern(r"deadline exceeded|timeout|timed out"),
        "it does not answer in time",
        "Look at its load, at the network, and at NetworkPolicies that hold Prometheus off.",
    ),
    _Why(
        "target_refuses",
        pattern(r"connection refused|connection reset|no route|unreachable|eof"),
        "nothing listens there",
        "Look at the pod behind it, and at the address it listens on: 127.0.0.1 serves nobody else.",
    ),
    _Why(
        "target_limits",
        pattern(r"sample.limit|label.{0,12}limit|body size limit|target.limit"),
        "it gives more than the limit allows",
        "Raise the limit, or drop what is not needed.",
    ),
)


def _query(scene: Scene) -> Query:
    selector = scene.selector
    return Query(f"up{{{selector}}}" if selector else "up")


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "targets":
        yield _query(scene)
        # should Prometheus itself not answer, it has to be looked for: asked at once, that is no round of its own
        yield from (Objects("statefulsets.apps", "", PROMETHEUS), Objects("pods", "", PROMETHEUS))
        yield Objects(PROMETHEUSES)
        rows = _rows(scene)
        if rows is None:
            return
        if not rows:
            yield Objects(MONITORS)
            yield Objects("services")
        elif any(_value(row) != "1" for row in rows):
            yield TARGETS


def _rows(scene: Scene) -> list[dict[str, Any]] | None:
    reply = scene.reply(_query(scene))
    return (
        [r for r in reply.body if isinstance(r, dict)] if reply is not None and isinstance(reply.body, list) else None
    )


def _value(row: dict[str, Any]) -> str:
    value = row.get("value")
    return str(value[1]) if isinstance(value, list | tuple) and len(value) == 2 else ""


def down(scene: Scene) -> Finding | None:
    """T1."""
    if scene.kind != "targets":
        return None
    rows = [row for row in _rows(scene) or [] if _value(row) != "1"]
    if not rows:
        return None
    errors = _errors(scene)
    named = [(_name(row.get("metric")), errors.get(_key(row.get("metric")), "")) for row in rows]
    told = next((error for _, error in named if error), "")
    why = next((each for each in _WHYS if says(each.words, told)), None) if told else None
    more = f" and {len(named) - 1} more" if len(named) > 1 else ""
    return finding(
        "T1",
        why.cause if why else "target_down",
        "Prometheus does not get a target",
        f"Prometheus does not get {named[0][0]}{more}: "
        f"{why.story if why else phrase(told, 200) or 'it does not say why'}. "
        + (why.advice if why else "Open the target's page in Prometheus for its last error."),
        (
            *(f"target {name}: {clean(error, 240) or 'down'}" for name, error in named[:5]),
            f"{count(len(rows), 'target')} down",
        ),
        0.88 if why else 0.5,
    )


def _errors(scene: Scene) -> dict[tuple[str, str], str]:
    """The last error of each active target, by job and instance."""
    reply = scene.reply(TARGETS)
    body = reply.body if reply is not None and isinstance(reply.body, dict) else {}
    data = body.get("data") if isinstance(body.get("data"), dict) else {}
    active = data.get("activeTargets") if isinstance(data, dict) else None
    found: dict[tuple[str, str], str] = {}
    for entry in active if isinstance(active, list) else []:
        if isinstance(entry, dict) and entry.get("lastError"):
            found[_key(entry.get("labels"))] = str(entry["lastError"])[:4000]
    return found


def _key(labels: Any) -> tuple[str, str]:
    known = labels if isinstance(labels, dict) else {}
    return str(known.get("job", "")), str(known.get("instance", ""))


def _name(labels: Any) -> str:
    job, instance = _key(labels)
    return clean(" ".join(filter(None, (job, instance))) or "a target", 100)


def unknown(scene: Scene) -> Finding | None:
    """T2: nobody scrapes it, although a ServiceMonitor for it is there."""
    if scene.kind != "targets" or _rows(scene) != [] or not scene.known(MONITORS):
        return None
    job = re.search(r'job=~?"([^"]{1,120})"', scene.selector)
    words = [part for part in re.split(r"[^a-z0-9-]+", job.group(1).lower() if job else "") if len(part) > 3]
    monitors: list[KubeObject] = scene.read(MONITORS)
    mine = [m for m in monitors if any(word in m.metadata.name for word in words)]
    prometheuses: list[OperatorObject] = scene.read(PROMETHEUSES) if scene.known(PROMETHEUSES) else []
    for item in mine:
        for prometheus in prometheuses:
            wanted = _labels(prometheus.spec.service_monitor_selector)
            lost = [pair for pair in wanted if not labels_match(item.metadata.labels, pair)]
            if lost:
                return finding(
                    "T2",
                    "monitor_not_selected",
                    "Prometheus does not take the ServiceMonitor",
                    f"ServiceMonitor {item.metadata.name} is there, and Prometheus {prometheus.metadata.name} selects "
                    "only those "
                    f"with {listing(lost)}. Give it that label, or widen the selector.",
                    (
                        f"ServiceMonitor {item.metadata.namespace}/{item.metadata.name}: labels "
                        f"{listing((f'{k}={v}' for k, v in sorted(item.metadata.labels.items())), 6) or 'none'}",
                        f"Prometheus {prometheus.metadata.name}: serviceMonitorSelector {listing(wanted)}",
                    ),
                    0.9,
                    remedies=(
                        remedy(
                            FIX_MONITOR,
                            kind="ServiceMonitor",
                            namespace=item.metadata.namespace,
                            name=item.metadata.name,
                        ),
                    ),
                )
    if job and not mine:
        return finding(
            "T2",
            "no_monitor",
            "Nothing tells Prometheus to scrape it",
            f"No ServiceMonitor is there for {clean(job.group(1), 80)} and Prometheus scrapes no such job. Make one, "
            "or add it to the "
            "scrape configuration.",
            (f"{_query(scene).expr}: no series", f"{count(len(monitors), 'ServiceMonitor')}, none of that name"),
            0.5,
        )
    return None


def _labels(selector: Any) -> list[str]:
    found = selector.get("matchLabels") if isinstance(selector, dict) else None
    return [f"{key}={value}" for key, value in sorted(found.items())] if isinstance(found, dict) else []


SIGNATURES = (
    Signature(
        "T1",
        Layer.CONTENT,
        "Prometheus does not get a target; its last error says why.",
        "https://prometheus-operator.dev/docs/platform/troubleshooting/",
        down,
        needs,
        follows=True,
    ),
    Signature(
        "T2",
        Layer.CONTENT,
        "Prometheus scrapes no such target: its ServiceMonitor is not selected, or there is none.",
        "https://prometheus-operator.dev/docs/platform/troubleshooting/#overview-of-servicemonitor-tagging-and-related-elements",
        unknown,
    ),
)
