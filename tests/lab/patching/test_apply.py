"""Server-side apply: what a real API server answered, and properties that must hold for any document."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.api.patching import ApplyConflict, ApplyInvalid, PatchError, apply, merge_patch, track_update

DEPLOYMENT = ("apps", "v1", "Deployment")
CONFIGMAP = ("", "v1", "ConfigMap")
APPLICATION = ("argoproj.io", "v1alpha1", "Application")
T0, T1 = "2025-11-23T13:52:00Z", "2025-11-23T13:53:00Z"
Doc = dict[str, Any]


def deployment(image: str = "nginx:1", **spec: Any) -> Doc:
    containers = [
        {"name": "a", "image": image, "env": [{"name": "X", "value": "1"}]},
        {"name": "b", "image": "side:1"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "s1", "labels": {"app": "s1"}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "s1"}},
            "template": {"metadata": {"labels": {"app": "s1"}}, "spec": {"containers": containers}},
            **spec,
        },
    }


def configmap(data: Any = None, **metadata: Any) -> Doc:
    doc: Doc = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s2", **metadata}}
    return doc if data is None else {**doc, "data": data}


def applied(live: Doc | None, intent: Doc, manager: str, gvk: Any = CONFIGMAP, **kw: Any) -> Doc:
    return apply(live, intent, gvk=gvk, manager=manager, **{"force": False, "now": T0, **kw})


def managers(doc: Doc) -> list[list[str]]:
    entries = doc["metadata"].get("managedFields", [])
    return sorted([m["manager"], m["operation"], m.get("subresource", "")] for m in entries)


def fields(doc: Doc, manager: str) -> Doc:
    found = [m["fieldsV1"] for m in doc["metadata"]["managedFields"] if m["manager"] == manager]
    assert len(found) == 1
    result: Doc = found[0]
    return result


def images(doc: Doc) -> list[str]:
    return [c["image"] for c in doc["spec"]["template"]["spec"]["containers"]]


# -- recorded from a real server (contract questions 18-27) --


def test_a_create_owns_exactly_the_fields_it_names() -> None:
    result = applied(None, deployment(), "portal", DEPLOYMENT)
    assert managers(result) == [["portal", "Apply", ""]]
    env: Doc = {'k:{"name":"X"}': {".": {}, "f:name": {}, "f:value": {}}}
    labels: Doc = {"f:metadata": {"f:labels": {"f:app": {}}}}
    containers = {
        'k:{"name":"a"}': {".": {}, "f:env": env, "f:image": {}, "f:name": {}},
        'k:{"name":"b"}': {".": {}, "f:image": {}, "f:name": {}},
    }
    template = {**labels, "f:spec": {"f:containers": containers}}
    assert fields(result, "portal") == {
        **labels,
        "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": template},
    }


def test_another_manager_with_another_value_is_told_who_owns_the_field() -> None:
    live = applied(None, deployment(), "portal", DEPLOYMENT)
    with pytest.raises(ApplyConflict) as raised:
        applied(live, deployment("nginx:2"), "other", DEPLOYMENT)
    field = '.spec.template.spec.containers[name="a"].image'
    assert raised.value.message == f'Apply failed with 1 conflict: conflict with "portal": {field}'
    assert raised.value.causes == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "portal"', "field": field}
    ]
    assert (raised.value.code, raised.value.reason) == (409, "Conflict")


def test_force_takes_the_field_and_only_that_field() -> None:
    live = applied(None, deployment(), "portal", DEPLOYMENT)
    result = applied(live, deployment("nginx:2"), "other", DEPLOYMENT, force=True)
    assert managers(result) == [["other", "Apply", ""], ["portal", "Apply", ""]]
    assert images(result) == ["nginx:2", "side:1"]

    def image_of(manager: str) -> bool:
        container = fields(result, manager)["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"a"}']
        return "f:image" in container

    assert (image_of("other"), image_of("portal")) == (True, False)


def test_what_the_only_owner_stops_applying_is_removed() -> None:
    live = applied(None, configmap({"a": "1", "b": "2"}, labels={"k": "v"}), "m1")
    result = applied(live, configmap({"a": "1"}), "m1")
    assert result["data"] == {"a": "1"}
    assert "labels" not in result["metadata"]


def test_a_shared_field_stays_until_its_last_owner_leaves() -> None:
    live = applied(None, configmap({"a": "1"}), "m1")
    live = applied(live, configmap({"a": "1"}), "m2")
    live = applied(live, configmap(), "m1")
    assert live["data"] == {"a": "1"}
    assert managers(live) == [["m2", "Apply", ""]]
    assert "data" not in applied(live, configmap(), "m2")


def test_an_update_takes_the_field_from_the_applier_and_the_applier_then_conflicts() -> None:
    live = applied(None, configmap({"a": "1"}), "m2")
    changed = merge_patch(live, {"data": {"a": "9"}})
    live = track_update(live, changed, gvk=CONFIGMAP, manager="ui", now=T1)
    assert managers(live) == [["ui", "Update", ""]]
    with pytest.raises(ApplyConflict) as raised:
        applied(live, configmap({"a": "1"}), "m2")
    assert raised.value.causes == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "ui" using v1', "field": ".data.a"}
    ]


def test_managed_fields_in_the_intent_are_refused() -> None:
    with pytest.raises(PatchError) as raised:
        applied(None, configmap(managedFields=[{"manager": "x"}]), "m1")
    assert raised.value.code == 400


def test_a_custom_resource_with_a_schema_owns_its_lists_as_a_whole() -> None:
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "project": {"type": "string"},
                    "sources": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"repoURL": {"type": "string"}}},
                    },
                },
            }
        },
    }
    intent = application({"project": "p", "sources": [{"repoURL": "x"}]})
    result = applied(None, intent, "m1", APPLICATION, schema=schema)
    assert fields(result, "m1") == {"f:spec": {"f:project": {}, "f:sources": {}}}


# -- what the recordings do not ask --


def application(spec: Doc) -> Doc:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "a"}, "spec": spec}


def test_a_custom_resource_without_a_schema_merges_maps_and_replaces_lists() -> None:
    live = applied(None, application({"a": {"x": 1}, "l": [1, 2]}), "m1", APPLICATION)
    live = applied(live, application({"a": {"y": 2}}), "m2", APPLICATION)
    assert live["spec"] == {"a": {"x": 1, "y": 2}, "l": [1, 2]}
    with pytest.raises(ApplyConflict) as raised:
        applied(live, application({"l": [3]}), "m2", APPLICATION)
    assert [cause["field"] for cause in raised.value.causes] == [".spec.l"]


def list_schema(kind: str) -> Doc:
    items = {"type": "object", "properties": {"type": {"type": "string"}, "value": {"type": "string"}}}
    node: Doc = {"type": "array", "items": items if kind == "map" else {"type": "string"}}
    node["x-kubernetes-list-type"] = kind
    if kind == "map":
        node["x-kubernetes-list-map-keys"] = ["type"]
    spec = {"type": "object", "properties": {"l": node}}
    return {"type": "object", "properties": {"spec": spec}}


def test_a_list_by_keys_of_a_custom_resource_has_an_owner_per_item() -> None:
    schema = list_schema("map")
    live = applied(None, application({"l": [{"type": "a", "value": "1"}]}), "m1", APPLICATION, schema=schema)
    live = applied(live, application({"l": [{"type": "b", "value": "2"}]}), "m2", APPLICATION, schema=schema)
    assert [item["type"] for item in live["spec"]["l"]] == ["a", "b"]
    live = applied(live, application({}), "m1", APPLICATION, schema=schema)
    assert live["spec"]["l"] == [{"type": "b", "value": "2"}]
    with pytest.raises(ApplyConflict) as raised:
        applied(live, application({"l": [{"type": "b", "value": "3"}]}), "m1", APPLICATION, schema=schema)
    assert raised.value.causes[0]["field"] == '.spec.l[type="b"].value'


def test_a_set_of_a_custom_resource_has_an_owner_per_value() -> None:
    schema = list_schema("set")
    live = applied(None, application({"l": ["a"]}), "m1", APPLICATION, schema=schema)
    live = applied(live, application({"l": ["b"]}), "m2", APPLICATION, schema=schema)
    assert live["spec"]["l"] == ["a", "b"]
    assert applied(live, application({}), "m1", APPLICATION, schema=schema)["spec"]["l"] == ["b"]


def test_fields_that_the_type_does_not_declare_are_refused() -> None:
    with pytest.raises(ApplyInvalid, match=r"\.spec\.bogus: field not declared in schema"):
        applied(None, deployment(bogus=1), "m1", DEPLOYMENT)


def test_a_list_key_twice_is_refused() -> None:
    intent = deployment()
    intent["spec"]["template"]["spec"]["containers"].append({"name": "a"})
    with pytest.raises(ApplyInvalid, match=r'duplicate entries for key \[name="a"\]'):
        applied(None, intent, "m1", DEPLOYMENT)


def test_several_conflicts_are_listed_under_their_managers() -> None:
    live = applied(None, configmap({"a": "1", "b": "1"}), "m1")
    live = applied(live, configmap({"c": "1"}), "m2")
    with pytest.raises(ApplyConflict) as raised:
        applied(live, configmap({"a": "2", "b": "2", "c": "2"}), "m3")
    assert raised.value.message == (
        'Apply failed with 3 conflicts: conflicts with "m1":\n- .data.a\n- .data.b\nconflicts with "m2":\n- .data.c'
    )


def test_a_scale_through_the_subresource_is_named_in_the_conflict() -> None:
    live = applied(None, deployment(), "m1", DEPLOYMENT)
    scaled = merge_patch(live, {"spec": {"replicas": 3}})
    live = track_update(live, scaled, gvk=DEPLOYMENT, manager="ui", now=T1, subresource="scale")
    assert ["ui", "Update", "scale"] in managers(live)
    with pytest.raises(ApplyConflict) as raised:
        applied(live, deployment(), "m1", DEPLOYMENT)
    cause = 'conflict with "ui" with subresource "scale" using apps/v1'
    assert [(c["message"], c["field"]) for c in raised.value.causes] == [(cause, ".spec.replicas")]


def test_ports_without_a_protocol_are_the_tcp_ports() -> None:
    def ports(*items: Doc) -> Doc:
        spec = {"containers": [{"name": "a", "image": "i", "ports": list(items)}]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}

    gvk = ("", "v1", "Pod")
    live = applied(None, ports({"containerPort": 80, "protocol": "TCP", "name": "w"}), "m1", gvk)
    live = applied(live, ports({"containerPort": 80, "name": "w"}), "m2", gvk)
    assert len(live["spec"]["containers"][0]["ports"]) == 1


def test_an_object_without_managers_belongs_to_before_first_apply() -> None:
    live = configmap({"a": "1", "b": "1"})
    with pytest.raises(ApplyConflict, match='"before-first-apply" using v1'):
        applied(live, configmap({"a": "2"}), "m1")
    result = applied(live, configmap({"a": "2"}), "m1", force=True)
    assert result["data"] == {"a": "2", "b": "1"}
    assert managers(result) == [["before-first-apply", "Update", ""], ["m1", "Apply", ""]]


def test_the_status_subresource_changes_and_owns_only_status() -> None:
    live = applied(None, deployment(), "m1", DEPLOYMENT)
    intent = {**deployment("other:9"), "status": {"replicas": 4}}
    result = applied(live, intent, "kcm", DEPLOYMENT, subresource="status")
    assert images(result) == ["nginx:1", "side:1"]
    assert result["status"] == {"replicas": 4}
    assert fields(result, "kcm") == {"f:status": {"f:replicas": {}}}
    again = applied(result, {**deployment(), "status": {"replicas": 9}}, "m1", DEPLOYMENT)
    assert again["status"] == {"replicas": 4}


def test_a_create_by_update_owns_the_defaults_and_new_maps_themselves() -> None:
    result = track_update(
        None, configmap({"a": "1"}, labels={"x": "y"}), gvk=CONFIGMAP, manager="kubectl-create", now=T0
    )
    assert fields(result, "kubectl-create") == {
        "f:data": {".": {}, "f:a": {}},
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
    }
    created = track_update(None, deployment(), gvk=DEPLOYMENT, manager="k", now=T0)
    assert "." not in fields(created, "k")["f:spec"]["f:template"]["f:spec"]["f:containers"]


def test_managed_fields_can_be_emptied_and_are_kept_when_not_sent() -> None:
    live = applied(None, configmap({"a": "1"}), "m1")
    put = configmap({"a": "1"})
    kept = track_update(live, put, gvk=CONFIGMAP, manager="ui", now=T1)
    assert kept["metadata"]["managedFields"] == live["metadata"]["managedFields"]
    emptied = track_update(live, configmap({"a": "1"}, managedFields=[{}]), gvk=CONFIGMAP, manager="ui", now=T1)
    assert "managedFields" not in emptied["metadata"]


def test_nulls_that_were_stored_survive_an_apply_that_changes_nothing() -> None:
    stored = deployment()
    stored["spec"]["template"]["metadata"]["creationTimestamp"] = None
    live = track_update(None, stored, gvk=DEPLOYMENT, manager="kubectl-create", now=T0)
    once = applied(live, deployment(), "m1", DEPLOYMENT)
    assert applied(once, deployment(), "m1", DEPLOYMENT, now=T1) == once


# -- properties --

names = st.sampled_from("abc")
# an empty list or map reads back as absent, so the documents below have none
variables: st.SearchStrategy[Doc] = st.fixed_dictionaries({"name": names}, optional={"value": names})
optional: Doc = {
    "image": st.sampled_from(["i:1", "i:2"]),
    "env": st.lists(variables, min_size=1, max_size=2, unique_by=lambda each: str(each["name"])),
    "args": st.lists(names, min_size=1, max_size=2),
}
container: st.SearchStrategy[Doc] = st.fixed_dictionaries({"name": names}, optional=optional)
containers = st.lists(container, min_size=1, max_size=3, unique_by=lambda each: str(each["name"]))
labels = st.dictionaries(names, names, min_size=1, max_size=2)


@st.composite
def intents(draw: st.DrawFn) -> Doc:
    doc = deployment()
    doc["metadata"]["labels"] = draw(labels)
    doc["spec"] = {
        "replicas": draw(st.integers(0, 2)),
        "template": {"metadata": {"labels": draw(labels)}, "spec": {"containers": draw(containers)}},
    }
    return doc


histories = st.lists(st.tuples(st.sampled_from(["m1", "m2", "m3"]), intents()), min_size=1, max_size=4)


def replay(history: list[tuple[str, Doc]]) -> Doc:
    live: Doc | None = None
    for manager, intent in history:
        live = applied(live, intent, manager, DEPLOYMENT, force=True)
    assert live is not None
    return live


@settings(max_examples=150, deadline=None)
@given(histories)
def test_applying_the_same_twice_changes_nothing_not_even_a_time(history: list[tuple[str, Doc]]) -> None:
    live = replay(history)
    manager, intent = history[-1]
    assert applied(live, intent, manager, DEPLOYMENT, now=T1) == live


@settings(max_examples=150, deadline=None)
@given(histories)
def test_the_last_forced_intent_is_in_the_object_and_inputs_stay(history: list[tuple[str, Doc]]) -> None:
    before = copy.deepcopy(history)
    live = replay(history)
    _manager, intent = history[-1]
    assert live["spec"]["replicas"] == intent["spec"]["replicas"]
    by_name = {c["name"]: c for c in live["spec"]["template"]["spec"].get("containers") or []}
    for container in intent["spec"]["template"]["spec"]["containers"]:
        assert by_name[container["name"]].get("image") == container.get(
            "image", by_name[container["name"]].get("image")
        )
    assert history == before


@settings(max_examples=100, deadline=None)
@given(histories)
def test_no_scalar_field_is_claimed_that_is_not_there(history: list[tuple[str, Doc]]) -> None:
    live = replay(history)
    present = {c["name"] for c in live["spec"]["template"]["spec"].get("containers") or []}
    for entry in live["metadata"]["managedFields"]:
        spec = entry["fieldsV1"].get("f:spec", {}).get("f:template", {}).get("f:spec", {})
        for key in spec.get("f:containers", {}):
            assert key == "." or any(f'"name":"{name}"' in key for name in present)


@settings(max_examples=100, deadline=None)
@given(intents())
def test_a_sole_manager_that_applies_nothing_leaves_nothing(intent: Doc) -> None:
    live = applied(None, intent, "m1", DEPLOYMENT)
    bare = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "s1"}}
    assert "spec" not in applied(live, bare, "m1", DEPLOYMENT)
