"""An empty API server of the lab, and readers and writers on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from integrations.kubernetes import reader, writer
from tests.lab.api_server import RunningApi

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    server = RunningApi().start()
    yield server
    server.stop()


@pytest.fixture
def admin(api: RunningApi) -> Iterator[httpx.Client]:
    """HTTP as tok-admin; leaves no fault behind."""
    with api.client() as client:
        yield client
        client.delete("/lab/faults").raise_for_status()


@pytest.fixture
def namespace(admin: httpx.Client) -> str:
    name = f"n-{next(_numbers)}"
    admin.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    return name


@pytest.fixture
def kube(api: RunningApi) -> Iterator[reader.Reader]:
    connected = reader.connect(str(api.kubeconfig))
    yield connected
    connected.close()


@pytest.fixture
def pen(api: RunningApi) -> Iterator[writer.Writer]:
    connected = writer.connect(str(api.kubeconfig))
    yield connected
    connected.close()
