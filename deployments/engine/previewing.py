"""What a plan shows of its steps: the server's own dry run as a difference, who holds the fields, the line by hand."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from deployments import diffing, folding, holders
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
    HeadOf,
    Patch,
    StepSpec,
)
from deployments.catalogue.argo import credentials
from deployments.engine.cluster import Cluster, Write
from deployments.engine.document import PlannedStep, fill, words
from deployments.engine.filling import field_manager, filled
from deployments.engine.keys import installation_key
from integrations.errors import Conflict, Forbidden, NotFound, Rejected, TooManyRequests
from integrations.kubernetes.kinds import RESOURCES

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
    if isinstance(effect, Call):
        rows = tuple({"path": s.path, "before": s.before, "after": s.after} for s in effect.shown)
        note = _note(effect)
        return PlannedStep(spec, key, rows, command=command(spec), note=note)
    _must_be_marked(action, spec)
    live = raw[key]
    if key in gone:
        body = fill(getattr(effect, "body", {}), PREVIEW)
        note = "The API server was not asked: a step before this one removes the object first."
        return _with_difference(spec, key, live, body, note)
    try:
        whole = filled(effect, PREVIEW, live)
    except (LookupError, ValueError) as error:
        return PlannedStep(spec, key, command=command(spec), refused=f"{error}.")
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
        return PlannedStep(spec, key, command=command(spec), refused=f"{spec.ref.kind} {spec.name} is not there.")
    try:
        predicted = cluster.send(write, dry_run=True)
    except TooManyRequests as error:
        return PlannedStep(spec, key, command=command(spec), note=f"Not at this moment: {error.sentence}")
    except Conflict as error:
        held = tuple({"field": str(c.get("field", "")), "manager": str(c.get("message", ""))} for c in error.causes)
        return PlannedStep(spec, key, command=command(spec), refused=error.sentence, conflicts=held)
    except (Rejected, Forbidden, NotFound) as error:
        return PlannedStep(spec, key, command=command(spec), refused=error.sentence)
    return _with_difference(spec, key, live, None if isinstance(effect, Delete | Evict) else predicted, "")


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
    spec: StepSpec, key: str, live: dict[str, Any] | None, after: dict[str, Any] | None, note: str
) -> PlannedStep:
    was = diffing.leaves(live, installation_key())
    will = diffing.leaves(after, installation_key())
    changes = diffing.difference(was, will)
    shown = diffing.difference(
        diffing.without(was, diffing.SERVER_FIELDS), diffing.without(will, diffing.SERVER_FIELDS)
    )
    if after is None:
        return PlannedStep(spec, key, _removal(spec, live), command=command(spec))
    rows, folded = folding.fold(shown)
    owned = holders.named(rows, live or {})
    hidden = folded + len(changes) - len(shown)
    return PlannedStep(spec, key, tuple(owned), folded=hidden, command=command(spec), note=note)


def _removal(spec: StepSpec, live: dict[str, Any] | None) -> tuple[dict[str, Any], ...]:
    """A deletion is one row, not one per field."""
    uid = (live or {}).get("metadata", {}).get("uid", "")
    return ({"path": f"{spec.ref.kind} {spec.name}", "before": f"uid {uid}", "after": None},)


# -- the line by hand


def command(spec: StepSpec) -> str:
    """The line that does the same by hand (without the precondition on the reading)."""
    effect = spec.effect
    scope = f"-n {shlex.quote(spec.namespace)} " if spec.namespace else ""
    target = f"{spec.resource} {shlex.quote(spec.name)}"
    match effect:
        case Patch(patch_type, body):
            return f"kubectl {scope}patch {target} --type {patch_type} -p {shlex.quote(_json(body))}"
        case Apply(body, _):
            return f"kubectl apply --server-side -f - <<< {shlex.quote(_json(body))}"
        case Create(body):
            return f"kubectl create -f - <<< {shlex.quote(_json(body))}"
        case Delete(propagation, grace):
            force = f" --grace-period={grace}" if grace is not None else ""
            forced = " --force" if grace == 0 else ""
            return f"kubectl {scope}delete {target} --cascade={propagation.lower()}{force}{forced}"
        case Evict():
            path = RESOURCES["pods"].path(spec.namespace, spec.name, subresource="eviction")
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": _name(spec)}
            return f"kubectl create --raw {shlex.quote(path)} -f - <<< {shlex.quote(_json(body))}"
        case Call(service="github"):
            return _git_command(effect)
        case Call():
            said = f" -d {shlex.quote(_json(effect.body))}" if effect.body is not None else ""
            url = f'"${effect.service.upper()}_URL{fill(effect.path, PREVIEW)}"'
            return f"curl -X {effect.method} -H 'Content-Type: application/json' {url}{said}"
        case _:
            return ""


def _git_command(effect: Call) -> str:
    """The same in a clone of the repository, with Git and GitHub's own command line."""
    body = effect.body or {}
    number = effect.path.rpartition("/")[2]
    match effect.prepared:
        case HeadOf(_, branch):
            made = str(body.get("ref", "")).removeprefix("refs/heads/")
            return f"git fetch origin && git switch -c {shlex.quote(made)} {shlex.quote(f'origin/{branch}')}"
        case FileEdit() as edit:
            message = shlex.quote(fill(str(body.get("message", "")), PREVIEW).partition("\n")[0])
            commit = f"git commit -m {message} -- {shlex.quote(edit.path)}"
            return f"git apply <patch of this plan> && {commit} && git push -u origin HEAD"
    if effect.method == "PATCH":
        return f"gh pr close {shlex.quote(number)}"
    if effect.method == "DELETE":
        return f"git push origin --delete {shlex.quote(effect.path.partition('/git/refs/heads/')[2])}"
    said = {key: shlex.quote(fill(str(body.get(key, "")), PREVIEW)) for key in ("base", "head", "title", "body")}
    return f"gh pr create {' '.join(f'--{key} {text}' for key, text in said.items())}"


def _name(spec: StepSpec) -> dict[str, str]:
    return {"name": spec.name, "namespace": spec.namespace}


def _json(body: Any) -> str:
    return json.dumps(credentials.described(fill(body, PREVIEW)), separators=(",", ":"), ensure_ascii=False)
