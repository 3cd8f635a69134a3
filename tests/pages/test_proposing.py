"""Propose in Git on the pages: offered where a connection and the repository are, calm where they are not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from deployments.catalogue.action import Call, Condition, FileEdit, GitChange, StepSpec
from deployments.engine.document import PlannedStep, dump, load
from deployments.models import Plan, PlanRequest, Run
from deployments.states import RunState
from portal.accounts.roles import Role
from portal.views import filediff
from tests.pages.conftest import ClientFor
from tests.pages.plans import HOSTILE, make_plan, make_run

CHANGE = GitChange("stack", "argocd", "grafana.enabled=false", "", "github.com/platform-team/gitops")
BUTTON = "Propose in Git</button>"


def changing(change: GitChange | None = CHANGE, host: str = "", **more: Any) -> Plan:
    """A plan that has the same change through Git."""
    plan = make_plan(**more)
    plan.document |= {"git_way": "Through Git first.", "git_patch": "--- a/x\n+++ b/x\n"}
    plan.document["git_change"] = None if change is None else msgspec.to_builtins(change)
    plan.document["git_host"] = host
    plan.save()
    return plan


def page_of(client_for: ClientFor, plan: Plan, role: Role = Role.OPERATOR) -> str:
    return client_for(role).get(f"/plans/{plan.pk}/").content.decode()


def test_without_a_connection_there_is_the_patch_and_a_line_that_says_how(client_for: ClientFor) -> None:
    plan = changing()
    page = page_of(client_for, plan)
    assert BUTTON not in page
    assert "Patch for Git" in page
    assert "With a GitHub connection the portal opens a pull request instead (docs/github.md)." in page
    assert client_for(Role.OPERATOR).post(f"/plans/{plan.pk}/propose/").status_code == 404
    assert not PlanRequest.objects.exists()


def test_a_plan_that_changes_no_values_says_nothing_of_github(client_for: ClientFor) -> None:
    assert "GitHub" not in page_of(client_for, changing(None))


def test_with_a_connection_the_click_asks_for_a_plan_of_its_own(client_for: ClientFor) -> None:
    plan = changing(host="github.com")
    page = page_of(client_for, plan)
    assert BUTTON in page and "Patch for Git" in page
    assert f'action="/plans/{plan.pk}/propose/"' in page
    client = client_for(Role.OPERATOR)
    sent = {"context": "item:1", "idempotency_key": "a" * 32}
    answer = client.post(f"/plans/{plan.pk}/propose/", sent)
    wish = PlanRequest.objects.get()
    assert answer["Location"] == f"/plans/requests/{wish.pk}/"
    assert (wish.action, wish.context) == ("propose-in-git", "item:1")
    assert wish.params == {
        "application": "stack",
        "namespace": "argocd",
        "values": "grafana.enabled=false",
        "why": f"instead of Repair Grafana in place, plan {plan.pk[:8]}",
    }
    client.post(f"/plans/{plan.pk}/propose/", sent)
    assert PlanRequest.objects.count() == 1


def test_a_viewer_sees_no_button_and_may_not_ask(client_for: ClientFor) -> None:
    plan = changing(host="github.com")
    assert BUTTON not in page_of(client_for, plan, Role.VIEWER)
    assert client_for(Role.VIEWER).post(f"/plans/{plan.pk}/propose/").status_code == 403
    assert client_for(None).post(f"/plans/{plan.pk}/propose/").status_code in (302, 401)
    assert client_for(Role.OPERATOR).get(f"/plans/{plan.pk}/propose/").status_code == 405
    assert not PlanRequest.objects.exists()


@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("git.example.org/a/b", "git.example.org/a/b is not on github.com"),
        ("github.com.evil.example/a/b", "is not on github.com"),
        ("", "names no repository"),
    ],
)
def test_a_repository_elsewhere_keeps_the_patch_and_says_why(
    client_for: ClientFor, repository: str, words: str
) -> None:
    plan = changing(GitChange("stack", "argocd", "a=1", "", repository), "github.com")
    page = page_of(client_for, plan)
    assert BUTTON not in page
    assert words in page and "Patch for Git" in page
    assert client_for(Role.OPERATOR).post(f"/plans/{plan.pk}/propose/").status_code == 404


def test_github_enterprise_is_a_host_like_another(client_for: ClientFor) -> None:
    change = GitChange("stack", "argocd", "a=1", "", "git.example.org/a/b")
    assert BUTTON in page_of(client_for, changing(change, "git.example.org"))


DIFF = f"""\
diff --git a/apps/x.yaml b/apps/x.yaml
--- a/apps/x.yaml
+++ b/apps/x.yaml
@@ -10,3 +10,3 @@
 before: 1
-same: {HOSTILE}
+same: \u202etrue
 after: 1
"""


def test_the_files_own_difference_is_shown_with_its_numbers_and_as_text(client_for: ClientFor) -> None:
    plan = make_plan()
    document = load(plan.document)
    made = Condition("github_file_is", {})
    edit = FileEdit("a/b", "apps/x.yaml", "0" * 40, "1" * 40, "stack", "argocd", "same=true", DIFF)
    effect = Call("github", "PUT", "/repos/a/b/contents/apps/x.yaml", made, body={}, prepared=edit)
    spec = StepSpec(
        verb="commit", title="Commit", how="x", resource="Commit.github", namespace="", name="a:b:c", effect=effect
    )
    plan.document = dump(document) | {"steps": dump(document)["steps"]}
    plan.document["steps"][0] = dump(
        type(document)(
            steps=(PlannedStep(spec, "demo/github/Commit//a:b:c", note="The file as GitHub has it."),),
            targets={},
            locks=(),
            verification=document.verification,
            undo="",
            blast=document.blast,
        )
    )["steps"][0]
    plan.save()
    page = page_of(client_for, plan)
    assert "<b>apps/x.yaml</b>" in page
    assert '<span class="no">11</span>' in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and HOSTILE not in page
    assert "\u202e" not in page
    assert "The file as GitHub has it." in page


def test_a_diff_is_read_line_by_line() -> None:
    found = [(line.kind, line.old, line.new) for line in filediff.lines(DIFF + "\\ No newline at end of file\n")]
    assert found == [("fold", None, None), ("same", 10, 10), ("del", 11, None), ("add", None, 11), ("same", 12, 12)]


def opened(memory: dict[str, Any]) -> Run:
    run = make_run(make_plan(), state=RunState.SUCCEEDED)
    run.steps.filter(index=1).update(memory=memory)
    return run


PULL = {"repository": "platform-team/gitops", "number": 12, "sha": "0" * 40, "web": "https://github.com"}


def test_a_run_links_its_pull_request_and_the_form_that_withdraws_it(client_for: ClientFor) -> None:
    page = client_for(Role.VIEWER).get(f"/runs/{opened({'pull': PULL}).pk}/").content.decode()
    assert (
        '<a href="https://github.com/platform-team/gitops/pull/12" rel="noopener noreferrer">Pull request #12</a>'
        in page
    )
    assert "/actions/withdraw-proposal/?repository=platform-team%2Fgitops&amp;number=12" in page


@pytest.mark.parametrize("web", ["", "http://127.0.0.1:99", "javascript:alert(1)//", "https://a.b/x?", None])
def test_only_an_https_host_is_linked(client_for: ClientFor, web: str | None) -> None:
    run = opened({"pull": PULL | {"web": web}})
    page = client_for(Role.VIEWER).get(f"/runs/{run.pk}/").content.decode()
    assert "<b>Pull request #12</b>" in page
    assert "/pull/12" not in page


@pytest.mark.parametrize(
    "pull",
    [
        {"repository": "a/b/../../evil", "number": 1},
        {"repository": "//evil.example", "number": 1},
        {"repository": "a/b", "number": "1/../x"},
        {"repository": "a/b", "number": -1},
        {"number": 1},
        "javascript:alert(1)",
    ],
)
def test_what_names_no_pull_request_is_not_linked(client_for: ClientFor, pull: Any) -> None:
    pull = pull | {"web": "https://github.com"} if isinstance(pull, dict) else pull
    page = client_for(Role.VIEWER).get(f"/runs/{opened({'pull': pull}).pk}/").content.decode()
    assert "Pull request" not in page
