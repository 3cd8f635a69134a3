"""The file beside a kubeconfig (``P.env`` beside P), for a process that began before the lab had written it.

``manage.py serve`` starts the web process while the lab loads, so that the first page comes early. Whether the settings
found the file was luck; now it is read at the first request that finds it.
"""

from __future__ import annotations

import os
from pathlib import Path

import environ
from django.conf import settings

#: what of the file is a setting; the rest of it is read from the environment where it is wanted
LATE = (
    "PORTAL_PROMETHEUS_URL",
    "PORTAL_ALERTMANAGER_URL",
    "PORTAL_GRAFANA_URL",
    "PORTAL_GRAFANA_TOKEN_FILE",
    "PORTAL_GITHUB_URL",
    "PORTAL_GITHUB_TOKEN_FILE",
    "PORTAL_GITHUB_HOST",
)


def is_coming() -> bool:
    """Whether this process began before the lab's file was there."""
    return bool(settings.PORTAL_LAB and settings.PORTAL_KUBECONFIG and not settings.PORTAL_BESIDE_READ)


def catch_up() -> bool:
    """Fill in what neither the environment nor the start said; True once done. The lab replaces the file whole."""
    beside = Path(f"{settings.PORTAL_KUBECONFIG}.env")
    if not beside.is_file():
        return False
    environ.Env.read_env(str(beside), overwrite=False)
    for name in LATE:
        if os.environ.get(name):
            setattr(settings, name, os.environ[name])
    return True
