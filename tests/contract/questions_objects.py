"""Questions 01 to 16: discovery, create, lists, replace, merge, JSON and strategic patches."""

from __future__ import annotations

import copy

from tests.contract.asker import (
    JSON_PATCH,
    Asker,
    configmap,
    deployment,
    pod,
    question,
    short,
    version,
)


@question("01 version")
def _(ask: Asker) -> object:
    code, body = ask.get("/version")
    return [code, sorted(key for key in body if key in ("major", "minor", "gitVersion", "platform"))]


@question("02 discovery scale/status kinds")
def _(ask: Asker) -> object:
    _code, body = ask.get("/apis/apps/v1")
    kinds = {each["name"]: each["kind"] for each in body["resources"]}
    found = [kinds.get(f"deployments{suffix}") for suffix in ("", "/scale", "/status")]
    return [body["groupVersion"], *found]


@question("03 create namespace")
def _(ask: Asker) -> object:
    code, body = ask.post("/api/v1/namespaces", {"metadata": {"name": ask.namespace}})
    meta = body.get("metadata", {})
    stamped = [
        bool(meta.get("uid")),
        str(meta.get("resourceVersion", "")).isdigit(),
        bool(meta.get("creationTimestamp")),
    ]
    return [code, body.get("kind"), body.get("status"), *stamped, body.get("spec")]


@question("04 create dup")
def _(ask: Asker) -> object:
    code, body = ask.post("/api/v1/namespaces", {"metadata": {"name": ask.namespace}})
    return [code, body.get("reason"), body.get("details", {}).get("kind"), body.get("message")]


@question("05 get missing")
def _(ask: Asker) -> object:
    code, body = ask.get(f"{ask.configmaps}/zz")
    return [code, body.get("reason"), body.get("details"), body.get("message")]


@question("06 create in missing ns")
def _(ask: Asker) -> object:
    return short(ask.post("/api/v1/namespaces/nope/configmaps", configmap("x")))


@question("07 pod defaults")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.pods, pod("p0"))
    spec = body.get("spec", {})
    pull = spec.get("containers", [{}])[0].get("imagePullPolicy")
    tolerates = spec.get("tolerations") is not None
    return [code, spec.get("restartPolicy"), spec.get("dnsPolicy"), pull, body.get("status"), tolerates]


@question("08a no name")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.configmaps, {"metadata": {}, "data": {}})
    return [code, body.get("reason"), (body.get("details") or {}).get("causes")]


@question("08b bad json")
def _(ask: Asker) -> object:
    return short(ask.send("POST", ask.configmaps, "{bad"))


@question("08c wrong kind")
def _(ask: Asker) -> object:
    return short(ask.post(ask.configmaps, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "q"}}))


@question("08d ns mismatch")
def _(ask: Asker) -> object:
    return short(ask.post(ask.configmaps, configmap("x", namespace="other")))


@question("08e bad name")
def _(ask: Asker) -> object:
    return short(ask.post(ask.configmaps, configmap("Bad_Name")))


@question("08f deploy missing selector")
def _(ask: Asker) -> object:
    bad = deployment("bad")
    del bad["spec"]["selector"]
    return short(ask.post(ask.deployments, bad))


@question("09 generateName")
def _(ask: Asker) -> object:
    code, body = ask.post(ask.configmaps, {"metadata": {"generateName": "gen-"}})
    name = body["metadata"]["name"]
    return [code, name.startswith("gen-") and len(name) == 9]


@question("10 list envelope")
def _(ask: Asker) -> object:
    code, body = ask.get(ask.pods)
    has_version = str(body["metadata"].get("resourceVersion")).isdigit()
    return [code, body.get("kind"), body.get("apiVersion"), has_version, "kind" in body["items"][0]]


@question("11a label eq")
def _(ask: Asker) -> object:
    for number in range(5):
        labels = {"t": "sel", "i": str(number), **({"odd": "y"} if number % 2 else {})}
        ask.post(ask.configmaps, configmap(f"l{number}", labels=labels))
    return ask.names(labelSelector="t=sel,i=3")


@question("11b label set")
def _(ask: Asker) -> object:
    return ask.names(labelSelector="i in (1,2),t notin (z)")


@question("11c exists")
def _(ask: Asker) -> object:
    return [ask.names(labelSelector="odd"), ask.names(labelSelector="!odd,t=sel")]


@question("11d bad selector")
def _(ask: Asker) -> object:
    return ask.names(labelSelector="a in (")


@question("11e field name")
def _(ask: Asker) -> object:
    return ask.names(fieldSelector="metadata.name=l2")


@question("11f bad field")
def _(ask: Asker) -> object:
    return ask.names(fieldSelector="data.a=1")


@question("11g pod phase field")
def _(ask: Asker) -> object:
    code, body = ask.get("/api/v1/pods", fieldSelector=f"status.phase=Pending,metadata.namespace={ask.namespace}")
    return [code, len(body.get("items", []))]


@question("12a limit")
def _(ask: Asker) -> object:
    _code, first = ask.get(ask.configmaps, labelSelector="t=sel", limit=2)
    token = first["metadata"].get("continue", "")
    _code, second = ask.get(ask.configmaps, labelSelector="t=sel", limit=2, **{"continue": token})
    pages = [[each["metadata"]["name"] for each in page["items"]] for page in (first, second)]
    return [pages[0], bool(token), pages[1]]


@question("12b remainingItemCount")
def _(ask: Asker) -> object:
    _code, body = ask.get(ask.configmaps, limit=2)
    return isinstance(body["metadata"].get("remainingItemCount"), int)


@question("12c bad continue")
def _(ask: Asker) -> object:
    return short(ask.get(ask.configmaps, limit=2, **{"continue": "garbage"}))


@question("13a stale PUT")
def _(ask: Asker) -> object:
    _code, live = ask.get(f"{ask.configmaps}/l0")
    stale = copy.deepcopy(live)
    live["data"] = {"a": "2"}
    first, _body = ask.put(f"{ask.configmaps}/l0", live)
    stale["data"] = {"a": "3"}
    second, body = ask.put(f"{ask.configmaps}/l0", stale)
    return [first, second, body.get("reason")]


@question("13b PUT replaces")
def _(ask: Asker) -> object:
    code, body = ask.put(f"{ask.configmaps}/l1", configmap("l1", {"z": "9"}))
    return [code, body.get("data"), body["metadata"].get("labels")]


@question("13c PUT name mismatch")
def _(ask: Asker) -> object:
    return short(ask.put(f"{ask.configmaps}/l1", configmap("l2")))


@question("13d PUT missing obj")
def _(ask: Asker) -> object:
    return short(ask.put(f"{ask.configmaps}/l99", configmap("l99")))


@question("13e noop keeps RV")
def _(ask: Asker) -> object:
    _code, before = ask.get(f"{ask.configmaps}/l2")
    _code, after = ask.put(f"{ask.configmaps}/l2", before)
    return version(before) == version(after)


@question("14a merge null")
def _(ask: Asker) -> object:
    ask.post(ask.deployments, deployment("d1"))
    code, body = ask.merge(f"{ask.configmaps}/l3", {"data": {"a": None, "b": "2"}})
    return [code, body.get("data")]


@question("14b merge stale rv")
def _(ask: Asker) -> object:
    return short(ask.merge(f"{ask.configmaps}/l3", {"metadata": {"resourceVersion": "1"}, "data": {"c": "1"}}))


@question("15a json patch")
def _(ask: Asker) -> object:
    operations = [
        {"op": "test", "path": "/data/b", "value": "2"},
        {"op": "add", "path": "/data/q", "value": "7"},
    ]
    code, body = ask.send("PATCH", f"{ask.configmaps}/l3", operations, JSON_PATCH)
    return [code, body.get("data")]


@question("15b json patch test fails")
def _(ask: Asker) -> object:
    operations = [{"op": "test", "path": "/data/b", "value": "no"}]
    return short(ask.send("PATCH", f"{ask.configmaps}/l3", operations, JSON_PATCH))


@question("15c wrong patch type")
def _(ask: Asker) -> object:
    return short(ask.send("PATCH", f"{ask.configmaps}/l3", {"data": {}}))


def _containers(*containers: dict[str, object]) -> dict[str, object]:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}}}


@question("16a strategic by name")
def _(ask: Asker) -> object:
    code, body = ask.strategic(f"{ask.deployments}/d1", _containers({"name": "b", "image": "side:2"}))
    return [code, [(each["name"], each["image"]) for each in body["spec"]["template"]["spec"]["containers"]]]


@question("16b strategic $patch delete")
def _(ask: Asker) -> object:
    code, body = ask.strategic(f"{ask.deployments}/d1", _containers({"name": "b", "$patch": "delete"}))
    return [code, [each["name"] for each in body["spec"]["template"]["spec"]["containers"]]]


@question("16c strategic env merge")
def _(ask: Asker) -> object:
    change = _containers({"name": "a", "env": [{"name": "Y", "value": "2"}]})
    code, body = ask.strategic(f"{ask.deployments}/d1", change)
    return [code, body["spec"]["template"]["spec"]["containers"][0].get("env")]


@question("16d merge-patch list replaces")
def _(ask: Asker) -> object:
    code, body = ask.merge(f"{ask.deployments}/d1", _containers({"name": "only", "image": "x"}))
    return [code, [each["name"] for each in body["spec"]["template"]["spec"]["containers"]]]


@question("16e generation bumps")
def _(ask: Asker) -> object:
    path = f"{ask.deployments}/d1"
    at_first = ask.get(path)[1]["metadata"].get("generation")
    after_label = ask.merge(path, {"metadata": {"labels": {"x": "y"}}})[1]["metadata"].get("generation")
    after_spec = ask.merge(path, {"spec": {"replicas": 2}})[1]["metadata"]["generation"]
    return [isinstance(at_first, int), after_label - at_first, after_spec - after_label]
