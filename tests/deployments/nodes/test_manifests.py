"""Pasted manifests: what is read, and every reason why one is refused before there is a plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.catalogue.nodes import manifest_kinds, manifests
from deployments.catalogue.nodes.manifest_text import LARGEST, documents
from integrations.kubernetes.kinds import RESOURCES
from tests.deployments.nodes.scene import CASES, MONITORING

PASTED = (CASES / "shop.manifests.yaml").read_text()


def read(text: str, namespace: str = "shop") -> list[manifests.Manifest]:
    return list(manifests.read(text, namespace, "shop"))


def one(**body: Any) -> str:
    """A ConfigMap as text, with fields of its own."""
    metadata = {"name": "a", **body.pop("metadata", {})}
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, **body})


def test_what_a_person_pastes_is_read_and_put_in_the_order_of_need() -> None:
    found = read(PASTED, MONITORING)
    assert [m.kind for m in found] == [
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
    ]
    assert {m.namespace for m in found} == {MONITORING}
    deployment = found[-1].body
    assert "status" not in deployment and "creationTimestamp" not in deployment["spec"]["template"]["metadata"]
    assert deployment["spec"]["template"]["spec"]["volumes"][0]["configMap"]["defaultMode"] == 0o644


def test_the_sets_labels_are_added_and_the_persons_kept() -> None:
    body = manifests.labelled(read(PASTED)[-1], "shop")
    assert body["metadata"]["labels"] == {
        "app": "shop",
        "app.kubernetes.io/managed-by": "portal",
        "portal.remediation/set": "shop",
    }
    assert read(PASTED)[-1].body["metadata"]["labels"] == {"app": "shop"}


def test_own_labels_may_already_be_there() -> None:
    own = {"portal.remediation/set": "shop", "app.kubernetes.io/managed-by": "portal"}
    assert len(read(one(metadata={"labels": own}))) == 1


@pytest.mark.parametrize(
    ("kind", "api", "why"),
    [
        ("Namespace", "v1", "deleting a set would take away all that is in it"),
        ("CustomResourceDefinition", "apiextensions.k8s.io/v1", "changes the API for the whole cluster"),
        ("ClusterRole", "rbac.authorization.k8s.io/v1", "hands out rights"),
        ("RoleBinding", "rbac.authorization.k8s.io/v1", "hands out rights"),
        ("Application", "argoproj.io/v1alpha1", "Argo CD writes its status"),
        ("Pod", "v1", "write the Deployment or Job that makes it"),
        ("Node", "v1", "use cordon, taint or set-label"),
        ("StorageClass", "storage.k8s.io/v1", "whole cluster's"),
        ("Prometheus", "monitoring.coreos.com/v1", "change the values in Git"),
        ("List", "v1", "as documents, one after the other"),
        ("Gizmo", "example.com/v1", "this portal knows AlertmanagerConfig"),
        ("Deployment", "extensions/v1beta1", "a set cannot hold Deployment of extensions/v1beta1"),
        ("CronJob", "batch/v1beta1", "write CronJob as apiVersion batch/v1"),
    ],
)
def test_kinds_a_set_cannot_hold_say_why(kind: str, api: str, why: str) -> None:
    with pytest.raises(ValueError, match="Line 2: ") as error:
        read(f"# a comment\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert why in str(error.value)


def test_every_kind_in_the_order_is_one_the_portal_knows_and_namespaced() -> None:
    assert all(RESOURCES[key].namespaced for key in manifest_kinds.ORDER)
    assert len(set(manifest_kinds.ORDER)) == len(manifest_kinds.ORDER)


# -- secrets


@pytest.mark.parametrize(
    "fields",
    [
        {"data": {"a": "aHVudGVyMg=="}},
        {"stringData": {"a": "hunter2"}},
        {"stringData": {"a": "${run.secret}", "b": "hunter2"}},
        {"stringData": {"a": "x${run.secret}"}},
        {"stringData": {"a": "${run.secret}"}, "data": {"b": "aHVudGVyMg=="}},
        {"stringData": {}},
        {},
    ],
)
def test_a_secret_with_data_points_to_the_two_ways(fields: dict[str, Any]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, **fields})
    with pytest.raises(ValueError, match="Secret a carries data") as error:
        read(text)
    assert "kubectl create secret" in str(error.value) and "${run.secret}" in str(error.value)
    assert "hunter2" not in str(error.value)


def test_a_secret_that_mints_a_token_is_refused() -> None:
    text = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "a"},
            "type": "kubernetes.io/service-account-token",
            "stringData": {"a": "${run.secret}"},
        }
    )
    with pytest.raises(ValueError, match="only Opaque ones"):
        read(text)


@pytest.mark.parametrize(
    "data",
    [
        {"password": "hunter2"},
        {"app.yaml": "db:\n  password: hunter2\n"},
        {"app.yaml": "inner: |\n  db:\n    password: hunter2\n"},
        {"app.ini": "[db]\nuser = a\npassword = hunter2\n"},
        {"url": "postgres://shop:hunter2@db/shop"},
        {"header": "Authorization: Bearer hunter2hunter2"},
    ],
)
def test_a_credential_in_plain_text_is_refused_without_being_repeated(data: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="looks like a credential") as error:
        read(one(data=data))
    assert "hunter2" not in str(error.value)


def test_a_credential_in_an_environment_is_named_by_its_variable() -> None:
    body = yaml.safe_load(PASTED.split("---")[0])
    body["spec"]["template"]["spec"]["containers"][0]["env"][0] = {"name": "DB_PASSWORD", "value": "hunter2"}
    body["metadata"].pop("creationTimestamp")
    with pytest.raises(ValueError, match=r"containers\[0\]\.env\[0\]\.value looks like a credential"):
        read(json.dumps(body))


@pytest.mark.parametrize(
    "data",
    [
        {"app.ini": "password = ${DB_PASSWORD}\n"},
        {"app.ini": "password = $__env{DB_PASSWORD}\n"},
        {"ref.yaml": "existingSecret: grafana-admin\nsecretName: x\n"},
        {"note": "tokens are made by Argo CD"},
    ],
)
def test_a_reference_is_no_credential(data: dict[str, str]) -> None:
    assert len(read(one(data=data))) == 1


@pytest.mark.parametrize("text", ["${run.secret}", "a ${run.user} b", "${live:/spec/x}", "x: 1\ny: ${run.mark}\n"])
def test_a_placeholder_anywhere_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="holds a placeholder"):
        read(one(data={"a": text}))
    with pytest.raises(ValueError, match="holds a placeholder"):
        read(one(metadata={"annotations": {"a": text}}))


# -- metadata


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"uid": "x"}, "metadata.uid is not a set's to write"),
        ({"resourceVersion": "1"}, "metadata.resourceVersion is not"),
        ({"managedFields": []}, "metadata.managedFields is not"),
        ({"finalizers": ["a/b"]}, "metadata.finalizers is not"),
        ({"ownerReferences": []}, "metadata.ownerReferences is not"),
        ({"generateName": "a-"}, "metadata.generateName is not"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}, "would make Argo CD take the object"),
        ({"labels": {"argocd.argoproj.io/instance": "x"}}, "would make Argo CD take the object"),
        ({"labels": {"portal.remediation/set": "other"}}, "is set by the portal itself"),
        ({"annotations": {"portal.remediation/run": "x.1"}}, "is set by the portal itself"),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "is set by the portal itself"),
        ({"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"}}, "kubectl's own note"),
        ({"labels": {"a": 1}}, "must be text by text"),
        ({"labels": ["a"]}, "must be text by text"),
        ({"name": "Up"}, "needs a metadata.name"),
        ({"name": ""}, "needs a metadata.name"),
        ({"namespace": "a/b"}, "names no namespace"),
    ],
)
def test_metadata_that_is_not_a_sets_to_write_is_refused(metadata: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(one(metadata=metadata))


def test_status_is_the_servers() -> None:
    with pytest.raises(ValueError, match="carries status"):
        read(one(status={"phase": "x"}))


def test_without_a_namespace_there_must_be_a_default() -> None:
    with pytest.raises(ValueError, match="names no namespace, and none is given"):
        read(one(), namespace="")


@pytest.mark.parametrize("text", ["a: b", "kind: ConfigMap\napiVersion: v1", "kind: [a]\napiVersion: v1\nmetadata: {}"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="needs apiVersion, kind and metadata"):
        read(text)


# -- how many, how large


@pytest.mark.parametrize("text", ["", "---\n---\n", "# nothing\n"])
def test_nothing_is_no_set(text: str) -> None:
    with pytest.raises(ValueError, match="no object"):
        read(text)


def test_the_same_object_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="ConfigMap shop/a stands twice"):
        read(one() + "\n---\n" + one(metadata={"namespace": "shop"}))


def test_thirty_objects_are_the_most() -> None:
    many = [one(metadata={"name": f"a{n}"}) for n in range(31)]
    assert len(read("\n---\n".join(many[:30]))) == 30
    with pytest.raises(ValueError, match="hold 31 objects; at most 30"):
        read("\n---\n".join(many))


def test_sixty_four_kibibytes_are_the_most_counted_as_bytes() -> None:
    with pytest.raises(ValueError, match=f"at most {LARGEST}"):
        documents("a: " + "ü" * (LARGEST // 2))
    assert documents("a: " + "b" * (LARGEST - 3))


# -- YAML


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: &x 1", "anchors and aliases"),
        ("a: *x", "anchors and aliases"),
        ("a: !!binary aGk=", "tags like"),
        ("a: !x y", "tags like"),
        ("a: 1\nb: {c: 1, c: 2}", "Line 2: the key c stands twice"),
        ("<<: {a: 1}", "merge keys"),
        ("1: x", "must be in quotes"),
        ("null: x", "must be in quotes"),
        ("on: x", "in quotes"),
        ("? [a]\n: b", "plain text"),
        ("a: yes", "true or false to some readers"),
        ("a: Off", "true or false to some readers"),
        ("a: 08", "a number to some readers"),
        ("a: 12:30:45", "a number to some readers"),
        ("a: 1_000", "a number to some readers"),
        ("a: .inf", "a number to some readers"),
        ("a: 1e999", "too large"),
        ("a: 9223372036854775808", "too large"),
        ("- a", "must be an object"),
        ("a", "must be an object"),
        ("a: [", "Line 1: this is not YAML"),
        ("a: b\n\tc: d", "not YAML"),
        ("\x00", "not YAML"),
        ("a: \ud800", "not YAML"),
        ('a: "\\0"', "NUL"),
        ('a: "\\ud800"', "half a character"),
        ("[" * 5000, "nested more than 40 deep"),
        ("a:\n" + "".join(" " * n + "- \n" for n in range(1, 60)), "nested more than 40 deep"),
    ],
)
def test_yaml_that_readers_read_differently_is_refused_with_its_line(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        documents(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0644", 420),
        ("0o644", 420),
        ("0x1F", 31),
        ("-7", -7),
        ("0", 0),
        ("1.50", 1.5),
        ("1e3", 1000.0),
        ("~", None),
        ("TRUE", True),
        ("false", False),
        ("'yes'", "yes"),
        ('"0644"', "0644"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("v1", "v1"),
        ("|\n  x\n  y", "x\ny\n"),
    ],
)
def test_scalars_read_as_kubectl_reads_them(text: str, value: Any) -> None:
    (document,) = documents(f"a: {text}\n")
    assert document.body == {"a": value}
    assert type(document.body["a"]) is type(value)


_words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=8)
_keys = st.text("abcyno/.<", min_size=1, max_size=4)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abcyno.", min_size=1, max_size=4), _json, min_size=1, max_size=4))
def test_json_reads_as_itself_or_is_refused(value: dict[str, Any]) -> None:
    """JSON is YAML: quoted text must come back as it is."""
    try:
        (document,) = documents(json.dumps(value))
    except ValueError as error:
        assert "merge keys" in str(error)
    else:
        assert document.body == value


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_whatever_is_pasted_gives_an_answer(text: str) -> None:
    try:
        found = manifests.read(text, "shop", "shop")
    except ValueError as error:
        assert str(error)
    else:
        assert found
