"""What ``manage.py serve`` does before it starts anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from portal.management.commands.serve import Command


def test_static_files_are_collected_when_they_are_not_there(
    tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    command = Command()
    command._collect_static()
    assert (tmp_path / "static" / "staticfiles.json").exists()
    assert "once" in capsys.readouterr().out
    command._collect_static()
    assert capsys.readouterr().out == ""
