"""Prometheus' HTTP API over the embedded database: /api/v1 as far as a portal asks, and the health endpoints.

`status/buildinfo` carries an extra field `engine: embedded`, so that nobody takes it for the real thing.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Callable
from datetime import datetime
from typing import Any

import yaml

from lab.services.cluster import SECRETS, Cluster, Obj, container_status, seconds
from lab.services.database import Database
from lab.services.exporters.programs import alertmanagers_behind
from lab.services.http import Answer, Request, answer, iso, shown, text
from lab.services.promql import Labels, PromQLError, Selector, Value, Vector, duration, parse
from lab.services.rules import Alert, Rule
from lab.services.targets import Target

_MAX_POINTS = 11_000
_DEFAULT_FLAGS = {
    "config.file": "prometheus.yml",
    "query.lookback-delta": "5m",
    "query.max-concurrency": "20",
    "query.max-samples": "50000000",
    "query.timeout": "2m",
    "storage.tsdb.path": "data/",
    "storage.tsdb.retention.size": "0B",
    "storage.tsdb.retention.time": "0s",
    "web.enable-admin-api": "false",
    "web.enable-lifecycle": "false",
    "web.listen-address": "0.0.0.0:9090",
}


class BadParameterError(PromQLError):
    """A parameter that cannot be read."""


def labels_text(labels: Labels) -> Labels:
    return dict(sorted(labels.items()))


class PrometheusApi:
    """One Prometheus; `owner` is its custom resource and `pod` the ready pod that answers."""

    def __init__(self, database: Database, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._db, self._cluster, self._clock = database, cluster, clock

    def handle(self, request: Request, owner: Obj, pod: Obj) -> Answer:
        """The answer to a request; the database has been refreshed."""
        path = request.path.rstrip("/") or "/"
        if path == "/-/ready":
            return text("Prometheus Server is Ready.\n")
        if path == "/-/healthy":
            return text("Prometheus Server is Healthy.\n")
        if path in ("/-/reload", "/-/quit"):
            return text("") if request.method in ("POST", "PUT") else text("Only POST or PUT requests allowed", 405)
        if path in ("/", "/graph"):
            return text("Prometheus (the lab's embedded engine). Its API is at /api/v1.\n")
        if not path.startswith("/api/v1/"):
            return text("404 page not found\n", 404)
        if request.method not in ("GET", "POST", "HEAD"):
            return text("Method Not Allowed\n", 405)
        try:
            return self._api(path.removeprefix("/api/v1/"), request, owner, pod)
        except PromQLError as error:
            return answer({"status": "error", "errorType": error.kind, "error": str(error)}, error.status)

    def _api(self, name: str, request: Request, owner: Obj, pod: Obj) -> Answer:
        routes: dict[str, Callable[[], Any]] = {
            "query": lambda: self._query(request),
            "query_range": lambda: self._query_range(request),
            "series": lambda: self._series(request),
            "labels": self._db.storage.label_names,
            "targets": lambda: self._targets(request.value("state", "any")),
            "rules": lambda: self._rules(request.value("type")),
            "alerts": lambda: {"alerts": [self._alert(alert) for alert in self._db.alerts]},
            "alertmanagers": lambda: self._alertmanagers(owner),
            "metadata": dict,
            "status/runtimeinfo": lambda: self._runtime(owner, pod),
            "status/buildinfo": lambda: self._build(owner),
            "status/flags": lambda: self._flags(pod),
            "status/config": lambda: {"yaml": self._config(owner)},
            "status/tsdb": self._tsdb,
            "status/walreplay": lambda: {"min": 0, "max": 0, "current": 0, "state": "done"},
        }
        if name.startswith("label/") and name.endswith("/values"):
            return self._success(self._db.storage.label_values(name.split("/")[1]))
        route = routes.get(name)
        return self._success(route()) if route else text("404 page not found\n", 404)

    @staticmethod
    def _success(data: Any) -> Answer:
        return answer({"status": "success", "data": data})

    # -- queries

    def _query(self, request: Request) -> Obj:
        moment = _time(request.value("time"), self._clock())
        value = self._db.query(request.value("query"), moment)
        return {"resultType": _kind(value), "result": _instant(value, moment)}

    def _query_range(self, request: Request) -> Obj:
        start, end = _time(request.value("start"), None), _time(request.value("end"), None)
        step = _step(request.value("step"))
        if end < start:
            raise BadParameterError('invalid parameter "end": end timestamp must not be before start time')
        if (end - start) / step > _MAX_POINTS:
            raise BadParameterError(
                "exceeded maximum resolution of 11,000 points per timeseries. "
                "Try decreasing the query resolution (?step=XX)"
            )
        query = request.value("query")
        parse(query)
        series: dict[tuple[tuple[str, str], ...], tuple[Labels, list[list[Any]]]] = {}
        for index in range(int((end - start) / step + 1e-9) + 1):
            moment = start + index * step
            value = self._db.query(query, moment)
            if isinstance(value, str):
                raise BadParameterError(
                    'invalid expression type "string" for range query, must be Scalar or instant Vector'
                )
            vector: Vector = value if isinstance(value, list) else [({}, value)]
            for labels, number in vector:
                key = tuple(sorted(labels.items()))
                series.setdefault(key, (labels, []))[1].append([round(moment, 3), shown(number)])
        result = [{"metric": labels_text(labels), "values": values} for labels, values in series.values()]
        return {"resultType": "matrix", "result": sorted(result, key=lambda each: sorted(each["metric"].items()))}

    def _series(self, request: Request) -> list[Labels]:
        found: list[Labels] = []
        for text_ in request.values("match[]"):
            node = parse(text_)
            if not isinstance(node, Selector):
                raise BadParameterError(f'invalid parameter "match[]": {text_!r} is no selector')
            found += [labels for labels, _ in self._db.instant(node.name, node.matchers, self._clock())]
        if not request.values("match[]"):
            raise BadParameterError("no match[] parameter provided")
        return [labels_text(labels) for labels in found]

    # -- targets, rules, alerts

    def _targets(self, state: str) -> Obj:
        active = [self._target(target) for target in self._db.targets] if state != "dropped" else []
        return {"activeTargets": active, "droppedTargets": [], "droppedTargetCounts": {}}

    def _target(self, target: Target) -> Obj:
        last = self._clock() // target.interval * target.interval
        return {
            "discoveredLabels": {
                "__address__": target.address,
                "__metrics_path__": target.path,
                "__scheme__": target.scheme,
                "job": target.pool,
            },
            "labels": labels_text(target.labels),
            "scrapePool": target.pool,
            "scrapeUrl": target.url,
            "globalUrl": target.url,
            "lastError": target.error,
            "lastScrape": iso(last),
            "lastScrapeDuration": 0.02,
            "health": "up" if target.up else "down",
            "scrapeInterval": f"{target.interval:g}s",
            "scrapeTimeout": f"{target.timeout:g}s",
        }

    def _rules(self, kind: str) -> Obj:
        wanted = {"alert": True, "record": False}.get(kind)
        groups = []
        for group in self._db.groups:
            rules = [self._rule(rule) for rule in group.rules if wanted is None or rule.alerting == wanted]
            if rules or wanted is None:
                groups.append(
                    {
                        "name": group.name,
                        "file": group.file,
                        "interval": group.interval,
                        "limit": 0,
                        "rules": rules,
                        **self._evaluation(),
                    }
                )
        return {"groups": groups}

    def _evaluation(self) -> Obj:
        return {"evaluationTime": 0.001, "lastEvaluation": iso(self._db.scraped_at)}

    def _rule(self, rule: Rule) -> Obj:
        result: Obj = {
            "name": rule.name,
            "query": rule.query,
            "labels": rule.labels,
            "health": "err" if rule.error else "ok",
            **({"lastError": rule.error} if rule.error else {}),
            **self._evaluation(),
            "type": "alerting" if rule.alerting else "recording",
        }
        if not rule.alerting:
            return result
        alerts = [self._alert(alert) for alert in rule.alerts]
        states = {alert["state"] for alert in alerts}
        state = "firing" if "firing" in states else "pending" if states else "inactive"
        return {
            **result,
            "state": state,
            "duration": rule.hold,
            "keepFiringFor": 0,
            "annotations": rule.annotations,
            "alerts": alerts,
        }

    def _alert(self, alert: Alert) -> Obj:
        return {
            "labels": labels_text(alert.labels),
            "annotations": alert.annotations,
            "state": alert.state(self._clock()),
            "activeAt": iso(alert.active_at),
            "value": f"{alert.value:g}",
        }

    def _alertmanagers(self, owner: Obj) -> Obj:
        references = (owner["spec"].get("alerting") or {}).get("alertmanagers") or []
        active = [
            {"url": f"http://{backend.pod['status'].get('podIP')}:{backend.port}/api/v2/alerts"}
            for reference in references
            for backend in alertmanagers_behind(reference, self._cluster)
        ]
        return {"activeAlertmanagers": active, "droppedAlertmanagers": []}

    # -- status

    def _flags(self, pod: Obj) -> Labels:
        flags = dict(_DEFAULT_FLAGS)
        for container in pod["spec"]["containers"]:
            if container["name"] == "prometheus":
                for argument in container.get("args") or []:
                    name, equals, value = str(argument).removeprefix("--").partition("=")
                    flags[name] = value if equals else "true"
        return flags

    def _runtime(self, owner: Obj, pod: Obj) -> Obj:
        running = (container_status(pod, "prometheus").get("state") or {}).get("running") or {}
        started = seconds(running.get("startedAt")) or self._clock()
        retention = self._flags(pod)["storage.tsdb.retention.time"]
        size = str(owner["spec"].get("retentionSize") or "")
        return {
            "startTime": iso(started),
            "CWD": "/prometheus",
            "reloadConfigSuccess": True,
            "lastConfigTime": iso(started),
            "corruptionCount": 0,
            "goroutineCount": 120,
            "GOMAXPROCS": 2,
            "GOMEMLIMIT": 9223372036854775807,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": f"{retention} or {size}" if size else retention,
        }

    @staticmethod
    def _build(owner: Obj) -> Labels:
        version = str(owner["spec"].get("version") or "").removeprefix("v")
        return {
            "version": version,
            "revision": "",
            "branch": "HEAD",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
            "engine": "embedded",
        }

    def _config(self, owner: Obj) -> str:
        """The configuration that the operator generated; without one, the intervals of the custom resource."""
        secret = self._cluster.get(SECRETS, owner["metadata"]["namespace"], f"prometheus-{owner['metadata']['name']}")
        packed = ((secret or {}).get("data") or {}).get("prometheus.yaml.gz")
        if packed:
            return unpacked(packed)
        intervals = {
            "scrape_interval": owner["spec"].get("scrapeInterval", "30s"),
            "evaluation_interval": owner["spec"].get("evaluationInterval", "30s"),
        }
        return str(yaml.dump({"global": intervals}, Dumper=yaml.CSafeDumper))

    def _tsdb(self) -> Obj:
        head = self._db.storage.head()
        top = sorted(head.items(), key=lambda each: (-each[1], each[0]))[:10]
        total = sum(head.values())
        return {
            "headStats": {
                "numSeries": total,
                "numLabelPairs": total * 6,
                "chunkCount": total * 3,
                "minTime": int((self._clock() - 7_200) * 1_000),
                "maxTime": int(self._clock() * 1_000),
            },
            "seriesCountByMetricName": [{"name": name, "value": count} for name, count in top],
            "labelValueCountByLabelName": [],
            "memoryInBytesByLabelName": [],
            "seriesCountByLabelValuePair": [],
        }


def unpacked(packed: str) -> str:
    """The text of a Secret's gzipped value."""
    return gzip.decompress(base64.b64decode(packed)).decode(errors="replace")


def _kind(value: Value) -> str:
    return "vector" if isinstance(value, list) else "string" if isinstance(value, str) else "scalar"


def _instant(value: Value, moment: float) -> Any:
    at = round(moment, 3)
    if isinstance(value, list):
        return [{"metric": labels_text(labels), "value": [at, shown(number)]} for labels, number in value]
    return [at, value if isinstance(value, str) else shown(value)]


def _time(text_: str, default: float | None) -> float:
    if not text_:
        if default is None:
            raise BadParameterError('invalid parameter "start": cannot parse "" to a valid timestamp')
        return default
    try:
        return float(text_)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text_).timestamp()
    except ValueError as error:
        raise BadParameterError(f'invalid parameter "time": cannot parse {text_!r} to a valid timestamp') from error


def _step(text_: str) -> float:
    try:
        step = float(text_)
    except ValueError:
        try:
            step = duration(text_)
        except PromQLError as error:
            raise BadParameterError(f'invalid parameter "step": cannot parse {text_!r} to a valid duration') from error
    if not step > 0:
        raise BadParameterError(
            'invalid parameter "step": zero or negative query resolution step widths are not accepted. '
            "Try a positive integer"
        )
    return step
