"""From readings to the words of items: exempt, pending, blocked, waiting, checking, and one cause said once. Pure.

Readings, attestations and the clock are arguments; nothing is read here. A word is never better than its evidence: what
this module adds can only explain an item that is not proven, or hold back one that is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from portal.checklists.selectors.memo import Memo
from portal.checklists.selectors.shapes import CheckRow
from portal.checklists.words import CANNOT_TELL, NOT_MET, PROVEN, RANK, ItemWord, worst


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What the word of one item follows from."""

    id: int
    key: str
    title: str
    phase_id: int
    position: int
    #: readings of its checks in the order of the definition, an attestation among them
    checks: tuple[CheckRow, ...] = ()
    blocked_by: tuple[str, ...] = ()
    exempt: bool = False
    exempt_sentence: str = ""
    remedies: bool = False
    waiting_sentence: str = ""
    checking: bool = False


@dataclass(frozen=True, slots=True)
class PhaseFacts:
    """A phase and whether it may be held back by its gate."""

    id: int
    number: int
    gate_id: int | None = None
    started: bool = True


@dataclass(frozen=True, slots=True)
class Derived:
    """The word of one item and why."""

    word: ItemWord
    evidence_word: ItemWord
    last_word: ItemWord
    sentence: str
    cause: str
    blocked_by: int | None = None
    closes_with: int | None = None
    failing_checks: frozenset[int] = field(default=frozenset())


def leading(checks: Iterable[CheckRow]) -> CheckRow | None:
    """The check whose word is the item's: the worst, the first among equals."""
    return min(checks, key=lambda row: RANK[row.word], default=None)


def derive(items: Sequence[ItemFacts], phases: Iterable[PhaseFacts], memo: Memo | None = None) -> dict[int, Derived]:
    """The words of all items of a project, by item id. Unknown keys in ``blocked_by`` are ignored."""
    resolver = _Resolver(items, memo or Memo())
    closed: dict[int, str] = {}
    for phase in sorted(phases, key=lambda each: each.number):
        if phase.gate_id is not None and not phase.started:
            sentence = resolver.gate_sentence(phase.gate_id, closed)
            if sentence:
                closed[phase.id] = sentence
    words = {item.id: resolver.word(item, closed) for item in items}
    return _say_once(items, words)


class _Resolver:
    """Follows ``blocked_by`` with a memory, so that each item is derived once."""

    def __init__(self, items: Sequence[ItemFacts], memo: Memo) -> None:
        self._memo = memo
        self._by_key = {item.key: item for item in items}
        self._items = items
        self._known: dict[int, Derived] = {}
        self._open: set[int] = set()

    def gate_sentence(self, phase_id: int, closed: Mapping[int, str]) -> str:
        """Why the gate behind this phase is closed, or nothing."""
        own = [item for item in self._items if item.phase_id == phase_id and not item.exempt]
        waiting = sum(self.word(item, closed).evidence_word not in PROVEN for item in own)
        if not waiting:
            return ""
        return (
            f"Not started: the gate is closed, {waiting} {'item is' if waiting == 1 else 'items are'} open before it."
        )

    def word(self, item: ItemFacts, closed: Mapping[int, str]) -> Derived:
        if item.id not in self._known:
            if item.id in self._open:  # a cycle in blocked_by: the evidence alone speaks
                return self._evidence(item)
            self._open.add(item.id)
            self._known[item.id] = self._derive(item, closed)
            self._open.discard(item.id)
        return self._known[item.id]

    def _evidence(self, item: ItemFacts) -> Derived:
        return self._memo.of(("evidence", item.id), _from_evidence, item)

    def _derive(self, item: ItemFacts, closed: Mapping[int, str]) -> Derived:
        own = self._evidence(item)
        if item.exempt:
            return _with(own, ItemWord.EXEMPT, item.exempt_sentence)
        if own.word in PROVEN:
            return _with(own, ItemWord.CHECKING, own.sentence) if item.checking else own
        if item.phase_id in closed:
            return _with(own, ItemWord.PENDING, closed[item.phase_id], "gate_closed")
        blocker = self._blocker(item, own.word, closed)
        if blocker is not None:
            why = self._known[blocker.id].word.label.lower() if blocker.id in self._known else "not proven"
            said = f"Waits for “{blocker.title}”, which is {why}."
            return _with(own, ItemWord.BLOCKED, said, "blocked", blocked_by=blocker.id)
        if item.waiting_sentence:
            return _with(own, ItemWord.WAITING_FOR_APPROVAL, item.waiting_sentence)
        never_read = own.word is ItemWord.UNKNOWN and all(check.observed_at is None for check in item.checks)
        if item.checking and (own.word is ItemWord.PENDING or never_read):
            return _with(own, ItemWord.CHECKING, "A reading was asked for and has not come yet.")
        return own

    def _blocker(self, item: ItemFacts, own: ItemWord, closed: Mapping[int, str]) -> ItemFacts | None:
        """The first named item that is known not to be proven. What nobody can see blocks nothing."""
        for key in item.blocked_by:
            other = self._by_key.get(key)
            if other is None or other.id == item.id:
                continue
            word = self.word(other, closed).word
            if word in PROVEN or word is ItemWord.EXEMPT or word in CANNOT_TELL or word is ItemWord.CHECKING:
                continue
            if word is ItemWord.PENDING and own not in NOT_MET:
                continue
            return other
        return None


def _from_evidence(item: ItemFacts) -> Derived:
    row = leading(item.checks)
    if row is None:
        sentence = "No check is bound to this item yet."
        return Derived(ItemWord.PENDING, ItemWord.PENDING, ItemWord.PENDING, sentence, "no_checks")
    failing = frozenset(check.check_id for check in item.checks if check.word is ItemWord.FAILING and check.check_id)
    last = worst((check.last_word for check in item.checks), row.last_word)
    sentence = row.sentence if row.word not in PROVEN else _all_good(item.checks)
    return Derived(row.word, row.word, last, sentence, row.cause, failing_checks=failing)


#: what a proven item says about itself fits one line of a list
_LINE = 160


def _all_good(checks: Sequence[CheckRow]) -> str:
    """What a proven item shows: what its checks saw, as much as fits one line."""
    seen = dict.fromkeys(check.sentence or check.observed for check in checks)
    said = ""
    for text in filter(None, seen):
        if said and len(said) + len(text) > _LINE:
            break
        said = f"{said} {text}".lstrip()
    return said


def _with(own: Derived, word: ItemWord, sentence: str, cause: str = "", *, blocked_by: int | None = None) -> Derived:
    return Derived(
        word,
        own.evidence_word,
        own.last_word,
        sentence or own.sentence,
        cause or own.cause,
        blocked_by=blocked_by,
        failing_checks=own.failing_checks,
    )


def _say_once(items: Sequence[ItemFacts], words: dict[int, Derived]) -> dict[int, Derived]:
    """An item whose failing checks all fail for another item too closes with it: the checks are the same rows.

    The other item is the wider one; among equals the one with a remedy, then the earlier one.
    """
    failing = [item for item in items if words[item.id].word is ItemWord.FAILING and words[item.id].failing_checks]
    ranked = sorted(failing, key=lambda i: (-len(words[i.id].failing_checks), not i.remedies, i.position, i.id))
    for index, item in enumerate(ranked):
        own = words[item.id]
        root = next((r for r in ranked[:index] if own.failing_checks <= words[r.id].failing_checks), None)
        if root is None:
            continue
        said = f"{own.sentence.rstrip()} Closes with “{root.title}”."
        words[item.id] = Derived(
            own.word,
            own.evidence_word,
            own.last_word,
            said,
            own.cause,
            closes_with=root.id,
            failing_checks=own.failing_checks,
        )
    return words


def roots(words: Mapping[int, Derived]) -> set[int]:
    """The items behind all failing and blocked ones: follow *blocked by* and *closes with* to their ends."""
    found = set()
    for start, derived in words.items():
        if derived.word not in NOT_MET:
            continue
        at, seen = start, {start}
        while True:
            onward = words[at].blocked_by or words[at].closes_with
            if onward is None or onward in seen or onward not in words:
                break
            seen.add(onward)
            at = onward
        found.add(at)
    return found


@dataclass(frozen=True, slots=True)
class Signed:
    """The newest attestation of an item that was not withdrawn."""

    by: str
    at: datetime
    expires_at: datetime
    statement: str


def attestation_row(statement: str, valid_days: int, signed: Signed | None, now: datetime) -> CheckRow:
    """A person's word as a check row: ``attested`` while it holds, ``stale`` after, ``pending`` before."""
    if signed is None:
        word, last, at, due = ItemWord.PENDING, ItemWord.PENDING, None, None
        sentence, observed = f"Needs a person's word: {statement or 'that it is done.'}", "nobody attested it"
    elif signed.expires_at > now:
        word, last, at, due = ItemWord.ATTESTED, ItemWord.ATTESTED, signed.at, signed.expires_at
        sentence = f"{signed.by} attested it on {signed.at:%-d %B %Y}; expires {signed.expires_at:%-d %B %Y}."
        observed = f"attested by {signed.by}, expires {signed.expires_at:%-d %B %Y}"
    else:
        word, last, at, due = ItemWord.STALE, ItemWord.ATTESTED, signed.at, None
        sentence = f"The word of {signed.by} expired on {signed.expires_at:%-d %B %Y}: attest it again."
        observed = f"expired {signed.expires_at:%-d %B %Y}"
    return CheckRow(
        check_id=0,
        type="attestation",
        title="A person attests it",
        word=word,
        last_word=last,
        sentence=sentence,
        cause="" if word is ItemWord.ATTESTED else "not_attested",
        expected=statement,
        observed=observed,
        source="attestation",
        observed_at=at,
        limit_seconds=valid_days * 86_400,
        command="",
        watched=False,
        falls_due=due,
        facts={},
        params={"statement": statement, "valid_days": valid_days},
    )
