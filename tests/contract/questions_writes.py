"""Questions 18 to 32: server-side apply, dry run, subresources."""

from __future__ import annotations

import json
import time

from tests.contract.asker import (
    Asker,
    Json,
    configmap,
    deployment,
    managers,
    pod,
    question,
    short,
    version,
)


def _applied(obj: Json) -> list[Json]:
    return [each for each in obj["metadata"]["managedFields"] if each["operation"] == "Apply"]


@question("18 SSA create")
def _(ask: Asker) -> object:
    code, body = ask.apply(deployment("s1"), "portal")
    return [code, managers(body)]


@question("18b SSA fieldsV1")
def _(ask: Asker) -> object:
    return _applied(ask.get(f"{ask.deployments}/s1")[1])[0]["fieldsV1"]


@question("19 SSA conflict")
def _(ask: Asker) -> object:
    code, body = ask.apply(deployment("s1", "nginx:2"), "other")
    causes = [(each.get("reason"), each.get("field")) for each in (body.get("details") or {}).get("causes", [])]
    return [code, body.get("reason"), causes, body.get("message")]


@question("20 SSA force")
def _(ask: Asker) -> object:
    ask.wait(1.0)  # a controller manager, where there is one, has written the status by then
    code, body = ask.apply(deployment("s1", "nginx:2"), "other", force="true")
    return [code, managers(body), [each["image"] for each in body["spec"]["template"]["spec"]["containers"]]]


@question("20b SSA after force ownership of image")
def _(ask: Asker) -> object:
    owners = {}
    for each in _applied(ask.get(f"{ask.deployments}/s1")[1]):
        containers = each["fieldsV1"]["f:spec"]["f:template"]["f:spec"]["f:containers"]
        owners[each["manager"]] = "f:image" in json.dumps(containers['k:{"name":"a"}'])
    return owners


@question("21 SSA removal of solely owned")
def _(ask: Asker) -> object:
    ask.apply_map("s2", "m1", {"a": "1", "b": "2"}, labels={"k": "v"})
    code, body = ask.apply_map("s2", "m1", {"a": "1"})
    return [code, body.get("data"), body["metadata"].get("labels")]


@question("22 SSA shared field kept on one's removal")
def _(ask: Asker) -> object:
    ask.apply_map("s2", "m2", {"a": "1"})
    code, body = ask.apply_map("s2", "m1")
    return [code, body.get("data"), managers(body)]


@question("22b SSA then Update manager takes over")
def _(ask: Asker) -> object:
    code, body = ask.merge(f"{ask.configmaps}/s2", {"data": {"a": "9"}}, fieldManager="ui")
    return [code, managers(body)]


@question("22c SSA conflict with Update mgr message")
def _(ask: Asker) -> object:
    code, body = ask.apply_map("s2", "m2", {"a": "1"})
    return [code, (body.get("details") or {}).get("causes")]


@question("23 SSA w/o fieldManager")
def _(ask: Asker) -> object:
    return short(ask.apply(deployment("s1"), ""))


@question("23b SSA managedFields in body")
def _(ask: Asker) -> object:
    return short(ask.apply_map("s3", "m1", managedFields=[{"manager": "x"}]))


@question("25 SSA noop keeps RV")
def _(ask: Asker) -> object:
    _code, first = ask.apply_map("s4", "m1", {"a": "1"})
    time.sleep(1.1)  # past the second in which managedFields' time would still be the same
    code, second = ask.apply_map("s4", "m1", {"a": "1"})
    return [code, version(first) == version(second)]


@question("26 update managers from User-Agent")
def _(ask: Asker) -> object:
    agent = {"User-Agent": "myagent/1.2 (x)"}
    return managers(ask.send("POST", ask.configmaps, configmap("ua"), headers=agent)[1])


@question("27a dryRun create")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.configmaps, configmap("dry"), dryRun="All")
    meta = body.get("metadata", {})
    return [code, bool(meta.get("uid")), meta.get("resourceVersion"), ask.get(f"{ask.configmaps}/dry")[0]]


@question("27b dryRun patch")
def _(ask: Asker) -> object:
    code, body = ask.merge(f"{ask.configmaps}/l4", {"data": {"a": "dry"}}, dryRun="All")
    return [code, body["data"]["a"], ask.get(f"{ask.configmaps}/l4")[1]["data"]["a"]]


@question("27c dryRun delete")
def _(ask: Asker) -> object:
    code, body = ask.delete(f"{ask.configmaps}/l4", dryRun="All")
    return [code, body.get("kind"), ask.get(f"{ask.configmaps}/l4")[0]]


@question("27d dryRun bad")
def _(ask: Asker) -> object:
    return short(ask.post(ask.configmaps, configmap("dry"), dryRun="x"))


@question("27e dryRun SSA")
def _(ask: Asker) -> object:
    path, body = f"{ask.configmaps}/l4", configmap("l4", {"a": "dry"})
    code, answer = ask.apply(body, "m1", path, dryRun="All", force="true")
    return [code, answer["data"]["a"], ask.get(path)[1]["data"]["a"]]


@question("28a status sub isolates")
def _(ask: Asker) -> object:
    change = {"spec": {"replicas": 9}, "status": {"replicas": 4, "observedGeneration": 1}}
    code, body = ask.merge(f"{ask.deployments}/d1/status", change)
    return [code, body["spec"]["replicas"], body.get("status", {}).get("replicas") == 4]


@question("28b main ignores status")
def _(ask: Asker) -> object:
    code, body = ask.merge(f"{ask.deployments}/d1", {"status": {"replicas": 77}})
    return [code, body.get("status", {}).get("replicas") == 77]


@question("29 scale")
def _(ask: Asker) -> object:
    code, scale = ask.get(f"{ask.deployments}/d1/scale")
    patched, _body = ask.merge(f"{ask.deployments}/d1/scale", {"spec": {"replicas": 3}})
    _code, after = ask.get(f"{ask.deployments}/d1")
    selector = scale.get("status", {}).get("selector")
    return [code, scale.get("kind"), scale.get("apiVersion"), selector, patched, after["spec"]["replicas"]]


@question("30 log")
def _(ask: Asker) -> object:
    unscheduled = ask.get(f"{ask.pods}/p0/log")[0]
    no_pod = ask.get(f"{ask.pods}/nopod/log")[0]
    return [unscheduled, no_pod, ask.get(f"{ask.pods}/p0/log", container="nope")[0]]


def _evict(ask: Asker, name: str, api_version: str) -> list[object]:
    ask.post(ask.pods, pod(name))
    body = {"apiVersion": api_version, "kind": "Eviction", "metadata": {"name": name, "namespace": ask.namespace}}
    return short(ask.post(f"{ask.pods}/{name}/eviction", body))


@question("31b eviction v1beta1")
def _(ask: Asker) -> object:
    return _evict(ask, "ev1", "policy/v1beta1")


@question("31c eviction v1")
def _(ask: Asker) -> object:
    return _evict(ask, "ev2", "policy/v1")


@question("32 binding")
def _(ask: Asker) -> object:
    ask.post(ask.pods, pod("bi"))
    target = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bi"}}
    answer = ask.post(f"{ask.pods}/bi/binding", {**target, "target": {"kind": "Node", "name": "node-x"}})
    return [short(answer), ask.get(f"{ask.pods}/bi")[1].get("spec", {}).get("nodeName")]
