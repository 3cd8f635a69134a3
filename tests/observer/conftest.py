"""A site per test (a migrated database copied from one made once) and an API server per module."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.lab.api_server import RunningApi
from tests.observer.site import Site


@pytest.fixture(scope="module")
def api() -> Iterator[RunningApi]:
    """An empty API server of the lab."""
    server = RunningApi().start()
    yield server
    server.stop()


@pytest.fixture
def admin(api: RunningApi) -> Iterator[httpx.Client]:
    """HTTP as tok-admin; leaves no fault behind."""
    with api.client() as client:
        yield client
        client.delete("/lab/faults").raise_for_status()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with a migrated, empty database."""
    folder = tmp_path_factory.mktemp("migrated")

    class Nothing:
        kubeconfig = ""

    Site(folder, Nothing()).migrate()  # type: ignore[arg-type]
    return folder


@pytest.fixture
def make_site(tmp_path: Path, migrated: Path, api: RunningApi) -> Iterator[Callable[..., Site]]:
    """Makes sites on the module's API server; their processes end with the test."""
    made: list[Site] = []

    def make(redis_url: str = "redis://127.0.0.1:1/0") -> Site:
        folder = tmp_path / f"site-{len(made)}"
        shutil.copytree(migrated, folder)
        site = Site(folder, api, redis_url)
        made.append(site)
        return site

    yield make
    for site in made:
        site.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()
