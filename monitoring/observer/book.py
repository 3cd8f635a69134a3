"""Which checks there are, what each needs, and which of them a change concerns.

Belongs to the main thread. Reads Check rows; writes nothing. Checks that need nothing (a person's word) are not
the observer's and are left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common import clock
from integrations.kubernetes.parts import KubeObject
from monitoring.checks import registry
from monitoring.checks.base import Params
from monitoring.collect import covers, widest
from monitoring.models import Check, Evidence
from monitoring.snapshot import Missing, Need, Objects, Snapshot, labels_match

_log = logging.getLogger(__name__)

#: how often a polled need is asked when its check does not say
POLL_SECONDS = 30.0


@dataclass(slots=True)
class Bound:
    """A check, its parsed parameters and what it needed when it was last asked. Times are monotonic seconds."""

    check: Check
    params: Params
    poll_seconds: float
    needs: tuple[Need, ...] = ()
    next_at: float = 0.0
    loaded_at: float = field(default_factory=time.monotonic)
    #: whether anything was ever written of it: what is on record is not replaced by "not read yet"
    on_record: bool = False


@dataclass(slots=True)
class Book:
    """The checks of one cluster by id."""

    cluster: str
    checks: dict[int, Bound] = field(default_factory=dict)
    _by_resource: dict[str, list[tuple[Objects, int]]] = field(default_factory=dict)
    _by_need: dict[Need, list[int]] = field(default_factory=dict)
    _unusable: set[int] = field(default_factory=set)

    def load(self) -> set[int]:
        """Read the Check rows; the ids of those that are new. Database errors are the caller's."""
        rows = {row.pk: row for row in Check.objects.filter(cluster=self.cluster, retired=False)}
        for gone in self.checks.keys() - rows.keys():
            del self.checks[gone]
        fresh = [row for pk, row in rows.items() if pk not in self.checks and pk not in self._unusable]
        recorded = set(Evidence.objects.filter(check_ref__in=[row.pk for row in fresh]).values_list("pk", flat=True))
        for row in fresh:
            bound = self._bind(row)
            if bound is not None:
                bound.on_record = row.pk in recorded
                self.checks[row.pk] = bound
        for pk, bound in self.checks.items():
            bound.check.limit_seconds = rows[pk].limit_seconds
        return {row.pk for row in fresh if row.pk in self.checks}

    def _bind(self, row: Check) -> Bound | None:
        try:
            kind = registry.get(row.type)
            params = registry.parse(row.type, row.params)
        except ValueError as error:
            # A definition of an older version. Its evidence ages to stale, which is the truth.
            self._unusable.add(row.pk)
            _log.warning("check %s is not read: %s", row.pk, error)
            return None
        empty = Snapshot(self.cluster, clock.now())
        needs = _needs(row, params, empty)
        if not needs:
            self._unusable.add(row.pk)
            return None
        return Bound(row, params, float(kind.poll_seconds), needs)

    def ask(self, bound: Bound, snapshot: Snapshot) -> bool:
        """Ask a check again what it needs, with what was read; True when that changed."""
        needs = _needs(bound.check, bound.params, snapshot)
        if needs == bound.needs:
            return False
        bound.needs = needs
        return True

    def index(self) -> None:
        """Note who depends on what, after needs changed."""
        self._by_resource, self._by_need = {}, {}
        for pk, bound in self.checks.items():
            for need in bound.needs:
                if isinstance(need, Objects):
                    self._by_resource.setdefault(need.resource, []).append((need, pk))
                else:
                    self._by_need.setdefault(need, []).append(pk)

    def lists(self) -> list[Objects]:
        """The lists to keep: the widest, without those that another covers."""
        wanted = {need for entries in self._by_resource.values() for need, _ in entries}
        return [need for need in widest(wanted) if isinstance(need, Objects)]

    def polled(self) -> dict[Need, float]:
        """The polled needs with the shortest interval any of their checks asks for, in seconds."""
        return {
            need: min(self.checks[pk].poll_seconds or POLL_SECONDS for pk in members)
            for need, members in self._by_need.items()
        }

    def concerned(self, need: Objects, objects: Iterable[KubeObject]) -> set[int]:
        """The checks that a change to these objects of a list may move."""
        found: set[int] = set()
        entries = self._by_resource.get(need.resource, ())
        for item in objects:
            namespace, labels = item.metadata.namespace, item.metadata.labels
            for wanted, pk in entries:
                if pk not in found and wanted.namespace in ("", namespace) and labels_match(labels, wanted.labels):
                    found.add(pk)
        return found

    def covered_by(self, wide: Objects) -> set[int]:
        """The checks that read from this list."""
        return {pk for need, pk in self._by_resource.get(wide.resource, ()) if covers(wide, need)}

    def asking(self, need: Need) -> list[int]:
        """The checks that need this polled answer."""
        return self._by_need.get(need, [])

    def of_source(self, name: str) -> list[Check]:
        """The checks that read anything from a source."""
        return [bound.check for bound in self.checks.values() if any(need.source == name for need in bound.needs)]


def serving(need: Objects, lists: Mapping[Objects, object]) -> Objects | None:
    """Which of the kept lists serves a need."""
    if need in lists:
        return need
    return next((wide for wide in lists if covers(wide, need)), None)


def _needs(row: Check, params: Params, snapshot: Snapshot) -> tuple[Need, ...]:
    try:
        return tuple(dict.fromkeys(registry.needs(row.type, params, snapshot)))
    except Missing as missing:
        return (missing.need,)
