"""Holds what the API server accepted against what the portal says. Pure: rows in, broken promises out.

The ledger is the API server's own record of every effect, dry runs left out; the portal's rows are what it told people.
Each promise has a letter of its own (docs/reliability.md), so that an experiment can say which one was broken.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Mapping[str, Any]

#: a run that ended so says that it knows what was made
_KNOWS = {"succeeded", "failed", "refused", "cancelled", "undone"}
FINAL = {*_KNOWS, "errored", "outcome_unknown"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the portal says: its runs, their steps and log lines, and the clicks it accepted (key → run ids)."""

    runs: Sequence[Row]
    steps: Sequence[Row]
    lines: Sequence[Row] = ()
    clicks: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: per run the steps of its plan, as stored (``document["steps"]``)
    plans: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def violations(ledger: Iterable[Row], told: Told) -> list[str]:
    """Every broken promise, as ``J2: sentence``; none is the only good answer."""
    effects = [entry for entry in ledger if not entry.get("dry_run") and not entry.get("no_op")]
    marked = [entry for entry in effects if entry.get("mark")]
    return [
        *_twice(marked),
        *_taken_away(effects, told),
        *_unannounced(marked, told),
        *_untold(marked, told),
        *_claimed(effects, told),
        *_overlapping(marked),
        *_out_of_order(marked),
        *_decided_on(marked, told),
        *_lines(told),
        *_unfinished(told),
        *_clicks(told),
        *_cancels(marked, told),
    ]


def _twice(marked: Sequence[Row]) -> Iterator[str]:
    """J1: no effect happens twice."""
    for mark, count in Counter(entry["mark"] for entry in marked).items():
        if count > 1:
            yield f"J1: step {mark} had its effect {count} times"


def _taken_away(effects: Sequence[Row], told: Told) -> Iterator[str]:
    """J1 and J2 for what carries no mark: an object is deleted or evicted as often as steps meant to, and no more."""
    intents = [(_op(told, step), _json(step["intent"]) or {}) for step in told.steps]
    meant = Counter(intent.get("uid") for op, intent in intents if op in ("delete", "evict"))
    gone = [entry for entry in effects if entry["verb"] == "delete" or entry.get("subresource") == "eviction"]
    names = {entry["uid"]: entry["name"] for entry in gone}
    for uid, count in Counter(entry["uid"] for entry in gone).items():
        if not meant[uid]:
            yield f"J2: nobody knows who took {names[uid]} ({uid}) away"
        elif count > meant[uid]:
            yield f"J1: {names[uid]} ({uid}) was taken away {count} times, by {meant[uid]} steps"


def _unannounced(marked: Sequence[Row], told: Told) -> Iterator[str]:
    """J2: the intent stands in the database before the effect."""
    steps = {_mark(step): step for step in told.steps}
    for entry in marked:
        step = steps.get(entry["mark"])
        if step is None:
            yield f"J2: nobody knows of the effect {entry['mark']} on {entry['name']}"
        elif not _json(step["intent"]):
            yield f"J2: step {entry['mark']} had its effect without an intent"


def _untold(marked: Sequence[Row], told: Told) -> Iterator[str]:
    """J3: a run that says it knows how it ended tells of every effect it made."""
    steps = {_mark(step): step for step in told.steps}
    states = {run["id"]: run["state"] for run in told.runs}
    for entry in marked:
        step = steps.get(entry["mark"])
        if step is None or states.get(step["run_id"]) not in _KNOWS:
            continue
        if "recovered" not in (_json(step["outcome"]) or {}):
            yield f"J3: run {step['run_id']} is {states[step['run_id']]} and does not tell of step {entry['mark']}"


def _claimed(effects: Sequence[Row], told: Told) -> Iterator[str]:
    """J4: what a run claims to have written, the server accepted; a succeeded one claims all of its plan."""
    marks = {entry.get("mark") for entry in effects}
    gone = {entry["uid"] for entry in effects if entry["verb"] == "delete" or entry.get("subresource") == "eviction"}
    succeeded = {run["id"] for run in told.runs if run["state"] == "succeeded"}
    for step in told.steps:
        op = _op(told, step)
        outcome = _json(step["outcome"]) or {}
        claims = "recovered" in outcome or step["run_id"] in succeeded
        if not claims or op in ("", "call") or "spared" in outcome:
            continue
        there = outcome.get("uid") in gone if op in ("delete", "evict") else _mark(step) in marks
        if not there:
            yield f"J4: run {step['run_id']} claims step {_mark(step)} ({op}), and the server never accepted it"


def _overlapping(marked: Sequence[Row]) -> Iterator[str]:
    """J5: at most one run works on an object at a time."""
    order: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for entry in sorted(marked, key=lambda e: int(e["seq"])):
        runs = order[(entry["resource"], entry["ns"], entry["name"])]
        run = str(entry["mark"]).partition(".")[0]
        if not runs or runs[-1] != run:
            runs.append(run)
    for (resource, _, name), runs in order.items():
        if len(runs) != len(set(runs)):
            yield f"J5: two runs wrote {resource} {name} in turns: {', '.join(runs)}"


def _out_of_order(marked: Sequence[Row]) -> Iterator[str]:
    """J6: steps have their effects in the plan's order."""
    seen: dict[str, int] = {}
    for entry in sorted(marked, key=lambda e: int(e["seq"])):
        run, _, number = str(entry["mark"]).partition(".")
        if int(number) < seen.get(run, 0):
            yield f"J6: step {number} of run {run} had its effect after step {seen[run]}"
        seen[run] = max(seen.get(run, 0), int(number))


def _decided_on(marked: Sequence[Row], told: Told) -> Iterator[str]:
    """J7: the object that was written is the one, and the version, that was compared just before."""
    steps = {_mark(step): step for step in told.steps}
    for entry in marked:
        intent = _json(steps[entry["mark"]]["intent"]) if entry["mark"] in steps else None
        if not intent or entry.get("subresource") == "eviction":
            continue
        if entry.get("before", "") != intent.get("resourceVersion", ""):
            yield (
                f"J7: step {entry['mark']} was decided on version {intent.get('resourceVersion') or 'none'} of "
                f"{entry['name']} and written over {entry.get('before') or 'none'}"
            )
        if intent.get("uid") and intent["uid"] != entry["uid"]:
            yield f"J7: step {entry['mark']} wrote another object of the name {entry['name']}"


def _lines(told: Told) -> Iterator[str]:
    """J8: the log has its lines from 1 without gaps."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for line in told.lines:
        numbers[line["run_id"]].append(int(line["number"]))
    for run in told.runs:
        if run["id"] in numbers and sorted(numbers[run["id"]]) != list(range(1, int(run["line_count"]) + 1)):
            yield f"J8: the log of run {run['id']} has gaps or doubles"


def _unfinished(told: Told) -> Iterator[str]:
    """J9: every accepted run ends, or waits for a person."""
    for run in told.runs:
        if run["state"] not in FINAL and run["state"] != "waiting_for_approval":
            yield f"J9: run {run['id']} is still {run['state']}"


def _clicks(told: Told) -> Iterator[str]:
    """J10: one accepted click is exactly one run."""
    known = {run["id"] for run in told.runs}
    for key, runs in told.clicks.items():
        if len(set(runs)) != 1:
            yield f"J10: the click {key} became {len(set(runs))} runs"
        if not set(runs) <= known:
            yield f"J10: the run of the click {key} is lost"


def _cancels(marked: Sequence[Row], told: Told) -> Iterator[str]:
    """J11: an accepted cancel ends the run as cancelled, or the run says that it came too late; *before* is before."""
    worked = {str(entry["mark"]).partition(".")[0] for entry in marked}
    for run in told.runs:
        if run["state"] == "cancelled":
            if run["id"] in worked and " before it" in run["sentence"]:
                yield f"J11: run {run['id']} had effects, and says: {run['sentence']}"
        elif run["cancel_requested_at"] and run["state"] in FINAL and "came too late" not in run["sentence"]:
            yield f"J11: run {run['id']} took a cancel, is {run['state']}, and does not say why"


def _mark(step: Row) -> str:
    return f"{step['run_id']}.{int(step['index']) + 1}"


def _op(told: Told, step: Row) -> str:
    """The kind of effect of a step; empty for one that only waits."""
    planned = told.plans.get(step["run_id"], ())
    if int(step["index"]) >= len(planned):
        return ""
    effect = planned[int(step["index"])]["spec"].get("effect") or {}
    return str(effect.get("op", ""))


def _json(value: Any) -> Any:
    """A JSON column as SQLite hands it out, or as Django does."""
    return json.loads(value) if isinstance(value, str) else value
