"""Edits in the real text of a file: only the values change, everything else stays byte for byte, or nothing does."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
import yaml

from deployments.catalogue.argo import git_edit, values
from tests.deployments.argo.world import GIT, PASSWORD, STACK

MONITORING = (GIT / "bootstrap" / "apps" / "monitoring.yaml").read_text()

SEVERAL = """\
# Applications of the platform, one file
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
data:
  text: |
    values: |
      grafana: {}
---
# the stack
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: stack   # as in the cluster
spec:
  source:
    chart: stack
    helm:
      values: |
        # how many
        replicas: 1   # not more

        tail: true
  destination: {namespace: a}
---
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: other}
spec: {source: {chart: x}}
"""

MAP = """\
kind: Application
metadata:
  name: stack
spec:
  source:
    helm:
      valuesObject:
        # comments stay
        replicas: 1 # here too
        list: [a, b]
  destination: {}
"""

SOURCES = """\
kind: Application
metadata: {name: stack, namespace: argocd}
spec:
  sources:
    - repoURL: https://github.com/a/b
      ref: values
    - chart: stack
      helm:
        values: |-
          replicas: 1
"""


def made(text: str, edits: str, application: str = "stack") -> str:
    return git_edit.changed(text, application, "argocd", values.parse(edits))


def changed_lines(before: str, after: str) -> tuple[list[str], list[str]]:
    old, new = before.splitlines(), after.splitlines()
    return [line for line in old if line not in new], [line for line in new if line not in old]


def test_the_block_of_one_document_changes_and_nothing_else() -> None:
    after = made(SEVERAL, "replicas=3, added.deep=true")
    assert changed_lines(SEVERAL, after) == (
        ["        replicas: 1   # not more"],
        ["        replicas: 3   # not more", "        added:", "          deep: true"],
    )
    documents = list(yaml.safe_load_all(after))
    assert yaml.safe_load(documents[1]["spec"]["source"]["helm"]["values"]) == {
        "replicas": 3,
        "tail": True,
        "added": {"deep": True},
    }


def test_a_map_in_the_manifest_keeps_its_comments_and_order() -> None:
    after = made(MAP, "replicas=2, list=[]")
    assert changed_lines(MAP, after) == (
        ["        replicas: 1 # here too", "        list: [a, b]"],
        ["        replicas: 2 # here too", "        list: []"],
    )


def test_the_only_helm_source_of_several_is_the_one() -> None:
    assert made(SOURCES, "replicas=2") == SOURCES.replace("replicas: 1", "replicas: 2")


def test_a_file_of_values_is_edited_as_such() -> None:
    assert made("a: 1 # x\nb: {c: 2}\n", "a=2", application="") == "a: 2 # x\nb: {c: 2}\n"


def test_a_file_without_a_last_line_end_keeps_having_none() -> None:
    assert made(SOURCES.rstrip("\n"), "replicas=2") == SOURCES.rstrip("\n").replace("replicas: 1", "replicas: 2")


def test_the_teams_own_manifest_is_changed_in_one_line() -> None:
    after = made(MONITORING, "grafana.enabled=false", STACK)
    assert changed_lines(MONITORING, after)[1] == ["          enabled: false"]
    assert PASSWORD in after


def test_what_can_be_set_can_be_taken_out_again() -> None:
    assert made(made(MONITORING, "grafana.replicas=2", STACK), "grafana.replicas-", STACK) == MONITORING


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (SEVERAL.replace("name: stack ", "name: stock "), "holds Application stack 0 times"),
        (MAP + "---\n" + MAP, "holds Application stack 2 times"),
        (SEVERAL.replace("values: |\n        #", "values: >\n        #"), "not written as a block"),
        (SEVERAL.replace("values: |\n        #", "values: |1\n        #"), "cannot be edited safely"),
        (MAP.replace("valuesObject:", "parameters:"), "sets no values of its own"),
        (MAP.replace("  source:\n", "  source:\n    x: 1\n  source:\n"), "source stands twice"),
        (SOURCES.replace("ref: values", "helm: {values: 'a: 1'}"), "2 sources with Helm settings"),
        (SOURCES.replace("values: |-\n          replicas: 1", "valuesObject: {replicas: 1}"), "inside a list"),
        (MAP.replace("\n", "\r\n"), "line ends other than"),
        ("{{ if .Values.x }}\n" + MAP, "no YAML that can be read here"),
        (MAP + "x: &a 1\ny: *a\n", "no YAML that can be read here"),
        ("a: " + "[" * 5000, "no YAML that can be read here"),
        ("#" * 600_000, "too long"),
    ],
)
def test_what_cannot_be_changed_safely_is_left_to_people(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        made(text, "replicas=2")


def test_the_name_of_a_content_is_gits_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(MONITORING)
    said = subprocess.run(
        ["git", "hash-object", str(tmp_path / "file")], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert git_edit.blob_sha(MONITORING) == said
    assert git_edit.blob_sha("ä") != hashlib.sha1("ä".encode()).hexdigest()


def test_lines_with_credentials_are_known_in_every_document_and_inside_blocks() -> None:
    text = SEVERAL.replace("tail: true", "adminPassword: hunter22\n        existingSecret: grafana") + (
        "---\nkind: Secret\nstringData:\n  token: abcdef\n  key: |\n    -----BEGIN RSA PRIVATE KEY-----\n    MIIB\n"
        "    -----END RSA PRIVATE KEY-----\n# password: hunter23\n"
    )
    lines = text.splitlines()
    hidden = {lines[number].strip() for number in git_edit.credential_lines(text)}
    assert hidden == {
        "adminPassword: hunter22",
        "token: abcdef",
        "-----BEGIN RSA PRIVATE KEY-----",
        "MIIB",
        "-----END RSA PRIVATE KEY-----",
        "# password: hunter23",
    }
