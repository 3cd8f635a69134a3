"""The commands against a real API server's stand-in, over HTTPS: what a script would see."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "tests" / "importing" / "reports" / "phase-2-progress-report.md"

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A lab with the report's scenario, an empty migrated database, and the environment that names both."""
    place = tmp_path_factory.mktemp("commands")
    kubeconfig, log = place / "kubeconfig", place / "lab.log"
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PORTAL_", "DATABASE_URL"))}
    command = [
        sys.executable,
        "-m",
        "lab",
        "--scenario",
        "grafana-broken",
        "--port",
        "0",
        "--kubeconfig",
        str(kubeconfig),
    ]
    with log.open("w") as out:
        lab = subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while "lab ready" not in log.read_text():
            assert lab.poll() is None, log.read_text()[-2000:]
            assert time.monotonic() < deadline, "the lab did not start within 90 s"
            time.sleep(0.2)
        env |= {
            "PORTAL_KUBECONFIG": str(kubeconfig),
            "PORTAL_STATE_DIR": str(place),
            "DJANGO_SETTINGS_MODULE": "portal.settings",
        }
        assert manage(env, "migrate")[0] == 0
        yield env
    finally:
        lab.terminate()
        lab.wait(20)


def manage(env: dict[str, str], *args: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", *args],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def answer(env: dict[str, str], *args: str) -> tuple[int, Any]:
    code, out, err = manage(env, *args, "--json")
    assert out.startswith("{"), err
    return code, json.loads(out)


def test_verify_says_what_the_report_did_not(environment: dict[str, str]) -> None:
    code, data = answer(environment, "verify", "--phase", "platform-services")
    words = {item["item"]: item["word"] for item in data["items"]}
    assert code == 1
    assert words["grafana-deployed"] == "failing"
    assert words["monitoring-application"] == "failing"
    assert words["grafana-datasources"] == words["dora-dashboards"] == "blocked"
    assert words["prometheus"] == words["alertmanager"] == words["node-exporter"] == "verified"
    closes = next(item["sentence"] for item in data["items"] if item["item"] == "monitoring-application")
    assert "Closes with “Resolve Grafana deployment”." in closes
    code, data = answer(environment, "verify", "--phase", "foundation")
    assert (code, {item["word"] for item in data["items"]}) == (0, {"verified"})
    code, data = answer(environment, "verify", "--phase", "application-delivery")
    assert (code, {item["word"] for item in data["items"]}) == (0, {"pending"})


def test_diagnose_names_the_failed_sync(environment: dict[str, str]) -> None:
    code, data = answer(environment, "diagnose", "grafana-deployed")
    assert code == 0
    first = data["findings"][0]
    assert (first["id"], first["remedies"][0]) == ("A2", "repair-grafana-in-place")
    assert list(first) == ["id", "cause", "sentence", "evidence", "confidence", "remedies"]
    assert answer(environment, "diagnose", "prometheus") == (0, {"findings": []})


def test_the_reports_claims_are_held_against_the_cluster(environment: dict[str, str]) -> None:
    code, data = answer(environment, "import_report", str(REPORT))
    by_line = {claim["lines"][0]: claim["verdict"] for claim in data["claims"]}
    assert code == 0
    confirmed = (12, 13, 14, 15, 18, 19, 20, 22, 23, 51, 52, 53, 67, 185, 186, 189)
    assert {line: by_line[line] for line in confirmed} == dict.fromkeys(confirmed, "confirmed")
    assert by_line[37] == "contradicted"
    assert {item["match"] for item in data["items"]} == {"key", "title"}
    for _ in range(2):
        code, again = answer(environment, "import_report", str(REPORT), "--accept")
        assert (code, again["items"], again["decisions"]) == (0, data["items"], data["decisions"])


def test_a_cluster_that_does_not_answer_is_unknown_and_never_green(environment: dict[str, str], tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    text = Path(environment["PORTAL_KUBECONFIG"]).read_text()
    closed.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:1", text))
    env = environment | {"PORTAL_KUBECONFIG": str(closed)}
    code, data = answer(env, "verify")
    assert code == 2
    assert {item["word"] for item in data["items"]} == {"unknown", "pending"}
    code, _, error = manage(env, "diagnose", "grafana-deployed")
    assert code == 2
    assert "does not answer" in error


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("verify", "--phase", "platform-service"), "Did you mean platform-services?"),
        (("diagnose", "grafana-deploy"), "Did you mean grafana-deployed"),
        (("import_report", "no-such-file.md"), "no-such-file.md cannot be read"),
    ],
)
def test_what_cannot_run_says_so_in_one_sentence(
    environment: dict[str, str], args: tuple[str, ...], sentence: str
) -> None:
    code, out, error = manage(environment, *args)
    assert (code, out) == (3, "")
    assert sentence in error
    assert "Traceback" not in error


def test_without_a_database_the_commands_say_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    code, _, error = manage(environment | {"PORTAL_STATE_DIR": str(tmp_path)}, "verify")
    assert code == 3
    assert "manage.py migrate" in error
    assert "Traceback" not in error
