"""Patches for Git are applied by the real ``git apply`` to the team's own files, and never show a credential."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.catalogue.argo import git_file, git_patch, values
from deployments.catalogue.argo.git_patch import GitPatch
from monitoring.snapshot import Missing, from_case
from tests.deployments.argo.world import (
    APPS,
    GIT,
    NOW,
    PASSWORD,
    STACK,
    child,
    decoded,
    merged,
    root,
    snapshot,
    values_text,
)

FILE = "bootstrap/apps/monitoring.yaml"


def patch_of(
    edits: str, app: dict[str, Any] | None = None, parent: dict[str, Any] | None = None, file: str = ""
) -> GitPatch:
    seen = snapshot(app or child(), parent or root())
    target = next(a for a in seen.objects(APPS) if a.metadata.name == STACK)
    return git_patch.for_values(seen, target, values.parse(edits), file)


def applied(patch: GitPatch, clone: Path, text: str | None = None) -> str:
    """The values after ``git apply``, as the sentence says it, in a clone of the team's repository."""
    shutil.copytree(GIT / "bootstrap", clone / "bootstrap")
    if text is not None:
        (clone / FILE).write_text(text)
    subprocess.run(["git", "init", "-q", str(clone)], check=True)
    command = re.search(r"git apply( -C\d+)?", patch.sentence)
    assert command is not None
    done = subprocess.run(
        [*command[0].split(), "--verbose", "-"], input=patch.text, text=True, cwd=clone, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    loaded: str = yaml.safe_load((clone / FILE).read_text())["spec"]["source"]["helm"]["values"]
    return loaded


EDITS = [
    "grafana.persistence.size=10Gi",
    "grafana.enabled=false",  # the next line is the password
    "grafana.sidecar.datasources.enabled=true,grafana.sidecar.datasources.initDatasources=true",
    "prometheus.prometheusSpec.retention=30d,grafana.service.type=ClusterIP",
    "grafana.admin.existingSecret=grafana-admin,grafana.admin.userKey=admin-user",
    "defaultRules.create=false",  # behind the last line of the block
    "grafana.persistence-",
    'grafana.affinity={"nodeAffinity": null}',  # stands four times in the file
    'prometheusOperator.affinity.nodeAffinity={"x": []}',
]


@pytest.mark.parametrize("edits", EDITS)
def test_git_applies_it_to_the_file_and_the_values_are_what_was_asked(edits: str, tmp_path: Path) -> None:
    patch = patch_of(edits)
    assert patch.text, patch.sentence
    assert applied(patch, tmp_path) == values.edited(values_text(), values.parse(edits))


@pytest.mark.parametrize("edits", EDITS)
def test_no_patch_shows_the_password_not_even_as_context(edits: str) -> None:
    patch = patch_of(edits)
    assert PASSWORD not in patch.text and "adminPassword" not in patch.text
    assert PASSWORD not in patch.sentence


def test_a_file_that_moved_on_elsewhere_still_takes_it(tmp_path: Path) -> None:
    moved = "# a comment of ours\n" * 40 + (GIT / FILE).read_text().replace("retention: 120h", "retention: 90h")
    assert "30d" in applied(patch_of("prometheus.prometheusSpec.retention=30d"), tmp_path, moved)


def test_a_file_that_changed_at_the_place_does_not(tmp_path: Path) -> None:
    changed = (GIT / FILE).read_text().replace("retention: 15d", "retention: 20d")
    with pytest.raises(AssertionError, match="patch does not apply"):
        applied(patch_of("prometheus.prometheusSpec.retention=30d"), tmp_path, changed)


def test_a_line_with_a_credential_is_left_to_a_person() -> None:
    for edits in ("grafana.adminPassword-", "grafana-"):
        patch = patch_of(edits)
        assert patch.text == "" and "a line that holds a credential would have to change" in patch.sentence


def test_a_credential_in_a_comment_is_not_context() -> None:
    text = values_text().replace("grafana:\n", "grafana:\n  # was password: hunter2-canary\n")
    patch = patch_of("grafana.enabled=false", merged(child(), {"spec": {"source": {"helm": {"values": text}}}}))
    assert "hunter2" not in patch.text
    assert patch.text == "" and "without showing a credential" in patch.sentence


def test_an_edit_that_is_a_credential_is_refused() -> None:
    patch = patch_of("grafana.adminPassword=hunter2-canary")
    assert patch.text == "" and "hunter2" not in patch.sentence and "Refer to a Secret" in patch.sentence


# -- which file


def test_without_anything_said_the_file_is_called_a_guess() -> None:
    patch = patch_of("grafana.enabled=false")
    assert patch.file is not None and (patch.file.path, patch.file.known) == (FILE, False)
    assert "a guess: from its label component" in patch.sentence
    assert f"bootstrap/apps/{STACK}.yaml" in patch.sentence
    assert "a guess" in patch.text.partition("diff --git")[0]
    plain = patch_of("grafana.enabled=false", merged(child(), {"metadata": {"labels": {"component": None}}}))
    assert plain.file is not None and (plain.file.path, plain.file.known) == (f"bootstrap/apps/{STACK}.yaml", False)


def test_a_person_an_annotation_or_the_parents_only_file_make_it_known() -> None:
    noted = merged(child(), {"metadata": {"annotations": {git_file.FILE: "apps/stack.yaml"}}})
    only = merged(root(), {"spec": {"source": {"directory": {"include": "monitoring.yaml"}}}})
    many = merged(root(), {"spec": {"source": {"directory": {"include": "*.yaml"}}}})
    for patch, path in (
        (patch_of("grafana.enabled=false", noted, file="here/it/is.yml"), "here/it/is.yml"),
        (patch_of("grafana.enabled=false", noted), "apps/stack.yaml"),
        (patch_of("grafana.enabled=false", parent=only), FILE),
    ):
        assert patch.file is not None and (patch.file.path, patch.file.known) == (path, True)
        assert f"--- a/{path}\n+++ b/{path}\n" in patch.text
    guessed = patch_of("grafana.enabled=false", parent=many).file
    assert guessed is not None and not guessed.known


@pytest.mark.parametrize(
    "path", ["/etc/passwd.yaml", "../x.yaml", "a/../../x.yaml", "x", "a b.yaml", "x.yaml\n+++ b/y.yaml"]
)
def test_a_path_that_leaves_the_repository_is_not_taken(path: str) -> None:
    assert not git_file.is_file(path)
    file = patch_of("grafana.enabled=false", file=path).file
    assert file is not None and file.path == FILE


def test_when_the_manifest_is_rendered_from_something_else_there_is_no_patch() -> None:
    helm = merged(root(), {"spec": {"source": {"helm": {"values": "a: 1"}}}, "status": {"sourceType": "Helm"}})
    kustomize = merged(root(), {"status": {"sourceType": "Kustomize"}})
    for parent in (helm, kustomize):
        patch = patch_of("grafana.enabled=false", parent=parent)
        assert patch.text == "" and "its parent root-app renders it" in patch.sentence
    nobody = child()
    del nobody["metadata"]["annotations"]
    assert "no parent Application" in patch_of("grafana.enabled=false", nobody).sentence
    made = merged(child(), {"metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]}})
    assert "template of ApplicationSet all" in patch_of("grafana.enabled=false", made).sentence


def test_values_that_are_no_text_cannot_be_patched_by_lines() -> None:
    as_map = merged(child(), {"spec": {"source": {"helm": {"valuesObject": {"grafana": {"enabled": True}}}}}})
    patch = patch_of("grafana.enabled=false", as_map)
    assert patch.text == "" and "valuesObject" in patch.sentence
    none = merged(child(), {"spec": {"source": {"helm": {"values": None}}}})
    assert patch_of("grafana.enabled=false", none).text == ""
    assert "the values say so already" in patch_of("grafana.enabled=true").sentence


def test_a_live_text_that_is_known_not_to_be_gits_is_said() -> None:
    entry = {"group": "argoproj.io", "kind": "Application", "namespace": "argocd", "name": STACK, "status": "OutOfSync"}
    patch = patch_of("grafana.enabled=false", parent=merged(root(), {"status": {"resources": [entry]}}))
    assert "root-app shows it as OutOfSync" in patch.sentence


def test_credentials_of_a_repository_address_are_not_shown() -> None:
    parent = merged(root(), {"spec": {"source": {"repoURL": "https://bot:hunter2-canary@git.example/x.git"}}})
    patch = patch_of("grafana.enabled=false", parent=parent)
    assert "hunter2" not in patch.sentence + patch.text


def test_what_was_not_read_is_missing_and_no_patch() -> None:
    blind = from_case({"taken_at": NOW, "errors": {APPS: "The API server does not answer."}})
    target = decoded(child())
    with pytest.raises(Missing):
        git_patch.for_values(blind, target, values.parse("grafana.enabled=false"))


def test_values_of_one_of_several_sources_stand_deeper() -> None:
    app = child()
    source = app["spec"].pop("source")
    app["spec"]["sources"] = [{"repoURL": "https://x/y.git", "ref": "values"}, source]
    assert "\n-            enabled: true\n" in patch_of("grafana.enabled=false", app).text
    app["spec"]["sources"].append({"chart": "loki", "helm": {"values": "a: 1\n"}})
    assert patch_of("grafana.enabled=false", app).text == ""


@pytest.mark.parametrize(
    "hostile", ["same: [{}]\n".format(", ".join("a" * 3000)), "".join(f"k{n}: x\n" for n in range(4000))]
)
def test_long_values_are_not_slow_and_still_right(hostile: str, tmp_path: Path) -> None:
    import time

    text = hostile + "list:\n" + "  - a\n" * 3000 + "end: 1\nlast: 2\n"
    app = merged(child(), {"spec": {"source": {"helm": {"values": text}}}})
    began = time.process_time()
    patch = patch_of("end=5", app)
    assert "-        end: 1\n+        end: 5\n" in patch.text
    assert time.process_time() - began < 20


def test_a_place_that_looks_like_every_other_is_not_guessed() -> None:
    text = "".join(f"k{n}:\n" + "  a: 1\n" + "".join(f"  b{i}: 1\n" for i in range(200)) for n in range(2))
    app = merged(child(), {"spec": {"source": {"helm": {"values": text.replace("k0:\n", "k0: # x\n")}}}})
    patch = patch_of("k1.b100=2", app)
    assert patch.text == "" and "not enough to find the place" in patch.sentence


def test_values_in_a_file_of_their_own_are_named_there_and_can_be_proposed() -> None:
    """The cluster has no text of that file to make a patch of; GitHub has."""
    git = {"repoURL": "git@github.com:platform-team/gitops.git", "targetRevision": "main", "ref": "git"}
    chart = child()["spec"]["source"] | {"helm": {"valueFiles": ["$git/values/stack.yaml"]}}
    made = patch_of("grafana.enabled=false", merged(child(), {"spec": {"source": None, "sources": [git, chart]}}))
    assert "in values/stack.yaml of git@github.com:platform-team/gitops.git, branch main" in made.sentence
    assert "the text of that file is not in the cluster" in made.sentence
    assert made.text == ""
    assert made.change is not None
    assert made.change.repository == "github.com/platform-team/gitops"
    helm = {"values": None, "valueFiles": ["../values.yaml"]}
    folder = {"chart": None, "path": "charts/stack", "repoURL": git["repoURL"], "helm": helm}
    inside = merged(child(), {"spec": {"source": folder}})
    assert "in charts/values.yaml of" in patch_of("grafana.enabled=false", inside).sentence
    outside = merged(inside, {"spec": {"source": {"helm": {"valueFiles": ["../../../etc/x.yaml"]}}}})
    assert "bootstrap/apps/monitoring.yaml" in patch_of("grafana.enabled=false", outside).sentence


def test_the_change_is_what_a_proposal_needs_and_holds_no_credential_of_a_url() -> None:
    source = {"repoURL": "https://robot:hunter22@github.com/platform-team/gitops.git"}
    made = patch_of("grafana.enabled=false", child(), merged(root(), {"spec": {"source": source}}))
    assert made.change is not None
    assert made.change.repository == "github.com/platform-team/gitops"
    assert made.change.values == "grafana.enabled=false"
    assert "hunter22" not in repr(made)
    assert patch_of("grafana.adminPassword=x").change is None
