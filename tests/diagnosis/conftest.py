"""A signature that breaks is logged and skipped, so that it hides no other; in tests it must not go unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_signature_breaks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    broken = [record.getMessage() for record in caplog.get_records("call") if "broke" in record.getMessage()]
    assert broken == []
