"""How each stored word is shown: its label and icon. The one table behind every chip, block, strip and legend.

Knows words only, never rows. A word that is not in the table is shown as *Unknown*: a page must not fall over, nor turn
green, because something newer wrote the database.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shown:
    """Label, icon of the sprite, and what the word means."""

    label: str
    icon: str
    meaning: str
    spins: bool = False


ITEM_WORDS: dict[str, Shown] = {
    "failing": Shown("Failing", "x-circle", "evidence contradicts the claim"),
    "blocked": Shown("Blocked", "lock-closed", "a named item or gate stops it"),
    "waiting_for_approval": Shown("Waiting for approval", "hand-raised", "only a person is missing; names who"),
    "degraded": Shown("Degraded", "exclamation-triangle", "passes, a warning threshold is crossed"),
    "stale": Shown("Stale", "signal-slash", "evidence is older than its limit"),
    "unknown": Shown("Unknown", "question-mark-circle", "never read, or no source; says why"),
    "checking": Shown("Checking", "arrow-path", "being read right now", spins=True),
    "running": Shown("Running", "arrow-path", "a run is at work on it", spins=True),
    "pending": Shown("Pending", "clock", "not started"),
    "attested": Shown("Attested", "shield-check", "a person says so, with an expiry"),
    "verified": Shown("Verified", "check-circle", "evidence passes and is fresh"),
    "exempt": Shown("Exempt", "minus-circle", "waived until a date, by whom"),
}
RUN_WORDS: dict[str, Shown] = {
    "queued": Shown("Queued", "queue-list", "a worker will take it"),
    "verifying": Shown("Verifying", "arrow-path-rounded-square", "steps done, evidence must hold", spins=True),
    "succeeded": Shown("Succeeded", "check-circle", "the evidence changed and held"),
    "failed": Shown("Failed", "x-circle", "the cluster said no"),
    "errored": Shown("Errored", "bug-ant", "the portal broke, not the cluster"),
    "outcome_unknown": Shown("Outcome unknown", "eye-slash", "nobody can tell; says what was seen"),
    "cancelled": Shown("Cancelled", "stop-circle", "a person stopped it"),
    "refused": Shown("Refused", "no-symbol", "the plan no longer fits, or a person said no"),
    "undone": Shown("Undone", "arrow-uturn-left", "an undo plan has put it back"),
}
ALERT_WORDS: dict[str, Shown] = {
    "firing": Shown("Firing", "bell-alert", "an alert is on"),
    "silenced": Shown("Silenced", "bell-slash", "somebody muted it"),
    "resolved": Shown("Resolved", "check-circle", "it went away"),
}
CLAIM_WORDS: dict[str, Shown] = {
    "confirmed": Shown("Confirmed", "check-circle", "the cluster agrees"),
    "contradicted": Shown("Contradicted", "x-circle", "the cluster says otherwise"),
    "not_checkable": Shown("Not checkable", "question-mark-circle", "no check covers this sentence"),
}
STEP_WORDS: dict[str, Shown] = {
    "intent": Shown("Running", "arrow-path", "its intent is written", spins=True),
    "waiting": Shown("Waiting", "arrow-path", "waits for the cluster", spins=True),
    "planning": Shown("Planning", "arrow-path", "the plan is being made", spins=True),
    "done": Shown("Done", "check-circle", "its outcome is written"),
    "skipped": Shown("Skipped", "minus-circle", "not needed"),
}
WORDS = ITEM_WORDS | RUN_WORDS | ALERT_WORDS | CLAIM_WORDS | STEP_WORDS

#: words that count as proven, and the ones shown quietly as a single line
PROVEN = frozenset({"verified", "attested"})
QUIET = frozenset({"verified", "attested", "exempt"})


def shown(word: str) -> Shown:
    """How to show a stored word; *Unknown* for one nobody knows."""
    return WORDS.get(word, WORDS["unknown"])
