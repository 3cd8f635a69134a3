"""Plans of proposals: the file's real difference, every guard met and unmet, and nothing without a connection."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import Call, CannotPlan, FileEdit, HeadOf, PlanDraft
from deployments.catalogue.argo import git_edit, values
from lab.git.repository import shipped_files
from lab.services.github import blob
from monitoring.snapshot import Missing
from tests.deployments.argo.world import PASSWORD, merged
from tests.deployments.proposals.world import FILE, NAME, STACK, Scene, child, planned, root, unmet

VALUES = "values/stack.yaml"


def written(line: str, otherwise: str) -> Scene:
    """The stack's manifest with something written in another way."""
    text = shipped_files()[FILE]
    assert text.count(line) == 1
    return Scene(files={**shipped_files(), FILE: text.replace(line, otherwise)})


def calls_of(draft: PlanDraft) -> list[Call]:
    calls = [step.effect for step in draft.steps]
    assert all(isinstance(call, Call) and call.service == "github" for call in calls)
    return [call for call in calls if isinstance(call, Call)]


def branch_of(draft: PlanDraft) -> str:
    branch: str = calls_of(draft)[1].body["branch"]
    return branch


def send(scene: Scene, method: str, path: str, body: Any = None) -> Any:
    return json.loads(scene.ask(method, f"/repos/{NAME}{path}", json.dumps(body).encode(), token="writes").body)


def carried_out(scene: Scene, draft: PlanDraft, steps: int = 3) -> None:
    """What the engine would send, so that GitHub looks as after a run (or a part of one)."""
    branch, sha = branch_of(draft), scene.github.branches["main"]
    send(scene, "POST", "/git/refs", {"ref": f"refs/heads/{branch}", "sha": sha})
    if steps > 1:
        edit = calls_of(draft)[1].prepared
        assert isinstance(edit, FileEdit)
        text = git_edit.changed(scene.github.repository.files[FILE], STACK, "argocd", values.parse(edit.values))
        content = base64.b64encode(text.encode()).decode()
        body = {"branch": branch, "message": "m", "sha": edit.before, "content": content}
        send(scene, "PUT", f"/contents/{FILE}", body)
    if steps > 2:
        send(scene, "POST", "/pulls", {"title": "t", "head": branch, "base": "main", "body": "run X"})


# -- what is proposed


def test_the_difference_is_of_the_file_as_it_is_on_github_and_git_applies_it(tmp_path: Path) -> None:
    ours = "# a comment that the cluster does not have\n" + shipped_files()[FILE]
    scene = Scene(files={**shipped_files(), FILE: ours})
    draft = planned(scene, values="grafana.enabled=false, grafana.sidecar.dashboards.enabled=true")
    assert unmet(draft) == []
    (tmp_path / "bootstrap" / "apps").mkdir(parents=True)
    (tmp_path / FILE).write_text(scene.files[FILE])
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    command = re.search(r"git apply( -C\d)?", draft.git_patch)
    assert command is not None
    subprocess.run([*command[0].split(), "-"], input=draft.git_patch, text=True, cwd=tmp_path, check=True)
    edit = calls_of(draft)[1].prepared
    assert isinstance(edit, FileEdit)
    assert blob((tmp_path / FILE).read_text()) == edit.after
    assert edit.before == blob(ours)
    assert draft.git_patch.endswith(edit.diff)
    line = ours.splitlines().index("          enabled: true") + 1
    assert f"@@ -{line - 3},4 +{line - 3},4 @@" in edit.diff  # the file's own numbers; the password after it is cut off


def test_only_what_differs_is_proposed_however_the_rest_is_written() -> None:
    scene = written("type: LoadBalancer", "type: 'LoadBalancer'")
    draft = planned(scene, values="grafana.service.type=LoadBalancer, grafana.enabled=false")
    edit = calls_of(draft)[1].prepared
    assert isinstance(edit, FileEdit)
    assert [line for line in edit.diff.splitlines() if re.match(r"[+-] ", line)] == [
        "-          enabled: true",
        "+          enabled: false",
    ]


def test_no_credential_of_the_file_is_in_the_plan() -> None:
    draft = planned(Scene(), values="grafana.enabled=false")
    assert PASSWORD not in repr(draft)


def test_three_requests_each_found_again_by_what_github_shows() -> None:
    draft = planned(Scene(), why="disks are `full` @everyone")
    branch = branch_of(draft)
    assert branch.startswith("phaseboard/kube-prometheus-stack-")
    create, commit, pull = calls_of(draft)
    assert (create.prepared, create.made.name) == (HeadOf(NAME, "main"), "github_branch_there")
    assert (commit.body["sha"], commit.made.name) == (blob(shipped_files()[FILE]), "github_file_is")
    assert "content" not in commit.body
    assert pull.body["base"] == "main"
    assert "`disks are 'full' @everyone`" in pull.body["body"]
    assert "${run.user}" in pull.body["body"]
    assert pull.made.args["mark"] == "${run.mark}"
    assert len({step.ref.key("demo") for step in draft.steps}) == 3
    assert "The portal merges nothing" in draft.managed_by


def test_the_same_snapshot_and_its_filled_parameters_give_the_same_plan() -> None:
    scene = Scene()
    first = planned(scene, values='grafana.persistence.size="10Gi"')
    assert planned(scene, **first.params) == first
    assert planned(Scene(), **first.params).steps == first.steps


def test_another_change_is_another_branch_and_other_commits_to_the_base_are_not() -> None:
    scene = Scene()
    branch = branch_of(planned(scene))
    assert branch_of(planned(scene, values="grafana.persistence.size=11Gi")) != branch
    scene.github.repository.commit("infrastructure/rbac.yaml", "kind: List\n")
    assert branch_of(planned(scene)) == branch
    scene.github.repository.commit(FILE, "# new\n" + scene.github.repository.files[FILE])
    assert branch_of(planned(scene)) != branch


# -- where


def test_a_manifest_with_another_name_is_found_in_its_folder() -> None:
    files = shipped_files()
    files["bootstrap/apps/zz-stack.yaml"] = files.pop(FILE)
    assert planned(Scene(files=files)).params["file"] == "bootstrap/apps/zz-stack.yaml"


def test_the_file_that_is_given_is_the_one() -> None:
    files = {**shipped_files(), "other/stack.yaml": shipped_files()[FILE]}
    assert planned(Scene(files=files), file="other/stack.yaml").params["file"] == "other/stack.yaml"


def test_a_branch_is_the_base_and_a_tag_leads_to_the_default_branch() -> None:
    for revision, base, said in (
        ("HEAD", "main", "follows branch main"),
        ("v1.2", "main", "follows v1.2, which is no branch"),
        ("release", "release", "follows branch release"),
    ):
        scene = Scene(apps=[child(), merged(root(), {"spec": {"source": {"targetRevision": revision}}})])
        scene.ask("GET", f"/repos/{NAME}")
        scene.github.branches["release"] = scene.github.branches["main"]
        draft = planned(scene)
        assert calls_of(draft)[2].body["base"] == base
        assert said in draft.managed_by


def valued(**more: Any) -> Scene:
    """Values in a file of their own, in a second source."""
    git = {"repoURL": "git@github.com:platform-team/infrastructure-gitops.git", "targetRevision": "main", "ref": "git"}
    chart = child()["spec"]["source"] | {"helm": {"valueFiles": ["$git/base.yaml", f"$git/{VALUES}"]}}
    app = merged(child(), {"spec": {"source": None, "sources": [git, chart]}})
    return Scene(apps=[app, root()], files={**shipped_files(), VALUES: "# ours\ngrafana:\n  enabled: true\n"}, **more)


def test_values_in_a_file_of_their_own_are_changed_there() -> None:
    draft = planned(valued(), values="grafana.enabled=false")
    assert unmet(draft) == []
    edit = calls_of(draft)[1].prepared
    assert isinstance(edit, FileEdit)
    assert (edit.path, edit.application) == (VALUES, "")
    assert "-  enabled: true\n+  enabled: false\n" in draft.git_patch


def test_who_must_sync_it_is_said() -> None:
    manual = {"spec": {"syncPolicy": {"automated": None}}}
    draft = planned(Scene(apps=[child(), merged(root(), manual)]))
    assert "when somebody syncs root-app after people have merged it" in draft.managed_by


# -- what stands against it


@pytest.mark.parametrize(
    ("scene", "params", "words"),
    [
        (Scene(host=None), {}, r"No GitHub connection: set PORTAL_GITHUB_TOKEN_FILE \(docs/github.md\)"),
        (
            Scene(errors={"/repos/": "GitHub does not accept the token in PORTAL_GITHUB_TOKEN_FILE (HTTP 401)."}),
            {},
            "401",
        ),
        (Scene(errors={"/contents/": "demo: rate limit"}), {}, "rate limit"),
        (Scene(errors={"/pulls": "no answer"}), {}, "no answer"),
    ],
)
def test_without_an_answer_there_is_no_plan(scene: Scene, params: dict[str, Any], words: str) -> None:
    with pytest.raises(Missing, match=words):
        planned(scene, **params)


def moved(url: str) -> list[dict[str, Any]]:
    return [child(), merged(root(), {"spec": {"source": {"repoURL": url}}})]


@pytest.mark.parametrize(
    ("scene", "params", "words"),
    [
        (Scene(apps=moved("https://gitlab.example.org/a/b.git")), {}, "is not on github.com"),
        (Scene(apps=moved("https://github.com.evil.example/a/b")), {}, "is not on github.com"),
        (
            Scene(apps=moved("https://user:hunter22@github.com/a")),
            {},
            "does not say which repository",
        ),
        (Scene(apps=moved("https://github.com/other/repository")), {}, "does not show other/repository to this token"),
        (Scene(apps=[merged(child(), {"metadata": {"annotations": None}})]), {}, "no parent Application says"),
        (Scene(files={"README.yaml": "a: 1\n"}), {}, "None of 2 files"),
        (Scene(), {"file": "bootstrap/apps/none.yaml"}, "There is no bootstrap/apps/none.yaml"),
        (Scene(), {"file": "infrastructure/rbac.yaml"}, "does not hold Application"),
        (Scene(), {"values": "grafana.enabled=true"}, "^Nothing to change: bootstrap/apps/monitoring.yaml in .*"),
        *(
            (written("type: LoadBalancer", as_it_is), {"values": "grafana.service.type=LoadBalancer"}, "^Nothing to")
            for as_it_is in (
                "type: 'LoadBalancer'",
                'type: "LoadBalancer"  # by MetalLB',
                "type:\n              LoadBalancer",
            )
        ),
        (Scene(), {"values": "grafana.adminPassword-"}, "a line that holds a credential would have to change"),
        (Scene(), {"values": "grafana.enabled.x=1"}, "enabled is no map"),
        (Scene(files={**shipped_files(), FILE: "#" * 1_100_000}), {"file": FILE}, "larger than GitHub shows"),
    ],
)
def test_what_cannot_be_proposed_says_why(scene: Scene, params: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotPlan, match=words) as caught:
        planned(scene, **params)
    assert "hunter22" not in str(caught.value)
    assert all(path.startswith(f"/repos/{NAME}") or "other/repository" in path for path in scene.asked)


@pytest.mark.parametrize(
    "params",
    [
        {"values": "grafana.adminPassword=hunter22"},
        {"values": "grafana.x=${run.secret}"},
        {"why": "password: hunter22"},
        {"why": "${run.mark}"},
        {"file": "../x.yaml"},
        {"values": None},
    ],
)
def test_what_must_not_be_proposed_is_no_parameter(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Propose in Git"):
        planned(Scene(), **params)


def test_a_token_that_may_only_read_is_said_before_anything_is_made() -> None:
    [said] = unmet(planned(Scene(token="reads")))
    assert "GitHub says no push" in said and "Contents and Pull requests" in said
    assert unmet(planned(Scene(token="reads", installation=True))) == []  # of an app's token GitHub says nothing true


def test_an_archived_repository_takes_nothing() -> None:
    scene = Scene()
    scene.github.archived = True
    assert "archived: nobody may" in unmet(planned(scene))[0]


def test_a_parameter_that_wins_over_the_values_is_said() -> None:
    parameters = [{"name": "grafana.persistence.size", "value": "1Gi"}]
    scene = Scene(apps=[merged(child(), {"spec": {"source": {"helm": {"parameters": parameters}}}}), root()])
    assert "helm.parameters sets grafana.persistence.size" in unmet(planned(scene))[0]


def test_the_same_change_is_proposed_once() -> None:
    scene = Scene()
    carried_out(scene, planned(scene))
    assert [u.partition(":")[2] for u in unmet(planned(scene))] == [" #1 by phaseboard-bot is open: review that one"]
    send(scene, "PATCH", "/pulls/1", {"state": "closed"})
    assert unmet(planned(scene)) == []


@pytest.mark.parametrize("steps", [1, 2])
def test_what_an_earlier_run_left_is_taken_up(steps: int) -> None:
    scene = Scene()
    carried_out(scene, planned(scene), steps)
    scene.github.repository.commit("infrastructure/rbac.yaml", "kind: List\n")  # the base has moved on
    assert unmet(planned(scene)) == []


def test_a_branch_with_other_peoples_commits_is_not_taken() -> None:
    scene = Scene()
    draft = planned(scene)
    carried_out(scene, draft, 2)
    send(scene, "PUT", "/contents/more.yaml", {"branch": branch_of(draft), "message": "m", "content": "YQ=="})
    assert "it is there with other commits" in unmet(planned(scene))[0]


def test_a_merged_proposal_leaves_nothing_to_propose() -> None:
    scene = Scene()
    carried_out(scene, planned(scene))
    send(scene, "PUT", "/pulls/1/merge")
    with pytest.raises(
        CannotPlan, match="^Nothing to change: .* says so already. If the cluster does not, it has not been synced.$"
    ):
        planned(scene)


def test_what_github_says_is_not_believed_beyond_its_form() -> None:
    """Hostile or broken answers end in a sentence, never in a request to somewhere else."""
    bodies: list[Any] = [{"default_branch": "../../x"}, {"default_branch": 7}, [], "text", None]
    for body in bodies:
        scene = Scene(told={f"/repos/{NAME}": json.dumps(body).encode()})
        with pytest.raises(CannotPlan, match="does not show"):
            planned(scene)


# -- withdraw


def withdrawn(scene: Scene, number: int = 1) -> PlanDraft:
    action = registry.get("withdraw-proposal")
    params = registry.parse(action.slug, {"repository": NAME, "number": number})
    return action.plan(scene.snapshot(lambda seen: action.needs(seen, params)), params)


def test_a_proposal_is_closed_and_its_branch_deleted() -> None:
    scene = Scene()
    branch = branch_of(planned(scene))
    carried_out(scene, planned(scene))
    draft = withdrawn(scene)
    assert unmet(draft) == []
    assert [(call.method, call.path) for call in calls_of(draft)] == [
        ("PATCH", f"/repos/{NAME}/pulls/1"),
        ("DELETE", f"/repos/{NAME}/git/refs/heads/{branch}"),
    ]
    send(scene, "PATCH", "/pulls/1", {"state": "closed"})
    assert [step.verb for step in withdrawn(scene).steps] == ["delete"]


def test_what_is_not_the_portals_or_is_merged_or_has_more_in_it_stays() -> None:
    scene = Scene()
    with pytest.raises(CannotPlan, match="shows no pull request #1"):
        withdrawn(scene)
    draft = planned(scene)
    carried_out(scene, draft)
    send(scene, "PUT", "/contents/more.yaml", {"branch": branch_of(draft), "message": "m", "content": "YQ=="})
    assert "2 commits beyond main: people have added to it" in unmet(withdrawn(scene))[0]
    assert "GitHub says no push" in unmet(withdrawn_as_reader(scene))[0]
    send(scene, "PUT", "/pulls/1/merge")
    assert "it is merged" in unmet(withdrawn(scene))[0]
    send(scene, "POST", "/git/refs", {"ref": "refs/heads/theirs", "sha": scene.github.branches["main"]})
    send(scene, "PUT", "/contents/x.yaml", {"branch": "theirs", "message": "m", "content": "YQ=="})
    send(scene, "POST", "/pulls", {"title": "t", "head": "theirs", "base": "main"})
    with pytest.raises(CannotPlan, match="is not of this portal"):
        withdrawn(scene, 2)


def withdrawn_as_reader(scene: Scene) -> PlanDraft:
    scene.token = "reads"
    try:
        return withdrawn(scene)
    finally:
        scene.token = "writes"
