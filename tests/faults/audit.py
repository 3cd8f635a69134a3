"""A kube-apiserver's audit log read as a ledger: every write it accepted, in the form the judge takes.

The log (``audit.k8s.io/v1``, one JSON event per line, level RequestResponse for the portal's writes) is the server's
own record: what was asked, by whom, and what the server stored. Events of one object come from concurrent requests and
may be written in another order than they were stored, so order and *before* go by resourceVersion: the version an
object had before a write is the greatest known one below the version it then got. For that the log must hold the
writes of everybody else too, since the server's start. Fields and stages: Kubernetes documentation, *Auditing*.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

MARK = "portal.remediation/run"
_MARK_PATH = "/" + MARK.replace("/", "~1")
_WRITES = ("create", "update", "patch", "delete")
#: questions that are asked with a POST; nothing is stored
_QUESTIONS = ("authorization.k8s.io", "authentication.k8s.io")
Event = dict[str, Any]
Entry = dict[str, Any]


class AuditLog:
    """One growing log. Lines are read once; half a line at the end is read again later."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = self._line = 0
        self._entries: list[Entry] = []
        #: per uid the versions it is known to have had, ascending
        self._versions: dict[str, list[int]] = defaultdict(list)
        #: per object (resource, namespace, name) the uid of the newest one of that name
        self._uids: dict[tuple[str, str, str], str] = {}

    def last(self) -> int:
        """The number of the last line that is there now."""
        self._read()
        return self._line

    def entries(self, since: int = 0) -> list[Entry]:
        """The accepted writes after line ``since``, in the order in which they were stored. No dry runs.

        ``before`` is the version written over (empty: the object was created; ``unknown``: the log does not tell), and
        ``seq`` grows with the order of storing.
        """
        self._read()
        found = [dict(entry) for entry in self._entries if entry["line"] > since]
        for entry in found:
            if entry["before"] is None:
                entry["before"] = self._before(entry)
        return sorted(found, key=lambda entry: (entry["seq"], entry["line"]))

    def _before(self, entry: Entry) -> str:
        if not entry["after"]:
            return ""
        known = self._versions[entry["uid"]]
        at = bisect_left(known, int(entry["after"]))
        return str(known[at - 1]) if at else "unknown"

    def _read(self) -> None:
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._line += 1
                self._take(json.loads(line))

    def _take(self, event: Event) -> None:
        if event.get("stage") != "ResponseComplete" or event["verb"] not in _WRITES:
            return
        target = event.get("objectRef") or {}
        if not 200 <= (event.get("responseStatus") or {}).get("code", 0) < 300 or _dry(event):
            return
        if target.get("apiGroup") in _QUESTIONS or target.get("subresource") in ("token", "proxy", "binding"):
            return
        entry = self._entry(event, target)
        if entry["after"]:
            known = self._versions[entry["uid"]]
            version = int(entry["after"])
            if version in known:
                # a write that changed nothing leaves the version; the first one in the log made it
                entry["no_op"] = True
            else:
                insort(known, version)
        where = (entry["resource"], entry["ns"], entry["name"])
        entry["uid"] = entry["uid"] or self._uids.get(where, "")
        self._uids[where] = entry["uid"]
        self._entries.append(entry)

    def _entry(self, event: Event, target: dict[str, Any]) -> Entry:
        answer = event.get("responseObject") or {}
        stored = (answer.get("metadata") or {}) if answer.get("kind") != "Status" else {}
        gone = event["verb"] == "delete" or target.get("subresource") == "eviction"
        version = "" if gone else str(stored.get("resourceVersion", ""))
        made = event["verb"] == "create" or event["responseStatus"]["code"] == 201
        plural, group = target.get("resource", ""), target.get("apiGroup", "")
        query = parse_qs(urlsplit(event.get("requestURI", "")).query)
        return {
            "line": self._line,
            "seq": int(version) if version else self._newest(),
            "user": (event.get("user") or {}).get("username", ""),
            "user_agent": event.get("userAgent", ""),
            "verb": event["verb"],
            "resource": f"{plural}.{group}" if group else plural,
            "subresource": target.get("subresource", ""),
            "ns": target.get("namespace", ""),
            "name": target.get("name") or stored.get("name", ""),
            "uid": _uid(event, stored, gone=gone),
            "after": version,
            "before": "" if made else None,
            "no_op": False,
            "field_manager": query.get("fieldManager", [""])[0],
            "mark": "" if gone else _mark(event.get("requestObject")),
            "dry_run": False,
        }

    def _newest(self) -> int:
        return max((entry["seq"] for entry in self._entries[-50:]), default=0)


def _dry(event: Event) -> bool:
    """Whether nothing was to be stored: by the query, or by the options in the body of a deletion or an eviction."""
    if "dryRun" in parse_qs(urlsplit(event.get("requestURI", "")).query):
        return True
    body = event.get("requestObject")
    if not isinstance(body, dict):
        return False
    options = body.get("deleteOptions") if body.get("kind") == "Eviction" else body
    return bool((options or {}).get("dryRun")) and body.get("kind") in ("Eviction", "DeleteOptions")


def _uid(event: Event, stored: dict[str, Any], *, gone: bool) -> str:
    """Of the object that was written. A Status names it in its details; else the accepted precondition did, where the
    event holds it (that of an eviction does not)."""
    if stored.get("uid"):
        return str(stored["uid"])
    details = (event.get("responseObject") or {}).get("details") or {}
    if details.get("uid") or not gone:
        return str(details.get("uid", ""))
    body = event.get("requestObject") or {}
    options = body.get("deleteOptions") or body
    return str((options.get("preconditions") or {}).get("uid", ""))


def _mark(body: Any) -> str:
    """The mark this very request carries: in the body of a create or a patch."""
    if isinstance(body, list):
        values = [operation.get("value") for operation in body if str(operation.get("path", "")).endswith(_MARK_PATH)]
        return str(values[-1]) if values else ""
    if not isinstance(body, dict):
        return ""
    return str(((body.get("metadata") or {}).get("annotations") or {}).get(MARK, ""))
