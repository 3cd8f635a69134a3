"""Setting Helm values: a text stays a text, credentials stay out, Git comes first and the parent's word is heard."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import calls, credentials, values
from tests.deployments.argo.world import (
    NOW,
    PASSWORD,
    RUNNING,
    STACK,
    above,
    alone,
    body,
    both,
    entry,
    merged,
    planned,
    seen,
    stack,
    unmet,
    values_text,
)

SLUG = "set-helm-values"
QUIET = {"spec": {"syncPolicy": {"automated": None}}}
AS_MAP = {"spec": {"source": {"helm": {"values": None, "valuesObject": {"grafana": {"enabled": True, "a": 1}}}}}}


def test_a_text_stays_a_text_and_comes_back_with_its_credential() -> None:
    app = stack()
    draft = planned(SLUG, seen(app, above(QUIET)), values="grafana.enabled=false,grafana.persistence.size=10Gi")
    assert unmet(draft) == []
    helm = body(draft, 0)["spec"]["source"]["helm"]
    assert set(helm) == {"values"}, "a valuesObject beside it would make the text ignored"
    assert PASSWORD not in repr(draft)
    wanted = values.edited(values_text(), values.parse("grafana.enabled=false,grafana.persistence.size=10Gi"))
    assert credentials.restore(helm["values"], app) == wanted
    assert body(draft, 0)["metadata"]["annotations"][calls.REFRESH] == "normal"


def test_a_map_is_patched_as_a_map_and_its_text_is_not_revived() -> None:
    text_too = both(AS_MAP, {"spec": {"source": {"helm": {"values": "ignored: true\n"}}}})
    for patch in (AS_MAP, text_too):
        app = alone(patch)
        draft = planned(SLUG, seen(app), values="grafana.enabled=false,grafana.a-,grafana.b.c=x")
        assert unmet(draft) == []
        helm = body(draft, 0)["spec"]["source"]["helm"]
        assert helm == {"valuesObject": {"grafana": {"enabled": False, "a": None, "b": {"c": "x"}}}}
        after = merged(app, {"spec": body(draft, 0)["spec"]})["spec"]["source"]["helm"]["valuesObject"]
        assert after == {"grafana": {"enabled": False, "b": {"c": "x"}}}


def test_without_any_values_a_map_is_made() -> None:
    app = alone({"spec": {"source": {"helm": {"values": None}}}})
    draft = planned(SLUG, seen(app), values="grafana.enabled=false")
    assert body(draft, 0)["spec"]["source"]["helm"] == {"valuesObject": {"grafana": {"enabled": False}}}


def test_one_of_several_sources_is_sent_with_the_whole_list() -> None:
    app = alone()
    source = app["spec"].pop("source")
    app["spec"]["sources"] = [{"repoURL": "https://x/y.git", "ref": "values"}, source]
    draft = planned(SLUG, seen(app), values="grafana.enabled=false")
    sent = credentials.restore(body(draft, 0)["spec"], app)["sources"]
    assert sent[0] == app["spec"]["sources"][0]
    assert sent[1] == merged(
        source, {"helm": {"values": values.edited(values_text(), values.parse("grafana.enabled=false"))}}
    )
    assert PASSWORD not in repr(draft)


def test_what_the_parent_reverts_belongs_into_git_and_the_patch_is_there() -> None:
    draft = planned(SLUG, seen(stack(), above()), values="grafana.enabled=false")
    [said] = unmet(draft)
    assert "root-app reverts it within seconds" in said and "pause auto-sync of root-app first" in said
    assert draft.git_way.startswith("Through Git first: set grafana.enabled: false in bootstrap/apps/monitoring.yaml")
    assert "-          enabled: true\n+          enabled: false\n" in draft.git_patch
    assert PASSWORD not in draft.git_patch
    told = planned(SLUG, seen(stack(), above()), values="grafana.enabled=false", git_file="x/y.yaml")
    assert "+++ b/x/y.yaml" in told.git_patch


def test_with_auto_sync_argo_cd_goes_on_by_itself_else_a_sync_follows() -> None:
    verbs = [s.verb for s in planned(SLUG, seen(stack(), above(QUIET)), values="grafana.enabled=false").steps]
    assert verbs == ["set", "compare"]
    draft = planned(SLUG, seen(alone(QUIET)), values="grafana.enabled=false")
    assert [s.verb for s in draft.steps] == ["set", "compare", "sync"]
    assert body(draft, 2)["operation"]["sync"]["prune"] is False
    assert "prune off" in draft.blast.sentence


@pytest.mark.parametrize(
    ("patch", "edits", "sentence"),
    [
        ({}, "grafana.enabled=true", "The values change"),
        (RUNNING, "grafana.enabled=false", "No operation is running"),
        (
            {"spec": {"source": {"helm": {"parameters": [{"name": "grafana.enabled", "value": "true"}]}}}},
            "grafana.enabled=false",
            "helm.parameters sets grafana.enabled, which wins",
        ),
        (
            {"spec": {"source": {"helm": {"parameters": [{"name": "grafana.service.type", "value": "x"}]}}}},
            'grafana.service={"type": "ClusterIP"}',
            "helm.parameters sets grafana.service.type",
        ),
        ({}, "crds.enabled=false", "prometheuses.monitoring.coreos.com would go"),
    ],
)
def test_a_precondition_that_is_not_met_is_named(patch: dict[str, Any], edits: str, sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(SLUG, seen(stack(patch), above(QUIET)), values=edits)))


def test_definitions_may_go_unrendered_while_nothing_prunes() -> None:
    keeps = {"spec": {"syncPolicy": {"automated": {"prune": False}}}}
    assert unmet(planned(SLUG, seen(stack(keeps), above(QUIET)), values="crds.enabled=false")) == []
    none = merged(stack(), {"status": {"resources": [entry("Service", "x")]}})
    assert unmet(planned(SLUG, seen(none, above(QUIET)), values="crds.enabled=false")) == []


def test_the_way_back_is_written_down() -> None:
    draft = planned(SLUG, seen(stack(), above(QUIET)), values="grafana.enabled=false,grafana.persistence.size=10Gi")
    assert draft.undo == "Set Helm values again, with: grafana.enabled=true, grafana.persistence.size-"
    assert "no copy" in planned(SLUG, seen(stack(), above(QUIET)), values="grafana.adminPassword-").undo


def test_a_credential_that_stands_there_is_called_one() -> None:
    draft = planned(SLUG, seen(stack(), above(QUIET)), values="grafana.adminPassword-")
    [said] = [p.evidence for p in draft.preconditions if p.sentence == "The values change"]
    assert said == "grafana.adminPassword: a credential → taken out"
    whole = planned(SLUG, seen(stack(), above(QUIET)), values="grafana-")
    assert PASSWORD not in repr(whole)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"values": "grafana.adminPassword=hunter2x"}, "would put a credential into a plan"),
        ({"values": "a"}, "neither path=value"),
        ({"values": "a=1", "git_file": "../x.yaml"}, "inside a repository"),
    ],
)
def test_what_must_not_be_given_is_refused_before_anything_is_read(params: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        registry.parse(SLUG, {"application": STACK, **params})
    assert "hunter2x" not in str(refused.value)


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"spec": {"source": {"helm": {"values": "a: [unclosed"}}}}, "cannot be read"),
        ({"spec": {"source": {"helm": {"values": "grafana: 5\n"}}}}, "grafana is no map"),
        ({"spec": {"source": {"helm": {"values": "grafana: {}\nx: ${run.secret}\n"}}}}, "placeholder"),
        ({"spec": {"source": {"chart": None, "helm": None, "path": "x"}}}, "has no Helm source"),
    ],
)
def test_values_that_cannot_be_written_safely_are_left_to_git(patch: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CannotPlan, match=sentence):
        planned(SLUG, seen(alone(patch)), values="grafana.enabled=false")


def test_a_draft_of_its_own_parameters_is_the_same() -> None:
    edits = 'grafana.a="x,y", grafana.b={"c": [1, "d"]}, grafana.persistence-'
    first = planned(SLUG, seen(stack(), above()), values=edits)
    assert planned(SLUG, seen(stack(), above()), **first.params) == first


def test_the_commands_print_the_way_through_git_and_what_follows(transactional_db: None) -> None:
    """A person at a terminal reads the same as one at the page."""
    from deployments import selectors
    from deployments.engine.document import Document, dump
    from deployments.models import Plan

    draft = planned(SLUG, seen(stack(), above()), values="grafana.enabled=false")
    pause = planned("pause-auto-sync", seen(alone()))
    document = Document(
        steps=(),
        targets={},
        locks=(),
        verification=draft.verification,
        undo=draft.undo,
        blast=draft.blast,
        git_way=draft.git_way,
        git_patch=draft.git_patch,
        follow_up=pause.follow_up,
    )
    plan = Plan.objects.create(
        hash="0" * 64, cluster="demo", action=SLUG, title="Set Helm values", tier=2, params={}, document=dump(document),
        preconditions=[], rights=[], created_at=NOW,
    )  # fmt: skip
    printed, text = selectors.plan_json(plan), selectors.plan_text(plan)
    assert printed["git_patch"] == draft.git_patch and printed["git_way"] == draft.git_way
    assert list(printed["blast"]["changed"]) == [f"Application {STACK}"]
    assert printed["follow_up"]["action"] == "resume-auto-sync"
    assert draft.git_way in text and "Then: Auto-sync of" in text and "Touches: " in text
