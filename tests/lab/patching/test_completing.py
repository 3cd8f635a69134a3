"""Defaults, validation and unknown fields: recorded answers and what must not change after creation."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lab.api.patching import default, unknown_fields, validate

NOW = "2025-11-23T13:52:00Z"
POD = ("", "v1", "Pod")
DEPLOYMENT = ("apps", "v1", "Deployment")
APPLICATION = ("argoproj.io", "v1alpha1", "Application")
# the schema of contract question 38
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["project"],
            "properties": {
                "project": {"type": "string"},
                "n": {"type": "integer", "minimum": 1},
                "d": {"type": "string", "default": "dd"},
                "sources": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"repoURL": {"type": "string"}}},
                },
            },
        },
        "operation": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}


def pod(**container: Any) -> dict[str, Any]:
    spec = {"containers": [{"name": "c", "image": "i:1", **container}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p0"}, "spec": spec}


def deployment() -> dict[str, Any]:
    spec = {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec}


def application(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}, "spec": spec}


def reasons(gvk: Any, obj: Any, old: Any = None, **kw: Any) -> list[tuple[str, str]]:
    return sorted((cause.field, cause.reason) for cause in validate(gvk, obj, old, **kw))


def test_a_pod_gets_the_recorded_defaults() -> None:
    spec = default(POD, pod(), NOW)["spec"]
    assert (spec["restartPolicy"], spec["dnsPolicy"]) == ("Always", "ClusterFirst")
    assert spec["containers"][0]["imagePullPolicy"] == "IfNotPresent"


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("host:5000/a", "Always"),
        ("a:1", "IfNotPresent"),
        ("a@sha256:0", "IfNotPresent"),
    ],
)
def test_only_an_image_that_can_move_is_always_pulled(image: str, policy: str) -> None:
    assert default(POD, pod(image=image), NOW)["spec"]["containers"][0]["imagePullPolicy"] == policy


@pytest.mark.parametrize(("gvk", "obj"), [(POD, pod()), (DEPLOYMENT, deployment())])
def test_defaulting_twice_is_the_same_as_once_and_leaves_its_input_alone(gvk: Any, obj: Any) -> None:
    before = copy.deepcopy(obj)
    once = default(gvk, obj, NOW)
    assert default(gvk, once, "2026-01-01T00:00:00Z") == once
    assert obj == before
    assert validate(gvk, once) == []


def test_a_custom_resource_is_pruned_and_defaulted() -> None:
    result = default(APPLICATION, application(project="default", junk=1), NOW, schema=SCHEMA)
    assert result["spec"] == {"project": "default", "d": "dd"}
    assert default(APPLICATION, {**application(), "operation": {"x": 1}}, NOW, schema=SCHEMA)["operation"] == {"x": 1}


def test_a_custom_resource_is_told_what_is_wrong_by_field() -> None:
    assert reasons(APPLICATION, application(n=0), schema=SCHEMA) == [
        ("spec.n", "FieldValueInvalid"),
        ("spec.project", "FieldValueRequired"),
    ]
    wrong = validate(APPLICATION, application(project=1), schema=SCHEMA)
    assert wrong[0].message == 'Invalid value: "integer": spec.project in body must be of type string: "integer"'


def test_unknown_fields_are_named_by_their_path() -> None:
    doc = deployment()
    doc["bogus"] = 1
    doc["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    assert unknown_fields(DEPLOYMENT, doc) == ["spec.template.spec.containers[0].imagee", "bogus"]
    custom = application(project="p", junk=1, sources=[{"a": 1}])
    assert unknown_fields(APPLICATION, custom, schema=SCHEMA) == ["spec.junk", "spec.sources[0].a"]
    assert unknown_fields(APPLICATION, custom) == []


def changed(obj: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    result = copy.deepcopy(obj)
    inner: Any = result
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return result


def test_a_pod_may_change_its_image_but_not_its_command() -> None:
    old = default(POD, pod(), NOW)
    assert reasons(POD, changed(old, "spec", "containers", 0, "image", to="i:2"), old) == []
    forbidden = changed(old, "spec", "containers", 0, "command", to=["x"])
    assert reasons(POD, forbidden, old) == [("spec", "FieldValueForbidden")]


def test_a_deployment_needs_a_selector_that_fits_and_keeps_it() -> None:
    old = default(DEPLOYMENT, deployment(), NOW)
    missing = deployment()
    del missing["spec"]["selector"]
    assert ("spec.selector", "FieldValueRequired") in reasons(DEPLOYMENT, missing)
    other = changed(old, "spec", "selector", to={"matchLabels": {"x": "y"}})
    assert ("spec.selector", "FieldValueInvalid") in reasons(DEPLOYMENT, other, old)
    assert ("spec.template.metadata.labels", "FieldValueInvalid") in reasons(DEPLOYMENT, other)


def test_recreate_does_not_go_with_the_rolling_update_that_was_defaulted() -> None:
    """Applying `type: Recreate` over a defaulted Deployment is refused by a real server."""
    old = default(DEPLOYMENT, deployment(), NOW)
    recreate = changed(old, "spec", "strategy", "type", to="Recreate")
    assert reasons(DEPLOYMENT, recreate, old) == [("spec.strategy.rollingUpdate", "FieldValueForbidden")]
    assert reasons(DEPLOYMENT, changed(old, "spec", "strategy", to={"type": "Recreate"}), old) == []


def test_two_ports_cannot_share_a_name() -> None:
    ports = [{"name": "w", "containerPort": 80}, {"name": "w", "containerPort": 81}]
    assert reasons(POD, pod(ports=ports)) == [("spec.containers[0].ports[1].name", "FieldValueDuplicate")]


CLAIM = ("", "v1", "PersistentVolumeClaim")


def test_a_claim_is_bound_once_and_then_keeps_its_volume_and_class() -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    old = {"metadata": {"name": "c"}, "spec": spec}
    bound = changed(changed(old, "spec", "volumeName", to="pv"), "spec", "storageClassName", to="nfs-client")
    assert reasons(CLAIM, bound, old) == []
    assert reasons(CLAIM, changed(bound, "spec", "volumeName", to="other"), bound) == [("spec", "FieldValueForbidden")]
    grown = changed(bound, "spec", "resources", to={"requests": {"storage": "2Gi"}})
    assert reasons(CLAIM, grown, bound) == []


def test_an_immutable_config_map_stays_as_it_is() -> None:
    gvk = ("", "v1", "ConfigMap")
    old = {"kind": "ConfigMap", "data": {"a": "1"}, "immutable": True}
    assert reasons(gvk, {**old, "data": {"a": "2"}}, old) == [("data", "FieldValueForbidden")]
    assert reasons(gvk, {"kind": "ConfigMap", "data": {"bad/key": "1"}}) == [("data[bad/key]", "FieldValueInvalid")]


def test_secret_data_is_not_repeated_when_it_is_refused() -> None:
    wrong = validate(("", "v1", "Secret"), {"kind": "Secret", "data": {"k": "hunter2!"}})
    assert [cause.field for cause in wrong] == ["data[k]"]
    assert "hunter2" not in wrong[0].message


def test_the_schema_words_that_crds_use_are_checked() -> None:
    node = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "e": {"type": "string", "enum": ["a", "b"]},
                    "p": {"type": "string", "pattern": "^[a-z]+$"},
                    "l": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                    "q": {"x-kubernetes-int-or-string": True},
                    "m": {"type": "object", "additionalProperties": {"type": "integer"}},
                    "o": {"oneOf": [{"required": ["x"]}, {"required": ["y"]}], "type": "object"},
                },
            }
        },
    }
    good = application(e="a", p="abc", l=["x", "y"], q="10%", m={"k": 1}, o={"x": 1})
    assert reasons(APPLICATION, good, schema=node) == []
    bad = application(e="c", p="A1", l=["x", "x"], q=1.5, m={"k": "1"}, o={})
    assert reasons(APPLICATION, bad, schema=node) == [
        ("spec.e", "FieldValueNotSupported"),
        ("spec.l[1]", "FieldValueDuplicate"),
        ("spec.m.k", "FieldValueTypeInvalid"),
        ("spec.o", "FieldValueInvalid"),
        ("spec.p", "FieldValueInvalid"),
        ("spec.q", "FieldValueTypeInvalid"),
    ]
