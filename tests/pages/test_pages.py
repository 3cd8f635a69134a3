"""Every page answers by GET with the words of the database, in few queries, and shows hostile text as text."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils.html import escape

from common.clock import now
from common.models import audit
from deployments.catalogue import registry
from deployments.models import PlanRequest
from deployments.states import RequestState, RunState
from portal.accounts.roles import Role
from portal.checklists.models import Diagnosis, Item, ItemSpan, Project, Report, ReportDraft
from tests.pages import world
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE, make_plan, make_run

PAGES = ("/", "/phases/", "/phases/2-platform-services/", "/status/", "/actions/", "/runs/", "/reports/",
         "/reports/import/", "/audit/?check=1", "/settings/", "/gallery/", "/search?q=grafana", "/search")  # fmt: skip


def text(client: Client, address: str) -> str:
    response = client.get(address)
    assert response.status_code == 200, address
    return response.content.decode()


@pytest.mark.parametrize("address", PAGES)
def test_a_page_has_one_heading_landmarks_and_a_title(address: str, client_for: ClientFor) -> None:
    page = text(client_for(Role.ADMIN), address)
    assert len(re.findall(r"<h1\b", page)) == 1
    assert page.count('<main id="main"') == 1
    assert re.search(r"<title>[^<]{3,}</title>", page)


@pytest.mark.parametrize("address", PAGES)
def test_a_page_carries_the_policy_and_no_inline_code(address: str, client_for: ClientFor) -> None:
    response = client_for(Role.ADMIN).get(address)
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]
    page = response.content.decode()
    assert " style=" not in page
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"\son\w+=", page)


def test_ids_on_a_page_are_unique(client_for: ClientFor) -> None:
    run = make_run(make_plan())
    client = client_for(Role.OPERATOR)
    for address in (*PAGES[:6], f"/runs/{run.pk}/", f"/items/{world.item('grafana-deployed').pk}/"):
        ids = re.findall(r'\sid="([^"]+)"', text(client, address))
        assert len(ids) == len(set(ids)), address


def test_the_overview_says_what_fails_and_links_to_it(client_for: ClientFor) -> None:
    page = text(client_for(Role.VIEWER), "/")
    heading = re.search(r"<h1>(.*?)</h1>", page, re.S)
    assert heading is not None
    assert "failing" in heading.group(1)
    assert 'href="/phases/2-platform-services/#failing"' in heading.group(1)


def test_the_overview_takes_at_most_twelve_queries(client_for: ClientFor, django_assert_max_num_queries: Any) -> None:
    client = client_for(Role.OPERATOR)
    with django_assert_max_num_queries(12):
        client.get("/")


def test_the_number_of_queries_does_not_grow_with_items(
    client_for: ClientFor, board: Project, django_assert_max_num_queries: Any
) -> None:
    phase = board.phases.get(number=2)
    Item.objects.bulk_create(
        Item(project=board, phase=phase, key=f"more-{n}", title=f"More {n}", position=100 + n) for n in range(170)
    )
    client = client_for(Role.OPERATOR)
    for address in ("/", "/phases/2-platform-services/"):
        with django_assert_max_num_queries(12):
            client.get(address)


def test_an_unproven_item_never_shows_green(client_for: ClientFor) -> None:
    for word in ("failing", "degraded", "unknown"):
        found = world.turn("grafana-deployed", word)
        page = text(client_for(Role.VIEWER), f"/items/{found.pk}/")
        head = re.search(rf'id="item-head-{found.pk}".*?</h1>.*?</p>', page, re.S)
        assert head is not None
        assert 'data-state="verified"' not in head.group()


def test_the_phase_page_filters_by_url(client_for: ClientFor) -> None:
    client = client_for(Role.VIEWER)
    everything = text(client, "/phases/2-platform-services/")
    failing, proven = (text(client, f"/phases/2-platform-services/?show={show}") for show in ("open", "proven"))
    assert "Resolve Grafana deployment" in everything
    assert re.search(r'<tr class="item[^>]*id="item-', failing)
    assert "Resolve Grafana deployment</a>" not in proven.split('id="phase-items"')[1]


def test_every_group_of_the_phase_page_is_there_so_that_rows_can_move(client_for: ClientFor) -> None:
    page = text(client_for(Role.VIEWER), "/phases/2-platform-services/")
    assert {"failing", "verified", "waiting_for_approval", "stale"} <= set(re.findall(r'data-group="(\w+)"', page))


def test_hostile_text_from_the_cluster_is_shown_as_text(client_for: ClientFor, board: Project) -> None:
    from monitoring.models import Evidence

    Evidence.objects.update(sentence=HOSTILE, observed=HOSTILE, command=HOSTILE)
    Item.objects.update(title=HOSTILE)
    run = make_run(make_plan())
    client = client_for(Role.ADMIN)
    item = world.item("grafana-deployed")
    for address in (*PAGES, f"/items/{item.pk}/", f"/runs/{run.pk}/", f"/plans/{run.plan_id}/"):
        page = text(client, address)
        assert HOSTILE not in page, address
    assert "&lt;script&gt;" in text(client, f"/runs/{run.pk}/")


def test_a_plan_shows_every_change_and_hides_secrets(client_for: ClientFor) -> None:
    plan = make_plan()
    page = text(client_for(Role.OPERATOR), f"/plans/{plan.hash}/")
    assert "hmac:" not in page
    assert "••••••••" in page
    assert "operation.sync" in page
    for word in ("Blast radius", "Preconditions", "Verification", "Undo", "Rights", "kubectl patch application"):
        assert word in page
    assert 'name="idempotency_key"' in page


def test_a_plan_with_an_unmet_precondition_cannot_be_run(client_for: ClientFor) -> None:
    plan = make_plan(met=False)
    client = client_for(Role.OPERATOR)
    assert "1 of 1 preconditions unmet" in text(client, f"/plans/{plan.hash}/")
    response = client.post(f"/plans/{plan.hash}/run/", {"idempotency_key": "a" * 32})
    assert response.status_code == 409
    assert "preconditions are not met" in response.content.decode()


def test_a_destructive_plan_waits_for_a_second_person(client_for: ClientFor) -> None:
    plan = make_plan(tier=3)
    assert "second person" in text(client_for(Role.ADMIN), f"/plans/{plan.hash}/")


def test_a_disruptive_plan_asks_for_a_word_first(client_for: ClientFor) -> None:
    plan = make_plan(tier=2)
    client = client_for(Role.OPERATOR)
    assert 'name="understood"' in text(client, f"/plans/{plan.hash}/")
    response = client.post(f"/plans/{plan.hash}/run/", {"idempotency_key": "a" * 32})
    assert response.status_code == 422


def test_running_a_plan_twice_with_one_form_makes_one_run(client_for: ClientFor) -> None:
    plan, item = make_plan(), world.item("grafana-deployed")
    client = client_for(Role.OPERATOR)
    form = {"idempotency_key": "a" * 32, "context": f"item:{item.pk}"}
    first, second = (client.post(f"/plans/{plan.hash}/run/", form) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first["Location"] == second["Location"]
    assert item.run_items.count() == 1


def test_a_run_shows_evidence_steps_and_a_log_whose_lines_are_links(client_for: ClientFor) -> None:
    run = make_run(make_plan())
    page = text(client_for(Role.VIEWER), f"/runs/{run.pk}/")
    assert "connection refused" in page
    assert "database: ok" in page
    assert 'id="L3"' in page
    assert 'href="#L3"' in page
    assert "needs role operator" in page
    raw = client_for(Role.VIEWER).get(f"/runs/{run.pk}/log.txt")
    assert raw["Content-Type"] == "text/plain; charset=utf-8"
    assert b"".join(raw.streaming_content).count(b"\n") == 5  # type: ignore[attr-defined]


def test_a_step_that_never_ran_is_called_skipped(client_for: ClientFor) -> None:
    run = make_run(make_plan(), state=RunState.REFUSED)
    run.steps.update(state="skipped", started_at=None, outcome_at=None)
    page = text(client_for(Role.VIEWER), f"/runs/{run.pk}/")
    assert page.count('<span class="sr">Skipped: </span>') == run.steps.count() + 1
    assert "Exempt" not in page


def test_missed_log_lines_can_be_asked_for(client_for: ClientFor) -> None:
    run = make_run(make_plan(), lines=30)
    page = text(client_for(Role.VIEWER), f"/runs/{run.pk}/lines/?after=20")
    assert 'data-first="21"' in page
    assert 'data-last="30"' in page
    assert client_for(Role.VIEWER).get(f"/runs/{run.pk}/lines/?after=x").status_code == 404


def test_runs_are_filtered_by_url(client_for: ClientFor) -> None:
    make_run(make_plan(), state=RunState.FAILED)
    client = client_for(Role.VIEWER)
    assert "run 42" in text(client, "/runs/?state=failed")
    assert "No run matches" in text(client, "/runs/?state=succeeded")
    assert "run 42" in text(client, "/runs/?state=nonsense")


def test_the_click_on_a_remedy_leads_to_the_page_of_its_request(client_for: ClientFor) -> None:
    item = world.item("grafana-deployed")
    client = client_for(Role.OPERATOR)
    response = client.post(f"/items/{item.pk}/plan/", {"action": item.remedies[0], "idempotency_key": "b" * 32})
    wish = PlanRequest.objects.get()
    assert response["Location"] == f"/plans/requests/{wish.pk}/"
    assert "Nothing is changed" in text(client, response["Location"])
    wish.plan, wish.state = make_plan(), RequestState.PLANNED.value
    wish.save()
    assert client.get(f"/plans/requests/{wish.pk}/")["Location"].startswith(f"/plans/{wish.plan_id}/")


def test_an_action_that_is_no_remedy_of_the_item_is_not_planned(client_for: ClientFor) -> None:
    item = world.item("grafana-deployed")
    response = client_for(Role.OPERATOR).post(f"/items/{item.pk}/plan/", {"action": "rollout-restart"})
    assert response.status_code == 404
    assert not PlanRequest.objects.exists()


def test_a_report_is_previewed_without_importing_and_accepted_once(client_for: ClientFor) -> None:
    markdown = "# Progress\n\n## Phase 2: Platform Services\n\n- [ ] Resolve Grafana deployment\n- [ ] Buy a cake\n"
    client = client_for(Role.ADMIN)
    before = Item.objects.count()
    draft = client.post("/reports/import/", {"markdown": markdown})["Location"]
    page = text(client, draft)
    assert "Buy a cake" in page
    assert "the cluster is being asked" in page
    assert not Report.objects.exists()
    assert Item.objects.count() == before
    for _ in range(2):
        assert client.post(f"{draft}accept/").status_code == 303
    assert Report.objects.count() == 1
    assert "Buy a cake" in text(client, f"/reports/{Report.objects.get().pk}/")
    assert "imported already" in text(client, draft)


def test_a_draft_is_judged_by_the_cluster_and_imported_with_those_verdicts(
    client_for: ClientFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from common.clock import now
    from monitoring.snapshot import Snapshot
    from portal.checklists.importing import drafts

    client = client_for(Role.ADMIN)
    draft = client.post("/reports/import/", {"markdown": "# A\n\n- Retention: 15 days\n- [ ] b\n"})["Location"]
    monkeypatch.setattr("monitoring.collect.once", lambda *_: Snapshot("is-platform", now()))
    readers: Any = type("Readers", (), {"cluster": "is-platform"})()
    assert drafts.judge_open(readers, now()) == 1
    assert drafts.judge_open(readers, now()) == 0
    row = ReportDraft.objects.get()
    assert row.judged_at is not None
    assert "Judged by the cluster" in text(client, draft)
    client.post(f"{draft}accept/")
    assert Report.objects.get().understood["claims"] == row.understood["claims"]


def test_only_who_manages_the_project_may_accept_a_report(client_for: ClientFor) -> None:
    client = client_for(Role.OPERATOR)
    draft = client.post("/reports/import/", {"markdown": "# A\n\n- [ ] b\n"})["Location"]
    assert "needs role admin" in text(client, draft)
    assert client.post(f"{draft}accept/").status_code == 403
    assert not Report.objects.exists()


def test_an_empty_form_says_what_to_do_with_422(client_for: ClientFor) -> None:
    response = client_for(Role.ADMIN).post("/reports/import/", {"step": "preview"})
    assert response.status_code == 422
    assert "paste the report" in response.content.decode()


def test_asking_for_a_reading_makes_requests_for_the_observer(client_for: ClientFor) -> None:
    from monitoring.models import CheckRequest

    item = world.item("grafana-deployed")
    response = client_for(Role.OPERATOR).post(f"/items/{item.pk}/verify/", headers={"HX-Request": "true"})
    assert response.status_code == 204
    assert CheckRequest.objects.count() == item.item_checks.count()
    assert "Checking" in text(client_for(Role.OPERATOR), f"/items/{item.pk}/")


def test_a_missing_page_is_404_in_the_frame_for_members_and_bare_for_strangers(client_for: ClientFor) -> None:
    member = client_for(Role.VIEWER).get("/items/99999/")
    assert member.status_code == 404
    assert b'id="side"' in member.content
    assert b'id="side"' not in client_for(None).get("/nothing-here/").content


@pytest.mark.django_db
def test_without_a_project_the_pages_say_what_to_do() -> None:
    from django.contrib.auth.models import User

    from portal.accounts.services import ensure_demo_users

    ensure_demo_users()
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    assert "No project is loaded" in text(client, "/")
    assert "No project is loaded" in text(client, "/phases/")


@pytest.mark.django_db
def test_probes_answer_strangers(client: Client) -> None:
    assert client.get("/healthz").content == b"ok\n"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {"database": "ok", "redis": "no answer"}


def test_search_finds_items_components_runs_and_actions(client_for: ClientFor) -> None:
    make_run(make_plan())
    client = client_for(Role.VIEWER)
    page = text(client, "/search?q=grafana")
    for title in ("Items", "Components", "Runs", "Actions"):
        assert f'aria-label="{title}"' in page
    assert "Run 42" in text(client, "/search?q=run+42")
    assert "Nothing is called that" in text(client, "/search?q=zzzz")


def test_the_page_of_an_action_fills_its_form_in_from_the_address(client_for: ClientFor) -> None:
    page = client_for(Role.OPERATOR).get("/actions/rollout-restart/?name=grafana<b>").content.decode()
    assert 'name="p-name" value="grafana&lt;b&gt;"' in page
    assert "Guards" in page and "Undo" in page


def test_what_was_typed_comes_back_with_the_reason(client_for: ClientFor) -> None:
    answer = client_for(Role.OPERATOR).post(
        "/actions/rollout-restart/plan/", {"p-namespace": "ns", "p-hold_seconds": "x"}
    )
    assert answer.status_code == 422
    page = answer.content.decode()
    assert "No plan was asked for." in page
    assert 'name="p-namespace" value="ns"' in page


def test_the_field_that_is_wrong_is_marked_and_what_may_stay_stays_folded(client_for: ClientFor) -> None:
    sent = {"p-namespace": "Not A Name", "p-name": "web-0", "p-wait_seconds": "300"}
    page = client_for(Role.OPERATOR).post("/actions/evict-pod/plan/", sent).content.decode()
    assert "Namespace is no name in Kubernetes" in page and "regex" not in page
    wrong = re.findall(r'<input id="p-(\w+)"[^>]*aria-invalid="true" aria-describedby="refusal[" ]', page)
    assert wrong == ["namespace"]
    # a hint that only repeats its label is none
    assert '<label for="p-namespace">Namespace <span' in page and 'id="h-namespace"' not in page
    assert '<label for="p-wait_seconds">Wait seconds' in page and 'id="h-wait_seconds"' in page
    assert "<details open" not in page


def test_the_field_that_an_action_itself_refuses_is_marked(client_for: ClientFor) -> None:
    sent = {"p-namespace": "ns", "p-name": "web", "p-container": "main", "p-image": "app"}
    page = client_for(Role.OPERATOR).post("/actions/set-image/plan/", sent).content.decode()
    assert "The image has no tag and no digest" in page
    wrong = re.findall(r'<input id="p-(\w+)"[^>]*aria-invalid="true" aria-describedby="refusal h-\w+"', page)
    assert wrong == ["image"]


def test_the_audit_trail_reads_as_words_and_its_hashes_are_short(client_for: ClientFor) -> None:
    audit(actor="ada", verb="policy.load", object="cluster:x", policy="f191e79a1baf" + "0" * 52, tiers=[2, 3])
    page = client_for(Role.ADMIN).get("/audit/").content.decode()
    assert "policy: f191e79a1baf…, tiers: [2, 3]" in page


def test_a_plan_without_checks_says_what_proves_it(client_for: ClientFor) -> None:
    plan = make_plan()
    plan.document["verification"]["checks"] = []
    plan.save()
    page = client_for(Role.OPERATOR).get(f"/plans/{plan.pk}/").content.decode()
    assert "0 checks" not in page
    assert "by the steps themselves" in page
    assert escape(registry.get(plan.action).verified_by) in page


def test_an_action_of_the_portal_itself_has_no_page(client_for: ClientFor) -> None:
    assert client_for(Role.ADMIN).get("/actions/undo-run/").status_code == 404


def test_the_rule_that_is_missing_is_shown_as_yaml(client_for: ClientFor) -> None:
    plan = make_plan()
    plan.rights = [{**plan.rights[0], "missing": ["patch"], "rule": '- {apiGroups: ["apps"], verbs: [get, patch]}'}]
    plan.save()
    page = client_for(Role.OPERATOR).get(f"/plans/{plan.pk}/").content.decode()
    assert "- {apiGroups: [&quot;apps&quot;], verbs: [get, patch]}" in page


def test_a_patch_for_git_is_offered_and_downloaded(client_for: ClientFor) -> None:
    plan = make_plan()
    operator = client_for(Role.OPERATOR)
    assert operator.get(f"/plans/{plan.pk}/git.patch").status_code == 404
    plan.document["git_patch"] = "--- a/x\n+++ b/x\n"
    plan.save()
    assert "Patch for Git" in operator.get(f"/plans/{plan.pk}/").content.decode()
    answer = operator.get(f"/plans/{plan.pk}/git.patch")
    assert answer.content.decode().startswith("--- a/x")
    assert answer["Content-Disposition"].startswith("attachment")


def test_a_run_that_can_be_undone_offers_the_plan(client_for: ClientFor) -> None:
    run = make_run(make_plan(), state=RunState.SUCCEEDED)
    page = client_for(Role.OPERATOR).get(f"/runs/{run.pk}/").content.decode()
    assert "cannot be undone by the portal" in page
    answer = client_for(Role.OPERATOR).post(f"/runs/{run.pk}/undo/")
    assert answer.headers["Location"] == f"/runs/{run.pk}/"


def _diagnosed(remedies: list[str], parameters: dict[str, dict[str, str]]) -> Item:
    item = world.turn("grafana-deployed", "failing")
    span = ItemSpan.objects.get(item=item, closed_at=None)
    finding = {"id": "W21", "title": "A pod does not go", "sentence": "It stays.", "evidence": ["x"], "at": ""}
    found = [finding | {"remedies": remedies, "parameters": parameters}]
    Diagnosis.objects.update_or_create(item=item, defaults={"span": span, "at": now(), "findings": found})
    return item


def test_a_remedy_of_the_diagnosis_comes_first_and_its_button_sends_what_is_known(client_for: ClientFor) -> None:
    known = {"namespace": "observability", "name": 'obs-0"><b>'}
    item = _diagnosed(["delete-pod"], {"delete-pod": known})
    client = client_for(Role.OPERATOR)
    page = text(client, f"/items/{item.pk}/")
    value = "delete-pod?name=obs-0%22%3E%3Cb%3E&amp;namespace=observability"
    assert page.count(f'value="{value}"') == 2  # at the head and in the list
    assert page.index(value) < page.index("repair-grafana-in-place")
    assert '"><b>' not in page.replace('where"><b>', "")
    sent = {"action": value.replace("&amp;", "&").replace("obs-0%22%3E%3Cb%3E", "obs-0"), "idempotency_key": "c" * 32}
    response = client.post(f"/items/{item.pk}/plan/", sent)
    wish = PlanRequest.objects.get()
    assert response["Location"] == f"/plans/requests/{wish.pk}/"
    assert (wish.action, wish.context) == ("delete-pod", f"item:{item.pk}")
    assert wish.params["name"] == "obs-0"


def test_the_evidence_of_a_run_that_has_ended_does_not_count_on(client_for: ClientFor) -> None:
    """Nobody reads it after the end: how long it held is a fact, and no clock."""
    run = make_run(make_plan(), state=RunState.SUCCEEDED)
    since = datetime.fromisoformat(run.now[0]["since"])
    run.finished_at = since + timedelta(seconds=34)
    run.save()
    page = text(client_for(Role.VIEWER), f"/runs/{run.pk}/")
    table = page[page.index(f'id="run-evidence-{run.pk}"') :].split("</table>")[0]
    assert "At the end" in table and "34.0 s" in table.replace("34 s", "34.0 s")
    assert 'data-age="elapsed"' not in table


def test_a_remedy_that_needs_more_than_is_known_leads_to_its_form(client_for: ClientFor) -> None:
    item = _diagnosed(["set-helm-values"], {"set-helm-values": {"application": "monitoring"}})
    page = text(client_for(Role.OPERATOR), f"/items/{item.pk}/")
    assert f'href="/actions/set-helm-values/?application=monitoring&amp;from=item%3A{item.pk}"' in page
    assert 'value="set-helm-values' not in page


def test_parameters_that_an_action_does_not_take_are_refused_with_a_sentence(client_for: ClientFor) -> None:
    item = _diagnosed(["delete-pod"], {})
    client = client_for(Role.OPERATOR)
    for sent in ("delete-pod", "delete-pod?nodes=all", f"delete-pod?name={'x' * 5000}&namespace=a"):
        response = client.post(f"/items/{item.pk}/plan/", {"action": sent, "idempotency_key": "d" * 32})
        assert response["Location"] == f"/items/{item.pk}/"
    assert not PlanRequest.objects.exists()
