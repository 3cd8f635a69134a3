"""``python -m tests.faults.storm --runs 300 --seed 7``: runs of many actions, each in trouble, judged by the ledger.

Real processes: an API server over HTTPS, a redis-server, Celery workers, an observer, and a web process that people
click in. The API server is the lab's, or with ``--against KUBECONFIG --audit FILE`` a real one, judged by its audit
log. Prints a line per run and a table at the end; exits 1 on the first broken promise. The same seed gives the same
actions and troubles.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import deeds
from tests.faults.clusters import Cluster, LabCluster, RealCluster
from tests.faults.distrust import DISTRUST
from tests.faults.harness import Stage, wait_for
from tests.faults.identities import WRITER
from tests.faults.judge import Told, violations
from tests.faults.planted import BUGS
from tests.faults.trouble import TROUBLES, Trouble
from tests.faults.unseen import UNSEEN
from tests.faults.web import served

NAMESPACE = "platform-monitoring"
_MANIFESTS = """apiVersion: v1
kind: ConfigMap
metadata: {name: storm-%(n)s-a}
data: {run: "%(n)s"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: storm-%(n)s-b}
data: {run: "%(n)s"}
"""
Params = dict[str, Any]
#: each comes once before any comes again
ALL: tuple[Trouble, ...] = (*TROUBLES, *UNSEEN, *DISTRUST)
#: seconds within which a run must have ended, whatever was done to it and however busy the machine is
_PATIENCE = 240.0
#: factor on all durations of the lab's controllers and kubelets
_SPEED = 0.2


def _label(_stage: Stage, number: int) -> Params:
    kind = {"kind": "Deployment", "namespace": NAMESPACE, "name": "kube-prometheus-stack-kube-state-metrics"}
    return {"action": "set-label", "params": {**kind, "key": "storm", "value": f"n{number}"}}


def _taint(_stage: Stage, number: int) -> Params:
    return {"action": "taint", "params": {"node": "worker03", "key": f"storm-{number}", "effect": "PreferNoSchedule"}}


def _refresh(_stage: Stage, _number: int) -> Params:
    return {"action": "refresh-application", "params": {"application": "kube-prometheus-stack", "mode": "hard"}}


def _apply(_stage: Stage, number: int) -> Params:
    params = {"set": f"storm-{number}", "namespace": NAMESPACE, "manifests": _MANIFESTS % {"n": number}}
    return {"action": "apply-set", "params": {**params, "hold_seconds": "1"}}


def _pod(stage: Stage, action: str) -> Params:
    """A pod of kube-state-metrics that is ready: its controller makes another."""
    selector = {"labelSelector": "app.kubernetes.io/name=kube-state-metrics"}

    def ready() -> str:
        found = stage.api.get(f"/api/v1/namespaces/{NAMESPACE}/pods", params=selector).raise_for_status().json()
        for pod in found["items"]:
            conditions = pod["status"].get("conditions", [])
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions) and not pod["metadata"].get(
                "deletionTimestamp"
            ):
                return str(pod["metadata"]["name"])
        return ""

    return {"action": action, "params": {"namespace": NAMESPACE, "name": wait_for("a ready pod", ready, _PATIENCE)}}


def _delete_pod(stage: Stage, _number: int) -> Params:
    return _pod(stage, "delete-pod")


def _evict_pod(stage: Stage, _number: int) -> Params:
    return _pod(stage, "evict-pod")


#: what is run, each kind of effect: patches, one of a custom resource, applies, deletion, eviction, creation, a call
ACTIONS: tuple[Callable[[Stage, int], Params], ...] = (
    *(_label, _taint, _refresh, _apply, _delete_pod, _evict_pod),
    *(deeds.run_cronjob, deeds.silence),
)


@dataclass(slots=True)
class Outcome:
    """One run of the storm."""

    number: int
    action: str
    trouble: str
    detail: str
    state: str
    seconds: float
    broken: list[str] = field(default_factory=list)
    #: the run never came to the point where it was to be killed
    missed: bool = False
    #: how many writes of it the API server accepted
    effects: int = 0
    #: what each click got
    runs: list[str] = field(default_factory=list)


def one(
    stage: Stage, number: int, trouble: Trouble, make: Callable[[Stage, int], Params], dice: random.Random
) -> Outcome:
    """One run under one trouble."""
    try:
        wish = make(stage, number)
        form = stage.person.plan(wish["action"], wish["params"])
    except AssertionError as error:
        return Outcome(number, make.__name__.strip("_"), trouble.name, "", "no plan", 0.0, [f"no plan: {error}"])
    stage.since, stage.steps = stage.last_seq(), _steps(stage, form.plan)
    detail = trouble.before(stage, dice)
    began = time.monotonic()
    runs = stage.person.click(form, trouble.clicks)
    broken = [f"click: {run}" for run in runs if len(run) != 26]
    state = "refused"
    if not broken:
        try:
            trouble.after(stage, dice, runs[0])
            state = str(stage.ended(runs[0], _PATIENCE)["state"])
        except AssertionError as error:
            broken.append(str(error))
    seconds = time.monotonic() - began
    missed = stage.fault.exists()
    trouble.heal(stage)
    ledger = [*stage.ledger(stage.since), *deeds.silences(stage, runs)]
    if not broken:
        broken = _judged(ledger, stage.told(runs, {form.key: runs}))
        if state not in trouble.ends and not (state == "succeeded" and wish["action"] in trouble.spares):
            broken.append(f"ended as {state}: {stage.row(runs[0])['sentence']}")
    return Outcome(number, wish["action"], trouble.name, detail, state, seconds, broken, missed, len(ledger), runs)


def _steps(stage: Stage, plan: str) -> int:
    row = stage.rows("SELECT document FROM deployments_plan WHERE hash = ?", plan)[0]
    return len(json.loads(row["document"])["steps"])


def storm(
    stage: Stage,
    runs: int,
    seed: int,
    tell: Callable[[Outcome], None],
    troubles: Sequence[Trouble] = ALL,
    minutes: float = 24 * 60,
) -> list[Outcome]:
    """So many runs, or as many as there is time for; every trouble comes about equally often. Stops at the first broken
    promise."""
    ends = time.monotonic() + minutes * 60
    dice = random.Random(seed)
    done: list[Outcome] = []
    began = stage.last_seq()
    actions = [make for make in ACTIONS if make is not deeds.run_cronjob or deeds.has_cronjobs(stage)]
    order: list[Trouble] = []
    for number in range(1, runs + 1):
        if not order:
            order = dice.sample(troubles, len(troubles))
        trouble = order.pop()
        unstruck = trouble.must_strike and not stage.cluster.strikes_calls
        able = [make for make in actions if not (unstruck and make is deeds.silence)]
        outcome = one(stage, number, trouble, dice.choice(able), dice)
        done.append(outcome)
        tell(outcome)
        if outcome.broken:
            return done
        if time.monotonic() > ends:
            break
    done[-1].broken = [f"over all runs: {broken}" for broken in _altogether(stage, began, done)]
    return done


def _altogether(stage: Stage, began: int, done: Sequence[Outcome]) -> list[str]:
    """All runs once more, against the whole ledger: what came after its run had ended is in no run's own part."""
    clicks = {f"storm-{outcome.number}": outcome.runs for outcome in done}
    runs = sorted({run for each in clicks.values() for run in each})
    return _judged([*stage.ledger(began), *deeds.silences(stage, runs)], stage.told(runs, clicks))


def _judged(ledger: Sequence[Mapping[str, Any]], told: Told) -> list[str]:
    strangers = [f"P9: {e['verb']} {e['name']} by {e['user']}" for e in ledger if e["user"] != WRITER]
    return [*violations(ledger, told), *strangers]


def table(done: Sequence[Outcome], seed: int) -> str:
    """How many runs under each trouble, and how long they took from the click to their end."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in done:
        groups[outcome.trouble].append(outcome)
    lines = ["| trouble | runs | struck | ended | median s | longest s |", "|---|---|---|---|---|---|"]
    for name in sorted(groups):
        seconds = [o.seconds for o in groups[name]]
        states = ", ".join(sorted({o.state.replace("_", " ") for o in groups[name]}))
        struck = sum(not o.missed for o in groups[name])
        lines.append(
            f"| {name} | {len(seconds)} | {struck} | {states} | {statistics.median(seconds):.1f} | {max(seconds):.1f} |"
        )
    broken = sum(bool(o.broken) for o in done)
    lines.append("")
    effects = sum(o.effects for o in done)
    lines.append(
        f"{len(done)} runs, seed {seed}: {broken} with a broken promise; the server accepted {effects} writes."
    )
    lines += [f"run {o.number}: {each}" for o in done for each in o.broken]
    return "\n".join(lines)


def cluster_for(directory: Path, against: Path | None = None, audit: Path | None = None) -> Cluster:
    """The healthy scenario in the lab, or on a real API server; the portal has its two identities on both."""
    if against is not None and audit is not None:
        return RealCluster(directory, scenario="healthy", speed=_SPEED, against=against, audit=audit)
    return LabCluster(directory, scenario="healthy", speed=_SPEED, own_identities=True)


def main() -> int:
    """Run the storm. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="no further run after so long")
    parser.add_argument("--only", default="", help="only troubles whose name begins so, e.g. E01")
    parser.add_argument("--planted", default="", choices=("", *BUGS), help="a bug for the workers; the storm must fail")
    parser.add_argument("--against", type=Path, help="an admin's kubeconfig of a real API server (control_plane)")
    parser.add_argument("--audit", type=Path, help="the file its audit log goes to")
    options = parser.parse_args()
    if bool(options.against) != bool(options.audit):
        parser.error("--against and --audit go together: the audit log is what is judged by")

    def tell(outcome: Outcome) -> None:
        said = "; ".join(outcome.broken) or "ok"
        what = f"{outcome.trouble} {outcome.detail}".strip() + (" (never reached)" if outcome.missed else "")
        sys.stdout.write(
            f"{outcome.number:>4} {outcome.action:<20} {what:<50} {outcome.state:<12} {outcome.seconds:5.1f} s {said}\n"
        )
        sys.stdout.flush()

    # a storm that is ended from outside takes its processes with it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="storm-") as directory:
        cluster = cluster_for(Path(directory), options.against, options.audit)
        stage = Stage(Path(directory), cluster=cluster, planted=options.planted)
        try:
            stage.start()
            stage.person = served(stage)
            chosen = [trouble for trouble in ALL if trouble.name.startswith(options.only)]
            done = storm(stage, options.runs, options.seed, tell, chosen, options.minutes)
        finally:
            stage.stop()
    sys.stdout.write(f"\n{table(done, options.seed)}\n")
    return 1 if any(outcome.broken for outcome in done) else 0


if __name__ == "__main__":
    sys.exit(main())
