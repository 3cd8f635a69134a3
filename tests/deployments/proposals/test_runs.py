"""Proposals through the engine and real HTTP: made exactly once, also when answers are lost; and withdrawn."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from deployments.catalogue import registry
from deployments.catalogue.action import Call
from deployments.engine import calls, driver, planning, preparing
from deployments.engine import cluster as clusters
from deployments.engine.cluster import Needs
from deployments.engine.document import load
from deployments.models import Plan, Run
from deployments.services import cancel_run, start_run
from integrations.errors import Rejected
from integrations.github.reader import GitHubReader
from integrations.github.writer import GitHubWriter
from lab.services.http import answer
from monitoring import collect
from monitoring.snapshot import Fetch, GitHubConnection, Listing, Need, Objects, Reply, Snapshot
from tests.deployments.argo.world import PASSWORD, STACK, child, root
from tests.deployments.conftest import carry_on
from tests.deployments.fake import APPS, FakeCluster
from tests.hub import FILE, NAME, TOKEN, Hub, make_hub

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]
BRANCH, COMMIT, PULL = ("POST", "/git/refs"), ("PUT", f"/contents/{FILE}"), ("POST", "/pulls")


class HubCluster(FakeCluster):
    """The cluster in memory with the team's Applications, beside a GitHub that is asked as the real one is."""

    def __init__(self, hub: Hub, token_file: Path) -> None:
        super().__init__()
        self.argo_works = False
        self.objects[APPS] = {}
        for app in (child(), root()):
            self.put(APPS, app)
        self._reader = GitHubReader(hub.url, str(token_file), "github.com")
        self._github = GitHubWriter(hub.url, str(token_file), "github.com")

    def collect(self, needs: Needs) -> Snapshot:
        listings: dict[Objects, Listing] = {}
        replies: dict[Need, Reply] = {}
        readers: Any = type("Readers", (), {"github": self._reader})
        snapshot = super().collect(lambda _: ())
        for _ in range(collect.PLAN_ROUNDS):
            for need in needs(snapshot):
                if isinstance(need, Objects):
                    listings[need] = self._listing(need)
                elif isinstance(need, Fetch | GitHubConnection) and need not in replies:
                    replies[need] = collect.answer(readers, need)
            snapshot = Snapshot(self.name, snapshot.taken_at, dict(listings), dict(replies))
        return snapshot

    def call(self, effect: Call) -> None:
        self.calls.append(effect)
        self.on_call(effect)
        body = effect.body if effect.prepared is None else preparing.completed(effect, self._reader)
        self._github.send(effect.method, effect.path, body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = make_hub()
    yield made
    made.stop()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def beside(hub: Hub, token: Path) -> HubCluster:
    return HubCluster(hub, token)


def plan_of(cluster: FakeCluster, slug: str = "propose-in-git", **params: Any) -> Plan:
    given = params or {"application": STACK, "values": "grafana.persistence.size=10Gi"}
    return planning.make(cluster, registry.get(slug), registry.parse(slug, given))


def proposed(cluster: FakeCluster, operator: User, plan: Plan | None = None, seconds: float = 60) -> Run:
    made = plan or plan_of(cluster)
    assert [p for p in made.preconditions if not p["met"]] == []
    return carry_on(start_run(operator, made.pk, f"click-{made.pk}", ""), cluster, seconds=seconds)


def told(run: Run) -> list[str]:
    return [run.sentence, *(line.text for line in run.lines.order_by("number"))]


def everything_stored() -> str:
    """Every text that is in the database."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [str(row) for row in cursor.fetchall()]
    return "\n".join(found)


def test_a_pull_request_is_opened_once_with_the_file_as_the_plan_shows_it(
    hub: Hub, beside: HubCluster, operator: User
) -> None:
    before = hub.github.repository.files[FILE]
    plan = plan_of(beside)
    by_hand = [step["command"].partition(" ")[0] for step in plan.document["steps"]]
    assert by_hand == ["git", "git", "gh"]
    assert plan.rights == []  # nothing of it is a right in the cluster
    run = proposed(beside, operator, plan)
    assert run.state == "succeeded", told(run)
    assert hub.writes() == [BRANCH, COMMIT, PULL]
    [pull] = hub.github.pulls
    assert (pull.state, pull.base, pull.title) == (
        "open",
        "main",
        "kube-prometheus-stack: set grafana.persistence.size",
    )
    assert f"Proposed by `olivia` with Phaseboard, run `{run.pk}.3`" in pull.body
    after = hub.github.commits[hub.github.branches[pull.head]].files[FILE]
    assert [line for line in after.splitlines() if line not in before.splitlines()] == ['            size: "10Gi"']
    assert hub.github.repository.files[FILE] == before  # nobody merged it
    last = run.steps.get(index=2)
    assert last.memory["pull"] == {"repository": NAME, "number": 1, "sha": pull.sha, "web": ""}
    assert f"Pull request #1 of {NAME} is open into main" in last.sentence
    stored = everything_stored()
    assert PASSWORD not in stored and TOKEN not in stored


@pytest.mark.parametrize("lost", [BRANCH, COMMIT, PULL])
@pytest.mark.parametrize("done", [True, False])
def test_a_lost_answer_is_looked_up_and_nothing_happens_twice(
    hub: Hub, beside: HubCluster, operator: User, monkeypatch: pytest.MonkeyPatch, lost: tuple[str, str], done: bool
) -> None:
    monkeypatch.setattr(calls, "_ON_ITS_WAY", timedelta(seconds=1))
    hub.fail(*lost, after=done)
    run = proposed(beside, operator)
    assert run.state == "succeeded", told(run)
    assert hub.writes() == [BRANCH, COMMIT, PULL]
    assert len(hub.github.pulls) == 1
    sent = [(method, path.removeprefix(f"/repos/{NAME}")) for method, path in hub.asked]
    assert sent.count(lost) == (1 if done else 2)


def test_a_rate_limit_and_an_error_page_are_waited_for(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)
    limited = answer({"message": "You have exceeded a secondary rate limit"}, 403)
    limited.headers["Retry-After"] = "1"
    hub.fail("POST", "/git/refs", limited)
    hub.fail("GET", "/pulls", answer({"message": "Server Error"}, 500))
    run = proposed(beside, operator, plan)
    assert run.state == "succeeded", told(run)
    assert any("rate limit" in line for line in told(run))
    assert hub.writes() == [BRANCH, COMMIT, PULL]


def test_a_file_that_moved_after_the_plan_is_not_written_over(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)
    run = start_run(operator, plan.pk, "click", "")

    def somebody_commits(_effect: Call) -> None:
        beside.on_call = lambda effect: None
        files = hub.github.repository
        files.commit(FILE, "# somebody was here\n" + files.files[FILE])

    beside.on_call = somebody_commits
    run = carry_on(run, beside)
    assert run.state == "failed"
    assert "GitHub refused the write" in run.sentence and "does not match" in run.sentence
    assert "Made before it ended: Create branch" in run.sentence
    assert hub.writes() == [BRANCH]
    assert hub.github.pulls == []


def test_a_plan_of_an_older_file_is_refused_before_anything_is_made(
    hub: Hub, beside: HubCluster, operator: User
) -> None:
    plan = plan_of(beside)
    files = hub.github.repository
    files.commit(FILE, "# somebody was here\n" + files.files[FILE])
    run = carry_on(start_run(operator, plan.pk, "click", ""), beside)
    assert run.state == "refused", told(run)
    assert hub.writes() == []


def test_a_token_that_lost_its_right_ends_the_run_and_says_so(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)
    run = start_run(operator, plan.pk, "click", "")
    hub.fail("POST", "/git/refs", answer({"message": "Resource not accessible by personal access token"}, 403))
    run = carry_on(run, beside)
    assert run.state == "failed", told(run)
    assert "Resource not accessible" in run.sentence and "Nothing was changed" in run.sentence
    assert hub.writes() == []


def test_a_proposal_that_somebody_closes_at_once_is_told(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)

    def close(request: Any) -> None:
        if request.method == "GET" and request.path.endswith("/pulls") and hub.github.pulls:
            hub.github.pulls[0].state = "closed"

    hub.before = close
    run = proposed(beside, operator, plan)
    assert run.state == "failed"
    assert "Pull request #1 was closed again by somebody." in run.sentence


def test_two_runs_of_one_change_make_one_pull_request(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)
    assert proposed(beside, operator, plan).state == "succeeded"
    again = carry_on(start_run(operator, plan.pk, "another click", ""), beside)
    assert again.state == "refused", told(again)
    assert len(hub.github.pulls) == 1
    assert hub.writes() == [BRANCH, COMMIT, PULL]


def test_a_run_that_was_cancelled_halfway_is_taken_up_by_the_next(hub: Hub, beside: HubCluster, operator: User) -> None:
    plan = plan_of(beside)
    run = start_run(operator, plan.pk, "click", "")

    def cancel(effect: Call) -> None:
        if effect.method == "PUT":
            cancel_run(operator, run)

    beside.on_call = cancel
    run = carry_on(run, beside)
    assert run.state == "cancelled", told(run)
    assert hub.writes() == [BRANCH, COMMIT]
    beside.on_call = lambda effect: None
    again = proposed(beside, operator, plan_of(beside))
    assert again.state == "succeeded", told(again)
    assert hub.writes() == [BRANCH, COMMIT, PULL]


def test_a_proposal_is_withdrawn_and_can_be_proposed_again(hub: Hub, beside: HubCluster, operator: User) -> None:
    assert proposed(beside, operator).state == "succeeded"
    branch = hub.github.pulls[0].head
    back = plan_of(beside, "withdraw-proposal", repository=NAME, number=1)
    hub.fail("PATCH", "/pulls/1", after=True)
    hub.fail("DELETE", branch, after=True)
    run = proposed(beside, operator, back)
    assert run.state == "succeeded", told(run)
    assert hub.writes()[3:] == [("PATCH", "/pulls/1"), ("DELETE", f"/git/refs/heads/{branch}")]
    assert (hub.github.pulls[0].state, branch in hub.github.branches) == ("closed", False)
    anew = carry_on(start_run(operator, plan_of(beside).pk, "anew", ""), beside)
    assert anew.state == "succeeded", told(anew)
    assert [pull.state for pull in hub.github.pulls] == ["closed", "open"]


def test_what_would_not_come_out_as_shown_is_not_sent(hub: Hub, beside: HubCluster) -> None:
    plan = plan_of(beside)
    effect = load(plan.document).steps[1].spec.effect
    assert isinstance(effect, Call)
    other = msgspec.structs.replace(effect.prepared, values="grafana.persistence.size=11Gi")  # type: ignore[type-var]
    with pytest.raises(Rejected, match="would not come out as the plan shows it") as caught:
        preparing.completed(msgspec.structs.replace(effect, prepared=other), beside._reader)
    assert not caught.value.maybe_done


def test_the_command_does_all_of_it(
    hub: Hub, beside: HubCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(clusters._opened, os.getpid(), beside)
    monkeypatch.setattr(driver, "PATIENCE", timedelta(0))
    wanted = ["--param", f"application={STACK}", "values=grafana.persistence.size=10Gi"]
    call_command("plan", "propose-in-git", *wanted)
    said = capsys.readouterr().out
    assert '+            size: "10Gi"' in said and "The portal merges nothing" in said
    with pytest.raises(SystemExit, match="^0$"):
        call_command("run_action", "propose-in-git", *wanted, "--yes", "--wait", "--json")
    assert json.loads(capsys.readouterr().out)["state"] == "succeeded"
    assert hub.writes() == [BRANCH, COMMIT, PULL]
