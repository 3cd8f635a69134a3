"""The ledger: every accepted write in order, so that a test can hold a client to what it really did.

Beside the requests of clients it holds what the garbage collector and the namespace controller do of themselves, under
the names that these have in a cluster. Seeding a scenario is no effect and is not here.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import dataclass, field

from lab.api.errors import Obj
from lab.api.request import Call

_KEPT = 50_000
MARK = "portal.remediation/run"  # the annotation that a remediation's writes carry; part of their contract with judges
_MARK_IN_BODY = (b"portal.remediation/run", b"portal.remediation~1run")


@dataclass(slots=True)
class Ledger:
    """Bounded; the oldest entries go first. Bodies are kept as digests only."""

    _entries: deque[Obj] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _sequence: int = 0

    def record(
        self, call: Call, before: Obj | None, obj: Obj, now: str, *, gone: bool = False, dry_run: bool | None = None
    ) -> None:
        """Note an accepted write of one object: as it was (None: not there) and as it is, or last was when it is gone.

        `dry_run` is given where the body may ask for it as well as the query.
        """
        dry = call.dry_run if dry_run is None else dry_run
        meta = obj.get("metadata") or {}
        old = _version(before)
        new = old if dry else "" if gone else _version(obj)
        self._sequence += 1
        self._entries.append(
            {
                "seq": self._sequence,
                "time": now,
                "user": call.user.name,
                "user_agent": call.user_agent,
                "verb": call.verb,
                "content_type": call.content_type,
                "resource": call.resource.key if call.resource else call.plural,
                "subresource": call.subresource,
                "ns": meta.get("namespace", call.namespace),
                "name": meta.get("name", call.name),
                "uid": meta.get("uid", ""),
                "resourceVersion": meta.get("resourceVersion", ""),
                "before": old,
                "after": new,
                "gone": gone and not dry,
                "no_op": not dry and bool(old) and old == new and call.subresource != "token",
                "field_manager": call.query.get("fieldManager", ""),
                "mark": _mark(call, before, obj),
                "dry_run": dry,
                "sha256": hashlib.sha256(call.body).hexdigest(),
            }
        )

    def entries(self, after: int = 0) -> list[Obj]:
        """Every accepted write after a sequence number, dry runs too."""
        return [entry for entry in self._entries if entry["seq"] > after]

    def effects(self, since: int = 0) -> list[Obj]:
        """The same without dry runs."""
        return [entry for entry in self.entries(since) if not entry["dry_run"]]

    @property
    def bounds(self) -> Obj:
        """`first` and `last` sequence number kept; a reader whose `since` is below `first` - 1 has missed some."""
        return {"first": self._entries[0]["seq"] if self._entries else 0, "last": self._sequence}


def _version(obj: Obj | None) -> str:
    return str((obj or {}).get("metadata", {}).get("resourceVersion", ""))


def _annotation(obj: Obj | None) -> str:
    return str((((obj or {}).get("metadata") or {}).get("annotations") or {}).get(MARK, ""))


def _mark(call: Call, before: Obj | None, obj: Obj) -> str:
    """The mark that this very request carries. One that an earlier write left on the object is not its own."""
    if not any(mark in call.body for mark in _MARK_IN_BODY):
        return ""
    if call.verb == "delete" or call.subresource in ("eviction", "scale"):
        try:
            body = json.loads(call.body)
        except ValueError:
            return ""
        return _annotation(body) if isinstance(body, dict) else ""
    found = _annotation(obj)
    if call.verb == "update" and found == _annotation(before):
        return ""  # a replacement carries the whole object back, somebody else's mark included
    return found
