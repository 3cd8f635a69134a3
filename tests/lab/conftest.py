"""Fixtures of the lab's tests: a running API server, plain clients, and a namespace of one's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx
import pytest

from tests.lab.api_server import RunningApi

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lab_api() -> Iterator[RunningApi]:
    """An API server without scenario and controllers: `.base_url`, `.ca`, `.ca_file`, `.kubeconfig`, `.client()`."""
    api = RunningApi().start()
    yield api
    api.stop()


@pytest.fixture(scope="module")
def admin(lab_api: RunningApi) -> Iterator[httpx.Client]:
    """HTTP as tok-admin."""
    with lab_api.client() as client:
        yield client


@pytest.fixture(scope="module")
def viewer(lab_api: RunningApi) -> Iterator[httpx.Client]:
    """HTTP as tok-view."""
    with lab_api.client("tok-view") as client:
        yield client


@pytest.fixture
def namespace(admin: httpx.Client) -> str:
    """A fresh namespace."""
    name = f"test-{next(_numbers)}"
    admin.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
    return name


@pytest.fixture
def no_faults(admin: httpx.Client) -> Iterator[None]:
    """Leaves no injected fault behind."""
    yield
    admin.delete("/lab/faults").raise_for_status()
