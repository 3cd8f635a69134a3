"""The lab as a process: where it listens, what it calls itself, what it writes, and what its successor says."""

from __future__ import annotations

import signal
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from lab.address import Address
from tests.lab.world.running import RunningLab, environment_of

pytestmark = pytest.mark.lab


def refused(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) != 0


def test_it_listens_where_it_is_told_and_calls_itself_as_it_is_told(tmp_path: Path) -> None:
    lab = RunningLab("healthy", tmp_path, "--host", "127.0.0.2", "--advertise", "localhost")
    try:
        server = yaml.safe_load(lab.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        api, grafana = urlsplit(server), urlsplit(environment_of(lab)["PORTAL_GRAFANA_URL"])
        assert (api.hostname, grafana.hostname) == ("localhost", "localhost")
        assert f"lab ready: {server} " in lab.ready_line
        for port in (api.port, grafana.port):
            assert port and not refused("127.0.0.2", port) and refused("127.0.0.1", port)
        # the certificate holds both names; a client checks the one it came by
        context = ssl.create_default_context(cadata=lab.ca)
        for name in ("localhost", "127.0.0.2"):
            with socket.create_connection(("127.0.0.2", api.port or 0), timeout=10) as plain:
                context.wrap_socket(plain, server_hostname=name).close()
        health = httpx.get(f"http://127.0.0.2:{grafana.port}/api/health", trust_env=False)
        assert health.json()["database"] == "ok"
    finally:
        lab.stop()


@pytest.mark.parametrize(
    ("bind", "advertise", "name", "local"),
    [
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "", "127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "lab", "lab", "127.0.0.1"),
        ("::", "", "::1", "::1"),
        ("10.0.0.7", "", "10.0.0.7", "10.0.0.7"),
    ],
)
def test_a_wildcard_is_no_name(bind: str, advertise: str, name: str, local: str) -> None:
    address = Address(bind, advertise)
    assert (address.name, address.local) == (name, local)
    assert {name, local, "127.0.0.1"} <= set(address.certificate_hosts)


def test_an_address_that_is_not_ours_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"cannot listen at 192\.0\.2\.1 port 0: .*another address with --host"):
        RunningLab("healthy", tmp_path, "--host", "192.0.2.1")


def test_it_writes_beside_its_kubeconfig_and_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube, temporary, elsewhere = (tmp_path / name for name in ("kube", "tmp", "elsewhere"))
    for folder in (kube, temporary, elsewhere):
        folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("HOME", str(elsewhere))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    # at full speed, so that Debian's programs run too where they are installed
    lab = RunningLab("healthy", kube, "--speed", "1.0", cwd=elsewhere)
    lab.stop()
    names = {path.name for path in kube.iterdir()}
    tokens = {"kubeconfig.grafana-token", "kubeconfig.github-token"}
    assert names == {"kubeconfig", "kubeconfig.env", "kubeconfig.git", *tokens}
    assert [(kube / name).stat().st_mode & 0o077 for name in names - {"kubeconfig.git"}] == [0, 0, 0, 0]
    assert list(elsewhere.rglob("*")) == []
    assert list(temporary.iterdir()) == []


def test_a_lab_that_starts_anew_on_the_same_port_sends_watchers_back_to_list(tmp_path: Path) -> None:
    first = RunningLab("healthy", tmp_path)
    port = urlsplit(str(first.http.base_url)).port
    grafana = environment_of(first)["PORTAL_GRAFANA_URL"]
    version = first.get("/api/v1/pods", limit="1")["metadata"]["resourceVersion"]
    git = tmp_path / "kubeconfig.git" / "bootstrap" / "apps" / "monitoring.yaml"
    before = git.read_text()
    git.write_text(before.replace("enabled: true", "enabled: false"))
    first.process.send_signal(signal.SIGKILL)
    first.process.communicate()
    second = RunningLab("healthy", tmp_path, "--port", str(port))
    try:
        answer = second.http.get("/api/v1/pods", params={"watch": "1", "resourceVersion": version})
        assert answer.status_code == 200
        event = answer.json()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        fresh = second.get("/api/v1/pods", limit="1")["metadata"]["resourceVersion"]
        assert int(fresh) > int(version)
        # a portal that runs on has read the old address
        assert environment_of(second)["PORTAL_GRAFANA_URL"] == grafana
        assert httpx.get(f"{grafana}/api/health", trust_env=False).json()["database"] == "ok"
        # a new life begins with Git as the scenario has it, not with the last one's edits
        assert git.read_text() == before
    finally:
        second.stop()


def test_a_listeners_port_that_is_taken_by_now_is_another(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        (tmp_path / "kubeconfig.env").write_text(f"PORTAL_GRAFANA_URL=http://127.0.0.1:{taken}\n")
        lab = RunningLab("healthy", tmp_path)
        try:
            grafana = environment_of(lab)["PORTAL_GRAFANA_URL"]
            assert urlsplit(grafana).port != taken
            assert httpx.get(f"{grafana}/api/health", trust_env=False).json()["database"] == "ok"
        finally:
            lab.stop()


def test_the_empty_world_begins_at_the_versions_a_fresh_server_has(tmp_path: Path) -> None:
    lab = RunningLab("empty", tmp_path, "--no-controllers")
    try:
        assert int(lab.get("/api/v1/namespaces")["metadata"]["resourceVersion"]) < 1000
    finally:
        lab.stop()
