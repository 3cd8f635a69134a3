"""Steps that may find nothing left to do, and writes that carry a credential of the object which no plan holds."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from deployments.catalogue import families
from deployments.catalogue.seen import Outlook, Predicate, Seen
from deployments.engine import planning
from deployments.engine.advance import advance
from deployments.engine.cluster import Write
from deployments.models import Plan, Run
from deployments.services import start_run
from deployments.states import RunState, StepState
from deployments.undo import refusal
from monitoring.snapshot import Objects
from tests.deployments.conftest import carry_on
from tests.deployments.fake import NAMESPACE, FakeCluster
from tests.deployments.one_effect import CONFIG, ONE, OneParams, board, install

pytestmark = pytest.mark.django_db(transaction=True)
CANARY = "hunter2-canary-7731"
VALUES = f'a: 1\nadminPassword: "{CANARY}"\n'


def _nothing_left(snapshot: Any, _args: Any, _memory: Any) -> Seen:
    """Gone, or labelled as done by somebody."""
    found = snapshot.get(CONFIG, NAMESPACE, "board")
    done = found is None or found.metadata.labels.get("done") == "yes"
    return Seen(Outlook.MET if done else Outlook.REFUSED, "the board is done" if done else "the board is there")


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    needs = lambda _s, _a: (Objects(CONFIG, NAMESPACE),)  # noqa: E731
    settled = lambda _s, _a, _m: Seen(Outlook.MET, "settled")  # noqa: E731
    install(monkeypatch, cluster)
    monkeypatch.setitem(families.CONDITIONS, "test_nothing_left", Predicate(needs, _nothing_left))
    monkeypatch.setitem(families.CONDITIONS, "test_settled", Predicate(needs, settled))


def put(cluster: FakeCluster, **data: str) -> None:
    cluster.put(CONFIG, board(**data))


def planned(cluster: FakeCluster, effect: str) -> Plan:
    return planning.make(cluster, ONE, OneParams(effect=effect, unless="test_nothing_left", until="test_settled"))


def accepted(cluster: FakeCluster, user: User, effect: str) -> Run:
    return start_run(user, planned(cluster, effect).pk, "click")


def gone(cluster: FakeCluster) -> None:
    del cluster.objects[CONFIG][(NAMESPACE, "board")]


def begun(run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, then: Any) -> Run:
    """Carry on, with ``then`` happening after the run compared its plan and before its first effect."""
    from deployments.engine import effects

    real = effects.make

    def make(turn: Any, step: Any) -> Any:
        then()
        return real(turn, step)

    monkeypatch.setattr("deployments.engine.effects.make", make)
    return carry_on(run, cluster)


@pytest.mark.parametrize("effect", ["delete", "patch"])
def test_what_is_gone_already_needs_no_write(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch, effect: str
) -> None:
    put(cluster, a="1")
    run = begun(accepted(cluster, operator, effect), cluster, monkeypatch, lambda: gone_once(cluster))
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert cluster.ledger == []
    assert run.steps.get().state == StepState.DONE
    assert any("nothing to do: the board is done" in line.text for line in run.lines.all())
    assert "nothing that can be put back" in refusal(run)


def gone_once(cluster: FakeCluster) -> None:
    """Deleted by somebody, as a person would once."""
    if (NAMESPACE, "board") in cluster.objects[CONFIG]:
        gone(cluster)


def test_what_somebody_finished_meanwhile_needs_no_write_though_it_moved(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, a="1")
    done = {"metadata": {"labels": {"done": "yes"}}}
    run = begun(
        accepted(cluster, operator, "patch"),
        cluster,
        monkeypatch,
        lambda: cluster.edit(CONFIG, NAMESPACE, "board", done),
    )
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert cluster.ledger == []


def test_what_is_left_to_do_is_done(cluster: FakeCluster, operator: User) -> None:
    put(cluster, a="1")
    run = carry_on(accepted(cluster, operator, "delete"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert len(cluster.ledger) == 1


def test_what_moved_and_is_not_done_is_refused_as_ever(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, a="1")
    moved = {"data": {"a": "3"}}
    run = begun(
        accepted(cluster, operator, "patch"),
        cluster,
        monkeypatch,
        lambda: cluster.edit(CONFIG, NAMESPACE, "board", moved),
    )
    assert run.state == RunState.REFUSED
    assert cluster.ledger == []


# -- credentials of the object itself


def everything_stored(run: Run) -> str:
    return str([*Plan.objects.values(), *Run.objects.values(), *run.steps.values(), *run.lines.values()])


def test_a_credential_is_sent_with_the_write_and_stored_nowhere(cluster: FakeCluster, operator: User) -> None:
    put(cluster, values=VALUES)
    run = carry_on(accepted(cluster, operator, "values"), cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert cluster.objects[CONFIG][(NAMESPACE, "board")]["data"]["values"] == f'a: 2\nadminPassword: "{CANARY}"\n'
    assert CANARY not in everything_stored(run)


def test_the_preview_asks_with_the_credential_and_shows_only_what_changes(cluster: FakeCluster) -> None:
    put(cluster, values=VALUES)
    plan = planned(cluster, "values")
    assert CANARY in str(cluster.dry_runs[-1].body)
    [step] = plan.document["steps"]
    assert [row["path"] for row in step["diff"] if "annotations" not in row["path"]] == ["data.values:a"]
    assert "kubectl -n platform-monitoring edit configmaps board" in step["command"], "no line can hold the credential"
    assert CANARY not in step["command"]
    assert CANARY not in str(plan.document)


def test_a_credential_that_changed_since_the_plan_refuses_the_write(
    cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(cluster, values=VALUES)
    run = accepted(cluster, operator, "values")
    other = {"data": {"values": VALUES.replace(CANARY, "another")}}
    run = begun(run, cluster, monkeypatch, lambda: cluster.edit(CONFIG, NAMESPACE, "board", other))
    assert run.state == RunState.REFUSED
    assert cluster.ledger == []


def test_without_the_credential_there_is_no_plan_that_could_run(cluster: FakeCluster) -> None:
    put(cluster, values="a: 1\n")
    plan = planned(cluster, "values")
    assert any("fewer credentials" in p["evidence"] for p in plan.preconditions if not p["met"])


def test_after_a_crash_the_write_is_found_by_its_mark_and_not_repeated(cluster: FakeCluster, operator: User) -> None:
    put(cluster, values=VALUES)
    run = accepted(cluster, operator, "values")

    def dies(_write: Write) -> None:
        cluster.after_write = lambda _w: None
        raise SystemExit

    cluster.after_write = dies
    with pytest.raises(SystemExit):
        while not cluster.ledger:
            advance(run.pk, opener=lambda: cluster)
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert len(cluster.ledger) == 1


def test_a_status_written_between_the_reading_and_the_dry_run_does_not_refuse_the_plan(
    cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Argo CD writes its Applications all the time: a preview decides nothing, so it is not conditional."""
    put(cluster, values=VALUES)
    send = cluster.send

    def after_somebody(write: Write, *, dry_run: bool) -> dict[str, Any]:
        cluster.edit(CONFIG, NAMESPACE, "board", {"status": {"seen": "now"}})
        return send(write, dry_run=dry_run)

    monkeypatch.setattr(cluster, "send", after_somebody)
    plan = planned(cluster, "patch")
    assert [p["sentence"] for p in plan.preconditions if not p["met"]] == []
