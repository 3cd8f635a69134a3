"""The same proof with Debian's Prometheus and Alertmanager in the lab: the counters are a real Alertmanager's."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from lab.services.debian import PROGRAMS
from tests.deployments.alerts.scene import MONITORING, PROMETHEUS
from tests.deployments.alerts.test_on_the_lab import (
    choosy,
    test_a_channel_is_created_proved_and_taken_back,
    test_a_group_that_does_not_load_keeps_the_object_out_until_it_is_taken_out,
    test_a_receiver_that_refuses_is_no_delivery,
    test_a_silence_is_made_once_and_expired,
    tidy,
)
from tests.lab.world.running import RunningLab

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(400),
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="Debian's programs are not on this machine"),
]
BUILD = f"/api/v1/namespaces/{MONITORING}/services/{PROMETHEUS}:http-web/proxy/api/v1/status/buildinfo"

__all__ = [
    "choosy",
    "test_a_channel_is_created_proved_and_taken_back",
    "test_a_group_that_does_not_load_keeps_the_object_out_until_it_is_taken_out",
    "test_a_receiver_that_refuses_is_no_delivery",
    "test_a_silence_is_made_once_and_expired",
    "tidy",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A lab at full speed, once Debian's Prometheus is believed."""
    running = RunningLab("healthy", tmp_path_factory.mktemp("debian"), "--speed", "1.0")
    try:
        running.until(lambda: running.get(BUILD)["data"]["engine"] == "debian", "Debian's Prometheus is believed")
        yield running
    finally:
        running.stop()
