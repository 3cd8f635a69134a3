"""The printed line runs in a shell as it stands, does what the step does, and nothing that a cluster wrote into it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.catalogue.action import (
    MARK,
    Apply,
    Call,
    Condition,
    Create,
    Delete,
    Effect,
    Evict,
    Patch,
    StepSpec,
)
from deployments.engine import by_hand

pytestmark = pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
BODY = {"metadata": {"name": "x", "annotations": {MARK: "${run.mark}"}}}
#: what kubectl and curl are given, one word a line, with NUL between; then what they read
SHELL = r"""
say() { printf '%s\0' "$@"; [ "${*: -1}" = - ] && cat; return 0; }
kubectl() { say kubectl "$@"; }
curl() { say curl "$@"; }
openssl() { echo 00112233445566778899aabbccddeeff; }
id() { echo o\'neil; }
GRAFANA_URL=http://grafana; GRAFANA_TOKEN=t; ALERTMANAGER_URL=http://alertmanager
"""


def spec(effect: Effect, name: str = "x", namespace: str = "ns", resource: str = "configmaps") -> StepSpec:
    return StepSpec(verb="v", title="t", how="h", resource=resource, namespace=namespace, name=name, effect=effect)


def run(line: str) -> list[str]:
    done = subprocess.run(["bash", "-c", f"{SHELL}{line}"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\0")


def test_a_patch_carries_the_body_and_the_field_manager_of_the_action() -> None:
    body = {**BODY, "data": {"when": "${run.time}", "it's": 'a "b" $(touch /tmp/x) `id` \\ ${HOME}'}}
    words = run(by_hand.command(spec(Patch("merge", body)), "set-label"))
    sent = json.loads(words[words.index("-p") + 1])
    assert words[:6] == ["kubectl", "-n", "ns", "patch", "configmaps", "x"]
    assert "--field-manager=portal-remediation/set-label" in words
    assert sent["data"]["it's"] == body["data"]["it's"]  # type: ignore[index]
    assert len(sent["data"]["when"]) == len("2025-11-23T10:00:00Z") and sent["data"]["when"].endswith("Z")
    assert sent["metadata"]["annotations"][MARK] == "by-hand"


def test_a_generated_secret_is_generated_by_the_shell() -> None:
    """Pasting the line once gave Grafana the password "(generated when it runs)"."""
    line = by_hand.command(spec(Create({**BODY, "kind": "Secret", "stringData": {"p": "${run.secret}"}})), "a")
    assert "(generated" not in line
    assert json.loads(run(line)[-1])["stringData"] == {"p": "00112233445566778899aabbccddeeff"}


def test_an_apply_takes_the_fields_of_its_set() -> None:
    words = run(by_hand.command(spec(Apply(BODY, "demo")), "apply-set"))
    assert "--server-side" in words and "--field-manager=portal-remediation/demo" in words
    assert json.loads(words[-1])["metadata"]["name"] == "x"


@pytest.mark.parametrize(
    ("effect", "words"),
    [
        (Delete(), ["kubectl", "-n", "ns", "delete", "configmaps", "x", "--cascade=background"]),
        (Delete("Orphan", 0), ["delete", "configmaps", "x", "--cascade=orphan", "--grace-period=0", "--force"]),
        (Evict(), ["create", "--raw", "/api/v1/namespaces/ns/pods/x/eviction", "-f", "-"]),
    ],
)
def test_what_ends_something(effect: Effect, words: list[str]) -> None:
    said = run(by_hand.command(spec(effect), "a"))
    assert "\0".join(words) in "\0".join(said)


def test_a_request_says_who_asks_and_until_when() -> None:
    body = {"createdBy": "${run.user}", "startsAt": "${run.time}", "endsAt": "${run.time+1800}"}
    effect = Call("alertmanager", "POST", "/api/v2/silences", Condition("x"), body)
    words = run(by_hand.command(spec(effect, resource="silences.alertmanager"), "a"))
    sent = json.loads(words[words.index("-d") + 1])
    assert sent["createdBy"] == "o'neil"
    assert sent["startsAt"] < sent["endsAt"] and sent["endsAt"].endswith("Z")


def test_grafana_is_told_who_asks_by_a_token() -> None:
    effect = Call("grafana", "DELETE", "/api/datasources/uid/$(id)`id`", Condition("x"))
    words = run(by_hand.command(spec(effect, resource="datasources.grafana"), "a"))
    assert "Authorization: Bearer t" in words
    assert "http://grafana/api/datasources/uid/$(id)`id`" in words


def test_what_the_portal_may_not_print_is_not_overwritten_with_words() -> None:
    """Pasting the line once wrote "<credential in …>" over a password."""
    body = {**BODY, "spec": {"values": "a: ${live:/spec/values#0}"}}
    line = by_hand.command(spec(Patch("merge", body)), "a")
    assert run(line)[3:6] == ["edit", "configmaps", "x"]
    assert "live" not in line


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_nothing_that_a_cluster_wrote_is_run(text: str, tmp_path: Path) -> None:
    hostile = f"{text}'; touch {tmp_path}/broken; '$(touch {tmp_path}/broken)`touch {tmp_path}/broken`"
    body: dict[str, Any] = {**BODY, "data": {hostile: hostile}}
    words = run(by_hand.command(spec(Patch("merge", body), name=hostile, namespace=hostile), "a"))
    assert json.loads(words[words.index("-p") + 1])["data"] == {hostile: hostile}
    assert not (tmp_path / "broken").exists()
