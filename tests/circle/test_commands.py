"""The commands as a script would use them: a database, a kubeconfig, JSON and exit codes; no other process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.circle.stack import ROOT, eventually

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

REPORTS = ROOT / "tests" / "importing" / "reports"
REPORT = REPORTS / "phase-2-progress-report.md"
ACTION = "repair-grafana-in-place"
QUICK = ("--param", "hold_seconds=1")
#: what the team has yet to do, in the healthy cluster too: no fault of the cluster, so nothing to diagnose
UNDONE = {"dora-dashboards", "alert-channels"}
RED = {"failing", "blocked", "degraded"}
WORDS = RED | {"verified", "unknown", "stale", "pending", "checking", "waiting_for_approval", "attested", "exempt"}


class Place:
    """A lab with one scenario, a migrated database, and nothing else that runs."""

    def __init__(self, folder: Path, scenario: str, database: Path) -> None:
        self._kubeconfig = folder / "kubeconfig"
        self._log = folder / "lab.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PORTAL_", "DJANGO_", "REDIS_", "DATABASE_"))}
        self.env = kept | {"PORTAL_STATE_DIR": str(folder), "PORTAL_KUBECONFIG": str(self._kubeconfig)}
        shutil.copy(database, folder / database.name)
        lab = [sys.executable, "-m", "lab", "--scenario", scenario, "--kubeconfig", str(self._kubeconfig)]
        with self._log.open("wb") as log:
            self._lab = subprocess.Popen([*lab, "--speed", "0.2"], cwd=ROOT, env=kept, stdout=log, stderr=log)

    def ready(self) -> Place:
        """Wait until the lab answers."""
        eventually(lambda: "lab ready" in self._log.read_text() or self._lab.poll() is not None, 90, "the lab is ready")
        assert self._lab.poll() is None, self._log.read_text()[-2000:]
        return self

    def stop(self) -> None:
        """Stop the lab."""
        self._lab.send_signal(signal.SIGTERM)
        self._lab.wait(20)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A management command to its end."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=200)

    def json(self, *arguments: str) -> tuple[int, Any]:
        """Exit code and document of a command with --json."""
        done = self.run(*arguments, "--json")
        assert "Traceback" not in done.stderr, done.stderr[-3000:]
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def words(self) -> dict[str, str]:
        """Items' words by key, as `verify` reads them."""
        return {item["item"]: item["word"] for item in self.json("verify")[1]["items"]}


Places = Callable[[str], Place]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Places by scenario; each lab is started once, when it is first asked for."""
    state = tmp_path_factory.mktemp("database")
    env = os.environ | {"PORTAL_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "portal.settings"}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True, capture_output=True)
    [database] = state.glob("*.sqlite3")
    made: dict[str, Place] = {}

    def place(scenario: str) -> Place:
        if scenario not in made:
            made[scenario] = Place(tmp_path_factory.mktemp(scenario), scenario, database)
        return made[scenario].ready()

    yield place
    for each in made.values():
        each.stop()


# -- shapes


def test_verify_has_the_promised_shape_and_exit_code(places: Places) -> None:
    code, document = places("grafana-broken").json("verify")
    assert list(document) == ["items"]
    for item in document["items"]:
        assert list(item) == ["phase", "item", "title", "word", "sentence", "age_seconds", "checks"]
        assert item["word"] in WORDS
        for check in item["checks"]:
            assert list(check) == ["type", "word", "sentence", "source", "observed_at", "command"]
    words = {item["item"]: item["word"] for item in document["items"]}
    assert code == 1
    assert words["grafana-deployed"] == words["alert-channels"] == "failing"
    assert words["grafana-datasources"] == words["dora-dashboards"] == words["dashboard-access"] == "blocked"
    assert {words[key] for key in ("prometheus", "alertmanager", "node-exporter", "nfs-storage")} == {"verified"}
    for phase, expected in (("foundation", 0), ("application-delivery", 0), ("platform-services", 1)):
        assert places("grafana-broken").json("verify", "--phase", phase)[0] == expected


def test_plan_has_the_promised_shape_and_the_same_hash_twice(places: Places) -> None:
    place = places("grafana-broken")
    code, document = place.json("plan", ACTION)
    promised = ["hash", "action", "tier", "preconditions", "steps", "verification", "undo"]
    assert [key for key in document if key in promised] == promised
    assert (code, document["action"], document["tier"]) == (0, ACTION, 1)
    assert len(document["hash"]) == 64
    assert all(condition["met"] is True and condition["sentence"] for condition in document["preconditions"])
    for step in document["steps"]:
        assert {"verb", "kind", "namespace", "name", "diff"} <= set(step)
        assert all(list(change) == ["path", "before", "after"] for change in step["diff"])
    assert [step["verb"] for step in document["steps"]] == ["refresh", "compare", "sync", "wait", "sync"]
    assert place.json("plan", ACTION)[1]["hash"] == document["hash"]


# -- diagnosis


def _findings(place: Place, item: str) -> list[dict[str, Any]]:
    code, document = place.json("diagnose", item)
    assert (code, list(document)) == (0, ["findings"])
    for finding in document["findings"]:
        assert list(finding) == ["id", "cause", "sentence", "evidence", "confidence", "remedies"]
        assert isinstance(finding["evidence"], list)
        assert finding["evidence"]
        assert 0 < finding["confidence"] <= 1
    confidence = [finding["confidence"] for finding in document["findings"]]
    assert confidence == sorted(confidence, reverse=True)
    return list(document["findings"])


def test_diagnose_names_the_sync_that_argo_cd_gave_up(places: Places) -> None:
    first = _findings(places("grafana-broken"), "grafana-deployed")[0]
    assert (first["id"], first["cause"]) == ("A2", "sync_failed_at_retry_limit")
    assert first["remedies"][0] == ACTION


def test_diagnose_names_the_second_default_datasource_first(places: Places) -> None:
    place = places("grafana-two-default-datasources")
    assert place.words()["grafana-deployed"] == "failing"
    first = _findings(place, "grafana-deployed")[0]
    assert first["id"] == "G2"
    assert "default" in first["sentence"]
    assert "fix-duplicate-default-datasource" in first["remedies"]


@pytest.mark.timeout(600)  # one process for each item
def test_diagnose_finds_nothing_where_nothing_is_wrong(places: Places) -> None:
    place = places("healthy")
    code, document = place.json("verify")
    words = {item["item"]: item["word"] for item in document["items"] if item["word"] != "pending"}
    assert {key for key, word in words.items() if word != "verified"} == UNDONE
    assert code == (1 if RED & set(words.values()) else 2)
    for key in words:
        assert _findings(place, key) == [], key


# -- reports


def test_import_report_judges_every_claim_and_writes_nothing_unasked(places: Places) -> None:
    place = places("healthy")
    code, document = place.json("import_report", str(REPORT))
    promised = ["project", "phases", "items", "claims", "decisions", "options", "lessons", "resources"]
    assert code == 0
    assert {*promised, "not_understood"} <= set(document)
    for claim in document["claims"]:
        assert {"text", "lines", "verdict", "evidence"} <= set(claim)
        assert claim["verdict"] in ("confirmed", "contradicted", "not checkable")
        first, last = claim["lines"]
        assert 1 <= first <= last
    assert sum(claim["verdict"] == "confirmed" for claim in document["claims"]) >= 15
    again = place.json("import_report", str(REPORT))[1]
    assert again == document


@pytest.mark.parametrize("name", sorted(path.name for path in REPORTS.glob("*.md")))
def test_other_teams_reports_are_read_and_nothing_is_dropped_silently(places: Places, name: str) -> None:
    code, document = places("healthy").json("import_report", str(REPORTS / name))
    assert code == 0
    assert all({"lines", "text"} <= set(row) for row in document["not_understood"])
    known = ("items", "claims", "decisions", "options", "lessons", "resources", "not_understood")
    assert any(document[key] for key in known)


# -- runs


def test_a_grafana_that_comes_up_but_never_turns_healthy_ends_the_run_as_failed(places: Places) -> None:
    place = places("grafana-health-never-ok")
    code, document = place.json("run_action", ACTION, "--yes", "--wait", *QUICK, "verify_seconds=8")
    assert (code, document["state"]) == (1, "failed")
    words = {check["type"]: check["word"] for check in document["verification"]}
    assert words["workload_ready"] == "verified"
    assert words["grafana_health"] == "failing"
    assert place.words()["grafana-deployed"] == "failing"


def test_run_action_needs_a_yes(places: Places) -> None:
    done = places("grafana-broken").run("run_action", ACTION)
    assert done.returncode != 0
    assert "--yes" in done.stderr
    assert places("grafana-broken").words()["grafana-deployed"] == "failing"


def test_run_action_exits_0_only_when_verified_and_turns_the_item(places: Places) -> None:
    place = places("grafana-broken")
    code, document = place.json("run_action", ACTION, "--yes", "--wait", *QUICK)
    assert {"run", "state", "steps", "verification"} <= set(document)
    assert (code, document["state"]) == (0, "succeeded")
    assert [step["state"] for step in document["steps"]] == ["done"] * 5
    words = place.words()
    assert words["grafana-deployed"] == words["monitoring-application"] == "verified"
    assert words["alert-channels"] == "failing"  # not this remedy's business, and verify still exits 1 for it
    assert place.json("verify")[0] == 1
    assert place.json("diagnose", "grafana-deployed") == (0, {"findings": []})
    code, document = place.json("plan", ACTION)
    assert code == 1
    assert [c["sentence"] for c in document["preconditions"] if not c["met"]] == [
        "Something of Grafana differs from Git, and nothing else does"
    ]
