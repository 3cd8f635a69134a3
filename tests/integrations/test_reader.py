"""The reader against the lab's API over HTTPS, and what it does when that misbehaves."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import httpx
import pytest
import yaml

from integrations.errors import (
    Forbidden,
    Gone,
    NotFound,
    Rejected,
    SourceError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from integrations.kubernetes import reader
from integrations.kubernetes.reader import Reader, Stream
from tests.conftest import free_port
from tests.lab.api_server import RunningApi

pytestmark = pytest.mark.lab
MAPS = "configmaps"


def make(admin: httpx.Client, namespace: str, name: str, **labels: str) -> None:
    body = {"metadata": {"name": name, "labels": labels}, "data": {"k": "v"}}
    admin.post(f"/api/v1/namespaces/{namespace}/configmaps", json=body).raise_for_status()


def fault(admin: httpx.Client, action: str, **where: object) -> None:
    admin.post("/lab/faults", json={"action": action, **where}).raise_for_status()


def test_a_list_comes_in_pages_and_loses_nothing(
    kube: Reader, admin: httpx.Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", 3)
    for number in range(8):
        make(admin, namespace, f"m{number}")
    items, version = kube.list(MAPS, namespace)
    ours = [item.metadata.name for item in items if item.metadata.name.startswith("m")]
    assert sorted(ours) == [f"m{number}" for number in range(8)]
    assert version


def test_a_list_whose_page_token_expired_is_begun_anew(
    kube: Reader, admin: httpx.Client, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "PAGE", 1)
    make(admin, namespace, "m1")
    fault(admin, "status:410", verb="list", resource="configmaps", count=1)
    assert "m1" in [item.metadata.name for item in kube.list(MAPS, namespace)[0]]


def test_a_list_is_filtered_by_labels_on_the_server(kube: Reader, admin: httpx.Client, namespace: str) -> None:
    make(admin, namespace, "a", tier="x")
    make(admin, namespace, "b")
    items, _ = kube.list(MAPS, namespace, "tier=x")
    assert [item.metadata.name for item in items] == ["a"]


def test_a_resource_that_is_not_served_is_not_found(kube: Reader) -> None:
    with pytest.raises(NotFound):
        kube.list("alertmanagerconfigs.monitoring.coreos.com")


def test_an_object_that_is_not_there_is_none(kube: Reader, namespace: str) -> None:
    assert kube.get(MAPS, namespace, "nothing") is None
    assert kube.get_raw(MAPS, namespace, "nothing") is None


def test_a_watch_goes_on_from_the_list_and_ends_when_it_is_stopped(
    kube: Reader, admin: httpx.Client, namespace: str
) -> None:
    _, version = kube.list(MAPS, namespace)
    stream = kube.watch(MAPS, version, namespace)
    seen: list[tuple[str, str]] = []

    def follow() -> None:
        seen.extend((event.type, event.object.metadata.name) for event in stream if event.object is not None)

    thread = threading.Thread(target=follow)
    thread.start()
    make(admin, namespace, "x")
    admin.delete(f"/api/v1/namespaces/{namespace}/configmaps/x").raise_for_status()
    until = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    stream.stop()
    thread.join(2)
    assert seen == [("ADDED", "x"), ("DELETED", "x")]
    assert not thread.is_alive()


def test_a_version_the_server_forgot_is_gone(kube: Reader, admin: httpx.Client, namespace: str) -> None:
    _, version = kube.list(MAPS, namespace)
    make(admin, namespace, "later")
    admin.post("/lab/compact").raise_for_status()
    with pytest.raises(Gone):
        list(kube.watch(MAPS, version, namespace))


def test_a_watch_without_a_byte_ends_by_the_sockets_own_timeout(
    kube: Reader, admin: httpx.Client, namespace: str
) -> None:
    kube.silence_seconds = 0.7
    _, version = kube.list(MAPS, namespace)
    fault(admin, "silence", target="watch")
    with pytest.raises(Unreachable, match="silent"):
        stream = kube.watch(MAPS, version, namespace)
        make(admin, namespace, "unseen")
        list(stream)


def test_a_reset_watch_is_unreachable(kube: Reader, admin: httpx.Client, namespace: str) -> None:
    _, version = kube.list(MAPS, namespace)
    stream = kube.watch(MAPS, version, namespace)
    fault(admin, "reset", target="watch", count=1)
    with pytest.raises(Unreachable):
        list(stream)


def test_a_line_longer_than_any_object_is_refused() -> None:
    class Endless:
        def stream(self, *_: object, **__: object) -> object:
            while True:
                yield b"x" * (1024 * 1024)

        def close(self) -> None:
            pass

    with pytest.raises(Rejected, match="longer"):
        list(Stream(Endless(), "pods", "https://api"))


def test_a_get_waits_as_long_as_the_server_asks_and_asks_again(
    kube: Reader, admin: httpx.Client, namespace: str
) -> None:
    fault(admin, "status:429", verb="list", resource="configmaps", count=1, retry_after=1)
    began = time.monotonic()
    kube.list(MAPS, namespace)
    assert 1.0 <= time.monotonic() - began < 3


def test_being_told_to_wait_too_long_is_an_error_that_says_how_long(
    kube: Reader, admin: httpx.Client, namespace: str
) -> None:
    fault(admin, "status:429", verb="list", resource="configmaps", retry_after=60)
    with pytest.raises(TooManyRequests) as caught:
        kube.list(MAPS, namespace)
    assert caught.value.retry_after == 60


def test_a_failing_server_is_unreachable_and_passing(kube: Reader, admin: httpx.Client, namespace: str) -> None:
    fault(admin, "status:500", verb="list", resource="configmaps")
    with pytest.raises(Unreachable) as caught:
        kube.list(MAPS, namespace)
    assert (caught.value.status, caught.value.transient) == (500, True)


def test_a_silent_server_costs_a_probe_its_own_timeout(kube: Reader, admin: httpx.Client, namespace: str) -> None:
    fault(admin, "silence", verb="list", resource="configmaps")
    began = time.monotonic()
    with pytest.raises(Unreachable):
        kube.probe(MAPS, namespace, seconds=0.5)
    assert time.monotonic() - began < 2


def test_a_refused_connection_is_unreachable(tmp_path: Path, api: RunningApi) -> None:
    config = yaml.safe_load(api.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(Unreachable, match="refused"):
        reader.connect(str(path)).version()


def kubeconfig_with(api: RunningApi, path: Path, user: dict[str, str]) -> str:
    config = yaml.safe_load(api.kubeconfig.read_text())
    context = next(one for one in config["contexts"] if one["name"] == config["current-context"])
    for entry in config["users"]:
        if entry["name"] == context["context"]["user"]:
            entry["user"] = user
    path.write_text(yaml.safe_dump(config))
    return str(path)


def test_a_rotated_token_is_read_again_after_a_401(tmp_path: Path, api: RunningApi) -> None:
    token = tmp_path / "token"
    token.write_text("tok-admin")
    kube = reader.connect(kubeconfig_with(api, tmp_path / "kubeconfig", {"tokenFile": str(token)}))
    kube.list("namespaces")
    kube._connection._client.configuration.api_key["BearerToken"] = "Bearer expired"
    kube._connection._client.configuration.refresh_api_key_hook = None
    assert kube.list("namespaces")[0]


def test_credentials_that_stay_wrong_are_unauthorized(tmp_path: Path, api: RunningApi) -> None:
    kube = reader.connect(kubeconfig_with(api, tmp_path / "kubeconfig", {"token": "tok-nobody"}))
    with pytest.raises(Unauthorized):
        kube.list("namespaces")


def test_a_kubeconfig_written_anew_is_read_again(tmp_path: Path, api: RunningApi) -> None:
    path = tmp_path / "kubeconfig"
    kube = reader.connect(kubeconfig_with(api, path, {"token": "tok-view"}))
    with pytest.raises(Forbidden):
        kube.list("secrets")
    kubeconfig_with(api, path, {"token": "tok-admin"})
    os.utime(path, (time.time() + 5, time.time() + 5))
    kube._connection._looked_at = 0.0
    kube.list("secrets")


def test_what_may_not_be_read_is_forbidden(tmp_path: Path, api: RunningApi) -> None:
    kube = reader.connect(kubeconfig_with(api, tmp_path / "kubeconfig", {"token": "tok-view"}))
    with pytest.raises(Forbidden):
        kube.list("secrets")


def test_only_an_explicit_kubeconfig_is_a_cluster(
    tmp_path: Path, api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home" / ".kube"
    home.mkdir(parents=True)
    (home / "config").write_text(api.kubeconfig.read_text())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(Rejected, match="PORTAL_KUBECONFIG"):
        reader.connect("")


@pytest.mark.parametrize("text", ["", "not: [yaml", "{}", "apiVersion: v1\nkind: Config\n"])
def test_an_unusable_kubeconfig_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        reader.connect(str(path))
    assert "\n" not in caught.value.sentence
    assert len(caught.value.sentence) <= 300


def test_it_knows_who_it_is_and_what_it_may(kube: Reader) -> None:
    assert kube.identity() == "admin"
    assert kube.self_access_review("delete", "apps", "deployments")[0] is True
    assert kube.access_review("nobody", "delete", "deployments", "apps")[0] is False
    assert kube.version()["gitVersion"].startswith("v1.")


def test_a_service_without_endpoints_is_an_answer_of_the_proxy(
    kube: Reader, admin: httpx.Client, namespace: str
) -> None:
    body = {"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}
    admin.post(f"/api/v1/namespaces/{namespace}/services", json=body).raise_for_status()
    found = kube.proxy_get(namespace, "web", "http", "/")
    assert found.status == 503
    assert "no endpoints available" in found.error
    assert kube.proxy_get(namespace, "none", "http", "/").status == 404


def test_every_request_is_sent_once_by_the_client_below(kube: Reader, admin: httpx.Client) -> None:
    assert kube._connection._client.configuration.retries is False
