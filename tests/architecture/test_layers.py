"""The layers of design §2, held by import-linter and by the models' own metadata."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {"common": 0, "monitoring": 1, "deployments": 2, "checklists": 3, "accounts": 3, "portal": 3}


def test_import_linter_keeps_every_contract() -> None:
    tool = Path(sys.executable).with_name("lint-imports")

    outcome = subprocess.run([tool, "--no-logo"], cwd=ROOT, capture_output=True, text=True)

    assert outcome.returncode == 0, outcome.stdout[-4000:]
    assert "0 broken" in outcome.stdout


def test_foreign_keys_point_down() -> None:
    wrong = []
    for model in apps.get_models():
        layer = LAYERS.get(model._meta.app_label)
        if layer is None:
            continue
        for field in model._meta.get_fields():
            related = getattr(field, "related_model", None)
            if related is None or field.auto_created:
                continue
            target = LAYERS.get(related._meta.app_label)  # None: Django's own users
            if target is not None and target > layer:
                wrong.append(f"{model._meta.label}.{field.name} -> {related._meta.label}")

    assert wrong == []


@pytest.mark.parametrize("package", ["portal", "monitoring", "deployments", "integrations", "common"])
def test_starting_the_web_process_does_not_import_kubernetes_or_the_lab(package: str) -> None:
    """The client costs 0.3 s and 40 MB: only worker and observer pay for it."""
    code = (
        "import os, sys; os.environ['DJANGO_SETTINGS_MODULE']='tests.settings';"
        "import portal.asgi, portal.live, portal.urls;"
        f"import {package};"
        "print([m for m in ('kubernetes', 'lab', 'prometheus_api_client') if m in sys.modules])"
    )

    outcome = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert outcome.stdout.strip() == "[]"
