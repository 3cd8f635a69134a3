"""Asks a Kubernetes API server questions and notes its answers in a form that is the same on every run.

Only for servers on loopback: the questions create and delete objects.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

Json = dict[str, Any]
Reply = tuple[int, Json]
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

_BACKGROUND_SECONDS = 30.0
_SLACK_SECONDS = 30.0  # what a loaded machine may take longer

Question = Callable[["Asker"], object]
QUESTIONS: dict[str, Question] = {}


def question(name: str) -> Callable[[Question], Question]:
    """Register a question under the name it has in the recordings; they are asked in the order of the names."""

    def register(function: Question) -> Question:
        QUESTIONS[name] = function
        return function

    return register


def short(reply: Reply) -> list[object]:
    """Code and kind, with the reason of a refusal."""
    code, body = reply
    if code >= 400 or body.get("kind") == "Status":
        return [code, body.get("reason"), body.get("kind")]
    return [code, body.get("kind")]


def version(obj: Json) -> str:
    return str(obj["metadata"]["resourceVersion"])


def managers(obj: Json) -> list[list[str]]:
    found = obj["metadata"].get("managedFields", [])
    return sorted([each["manager"], each["operation"], each.get("subresource", "")] for each in found)


def configmap(name: str, data: Json | None = None, **meta: object) -> Json:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}, "data": data or {"a": "1"}}


def pod(name: str) -> Json:
    spec = {"containers": [{"name": "c", "image": "i:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "p"}}, "spec": spec}


def deployment(name: str = "d1", image: str = "nginx:1") -> Json:
    containers = [
        {"name": "a", "image": image, "env": [{"name": "X", "value": "1"}]},
        {"name": "b", "image": "side:1"},
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}},
        },
    }


class Asker:
    """One server, one namespace. `patience` scales the waits for what a server may do or not do in the background."""

    def __init__(self, client: httpx.Client, namespace: str = "dp-a1", patience: float = 1.0) -> None:
        self.http = client
        self.namespace = namespace
        self.patience = patience
        self.core = f"/api/v1/namespaces/{namespace}"
        self.configmaps = f"{self.core}/configmaps"
        self.pods = f"{self.core}/pods"
        self.deployments = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self.applications = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/applications"

    def ask_all(self) -> dict[str, object]:
        """All answers by question, as they read after JSON."""
        answers = {}
        for name, function in sorted(QUESTIONS.items()):
            answers[name] = json.loads(json.dumps(function(self)))
        return answers

    def wait(self, seconds: float) -> None:
        time.sleep(seconds * self.patience)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for what a server finishes in the background; whoever asks sees whether it did."""
        end = time.monotonic() + _BACKGROUND_SECONDS
        while not condition() and time.monotonic() < end:
            time.sleep(0.05)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        kind: str = "application/json",
        headers: dict[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> Reply:
        content = body if isinstance(body, str) else None if body is None else json.dumps(body)
        answer = self.http.request(
            method, path, content=content, params=query, headers={"Content-Type": kind, **(headers or {})}
        )
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def get(self, path: str, **query: str | int) -> Reply:
        return self.send("GET", path, query=query)

    def post(self, path: str, body: object, **query: str | int) -> Reply:
        return self.send("POST", path, body, query=query)

    def put(self, path: str, body: object) -> Reply:
        return self.send("PUT", path, body)

    def delete(self, path: str, body: object = None, **query: str | int) -> Reply:
        return self.send("DELETE", path, body, query=query)

    def merge(self, path: str, body: object, **query: str | int) -> Reply:
        return self.send("PATCH", path, body, MERGE, query=query)

    def strategic(self, path: str, body: object) -> Reply:
        return self.send("PATCH", path, body, STRATEGIC)

    def apply(self, obj: Json, manager: str, path: str = "", **query: str) -> Reply:
        path = path or f"{self.deployments}/{obj['metadata']['name']}"
        if manager:
            query["fieldManager"] = manager
        return self.send("PATCH", path, obj, APPLY, query=query)

    def apply_map(self, name: str, manager: str, data: Json | None = None, **meta: object) -> Reply:
        """Apply a ConfigMap; without data when none is given."""
        obj: Json = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}
        if data is not None:
            obj["data"] = data
        return self.apply(obj, manager, f"{self.configmaps}/{name}")

    def names(self, **query: str) -> object:
        code, body = self.get(self.configmaps, **query)
        return [each["metadata"]["name"] for each in body["items"]] if code == 200 else short((code, body))

    def watch(
        self, act: Callable[[], object] | None = None, *, count: int = 99, seconds: int = 4, **query: str
    ) -> list[tuple[object, ...]]:
        """(type, name) of the events of a ConfigMap watch during which `act` is done; ends after `count`."""
        events: list[tuple[object, ...]] = []

        def run() -> None:
            params = {"watch": "1", "timeoutSeconds": str(seconds), **query}
            with self.http.stream("GET", self.configmaps, params=params, timeout=seconds + _SLACK_SECONDS) as answer:
                for line in answer.iter_lines():
                    event = json.loads(line)
                    events.append((event["type"], (event["object"].get("metadata") or {}).get("name")))
                    if len(events) >= count:
                        return

        thread = threading.Thread(target=run)
        thread.start()
        self.wait(0.6)
        if act is not None:
            act()
        thread.join(seconds + _SLACK_SECONDS)
        return events
