"""Bugs that somebody could write one day, each with the sentence that reveals it. The harness must catch every one.

``with planted("no_mark"):`` breaks the engine in this process and mends it afterwards. A harness that never failed
proves nothing.
"""

from __future__ import annotations

import dataclasses
import importlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

Plant = Callable[[ExitStack], None]


def _set(stack: ExitStack, module: str, name: str, value: Any) -> None:
    target: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        target = getattr(target, part)
    stack.enter_context(mock.patch.object(target, last, value))


def _original(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def no_version(stack: ExitStack) -> None:
    """Writes without the resourceVersion they were decided on."""
    write_of = _original("deployments.engine.effects", "_write_of")
    _set(
        stack,
        "deployments.engine.effects",
        "_write_of",
        lambda *a: dataclasses.replace(write_of(*a), resource_version=""),
    )


def any_uid(stack: ExitStack) -> None:
    """Takes whatever has the name for the object of the plan."""
    from deployments.engine import settling

    def settle(turn: Any, live: Any, *, unsure: bool) -> Any:
        found = original(turn, live, unsure=unsure)
        return settling.FREE if live is not None and "created anew" in found.sentence else found

    original = settling.settle
    _set(stack, "deployments.engine.settling", "settle", settle)


def no_fingerprint(stack: ExitStack) -> None:
    """Writes over an object that moved since the plan was made."""
    from deployments.engine import settling

    _set(stack, "deployments.engine.settling", "_unmoved", lambda *a: settling.FREE)


def no_mark(stack: ExitStack) -> None:
    """Does not look for its own mark after a lost answer."""
    _set(stack, "deployments.engine.settling", "marked", lambda live: "")


def repeats_at_once(stack: ExitStack) -> None:
    """Sends a write again when its answer was lost, without reading first."""
    from deployments.engine import effects
    from integrations.errors import SourceError

    def send(turn: Any, step: Any, live: Any) -> Any:
        cluster = turn.cluster
        first = cluster.send

        def twice(write: Any, *, dry_run: bool) -> Any:
            try:
                return first(write, dry_run=dry_run)
            except SourceError as error:
                if not error.maybe_done:
                    raise
                return first(dataclasses.replace(write, resource_version=""), dry_run=dry_run)

        with mock.patch.object(cluster, "send", twice):
            return original(turn, step, live)

    original = effects._send
    _set(stack, "deployments.engine.effects", "_send", send)


def early_outcome(stack: ExitStack) -> None:
    """Writes the outcome before the effect."""
    from deployments import fault
    from deployments.engine import effects

    def send(turn: Any, step: Any, live: Any) -> Any:
        ended = effects._made(turn, live, live, recovered=False)
        fault.point("after_effect", turn.index)
        turn.cluster.send(effects._write_of(turn, turn.current_step(), live), dry_run=False)
        return ended

    _set(stack, "deployments.engine.effects", "_send", send)


def no_intent(stack: ExitStack) -> None:
    """Makes the effect before anything of it stands in the database."""
    from deployments.engine import effects
    from deployments.models import Step

    def intent(turn: Any, live: Any) -> Any:
        step = original(turn, live)
        Step.objects.filter(pk=step.pk).update(intent=None)
        return step

    original = effects._write_intent
    _set(stack, "deployments.engine.effects", "_write_intent", intent)


def everybody_claims(stack: ExitStack) -> None:
    """Takes a run that another worker holds."""
    from deployments.engine import lease
    from deployments.models import Run

    def claim(run_id: str, owner: str) -> Any:
        Run.objects.filter(pk=run_id).update(lease_until=None)
        return original(run_id, owner)

    original = lease.claim
    _set(stack, "deployments.engine.lease", "claim", claim)
    _set(stack, "deployments.engine.advance", "claim", claim)


def no_fence(stack: ExitStack) -> None:
    """Lets a worker write that lost its lease."""
    from deployments.engine import journal
    from deployments.models import Run

    @contextmanager
    def write(self: Any) -> Iterator[Any]:
        fence = Run.objects.values_list("fence", flat=True).get(pk=self.claim.run_id)
        self.claim = dataclasses.replace(self.claim, fence=fence)
        with original(self) as entry:
            yield entry

    original = journal.Journal.write
    _set(stack, "deployments.engine.journal", "Journal.write", write)


def no_locks(stack: ExitStack) -> None:
    """Lets two runs work on one target."""
    from deployments.models import Lock

    _set(stack, "deployments.models", "Lock.objects.bulk_create", lambda rows, **_: [Lock for _ in rows])


def no_key(stack: ExitStack) -> None:
    """Takes each click of one form for another."""
    _set(stack, "deployments.services", "_key", lambda *_: uuid.uuid4().hex)
    _set(stack, "deployments.gates", "holder_of", lambda _keys: None)


def key_in_memory(stack: ExitStack) -> None:
    """Keeps the keys of clicks in the web process: the next process has not heard of them."""
    from deployments import services
    from tests.faults.memory import World

    original = services._key

    def key(user: Any, kind: str, given: str) -> str:
        return original(user, kind, f"{given}{World.process}")

    _set(stack, "deployments.services", "_key", key)
    _set(stack, "deployments.gates", "holder_of", lambda _keys: None)


def message_alone(stack: ExitStack) -> None:
    """Trusts ``on_commit`` to be an outbox: what a web process did not send before it died, nobody looks for."""
    from deployments.models import Run

    def begun(*_args: Any) -> list[str]:
        return [pk for pk in original() if Run.objects.get(pk=pk).started_at]

    original = _original("deployments.engine.sweep", "sweep")
    _set(stack, "deployments.engine.sweep", "sweep", begun)


def cancel_by_message(stack: ExitStack) -> None:
    """Tells only the workers that are there that a run is cancelled, as a task queue's *revoke* does."""
    _set(stack, "deployments.services", "unclaimed.move", lambda *_: None)
    _set(stack, "deployments.engine.advance", "_in_doubt", lambda run: True)


def silent_about_cancel(stack: ExitStack) -> None:
    """Takes a cancel, ends otherwise, and says nothing of it."""
    _set(stack, "deployments.engine.journal", "_too_late", lambda run: "")


def success_unseen(stack: ExitStack) -> None:
    """Calls a run succeeded because its steps were made."""
    from deployments.engine import verify

    def look(turn: Any) -> Any:
        return verify._succeed(turn, [], None)

    _set(stack, "deployments.engine.verify", "look", look)


def no_sweep(stack: ExitStack) -> None:
    """Trusts every message to arrive."""
    _set(stack, "deployments.engine.sweep", "sweep", list)
    _set(stack, "deployments.engine.sweep", "due", list)


def deaf_to_cancel(stack: ExitStack) -> None:
    """Does not look whether somebody cancelled."""
    _set(stack, "deployments.engine.advance", "_in_doubt", lambda run: True)


def deaf_to_stop(stack: ExitStack) -> None:
    """Does not look at the stop switch."""
    _set(stack, "deployments.gates", "stop_of", lambda *_: None)


def late_to_stop(stack: ExitStack) -> None:
    """Looks at the stop switch when a turn begins, and not again after the reading that may take seconds."""
    _set(stack, "deployments.engine.holding", "stopped", lambda *_: None)


def patient_with_poison(stack: ExitStack) -> None:
    """Never gives up a run that crashes each worker."""
    _set(stack, "deployments.engine.advance", "MOST_CRASHES", 10**9)


BUGS: dict[str, Plant] = {
    plant.__name__: plant
    for plant in (
        no_version,
        any_uid,
        no_fingerprint,
        no_mark,
        repeats_at_once,
        early_outcome,
        no_intent,
        everybody_claims,
        no_fence,
        no_locks,
        no_key,
        key_in_memory,
        message_alone,
        cancel_by_message,
        silent_about_cancel,
        success_unseen,
        no_sweep,
        deaf_to_cancel,
        deaf_to_stop,
        late_to_stop,
        patient_with_poison,
    )
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The engine of this process with one bug in it; none for the empty name."""
    with ExitStack() as stack:
        if name:
            BUGS[name](stack)
        yield
