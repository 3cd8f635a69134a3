"""One list kept by one watch, whatever the API server does to it."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from integrations.kubernetes import reader
from integrations.kubernetes.reader import Reader
from monitoring.observer.cache import ObjectCache
from monitoring.observer.watching import Changed, Failed, Listed, Watch
from monitoring.snapshot import Objects
from tests.lab.api_server import RunningApi
from tests.observer.site import wait_for

pytestmark = pytest.mark.lab
_names = iter(range(1000))


class Follower:
    """A watch of a namespace's ConfigMaps and the cache its messages make."""

    def __init__(self, kube: Reader, need: Objects) -> None:
        self.inbox: queue.SimpleQueue[Listed | Changed | Failed] = queue.SimpleQueue()
        self.watch = Watch(kube, need, self.inbox.put)
        self.cache = ObjectCache()
        self.lists = 0
        self.refused = ""
        self.watch.start()

    def names(self) -> set[str]:
        while not self.inbox.empty():
            match self.inbox.get():
                case Listed(_, items, _):
                    self.cache.replace(items)
                    self.lists += 1
                case Changed(_, events):
                    for event in events:
                        self.cache.apply(event)
                case Failed(_, sentence):
                    self.refused = sentence
        found = self.cache.listing("", self.watch.confirmed_at).items  # type: ignore[arg-type]
        return {item.metadata.name for item in found} - {"kube-root-ca.crt"}

    def sees(self, *names: str) -> Callable[[], bool]:
        return lambda: self.names() == set(names)


@pytest.fixture
def namespace(admin: httpx.Client) -> str:
    name = f"w-{next(_names)}"
    admin.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    return name


@pytest.fixture
def kube(api: RunningApi) -> Reader:
    connected = reader.connect(str(api.kubeconfig))
    connected.silence_seconds = 1.0
    return connected


@pytest.fixture
def follower(kube: Reader, namespace: str) -> Iterator[Follower]:
    made = Follower(kube, Objects("configmaps", namespace))
    yield made
    made.watch.stop()


def put(admin: httpx.Client, namespace: str, name: str) -> None:
    body = {"metadata": {"name": name}}
    admin.post(f"/api/v1/namespaces/{namespace}/configmaps", json=body).raise_for_status()


def remove(admin: httpx.Client, namespace: str, name: str) -> None:
    admin.delete(f"/api/v1/namespaces/{namespace}/configmaps/{name}").raise_for_status()


def fault(admin: httpx.Client, action: str, **where: object) -> None:
    admin.post("/lab/faults", json={"action": action, **where}).raise_for_status()


def test_it_follows_what_comes_and_goes(follower: Follower, admin: httpx.Client, namespace: str) -> None:
    put(admin, namespace, "a")
    wait_for(follower.sees("a"))
    put(admin, namespace, "b")
    remove(admin, namespace, "a")
    wait_for(follower.sees("b"))


def test_after_a_reset_it_goes_on_without_missing_a_change(
    follower: Follower, admin: httpx.Client, namespace: str
) -> None:
    put(admin, namespace, "a")
    wait_for(follower.sees("a"))
    fault(admin, "reset", target="watch", count=1, namespace=namespace)
    remove(admin, namespace, "a")
    put(admin, namespace, "b")
    wait_for(follower.sees("b"))
    assert follower.watch.error == ""


def test_after_a_410_it_lists_again_and_forgets_what_is_gone(
    follower: Follower, admin: httpx.Client, namespace: str
) -> None:
    put(admin, namespace, "a")
    wait_for(follower.sees("a"))
    lists = follower.lists
    fault(admin, "status:410", target="watch", count=1, namespace=namespace)
    remove(admin, namespace, "a")
    wait_for(follower.sees())
    wait_for(lambda: follower.names() is not None and follower.lists > lists)


def test_a_watch_that_is_silent_while_lists_answer_is_caught_up_by_lists(
    follower: Follower, admin: httpx.Client, namespace: str
) -> None:
    wait_for(follower.sees())
    wait_for(lambda: follower.watch.confirmed_at)
    fault(admin, "silence", target="watch", namespace=namespace)
    put(admin, namespace, "unannounced")
    wait_for(follower.sees("unannounced"), 12)


def test_a_silent_server_makes_it_dead_and_it_comes_back_by_itself(
    follower: Follower, admin: httpx.Client, namespace: str
) -> None:
    put(admin, namespace, "a")
    wait_for(follower.sees("a"))
    fault(admin, "silence", resource="configmaps")
    fault(admin, "silence", target="watch")
    before = follower.watch.confirmed_at
    follower.watch.probe()
    assert "does not answer" in follower.watch.error
    assert follower.watch.confirmed_at == before
    admin.delete("/lab/faults").raise_for_status()
    put(admin, namespace, "b")
    wait_for(follower.sees("a", "b"), 25)
    assert follower.watch.error == ""


def test_a_probe_that_is_answered_confirms_what_did_not_change(
    follower: Follower, admin: httpx.Client, namespace: str
) -> None:
    put(admin, namespace, "a")
    wait_for(follower.sees("a"))
    before = follower.watch.confirmed_at
    assert before is not None
    time.sleep(0.05)
    follower.watch.probe()
    assert follower.watch.confirmed_at is not None
    assert follower.watch.confirmed_at > before


def test_a_resource_the_server_does_not_serve_is_refused_in_one_sentence(kube: Reader) -> None:
    follower = Follower(kube, Objects("alertmanagerconfigs.monitoring.coreos.com"))
    try:
        wait_for(lambda: follower.names() is not None and follower.refused)
        assert follower.refused.startswith("This cluster does not serve alertmanagerconfigs")
        assert follower.watch.error == ""
    finally:
        follower.watch.stop()


def test_stopping_it_ends_its_thread_at_once(kube: Reader, namespace: str) -> None:
    follower = Follower(kube, Objects("configmaps", namespace))
    wait_for(lambda: follower.names() is not None and follower.lists)
    time.sleep(0.2)
    began = time.monotonic()
    follower.watch.stop()
    follower.watch._thread.join(3)
    assert time.monotonic() - began < 1.0
