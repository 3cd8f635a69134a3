"""verify, load_project and their exit codes, against snapshots; the JSON is what scripts rely on."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from common import clock
from monitoring import collect
from monitoring.models import Evidence
from monitoring.snapshot import Snapshot, from_case
from portal.checklists.models import Item, ItemSpan, Project
from portal.management import reading
from tests.checklists.build import CLUSTER, SMALL, item, small

pytestmark = pytest.mark.django_db

GOOD_NODE = {
    "metadata": {"name": "n", "labels": {}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": {"kubeletVersion": "v1.30.1"}},
}
ONE_PHASE = """
project: {key: small, title: Small project}
phases:
  - key: base
    number: 1
    title: Base
    items:
      - {key: nodes, title: Nodes are ready, checks: [{nodes: {count: 1}}]}
      - {key: idea, title: Only an idea}
  - key: apps
    number: 2
    title: Apps
    items:
      - {key: pods, title: Web runs, checks: [{workload_ready: {namespace: web, selector: app=web}}]}
"""


class NoReaders:
    """Stands for the readers of a cluster; the snapshot is given."""

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def cluster_name(settings: Any) -> None:
    settings.PORTAL_CLUSTER = CLUSTER


def given(monkeypatch: pytest.MonkeyPatch, objects: dict[str, list[Any]], errors: dict[str, str] | None = None) -> None:
    case = {"taken_at": clock.now(), "cluster": CLUSTER, "objects": objects, "errors": errors or {}}
    snapshot: Snapshot = from_case(case)
    monkeypatch.setattr(collect, "open_readers", lambda _: NoReaders())
    monkeypatch.setattr(collect, "once", lambda _readers, needs: (list(needs(snapshot)), snapshot)[1])


def run(*args: str) -> tuple[int, str]:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(*args, stdout=out)
    code = ended.value.code
    assert isinstance(code, int)
    return code, out.getvalue()


def node(name: str) -> dict[str, Any]:
    return GOOD_NODE | {"metadata": {"name": name, "labels": {}}}


@pytest.mark.parametrize(
    ("objects", "errors", "phase", "code"),
    [
        ({"nodes": [node("a")], "deployments.apps": [], "pods": []}, {}, [], 1),
        ({"nodes": [node("a")], "deployments.apps": [], "pods": []}, {}, ["--phase", "base"], 0),
        ({"nodes": [node("a")], "deployments.apps": [], "pods": []}, {}, ["--phase", "1"], 0),
        ({"nodes": [node("a")], "deployments.apps": [], "pods": []}, {}, ["--phase", "apps"], 1),
        ({"nodes": [node("a")]}, {"deployments.apps": "Listing failed.", "pods": "Listing failed."}, [], 2),
        ({"deployments.apps": [], "pods": []}, {"nodes": "Listing failed."}, [], 1),
    ],
)
def test_the_exit_code_of_verify(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objects: dict[str, list[Any]],
    errors: dict[str, str],
    phase: list[str],
    code: int,
) -> None:
    small(tmp_path, ONE_PHASE)
    given(monkeypatch, objects, errors)
    assert run("verify", *phase)[0] == code


def test_the_json_of_verify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path, ONE_PHASE)
    given(monkeypatch, {"nodes": [node("a")], "deployments.apps": [], "pods": []})
    code, out = run("verify", "--json")
    items = json.loads(out)["items"]
    assert code == 1
    assert [(entry["phase"], entry["item"], entry["word"]) for entry in items] == [
        ("base", "nodes", "verified"),
        ("base", "idea", "pending"),
        ("apps", "pods", "failing"),
    ]
    assert all(
        list(entry) == ["phase", "item", "title", "word", "sentence", "age_seconds", "checks"] for entry in items
    )
    check = items[2]["checks"][0]
    assert list(check) == ["type", "word", "sentence", "source", "observed_at", "command"]
    assert check["command"].startswith("kubectl get deployment")
    assert (check["source"], check["type"]) == ("kubernetes", "workload_ready")


def test_verify_stores_no_evidence_and_no_span(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path, ONE_PHASE)
    given(monkeypatch, {"nodes": [node("a")], "deployments.apps": [], "pods": []})
    run("verify")
    assert not Evidence.objects.exists()
    assert not ItemSpan.objects.exists()


def test_an_unreachable_cluster_reads_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path)
    silent = dict.fromkeys(("nodes", "deployments.apps", "pods", "services"), "The API server does not answer.")
    given(monkeypatch, {}, silent | {"applications.argoproj.io": "The API server does not answer."})
    code, out = run("verify", "--json", "--phase", "base")
    assert code == 2
    assert json.loads(out)["items"][0]["sentence"] == "The API server does not answer."


def test_a_run_or_a_request_does_not_change_what_verify_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from deployments.states import RunState
    from tests.checklists.test_sink import run_for

    project = small(tmp_path, ONE_PHASE)
    run_for(item(project, "pods"), RunState.WAITING_FOR_APPROVAL)
    given(monkeypatch, {"nodes": [node("a")], "deployments.apps": [], "pods": []})
    assert run("verify")[0] == 1


def test_an_unknown_phase_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(tmp_path)
    given(monkeypatch, {})
    with pytest.raises(CommandError, match="Did you mean apps") as caught:
        call_command("verify", "--phase", "app")
    assert caught.value.returncode == reading.CANNOT_RUN


def test_no_cluster_is_one_sentence(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    settings.PORTAL_KUBECONFIG = ""
    small(tmp_path)
    with pytest.raises(CommandError, match="PORTAL_KUBECONFIG") as caught:
        call_command("verify")
    assert caught.value.returncode == reading.CANNOT_RUN
    settings.PORTAL_KUBECONFIG = str(tmp_path / "none")
    with pytest.raises(CommandError, match="does not exist"):
        call_command("verify")


def test_an_empty_database_is_filled_from_the_projects_directory(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.yaml").write_text(ONE_PHASE)
    settings.PORTAL_PROJECTS_DIR = tmp_path
    given(monkeypatch, {"nodes": [node("a")], "deployments.apps": [], "pods": []})
    run("verify")
    assert Project.objects.get().key == "small"


def test_a_wrong_definition_is_said_with_its_line(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "bad.yaml").write_text(SMALL.replace("number: 2", "number: two"))
    settings.PORTAL_PROJECTS_DIR = tmp_path
    with pytest.raises(CommandError, match=r"bad.yaml:12"):
        call_command("verify")


def test_an_item_is_found_by_key_or_the_nearest_are_named(tmp_path: Path) -> None:
    project = small(tmp_path)
    assert reading.find_item("web", [project]).key == "web"
    assert reading.find_item("small/web", [project]).key == "web"
    with pytest.raises(CommandError, match="Did you mean web-synced"):
        reading.find_item("web-sync", [project])
    with pytest.raises(CommandError, match="There are nodes, web"):
        reading.find_item("zzzzzzzz", [Project.objects.get()])


def test_the_same_key_in_two_projects_must_be_told_apart(tmp_path: Path) -> None:
    first = small(tmp_path)
    second = small(tmp_path, SMALL.replace("key: small", "key: other"))
    with pytest.raises(CommandError, match="other/web"):
        reading.find_item("web", [first, second])
    assert reading.find_item("other/web", [first, second]).project == second


def test_load_project_says_what_it_loaded(tmp_path: Path) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    out = io.StringIO()
    call_command("load_project", str(path), stdout=out)
    assert out.getvalue() == f"small: 3 phases, 6 items on cluster {CLUSTER}\n"
    with pytest.raises(CommandError, match="no project definition"):
        call_command("load_project", "--dir", str(tmp_path / "nothing"))
    assert Item.objects.count() == 6
