"""The ledger: every accepted write in order, so that a test can hold a client to what it really sent."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field

from lab.api.errors import Obj
from lab.api.request import Call

_KEPT = 50_000


@dataclass(slots=True)
class Ledger:
    """Bounded; the oldest entries go first. Bodies are kept as digests only."""

    _entries: deque[Obj] = field(default_factory=lambda: deque(maxlen=_KEPT))
    _sequence: int = 0

    def record(self, call: Call, obj: Obj, now: str) -> None:
        """Note an accepted write; `obj` is the answer's object, or {} for answers without one."""
        meta = obj.get("metadata") or {}
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
                "ns": call.namespace,
                "name": call.name or meta.get("name", ""),
                "uid": meta.get("uid", ""),
                "resourceVersion": meta.get("resourceVersion", ""),
                "field_manager": call.query.get("fieldManager", ""),
                "dry_run": call.dry_run,
                "sha256": hashlib.sha256(call.body).hexdigest(),
            }
        )

    def entries(self, after: int = 0) -> list[Obj]:
        return [entry for entry in self._entries if entry["seq"] > after]
