"""The registry's promises: what is parsed, what is canonical, and that nothing broken is ever green."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.checks import docs, registry
from monitoring.checks.quantities import parse_duration, parse_quantity, same_duration
from monitoring.snapshot import Missing, Objects, Snapshot
from monitoring.verdict import Verdict, Word

NOW = datetime(2025, 11, 23, 13, 58, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def test_defaults_do_not_change_the_identity_of_a_check() -> None:
    short = registry.canonical("workload_ready", {"namespace": "a", "selector": "app=b"})
    long = registry.canonical(
        "workload_ready", {"selector": "app=b", "kind": "Deployment", "minimum": 1, "namespace": "a"}
    )
    assert short == long
    assert short[0] == {"namespace": "a", "selector": "app=b"}
    assert re.fullmatch(r"[0-9a-f]{64}", short[1])


@pytest.mark.parametrize(
    ("slug", "raw", "says"),
    [
        ("workload_ready", {"namespace": "a", "selecter": "x"}, "unknown field `selecter`"),
        ("workload_ready", {}, "name a namespace"),
        ("workload_ready", {"namespace": "a", "kind": "Pod"}, "Invalid enum value 'Pod'"),
        ("pvc_bound", {"namespace": "a", "size": "20 gigs"}, "Write it like 20Gi"),
        ("no_restarts", {"namespace": "a", "within": "soon"}, "Write it like 15d"),
        ("node_taints", {"node": "a", "taints": ["storage"]}, "Write it like storage=hdd:NoSchedule"),
        ("query", {"expr": "up", "op": "=", "threshold": 1}, "Invalid enum value '='"),
        ("objects_present", {"resource": "podz", "names": ["a"]}, "not a resource this portal reads"),
    ],
)
def test_a_wrong_definition_is_told_what_to_write(slug: str, raw: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        registry.parse(slug, raw)
    assert "Its parameters are" in str(caught.value)


def test_an_unknown_type_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="workload_ready"):
        registry.get("workload_redy")


def test_a_check_that_breaks_reads_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(snapshot: Snapshot, params: Any, now: datetime) -> Verdict:
        raise KeyError("surprise")

    whole = registry.get("nodes")
    monkeypatch.setattr(registry, "get", lambda slug: dataclasses.replace(whole, evaluate=broken))
    verdict = registry.run("nodes", {"count": 1}, Snapshot("demo", NOW), NOW)
    assert verdict.word is Word.UNKNOWN
    assert verdict.cause == "check_broke"
    assert verdict.expected


def test_a_check_that_lacks_a_reading_says_what_its_source_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(snapshot: Snapshot, params: Any, now: datetime) -> Verdict:
        raise Missing(Objects("nodes"), "The API server has not answered since 13:52.")

    whole = registry.get("nodes")
    monkeypatch.setattr(registry, "get", lambda slug: dataclasses.replace(whole, evaluate=lacking))
    verdict = registry.run("nodes", {"count": 1}, Snapshot("demo", NOW), NOW)
    assert (verdict.word, verdict.sentence) == (Word.UNKNOWN, "The API server has not answered since 13:52.")


def test_watched_checks_need_only_what_has_a_watch() -> None:
    params: dict[str, dict[str, Any]] = {
        "workload_ready": {"namespace": "a"},
        "no_restarts": {"namespace": "a"},
        "service_has_endpoints": {"namespace": "a", "name": "b"},
        "load_balancer_address": {"namespace": "a", "name": "b"},
        "pvc_bound": {"namespace": "a"},
        "storage_class": {"name": "a"},
        "nodes": {"count": 1},
        "node_taints": {"node": "a", "taints": ["a:NoSchedule"]},
        "placement": {"namespace": "a", "avoid": ["b"]},
        "argocd_application": {"name": "a"},
        "objects_present": {"resource": "namespaces", "names": ["a"]},
    }
    for kind in registry.all_types():
        if kind.watched:
            needs = registry.needs(kind.slug, params.get(kind.slug, {}), Snapshot("demo", NOW))
            assert needs
            assert all(isinstance(need, Objects) for need in needs), kind.slug
            assert {need.source for need in needs} == {kind.source}, kind.slug


def test_a_polled_check_says_how_often_it_is_read() -> None:
    for kind in registry.all_types():
        if not kind.watched and kind.slug != "attestation":
            assert 0 < kind.poll_seconds < kind.limit_seconds, kind.slug


def test_the_page_about_checks_is_current() -> None:
    written = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
    assert written == docs.page(), "run: python -m monitoring.checks.docs > docs/checks.md"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15d", 1296000), ("120h", 432000), ("30s", 30), ("1h30m", 5400), ("15 days", 1296000), ("3m0s", 180), ("0", 0)],
)
def test_durations_are_read_as_people_and_servers_write_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "d", "15 parsecs", "1h junk", "h1"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_equal_durations_in_other_units_are_the_same() -> None:
    assert same_duration("15d", "360h")
    assert not same_duration("15d", "10d")


@pytest.mark.parametrize(
    ("small", "large"), [("500m", "1"), ("1G", "1Gi"), ("20Gi", "20481Mi"), ("1e3", "1001"), ("999Ki", "1Mi")]
)
def test_quantities_compare_across_units(small: str, large: str) -> None:
    assert parse_quantity(small) < parse_quantity(large)


@given(st.text(max_size=30))
def test_any_text_is_a_quantity_or_a_value_error(text: str) -> None:
    try:
        parse_quantity(text)
    except ValueError as error:
        assert "is not a quantity" in str(error)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        assert "is not a duration" in str(error)
