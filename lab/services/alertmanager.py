"""Alertmanager's HTTP API v2 over one `AlertState`, and its health endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from lab.services.alerting import AlertState, Entry, Silence, new_silence
from lab.services.cluster import Obj, container_status, seconds
from lab.services.http import Answer, Request, answer, iso, text
from lab.services.promql import Matcher, PromQLError, matcher
from lab.services.routing import parse_matcher

_RESOLVE_TIMEOUT = 300.0
_NO_END = -62135596800.0  # year 1, how Go writes a time that was not given
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_FLAGS = ("active", "silenced", "inhibited", "unprocessed")


def _moment(text_: Any, default: float | None = None) -> float:
    if not text_:
        if default is None:
            raise ValueError("missing time")
        return default
    return datetime.fromisoformat(str(text_)).timestamp()


class AlertmanagerApi:
    """Answers for one Alertmanager resource."""

    def __init__(self, state: AlertState, clock: Callable[[], float]) -> None:
        self.state, self._clock = state, clock

    def handle(self, request: Request, owner: Obj, pod: Obj) -> Answer:
        """The answer; the state has been brought up to date."""
        path = request.path.rstrip("/") or "/"
        if path in ("/-/ready", "/-/healthy"):
            return text("OK")
        if path == "/-/reload":
            return text("") if request.method == "POST" else text("Method Not Allowed\n", 405)
        if path == "/":
            return text("Alertmanager (the lab's own). Its API is at /api/v2.\n")
        if not path.startswith("/api/v2/"):
            return text("404 page not found\n", 404)
        try:
            return self._api(path.removeprefix("/api/v2/"), request, owner, pod)
        except (PromQLError, ValueError, TypeError, KeyError) as error:
            return answer(str(error), 400)

    def _api(self, name: str, request: Request, owner: Obj, pod: Obj) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        match (method, name):
            case ("GET", "status"):
                return answer(self._status(owner, pod))
            case ("GET", "receivers"):
                return answer([{"name": receiver} for receiver in self.state.config.receivers])
            case ("GET", "alerts"):
                return answer([self._alert(entry) for entry in self._wanted(request)])
            case ("GET", "alerts/groups"):
                return answer(self._groups(request))
            case ("POST", "alerts"):
                return self._post_alerts(request.json())
            case ("GET", "silences"):
                return answer(self._silences(request))
            case ("POST", "silences"):
                return self._post_silence(request.json())
        if name.startswith("silence/"):
            return self._silence(method, unquote(name.partition("/")[2]))
        known = name in ("status", "receivers", "alerts", "alerts/groups", "silences")
        return answer(
            {"code": 405 if known else 404, "message": f"path {request.path} was not found"}, 405 if known else 404
        )

    # -- status

    def _status(self, owner: Obj, pod: Obj) -> Obj:
        running = (container_status(pod, "alertmanager").get("state") or {}).get("running") or {}
        began = seconds(running.get("startedAt")) or self._clock()
        return {
            "cluster": {"status": "disabled", "peers": []},
            "versionInfo": {
                "branch": "HEAD",
                "buildDate": "",
                "buildUser": "",
                "goVersion": "",
                "revision": "",
                "version": str(owner["spec"].get("version") or "").removeprefix("v"),
            },
            "config": {"original": self.state.config.text},
            "uptime": iso(began),
        }

    # -- alerts

    def _wanted(self, request: Request) -> list[Entry]:
        show = {flag: request.value(flag, "true").lower() != "false" for flag in _FLAGS}
        filters = [parse_matcher(each) for each in request.values("filter")]
        receiver = request.value("receiver")
        found = []
        for entry in self.state.current(self._clock()):
            if not all(each.fits(entry.labels) for each in filters):
                continue
            if receiver and not any(re.fullmatch(receiver, name) for name in self._receivers(entry)):
                continue
            hidden = (
                (entry.silenced_by and not show["silenced"])
                or (entry.inhibited_by and not show["inhibited"])
                or (entry.state == "active" and not show["active"])
            )
            if not hidden:
                found.append(entry)
        return sorted(found, key=lambda entry: entry.fingerprint)

    def _receivers(self, entry: Entry) -> list[str]:
        return list(dict.fromkeys(route.receiver for route in self.state.config.route.matched(entry.labels)))

    def _alert(self, entry: Entry) -> Obj:
        return {
            "annotations": entry.annotations,
            "endsAt": iso(entry.ends_at),
            "fingerprint": entry.fingerprint,
            "receivers": [{"name": name} for name in self._receivers(entry)],
            "startsAt": iso(entry.starts_at),
            "status": {
                "inhibitedBy": entry.inhibited_by,
                "silencedBy": entry.silenced_by,
                "state": entry.state,
            },
            "updatedAt": iso(entry.updated_at),
            "generatorURL": entry.generator,
            "labels": dict(sorted(entry.labels.items())),
        }

    def _groups(self, request: Request) -> list[Obj]:
        groups: dict[tuple[str, tuple[tuple[str, str], ...]], Obj] = {}
        for entry in self._wanted(request):
            for route in self.state.config.route.matched(entry.labels):
                labels = route.group_of(entry.labels)
                key = (route.receiver, tuple(sorted(labels.items())))
                group = groups.setdefault(key, {"alerts": [], "labels": labels, "receiver": {"name": route.receiver}})
                group["alerts"].append(self._alert(entry))
        return [groups[key] for key in sorted(groups)]

    def _post_alerts(self, source: Any) -> Answer:
        if not isinstance(source, list):
            raise TypeError("alerts must be a list")
        now = self._clock()
        entries = []
        for each in source:
            labels = {str(key): str(value) for key, value in (each.get("labels") or {}).items() if value != ""}
            if not labels:
                return answer("at least one label pair required", 400)
            starts_at = _moment(each.get("startsAt"), now)
            ends_at = _moment(each.get("endsAt"), now + _RESOLVE_TIMEOUT)
            if ends_at < starts_at and ends_at > _NO_END:
                return answer("start time must be before end time", 400)
            annotations = {str(key): str(value) for key, value in (each.get("annotations") or {}).items()}
            ends_at = ends_at if ends_at > _NO_END else now + _RESOLVE_TIMEOUT
            entries.append(Entry(labels, annotations, starts_at, ends_at, now, str(each.get("generatorURL") or "")))
        for entry in entries:
            self.state.take(entry, now)
        self.state.tick(now)
        return Answer(200, {"Content-Type": "application/json"}, b"")

    # -- silences

    def _silences(self, request: Request) -> list[Obj]:
        filters = [parse_matcher(each) for each in request.values("filter")]
        found = [
            silence
            for silence in self.state.silences_by_id.values()
            if all(any(_same(each, own) for own in silence.matchers) for each in filters)
        ]
        return [self._shown(silence) for silence in sorted(found, key=lambda each: each.ends_at)]

    def _shown(self, silence: Silence) -> Obj:
        return {
            "id": silence.id,
            "status": {"state": silence.state(self._clock())},
            "updatedAt": iso(silence.updated_at),
            "comment": silence.comment,
            "createdBy": silence.created_by,
            "endsAt": iso(silence.ends_at),
            "matchers": [
                {
                    "isEqual": each.op in ("=", "=~"),
                    "isRegex": each.op in ("=~", "!~"),
                    "name": each.name,
                    "value": each.value,
                }
                for each in silence.matchers
            ],
            "startsAt": iso(silence.starts_at),
        }

    def _post_silence(self, source: Any) -> Answer:
        now = self._clock()
        old = source.get("id") if isinstance(source, dict) else None
        if old and str(old) not in self.state.silences_by_id:
            return answer("silence not found", 404)

        def match(operator: str, each: Obj) -> Matcher:
            return matcher(str(each["name"]), operator, str(each["value"]))

        silence = new_silence(source, self.state.silences_by_id, now, _moment, match)
        self.state.silence(silence)
        self.state.tick(now)
        return answer({"silenceID": silence.id})

    def _silence(self, method: str, identity: str) -> Answer:
        if not _UUID.fullmatch(identity):
            message = f'silenceID in path must be of type uuid: "{identity}"'
            return answer({"code": 601, "message": message}, 422)
        silence = self.state.silences_by_id.get(identity)
        if silence is None:
            return answer("silence not found", 404)
        if method == "GET":
            return answer(self._shown(silence))
        if method != "DELETE":
            return answer({"code": 405, "message": "method not allowed"}, 405)
        now = self._clock()
        if silence.state(now) != "expired":
            silence.ends_at = silence.updated_at = now
        self.state.tick(now)
        return Answer(200, {"Content-Type": "application/json"}, b"")


def _same(wanted: Matcher, own: Matcher) -> bool:
    return (wanted.name, wanted.op, wanted.value) == (own.name, own.op, own.value)
