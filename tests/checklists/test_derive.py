"""From readings to words, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from portal.checklists.selectors.derive import ItemFacts, PhaseFacts, Signed, attestation_row, derive, roots
from portal.checklists.selectors.shapes import CheckRow
from portal.checklists.words import PROVEN, ItemWord

NOW = datetime(2025, 11, 23, 14, 0, tzinfo=UTC)
W = ItemWord
ONE_PHASE = [PhaseFacts(1, 1)]


def row(word: str, check_id: int = 1, *, read: bool = True, cause: str = "", sentence: str = "") -> CheckRow:
    return CheckRow(
        check_id, "x", "X", W(word), W(word), sentence or f"{word}.", cause, "", f"seen {check_id}", "kubernetes",
        NOW if read else None, 60, "", False, None, {}, {},
    )  # fmt: skip


def facts(pk: int, *checks: CheckRow, **more: object) -> ItemFacts:
    values: dict[str, object] = {"phase_id": 1, "position": pk} | more
    return ItemFacts(id=pk, key=f"i{pk}", title=f"Item {pk}", checks=checks, **values)  # type: ignore[arg-type]


def test_an_item_reads_what_the_worst_of_its_checks_reads() -> None:
    derived = derive([facts(1, row("verified"), row("failing", 2, cause="gone", sentence="It is gone."))], ONE_PHASE)[1]
    assert (derived.word, derived.cause, derived.sentence) == (W.FAILING, "gone", "It is gone.")


def test_an_item_without_checks_is_pending() -> None:
    assert derive([facts(1)], ONE_PHASE)[1].word is W.PENDING


def test_a_verified_item_says_what_was_seen() -> None:
    checks = [row("verified", 1, sentence="2/2 ready."), row("verified", 2, sentence="20Gi Bound.")]
    assert derive([facts(1, *checks, checks[0])], ONE_PHASE)[1].sentence == "2/2 ready. 20Gi Bound."
    long = row("verified", 3, sentence="x" * 200)
    assert derive([facts(1, checks[0], long)], ONE_PHASE)[1].sentence == "2/2 ready."


def test_an_item_behind_a_failing_one_is_blocked_and_names_it() -> None:
    items = [
        facts(1, row("failing")),
        facts(2, row("unknown", 2), blocked_by=("i1",)),
        facts(3, row("failing", 3), blocked_by=("i2",)),
    ]
    derived = derive(items, ONE_PHASE)
    assert (derived[2].word, derived[2].blocked_by) == (W.BLOCKED, 1)
    assert "Item 1" in derived[2].sentence
    assert "failing" in derived[2].sentence
    assert (derived[3].word, derived[3].blocked_by) == (W.BLOCKED, 2)
    assert roots(derived) == {1}


def test_what_nobody_can_see_blocks_nothing() -> None:
    items = [facts(1, row("unknown")), facts(2, row("unknown", 2), blocked_by=("i1",))]
    assert derive(items, ONE_PHASE)[2].word is W.UNKNOWN


def test_a_proven_item_stays_proven_behind_a_failing_one() -> None:
    items = [facts(1, row("failing")), facts(2, row("verified", 2), blocked_by=("i1",))]
    assert derive(items, ONE_PHASE)[2].word is W.VERIFIED


def test_an_exempt_item_blocks_nothing_and_is_exempt_whatever_it_reads() -> None:
    items = [
        facts(1, row("failing"), exempt=True, exempt_sentence="Waived."),
        facts(2, row("failing", 2), blocked_by=("i1",)),
    ]
    derived = derive(items, ONE_PHASE)
    assert (derived[1].word, derived[1].sentence) == (W.EXEMPT, "Waived.")
    assert derived[2].word is W.FAILING


def test_items_that_block_each_other_end_somewhere() -> None:
    items = [facts(1, row("failing"), blocked_by=("i2",)), facts(2, row("failing", 2), blocked_by=("i1",))]
    derived = derive(items, ONE_PHASE)
    assert {derived[1].word, derived[2].word} <= {W.FAILING, W.BLOCKED}
    assert roots(derived)


def test_behind_a_closed_gate_nothing_has_started() -> None:
    phases = [PhaseFacts(1, 1), PhaseFacts(2, 2, gate_id=1, started=False)]
    items = [
        facts(1, row("failing")),
        facts(2, row("failing", 2), phase_id=2),
        facts(3, row("verified", 3), phase_id=2),
    ]
    derived = derive(items, phases)
    assert derived[2].word is W.PENDING
    assert derived[2].cause == "gate_closed"
    assert "1 item is open" in derived[2].sentence
    assert derived[3].word is W.VERIFIED


def test_an_open_gate_lets_items_read_what_they_read() -> None:
    phases = [PhaseFacts(1, 1), PhaseFacts(2, 2, gate_id=1, started=False)]
    items = [facts(1, row("verified")), facts(2, row("failing", 2), phase_id=2)]
    assert derive(items, phases)[2].word is W.FAILING


def test_a_phase_that_has_begun_is_not_hidden_by_its_gate() -> None:
    phases = [PhaseFacts(1, 1), PhaseFacts(2, 2, gate_id=1, started=True)]
    items = [facts(1, row("failing")), facts(2, row("failing", 2), phase_id=2)]
    assert derive(items, phases)[2].word is W.FAILING


def test_one_cause_is_said_once() -> None:
    shared = row("failing", 9, sentence="OutOfSync.")
    items = [facts(2, shared), facts(1, row("failing", 1), shared, remedies=True), facts(3, row("failing", 3))]
    derived = derive(items, ONE_PHASE)
    assert derived[2].closes_with == 1
    assert derived[2].sentence == "OutOfSync. Closes with “Item 1”."
    assert derived[1].closes_with is None
    assert derived[3].closes_with is None
    assert roots(derived) == {1, 3}


def test_waiting_for_a_person_replaces_failing_and_not_blocked() -> None:
    items = [
        facts(1, row("failing"), waiting_sentence="Plan waits."),
        facts(2, row("failing", 2), waiting_sentence="Plan waits.", blocked_by=("i3",)),
        facts(3, row("failing", 3)),
        facts(4, row("verified", 4), waiting_sentence="Plan waits."),
    ]
    derived = derive(items, ONE_PHASE)
    assert [derived[pk].word for pk in (1, 2, 3, 4)] == [W.WAITING_FOR_APPROVAL, W.BLOCKED, W.FAILING, W.VERIFIED]


def test_checking_never_hides_a_failing_item() -> None:
    items = [
        facts(1, row("failing"), checking=True),
        facts(2, row("unknown", 2, read=False), checking=True),
        facts(3, row("verified", 3), checking=True),
    ]
    derived = derive(items, ONE_PHASE)
    assert [derived[pk].word for pk in (1, 2, 3)] == [W.FAILING, W.CHECKING, W.CHECKING]
    assert derived[3].evidence_word is W.VERIFIED


def test_a_persons_word_holds_until_it_expires() -> None:
    signed = Signed("ann", NOW - timedelta(days=10), NOW + timedelta(days=20), "Done.")
    assert attestation_row("Done.", 30, signed, NOW).word is W.ATTESTED
    expired = attestation_row("Done.", 30, signed, NOW + timedelta(days=21))
    assert (expired.word, expired.last_word) == (W.STALE, W.ATTESTED)
    assert attestation_row("Done.", 30, None, NOW).word is W.PENDING


def test_checks_and_a_persons_word_together_are_the_persons() -> None:
    signed = Signed("ann", NOW, NOW + timedelta(days=1), "Done.")
    attested = attestation_row("Done.", 30, signed, NOW)
    assert derive([facts(1, row("verified"), attested)], ONE_PHASE)[1].word is W.ATTESTED
    assert derive([facts(1, row("failing"), attested)], ONE_PHASE)[1].word is W.FAILING


WORDS = st.sampled_from(["verified", "failing", "degraded", "unknown", "stale"])
ITEMS = st.lists(
    st.tuples(st.lists(WORDS, max_size=3), st.lists(st.integers(0, 5), max_size=2), st.booleans(), st.booleans()),
    max_size=6,
)


@given(ITEMS)
def test_no_item_is_proven_without_proven_evidence(described: list[tuple[list[str], list[int], bool, bool]]) -> None:
    items = [
        facts(
            pk,
            *(row(word, 10 * pk + n) for n, word in enumerate(words, start=1)),
            blocked_by=tuple(f"i{other}" for other in blockers),
            checking=checking,
            waiting_sentence="Waits." if waiting else "",
        )
        for pk, (words, blockers, checking, waiting) in enumerate(described)
    ]
    derived = derive(items, ONE_PHASE)
    for item in items:
        good = bool(item.checks) and all(check.word in PROVEN for check in item.checks)
        assert (derived[item.id].word in PROVEN) == (good and not item.checking)
        assert derived[item.id].sentence
