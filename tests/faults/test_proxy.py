"""The fault proxy before an API server: what it strikes is struck as asked, and everything else is the server's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.clusters import admin
from tests.faults.proxy import Proxy
from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}


class Struck:
    """A proxy in a thread before a server of its own. ``there`` asks the server, ``here`` through the proxy."""

    def __init__(self, server: RunningApi, directory: Path) -> None:
        self.there, upstream, _ = admin(server.kubeconfig)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        proxy = Proxy(upstream, self.there, "tok-admin")
        kubeconfig = directory / "proxied"
        self._runner = asyncio.run_coroutine_threadsafe(proxy.serve(kubeconfig), self._loop).result(30)
        self.here, self.address, _ = admin(kubeconfig)

    def strike(self, **rule: Any) -> None:
        self.here.post("/lab/faults", json=rule).raise_for_status()

    def made(self, name: str) -> dict[str, Any]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"is": "old"}}
        found: dict[str, Any] = self.there.post(MAPS, json=body).raise_for_status().json()
        return found

    def stored(self, name: str) -> str:
        return str(self.there.get(f"{MAPS}/{name}").raise_for_status().json()["data"]["is"])

    def write(self, name: str, **metadata: str) -> httpx.Response:
        body = {"metadata": metadata, "data": {"is": "new"}}
        return self.here.patch(f"{MAPS}/{name}", json=body, headers=MERGE)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Struck]:
    server = RunningApi().start()
    made = Struck(server, tmp_path_factory.mktemp("proxy"))
    yield made
    made.close()
    server.stop()


@pytest.fixture(autouse=True)
def clear(struck: Struck) -> Iterator[None]:
    yield
    struck.here.delete("/lab/faults").raise_for_status()


def test_what_is_not_struck_is_the_servers_own_answer(struck: Struck) -> None:
    struck.made("plain")
    struck.strike(verb="patch", name="another", action="status:500")
    answer = struck.write("plain")
    assert answer.status_code == 200 and answer.json()["data"] == {"is": "new"}
    assert struck.stored("plain") == "new"
    missing = struck.here.get(f"{MAPS}/nothing")
    assert (missing.status_code, missing.json()["reason"]) == (404, "NotFound")


def test_the_client_acts_with_its_own_rights(struck: Struck) -> None:
    struck.made("guarded")
    headers = {**MERGE, "Authorization": "Bearer tok-view"}
    answer = struck.here.patch(f"{MAPS}/guarded", json={"data": {"is": "new"}}, headers=headers)
    assert answer.status_code == 403 and "viewer" in answer.json()["message"]
    assert struck.here.get("/lab/faults", headers={"Authorization": "Bearer tok-view"}).status_code == 403


@pytest.mark.parametrize(("rule", "code"), [("status:500", 500), ("status:429", 429), ("conflict", 409), ("html", 502)])
def test_a_strike_before_the_effect_leaves_the_server_alone(struck: Struck, rule: str, code: int) -> None:
    name = f"before-{code}"
    struck.made(name)
    struck.strike(verb="patch", action=rule, count=1, **({"when": "before"} if rule == "html" else {}))
    assert struck.write(name).status_code == code
    assert struck.stored(name) == "old"
    assert struck.write(name).status_code == 200, "counted once"


@pytest.mark.parametrize("rule", ["status:500", "html", "empty", "truncate", "type:text/plain"])
def test_a_strike_after_the_effect_takes_only_the_answer(struck: Struck, rule: str) -> None:
    name = f"after-{rule.partition(':')[0]}"
    struck.made(name)
    struck.strike(verb="patch", action=rule, when="after", count=1)
    answer = struck.write(name)
    assert struck.stored(name) == "new"
    assert not _told(answer)


@pytest.mark.parametrize(("when", "stored"), [("before", "old"), ("after", "new")])
def test_a_reset_leaves_nobody_sure(struck: Struck, when: str, stored: str) -> None:
    name = f"reset-{when}"
    struck.made(name)
    struck.strike(verb="patch", action="reset", when=when, count=1)
    with pytest.raises(httpx.TransportError):
        struck.write(name)
    assert struck.stored(name) == stored


def test_a_rivals_write_makes_the_servers_own_conflict(struck: Struck) -> None:
    version = struck.made("contested")["metadata"]["resourceVersion"]
    struck.strike(verb="patch", action="touch", count=1)
    answer = struck.write("contested", resourceVersion=version)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    assert struck.stored("contested") == "old"


def test_a_rule_for_real_writes_spares_dry_runs(struck: Struck) -> None:
    struck.made("dry")
    struck.strike(verb="patch", action="status:500", dry_run=False)
    answer = struck.here.patch(f"{MAPS}/dry?dryRun=All", json={"data": {"is": "new"}}, headers=MERGE)
    assert answer.status_code == 200
    assert struck.write("dry").status_code == 500


def test_a_watch_is_passed_on_as_it_comes(struck: Struck) -> None:
    query = "watch=1&timeoutSeconds=2&fieldSelector=metadata.name%3Dwatched"
    with struck.here.stream("GET", f"{MAPS}?{query}") as stream:
        struck.made("watched")
        assert ['"ADDED"' in line for line in stream.iter_lines() if line] == [True]


def _told(answer: httpx.Response) -> bool:
    """Whether a client learns from an answer what became of its write."""
    if answer.status_code != 200 or answer.headers["Content-Type"] != "application/json":
        return False
    try:
        return bool(answer.json()["metadata"]["resourceVersion"])
    except ValueError:
        return False
