"""The words an item can have, which is worse, and what a command's exit code says (design §4). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class ItemWord(StrEnum):
    """Evidence verdicts, ``stale`` (by the clock), and what only items know."""

    VERIFIED = "verified"
    FAILING = "failing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    STALE = "stale"
    PENDING = "pending"
    CHECKING = "checking"
    WAITING_FOR_APPROVAL = "waiting_for_approval"
    BLOCKED = "blocked"
    ATTESTED = "attested"
    EXEMPT = "exempt"

    @property
    def label(self) -> str:
        """The word as people read it."""
        return self.value.replace("_", " ").capitalize()


#: worst first: the order in which words roll up and in which lists are grouped
ROLL_UP = (
    ItemWord.FAILING,
    ItemWord.BLOCKED,
    ItemWord.WAITING_FOR_APPROVAL,
    ItemWord.DEGRADED,
    ItemWord.STALE,
    ItemWord.UNKNOWN,
    ItemWord.CHECKING,
    ItemWord.PENDING,
    ItemWord.ATTESTED,
    ItemWord.VERIFIED,
    ItemWord.EXEMPT,
)
RANK = {word: rank for rank, word in enumerate(ROLL_UP)}

#: what counts as done; an exempt item is not counted at all
PROVEN = frozenset({ItemWord.VERIFIED, ItemWord.ATTESTED})
#: words that say somebody must act
NOT_MET = frozenset({ItemWord.FAILING, ItemWord.BLOCKED, ItemWord.DEGRADED})
#: words that say nobody can tell
CANNOT_TELL = frozenset({ItemWord.UNKNOWN, ItemWord.STALE})


def worst(words: Iterable[ItemWord], default: ItemWord = ItemWord.PENDING) -> ItemWord:
    """The first of the words in roll-up order; ``default`` when there is none."""
    return min(words, key=RANK.__getitem__, default=default)


def exit_code(words: Iterable[ItemWord]) -> int:
    """1 if an item is failing, blocked or degraded; else 2 if one is unknown or stale; else 0."""
    seen = set(words)
    if seen & NOT_MET:
        return 1
    return 2 if seen & CANNOT_TELL else 0
