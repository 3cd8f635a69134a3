"""Turns due checks into outcomes: needs, verdict, receipt, age. Pure but for the World it reads; no database."""

from __future__ import annotations

from datetime import datetime

from monitoring.checks import registry
from monitoring.observer.book import Bound
from monitoring.observer.receipts import receipt
from monitoring.observer.world import World
from monitoring.services import Outcome
from monitoring.snapshot import Need, Objects, Reply, Snapshot


def evaluate(bound: Bound, snapshot: Snapshot, world: World, address: str, now: datetime) -> Outcome:
    """One check judged. Its age is that of the oldest thing it rests on."""
    slug = bound.check.type
    verdict = registry.run(slug, bound.params, snapshot, now)
    watches: dict[str, set[str]] = {}
    confirmed: list[datetime] = []
    replies: dict[Need, Reply] = {}
    for need in bound.needs:
        if isinstance(need, Objects):
            watch = world.watch_of(need)
            if watch is not None:
                watches.setdefault(watch.source, set()).add(watch.key)
                confirmed.append(watch.confirmed_at or now)
            continue
        reply = snapshot.replies.get(need)
        if reply is not None:
            replies[need] = reply
    polled = [reply.at for reply in replies.values() if reply.at]
    source = registry.source_of(slug, bound.params)
    return Outcome(
        check=bound.check,
        verdict=verdict,
        observed_at=min(polled) if polled else min(confirmed, default=now),
        receipt=receipt(slug, verdict, watches, replies, address, now),
        command=registry.command(slug, bound.params),
        source=source,
        watched=bool(watches),
    )
