"""The kept objects of a list and the checks a change concerns."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from integrations.kubernetes.objects import Pod
from integrations.kubernetes.parts import Meta
from integrations.kubernetes.reader import WatchEvent
from monitoring.models import Check
from monitoring.observer.book import Book
from monitoring.observer.cache import ObjectCache
from monitoring.snapshot import Objects, Snapshot

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def pod(name: str, namespace: str = "a", version: str = "1", **labels: str) -> Pod:
    return Pod(metadata=Meta(name=name, namespace=namespace, resource_version=version, labels=labels))


def event(kind: str, item: Pod) -> WatchEvent:
    return WatchEvent(kind, item, item.metadata.resource_version)


def test_a_change_gives_both_versions_because_either_may_concern_a_check() -> None:
    cache = ObjectCache()
    old, new = pod("x", app="one"), pod("x", version="2", app="two")
    assert cache.apply(event("ADDED", old)) == (old,)
    assert cache.apply(event("MODIFIED", new)) == (old, new)
    assert cache.apply(event("DELETED", new)) == (new,)
    assert len(cache.listing("3", T0).items) == 0


def test_the_deletion_of_what_was_never_seen_is_harmless() -> None:
    cache = ObjectCache()
    gone = pod("x")
    assert cache.apply(event("DELETED", gone)) == (gone,)


def test_a_snapshot_reads_a_namespace_without_reading_the_others() -> None:
    cache = ObjectCache()
    cache.replace([pod("x", "a"), pod("y", "b"), pod("z", "b", app="web")])
    snapshot = Snapshot("c", T0, {Objects("pods"): cache.listing("1", T0)})
    assert {one.metadata.name for one in snapshot.objects("pods")} == {"x", "y", "z"}
    assert [one.metadata.name for one in snapshot.objects("pods", "b", "app=web")] == ["z"]
    assert snapshot.get("pods", "a", "x") == pod("x", "a")
    assert snapshot.get("pods", "a", "y") is None


def test_the_cost_of_a_change_does_not_grow_with_the_cluster() -> None:
    def cost(size: int) -> float:
        cache = ObjectCache()
        cache.replace([pod(f"p{number}", f"n{number % 100}") for number in range(size)])
        best = float("inf")
        for attempt in range(20):
            began = time.perf_counter()
            for number in range(100):
                cache.apply(event("MODIFIED", pod("p0", "n0", str(attempt * 100 + number))))
                cache.listing("1", T0)
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(50_000) < 5 * cost(500)


@pytest.mark.django_db
def test_a_change_concerns_the_checks_that_could_see_it() -> None:
    def check(namespace: str, number: int) -> int:
        params = {"namespace": namespace, "name": "web"}
        return Check.objects.create(
            cluster="c", type="load_balancer_address", params=params, params_hash=str(number)
        ).pk

    here, there = check("a", 1), check("b", 2)
    person = Check.objects.create(cluster="c", type="attestation", params={"statement": "x"}, params_hash="3")
    unknown = Check.objects.create(cluster="c", type="of_an_older_version", params={}, params_hash="4")
    book = Book("c")
    assert book.load() == {here, there}
    book.index()
    assert book.concerned(Objects("services"), [pod("web", "a")]) == {here}
    assert book.concerned(Objects("pods"), [pod("web", "a")]) == set()
    assert {person.pk, unknown.pk} & set(book.checks) == set()
    Check.objects.filter(pk=here).update(retired=True)
    book.load()
    assert set(book.checks) == {there}
