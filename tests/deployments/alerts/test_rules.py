"""A bad rule: what is wrong with it, what goes, what stays."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import MARK, CannotPlan, Condition, Delete, Patch
from deployments.catalogue.alerts import loading
from deployments.catalogue.seen import Outlook, Seen
from monitoring.snapshot import Missing
from tests.deployments.alerts.scene import PROMETHEUSES, RULES, Scene
from tests.deployments.alerts.test_selection import loaded
from tests.deployments.nodes.scene import unmet

SLUG = "revert-bad-rule"
FILE = "dev-portal-rules-u-2.yaml"
GIVEN = {"namespace": "dev", "name": "portal-rules"}


def scene(*groups: str, bad: str = "", left_out: str = "", **labels: str) -> Scene:
    """A rule object with these groups; ``bad`` is loaded and fails, ``left_out`` is what the operator says of it."""
    made = Scene()
    spec = {
        "groups": [
            {
                "name": name,
                "rules": [{"alert": f"Alert{name.upper()}", "expr": "up"}, {"record": f"{name}:x", "expr": "up"}],
            }
            for name in groups
        ]
    }
    metadata = {"name": "portal-rules", "namespace": "dev", "uid": "u-2", "labels": labels}
    made.add(RULES, {"kind": "PrometheusRule", "metadata": metadata, "spec": spec})
    if left_out:
        event = {
            "metadata": {"name": "e", "namespace": "dev"},
            "reason": "InvalidConfiguration",
            "message": left_out,
            "involvedObject": {"uid": "u-2"},
            "lastTimestamp": "2025-11-23T13:50:00Z",
        }
        made.add("events", event)
    else:
        made.groups = [loaded(name, "ok", "err" if name == bad else "ok") for name in groups]
    for which, value in (("failures", "19.9"), ("evaluations", "40")):
        labels = {"rule_group": f"/etc/prometheus/rules/x/{FILE};{bad}"}
        made.queries[loading.failures(FILE, which).expr] = [{"metric": labels, "value": [1.0, value]}] if bad else []
    return made


def test_the_group_that_fails_is_taken_out_and_the_others_are_written_whole() -> None:
    made = scene("a", "b", "c", bad="b")
    drafted = made.draft(SLUG, **GIVEN)
    assert unmet(drafted) == []
    (step,) = drafted.steps
    assert isinstance(step.effect, Patch)
    kept = [g for g in made.get(RULES, "portal-rules")["spec"]["groups"] if g["name"] != "b"]
    assert step.effect.body == {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"groups": kept}}
    assert step.until == Condition("prometheus_group_gone", {**GIVEN, "uid": "u-2", "group": "b", "rest": ["a", "c"]})
    assert drafted.params["group"] == "b"
    assert "rule R1 failed at" in drafted.preconditions[0].evidence
    assert drafted.preconditions[0].evidence.endswith("many-to-many; the group failed 20 of 40 evaluations in 10 min")
    assert (
        drafted.blast.sentence == "2 rules of 1 group go. Nobody is told of AlertB any more. What uses b:x has no data."
    )


def test_the_whole_object_may_go() -> None:
    drafted = scene("a", "b", bad="b").draft(SLUG, **GIVEN, remove="object")
    assert unmet(drafted) == []
    (step,) = drafted.steps
    assert step.effect == Delete()
    assert step.until == Condition("prometheus_group_gone", {**GIVEN, "uid": "u-2", "group": "", "rest": []})
    assert drafted.blast.deleted == ("PrometheusRule portal-rules",)


def test_the_only_group_cannot_be_taken_out() -> None:
    (reason,) = unmet(scene("a", bad="a").draft(SLUG, **GIVEN))
    assert reason == "Other groups of the object stay: a is its only group: choose to delete the object"
    assert unmet(scene("a", bad="a").draft(SLUG, **GIVEN, remove="object")) == []


def test_the_group_that_the_operator_names_is_the_bad_one() -> None:
    said = 'rejected due to invalid configuration: group "b", rule 0, "X": could not parse expression'
    drafted = scene("a", "b", left_out=said).draft(SLUG, **GIVEN)
    assert drafted.params["group"] == "b"
    assert unmet(drafted) == []
    assert "could not parse expression" in drafted.preconditions[0].evidence


def test_where_nobody_names_the_group_a_person_must() -> None:
    made = scene("a", "b", left_out="rejected due to invalid configuration")
    with pytest.raises(CannotPlan, match="Several groups of portal-rules may be meant \\(a and b\\)"):
        made.draft(SLUG, **GIVEN)
    assert unmet(made.draft(SLUG, **GIVEN, group="a")) == []
    made.all("events").clear()
    drafted = made.draft(SLUG, **GIVEN, group="a")
    assert "the operator's log says why" in drafted.preconditions[0].evidence


def test_a_group_that_reads_well_is_left_alone() -> None:
    with pytest.raises(CannotPlan, match="no rule of it fails"):
        scene("a", "b").draft(SLUG, **GIVEN)
    (reason,) = unmet(scene("a", "b", bad="a").draft(SLUG, **GIVEN, group="b"))
    assert reason == "Group b does not load, or fails: Prometheus has loaded it and no rule fails"
    with pytest.raises(CannotPlan, match="has no group z: a and b"):
        scene("a", "b").draft(SLUG, **GIVEN, group="z")


def test_what_no_prometheus_selects_was_never_tried() -> None:
    made = scene("a", left_out="x")
    made.prometheus(ruleSelector={"matchLabels": {"release": "x"}})
    with pytest.raises(CannotPlan, match="its labels are wrong \\(action fix-monitor-selection\\)"):
        made.draft(SLUG, **GIVEN)


@pytest.mark.parametrize(("remove", "words"), [("group", "Git names spec.groups"), ("object", "take it out of Git")])
def test_what_git_writes_comes_back_so_it_is_refused(remove: str, words: str) -> None:
    made = scene("a", "b", bad="b")
    meta = made.get(RULES, "portal-rules")["metadata"]
    meta["annotations"] = {
        "argocd.argoproj.io/tracking-id": "kube-prometheus-stack:monitoring.coreos.com/PrometheusRule:dev/portal-rules"
    }
    meta["managedFields"] = [{"manager": "argocd-controller", "fieldsV1": {"f:spec": {"f:groups": {}}}}]
    drafted = made.draft(SLUG, **GIVEN, remove=remove)
    (reason,) = unmet(drafted)
    assert words in reason
    assert drafted.git_way.startswith("Through Git first: correct group b")
    assert "will be reverted" in drafted.managed_by


def test_missing_answers_start_nothing() -> None:
    made = scene("a", bad="a")
    made.fetches["prometheus /api/v1/rules"] = {"status": 0, "error": "no answer"}
    with pytest.raises(Missing):
        made.draft(SLUG, **GIVEN)
    made = scene("a", bad="a")
    made.queries.clear()
    with pytest.raises(Missing):
        made.draft(SLUG, **GIVEN)
    made = scene("a", left_out="x")
    made.unread(PROMETHEUSES)
    with pytest.raises(Missing):
        made.draft(SLUG, **GIVEN)
    made = scene("a")
    made.case["raws"] = {f"{RULES} dev/portal-rules": None}
    made.all(RULES).pop()
    with pytest.raises(CannotPlan, match="There is no PrometheusRule"):
        made.draft(SLUG, **GIVEN)


def test_the_group_must_go_and_the_rest_must_stay() -> None:
    made = scene("a", "b", "c")
    args: dict[str, Any] = {**GIVEN, "uid": "u-2", "group": "b", "rest": ["a", "c"]}

    def look(memory: Any = None) -> Seen:
        return made.look("prometheus_group_gone", memory, **args)

    assert look().sentence == "Prometheus still has b."
    made.groups = [loaded("a", "ok")]
    assert look().sentence == "Prometheus has not loaded c yet."
    made.groups.append(loaded("c", "unknown"))
    assert look().sentence == "Prometheus has not tried every rule that stays yet."
    made.groups[-1] = loaded("c", "ok")
    assert (look().outlook, look().sentence) == (Outlook.MET, "Prometheus no longer has b; a and c stay loaded.")
    whole = {**args, "group": "", "rest": []}
    assert made.look("prometheus_group_gone", None, **whole).outlook == Outlook.NOT_YET
    made.groups.clear()
    assert made.look("prometheus_group_gone", None, **whole).sentence == "Prometheus no longer has its groups."


def test_what_the_operator_said_before_our_write_does_not_end_the_wait() -> None:
    made = scene("a", "b", left_out="rejected")
    made.groups = []
    args: dict[str, Any] = {**GIVEN, "uid": "u-2", "group": "b", "rest": ["a"]}
    at = "2025-11-23T13:50:00.400000+00:00"
    assert made.look("prometheus_group_gone", {"effect_at": at}, **args).outlook == Outlook.NOT_YET
    made.all("events")[0]["lastTimestamp"] = "2025-11-23T13:50:02Z"
    assert made.look("prometheus_group_gone", {"effect_at": at}, **args).outlook == Outlook.FAILED
