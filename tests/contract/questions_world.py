"""Questions 33 to 46: watches, deletion, tables, reviews, custom resources, and odds and ends."""

from __future__ import annotations

import time

from tests.contract.asker import (
    PARTIAL,
    TABLE,
    Asker,
    Json,
    configmap,
    question,
    short,
    version,
)

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@question("33a watch from rv")
def _(ask: Asker) -> object:
    _code, listed = ask.get(ask.configmaps, labelSelector="w=1")

    def act() -> None:
        ask.post(ask.configmaps, configmap("w1", labels={"w": "1"}))
        ask.merge(f"{ask.configmaps}/w1", {"data": {"a": "2"}})
        ask.merge(f"{ask.configmaps}/w1", {"metadata": {"labels": {"w": "0"}}})
        ask.merge(f"{ask.configmaps}/w1", {"metadata": {"labels": {"w": "1"}}})
        ask.delete(f"{ask.configmaps}/w1")

    return ask.watch(act, count=5, seconds=20, labelSelector="w=1", resourceVersion=version(listed))


@question("33b watch no rv synthetic")
def _(ask: Asker) -> object:
    return ask.watch(seconds=2, labelSelector="t=sel,i in (0,2)")


@question("33c watch rv=1 too old")
def _(ask: Asker) -> object:
    return ask.watch(seconds=10, count=1, resourceVersion="1")


@question("33d replay from old rv")
def _(ask: Asker) -> object:
    _code, created = ask.post(ask.configmaps, configmap("rp", labels={"rp": "1"}))
    ask.merge(f"{ask.configmaps}/rp", {"data": {"a": "5"}})
    ask.delete(f"{ask.configmaps}/rp")
    return ask.watch(seconds=10, count=2, resourceVersion=version(created), fieldSelector="metadata.name=rp")


@question("33e server ends at timeoutSeconds")
def _(ask: Asker) -> object:
    started = time.monotonic()
    ask.watch(seconds=2, resourceVersion=version(ask.get(ask.configmaps)[1]))
    # by itself a server keeps a watch for half an hour and longer
    return 1.5 < time.monotonic() - started < 20


@question("34a delete precondition uid")
def _(ask: Asker) -> object:
    return short(ask.delete(f"{ask.configmaps}/l2", {"preconditions": {"uid": "nope"}}))


@question("34b finalizer")
def _(ask: Asker) -> object:
    path = f"{ask.configmaps}/fin"
    ask.post(ask.configmaps, configmap("fin", finalizers=["x.io/y"]))
    code, body = ask.delete(path)
    held = ask.get(path)[0]
    released = ask.merge(path, {"metadata": {"finalizers": None}})[0]
    marked = bool(body.get("metadata", {}).get("deletionTimestamp"))
    return [code, body.get("kind"), marked, held, released, ask.get(path)[0]]


@question("34c delete returns")
def _(ask: Asker) -> object:
    code, body = ask.delete(f"{ask.configmaps}/l2")
    return [code, body.get("kind"), body.get("status"), sorted((body.get("details") or {}).keys())]


@question("34d deletecollection")
def _(ask: Asker) -> object:
    code, body = ask.delete(ask.configmaps, labelSelector="t=sel")
    return [code, body.get("kind"), ask.names(labelSelector="t=sel")]


@question("34e GC ownerRef")
def _(ask: Asker) -> object:
    _code, owner = ask.post(ask.configmaps, configmap("own"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "own", "uid": owner["metadata"]["uid"]}
    ask.post(ask.configmaps, configmap("kid", ownerReferences=[reference]))
    ask.delete(f"{ask.configmaps}/own")
    ask.until(lambda: ask.get(f"{ask.configmaps}/kid")[0] == 404)
    return ask.get(f"{ask.configmaps}/kid")[0]


@question("35a Table")
def _(ask: Asker) -> object:
    code, body = ask.send("GET", ask.pods, headers={"Accept": TABLE})
    return [code, body.get("kind"), [each["name"] for each in body.get("columnDefinitions", [])][:5]]


@question("35b PartialObjectMetadataList")
def _(ask: Asker) -> object:
    code, body = ask.send("GET", ask.pods, headers={"Accept": PARTIAL})
    return [code, body.get("kind"), sorted((body.get("items") or [{}])[0].keys())]


def _may_delete_pods(ask: Asker, headers: dict[str, str] | None = None) -> tuple[int, Json]:
    spec = {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": ask.namespace}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return ask.send("POST", path, {"spec": spec}, headers=headers)


@question("36a SSAR")
def _(ask: Asker) -> object:
    code, body = _may_delete_pods(ask)
    return [code, body.get("kind"), (body.get("status") or {}).get("allowed")]


@question("36b viewer SSAR/403")
def _(ask: Asker) -> object:
    viewer = {"Authorization": "Bearer tok-view"}
    code, review = _may_delete_pods(ask, viewer)
    refused, body = ask.send("DELETE", f"{ask.pods}/p0", headers=viewer)
    return [code, (review.get("status") or {}).get("allowed"), refused, body.get("reason"), body.get("message")]


@question("36c bad token")
def _(ask: Asker) -> object:
    return short(ask.send("GET", ask.pods, headers={"Authorization": "Bearer nope"}))


@question("36d SSRR")
def _(ask: Asker) -> object:
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    code, body = ask.post(path, {"spec": {"namespace": ask.namespace}})
    return [code, bool((body.get("status") or {}).get("resourceRules"))]


def _crd() -> Json:
    free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    sources = {"type": "array", "items": {"type": "object", "properties": {"repoURL": {"type": "string"}}}}
    properties = {
        "project": {"type": "string"},
        "n": {"type": "integer", "minimum": 1},
        "d": {"type": "string", "default": "dd"},
        "sources": sources,
    }
    spec = {"type": "object", "required": ["project"], "properties": properties}
    schema = {"type": "object", "required": ["spec"], "properties": {"spec": spec, "operation": free, "status": free}}
    names = {
        "kind": "Application",
        "listKind": "ApplicationList",
        "plural": "applications",
        "singular": "application",
        "shortNames": ["app"],
    }
    version_ = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [{"name": "Sync Status", "type": "string", "jsonPath": ".status.sync.status"}],
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "applications.argoproj.io"},
        "spec": {"group": "argoproj.io", "names": names, "scope": "Namespaced", "versions": [version_]},
    }


def _application(name: str, spec: Json) -> Json:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": name}, "spec": spec}


@question("38a CRD create+established")
def _(ask: Asker) -> object:
    code, _body = ask.post(_CRDS, _crd())
    ask.until(lambda: ask.get("/apis/argoproj.io/v1alpha1")[0] == 200)
    _code, crd = ask.get(f"{_CRDS}/applications.argoproj.io")
    conditions = (crd.get("status") or {}).get("conditions", [])
    found = sorted((each["type"], each["status"]) for each in conditions)
    return [code in (201, 409), found, ask.get("/apis/argoproj.io/v1alpha1")[1].get("kind")]


@question("38b CR create prune+default")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.applications, _application("a1", {"project": "default", "junk": 1}))
    return [code, body.get("spec"), body.get("metadata", {}).get("generation")]


@question("38c CR invalid")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.applications, _application("a2", {"n": 0}))
    causes = (body.get("details") or {}).get("causes", [])
    return [code, body.get("reason"), sorted((each["field"], each["reason"]) for each in causes)]


@question("38d CR strategic -> 415")
def _(ask: Asker) -> object:
    return short(ask.strategic(f"{ask.applications}/a1", {"spec": {"n": 2}}))


@question("38e CR merge op+status no subresource")
def _(ask: Asker) -> object:
    change = {"operation": {"sync": {"revision": "HEAD"}}, "status": {"sync": {"status": "OutOfSync"}}}
    code, body = ask.merge(f"{ask.applications}/a1", change)
    return [code, body.get("operation"), body.get("status"), body["metadata"].get("generation")]


@question("38f CR SSA list atomic")
def _(ask: Asker) -> object:
    intent = _application("a3", {"project": "p", "sources": [{"repoURL": "x"}]})
    code, body = ask.apply(intent, "m1", f"{ask.applications}/a3")
    return [code, [each["fieldsV1"] for each in body["metadata"]["managedFields"]]]


@question("38g CR table")
def _(ask: Asker) -> object:
    _code, body = ask.send("GET", ask.applications, headers={"Accept": TABLE})
    return [body.get("kind"), [each["name"] for each in body.get("columnDefinitions", [])]]


@question("38h CR status subresource absent")
def _(ask: Asker) -> object:
    return short(ask.merge(f"{ask.applications}/a1/status", {"status": {}}))


@question("38i CRD delete removes API")
def _(ask: Asker) -> object:
    code, _body = ask.delete(f"{_CRDS}/applications.argoproj.io")
    ask.until(lambda: ask.get(ask.applications)[0] == 404)
    return [code, ask.get(ask.applications)[0]]


@question("39 events both APIs")
def _(ask: Asker) -> object:
    about = {"kind": "Pod", "name": "p0", "namespace": ask.namespace}
    event = {"metadata": {"name": "e1"}, "involvedObject": about, "reason": "R", "message": "m", "type": "Warning"}
    created, _body = ask.post(f"{ask.core}/events", event)
    code, other = ask.get(f"/apis/events.k8s.io/v1/namespaces/{ask.namespace}/events/e1")
    _code, found = ask.get(f"{ask.core}/events", fieldSelector="involvedObject.name=p0,type=Warning")
    regarding = other.get("regarding", {}).get("name")
    return [created, code, other.get("note"), regarding, len(found.get("items", [])) >= 1]


@question("40 fieldValidation Strict")
def _(ask: Asker) -> object:
    return short(ask.post(ask.configmaps, {**configmap("fv"), "bogus": 1}, fieldValidation="Strict"))


@question("41 yaml body")
def _(ask: Asker) -> object:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yy}\ndata: {a: 'b'}\n"
    code, body = ask.send("POST", ask.configmaps, text, "application/yaml")
    return [code, body.get("data")]


@question("42 pod spec immutable")
def _(ask: Asker) -> object:
    changed = {"name": "c", "image": "i:1", "command": ["x"]}
    return short(ask.strategic(f"{ask.pods}/p0", {"spec": {"containers": [changed]}}))


@question("43 secret stringData")
def _(ask: Asker) -> object:
    code, body = ask.post(f"{ask.core}/secrets", {"metadata": {"name": "sx"}, "stringData": {"p": "hi"}})
    return [code, body.get("type"), body.get("data"), body.get("stringData")]


@question("44 unknown path")
def _(ask: Asker) -> object:
    return [ask.get("/apis/nope/v1/foos")[0], ask.get(f"{ask.core}/nopes")[0]]


@question("45 health")
def _(ask: Asker) -> object:
    return [ask.get(path)[0] for path in ("/healthz", "/readyz", "/livez")]


@question("46 ns delete cascade")
def _(ask: Asker) -> object:
    code, body = ask.delete(f"/api/v1/namespaces/{ask.namespace}")
    status = body.get("status")
    phase = status.get("phase") if isinstance(status, dict) else status
    late = short(ask.post(ask.configmaps, configmap("late")))
    ask.wait(9)  # it stays: a pod in it waits for a kubelet that is not there
    return [code, phase, late, ask.get(f"/api/v1/namespaces/{ask.namespace}")[0]]
