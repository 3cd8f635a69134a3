"""Every recorded failure is named as its file says, and nothing is found where nothing is wrong.

The file name starts with the id that must come first, or with ``healthy`` or ``unknown`` when nothing may be found.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from monitoring.collect import ROUNDS
from monitoring.diagnosis import REMEDIES, all_signatures, diagnose, docs, needs
from monitoring.snapshot import Access, Logs, Objects, Snapshot
from monitoring.verdict import Finding
from tests.diagnosis.recorded import CASES, FILES, FOLDER, NOTHING, Recorded, asked_for, load

each_case = pytest.mark.parametrize("one", CASES, ids=str)


def _found(one: Recorded) -> list[Finding]:
    return diagnose(one.snapshot, one.subject, one.case["taken_at"])


def _holds(texts: tuple[str, ...], wanted: list[str]) -> None:
    for part in wanted:
        assert any(part in text for text in texts), f"{part!r} is in none of {texts}"


@each_case
def test_a_recorded_failure_is_named(one: Recorded) -> None:
    found, expect = _found(one), one.case["expect"]
    if one.first in NOTHING:
        assert found == []
        return
    top = found[0]
    assert [finding.id for finding in found] == expect["ids"], [f.sentence for f in found]
    assert top.id == one.first
    assert top.cause == expect.get("cause", top.cause)
    for part in [expect["sentence"]] if isinstance(expect.get("sentence"), str) else expect.get("sentence", []):
        assert part in top.sentence
    if "remedies" in expect:
        assert list(top.remedies) == expect["remedies"]
    first = expect.get("first_remedies", [])
    assert list(top.remedies[: len(first)]) == first
    for slug, given in expect.get("parameters", {}).items():
        assert top.parameters[slug] == given
    least, most = expect.get("confidence", [0, 1])
    assert least <= top.confidence <= most
    _holds(top.evidence, expect.get("evidence", []))
    _holds(top.consequences, expect.get("consequences", []))
    _holds(top.ruled_out, expect.get("ruled_out", []))


@each_case
def test_a_diagnosis_asks_for_everything_it_reads(one: Recorded) -> None:
    """Cut down to what ``needs`` names, in the rounds that a collection has, the same is found, said and quoted."""
    seen = asked_for(one.snapshot, one.subject)
    told = [(f.id, f.cause, f.sentence, f.evidence, f.remedies, f.parameters) for f in _found(one)]
    found = diagnose(seen, one.subject, one.case["taken_at"])
    assert [(f.id, f.cause, f.sentence, f.evidence, f.remedies, f.parameters) for f in found] == told


@each_case
def test_three_rounds_are_enough(one: Recorded) -> None:
    """What was read in three rounds leaves nothing to ask for."""
    seen = asked_for(one.snapshot, one.subject)
    whole = one.snapshot
    lacking = [need for need in needs(seen, one.subject) if whole.has(need) and not seen.has(need)]
    assert ROUNDS == 3
    assert lacking == []


@each_case
def test_logs_are_read_only_where_something_is_wrong(one: Recorded) -> None:
    """Of containers that are ready: those that restarted lately, and those that did not bring what they should."""
    whole = one.snapshot
    if Objects("pods") not in whole.listings or whole.listings[Objects("pods")].error:
        return
    ready = {
        (pod.metadata.name, status.name)
        for pod in whole.objects("pods")
        for status in pod.status.container_statuses
        if status.ready and not status.last_state.terminated
    }
    asked = {(need.pod, need.container) for need in needs(whole, one.subject) if isinstance(need, Logs)}
    if one.first in {"G14", "G15", "O1"}:
        return
    assert not asked & ready


@each_case
def test_every_finding_can_be_acted_on(one: Recorded) -> None:
    found = _found(one)
    for finding in found:
        _complete(finding)
    confidence = [finding.confidence for finding in found]
    assert confidence == sorted(confidence, reverse=True)


def _complete(finding: Finding) -> None:
    assert finding.evidence
    assert finding.title
    assert finding.sentence.endswith(".")
    assert ".." not in finding.sentence
    assert "  " not in finding.sentence
    assert 0 < finding.confidence <= 1
    assert set(finding.remedies) <= REMEDIES
    assert set(finding.parameters) <= set(finding.remedies)
    assert re.fullmatch(r"[a-z0-9_]+", finding.cause)
    assert finding.reference.startswith("https://")
    assert all(len(line) < 700 for line in finding.evidence)


@each_case
def test_a_refused_connection_to_grafana_is_never_a_cause(one: Recorded) -> None:
    for finding in _found(one):
        said = f"{finding.title} {finding.sentence} {finding.cause}".lower()
        assert "3000" not in said or "refused" not in said
        assert finding.id != "G1"


def test_a_sidecar_that_ended_asks_whether_it_may_list_secrets() -> None:
    one = next(one for one in CASES if one.first == "G9")
    asked = [need for need in needs(one.snapshot, one.subject) if isinstance(need, Access)]
    account = "system:serviceaccount:platform-monitoring:kube-prometheus-stack-grafana"
    assert asked == [Access(account, "list", "secrets")]


def test_an_empty_snapshot_and_an_odd_subject_find_nothing() -> None:
    at = load(FILES[0])["taken_at"]
    empty = Snapshot("demo", at)
    odd: tuple[dict[str, Any], ...] = (
        {},
        {"kind": "alertmanager"},
        {"kind": "grafana"},
        {"kind": "application", "name": "x"},
        {"kind": "no-such"},
    )
    for subject in (*odd, *(one.subject for one in CASES)):
        assert diagnose(empty, subject, at) == []


def test_each_id_has_a_case() -> None:
    """The failure table of the team, and every signature there is."""
    seen = {finding.id for one in CASES for finding in _found(one)}
    table = {f"G{number}" for number in range(2, 23)} | {f"A{number}" for number in range(1, 21)} | {"A9b"}
    assert table | {signature.id for signature in all_signatures()} <= seen
    assert any("(G1)" in line for one in CASES for finding in _found(one) for line in finding.consequences)


def test_signatures_say_what_they_are() -> None:
    for signature in all_signatures():
        assert re.fullmatch(r"[A-Z]\d{1,2}b?", signature.id)
        assert signature.summary.endswith(".")
        assert signature.reference.startswith("https://")


def test_the_page_about_diagnosis_is_made_from_the_signatures() -> None:
    written = (FOLDER.parents[2] / "docs" / "diagnosis.md").read_text(encoding="utf-8")
    assert written == docs.page(), "run: python -m monitoring.diagnosis.docs > docs/diagnosis.md"
