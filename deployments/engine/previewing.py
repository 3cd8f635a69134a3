"""What a plan shows of its steps: the server's own dry run as a difference, who holds the fields, the line by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployments import diffing, folding, holders
from deployments.aligning import aligned
from deployments.catalogue.action import (
    MARK,
    SERVICES,
    Action,
    Apply,
    Call,
    Create,
    Delete,
    Evict,
    FileEdit,
    Patch,
    StepSpec,
)
from deployments.engine import by_hand
from deployments.engine.cluster import Cluster, Write
from deployments.engine.document import SECRET, PlannedStep, fill, words
from deployments.engine.filling import field_manager, filled
from deployments.engine.keys import installation_key
from integrations.errors import Conflict, Forbidden, NotFound, Rejected, TooManyRequests

#: in place of the uid that a new object will get
UID = "(uid of the new object)"
#: placeholders in previews: a preview belongs to no run and no person yet
PREVIEW = words("<you>", "<run>.<step>", "<time of the run>")

Raw = Mapping[str, dict[str, Any] | None]


def preview(cluster: Cluster, action: Action, spec: StepSpec, raw: Raw, gone: set[str]) -> PlannedStep:
    """A step with the difference its effect would make.

    ``gone``: targets that an earlier step deletes; their dry run would meet the object that is still there.
    """
    key = spec.ref.key(cluster.name)
    effect = spec.effect
    if effect is None:
        return PlannedStep(spec, target=key)
    line = by_hand.command(spec, action.slug)
    if isinstance(effect, Call):
        rows = tuple({"path": s.path, "before": s.before, "after": s.after} for s in effect.shown)
        return PlannedStep(spec, key, rows, command=line, note=_note(effect))
    _must_be_marked(action, spec)
    live = raw[key]
    if key in gone:
        body = fill(getattr(effect, "body", {}), PREVIEW)
        note = "The API server was not asked: a step before this one removes the object first."
        return _with_difference(line, spec, key, live, body, note)
    try:
        whole = filled(effect, PREVIEW, live)
    except (LookupError, ValueError) as error:
        return PlannedStep(spec, key, command=line, refused=f"{error}.")
    write = Write(
        spec.resource,
        spec.namespace,
        spec.name,
        whole,
        field_manager(action.slug, effect),
        uid=str((live or {}).get("metadata", {}).get("uid", "")),
        # no resourceVersion: controllers write a status between our reading and the dry run, which decides nothing
    )
    if isinstance(effect, Delete | Evict) and live is None:
        return PlannedStep(spec, key, command=line, refused=f"{spec.ref.kind} {spec.name} is not there.")
    try:
        predicted = cluster.send(write, dry_run=True)
    except TooManyRequests as error:
        return PlannedStep(spec, key, command=line, note=f"Not at this moment: {error.sentence}")
    except Conflict as error:
        held = tuple({"field": str(c.get("field", "")), "manager": str(c.get("message", ""))} for c in error.causes)
        return PlannedStep(spec, key, command=line, refused=error.sentence, conflicts=held)
    except (Rejected, Forbidden, NotFound) as error:
        return PlannedStep(spec, key, command=line, refused=error.sentence)
    after = None if isinstance(effect, Delete | Evict) else predicted
    return _with_difference(line, spec, key, live, _unborn(predicted) if live is None and after else after, "")


def _note(effect: Call) -> str:
    if isinstance(effect.prepared, FileEdit):
        return (
            f"The file as GitHub has it, blob {effect.prepared.before[:10]}; afterwards it is blob "
            f"{effect.prepared.after[:10]}. Lines that hold credentials are not shown."
        )
    return f"{SERVICES[effect.service]} knows no dry run: this is what the request says."


def _must_be_marked(action: Action, spec: StepSpec) -> None:
    if not isinstance(spec.effect, Patch | Apply | Create):
        return
    if MARK not in spec.effect.body.get("metadata", {}).get("annotations", {}):
        raise AssertionError(f"{action.slug}: a write without the mark could not be found again after a crash")


def _with_difference(
    line: str, spec: StepSpec, key: str, live: dict[str, Any] | None, after: dict[str, Any] | None, note: str
) -> PlannedStep:
    was = diffing.leaves(live, installation_key())
    will = diffing.leaves(aligned(live, after), installation_key())
    changes = diffing.difference(was, will)
    shown = diffing.difference(
        diffing.without(was, diffing.SERVER_FIELDS), diffing.without(will, diffing.SERVER_FIELDS)
    )
    if after is None:
        return PlannedStep(spec, key, _removal(spec, live), command=line)
    rows, folded = folding.fold(_generated(spec, shown))
    owned = holders.named(rows, live or {})
    hidden = folded + len(changes) - len(shown)
    return PlannedStep(spec, key, tuple(owned), folded=hidden, command=line, note=note)


def _unborn(predicted: dict[str, Any]) -> dict[str, Any]:
    """A new object as it will be: a dry run makes up a uid, and repeats it in what the server derives from it (a Job's
    selector and labels); the real one is another. Its status is its controller's."""
    made_up = str(predicted.get("metadata", {}).get("uid", ""))

    def told(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: told(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [told(inner) for inner in value]
        return UID if made_up and value == made_up else value

    return {key: told(value) for key, value in predicted.items() if key != "status"}


def _generated(spec: StepSpec, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A generated secret is said to be one; the hash of its placeholder would look like a value that is known."""
    body = getattr(spec.effect, "body", None)
    texts = body.get("stringData") if isinstance(body, dict) else None
    made = {f"data.{name}" for name, text in (texts or {}).items() if "${run.secret}" in str(text)}
    return [{**row, "after": SECRET} if row["path"] in made else row for row in rows]


def _removal(spec: StepSpec, live: dict[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """A deletion is one row, not one per field."""
    uid = (live or {}).get("metadata", {}).get("uid", "")
    return ({"path": f"{spec.ref.kind} {spec.name}", "before": f"uid {uid}", "after": None},)
