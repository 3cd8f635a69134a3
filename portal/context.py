"""What every page's shell shows: cluster, role, demo mark."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame around each page."""
    return {"cluster_name": settings.PORTAL_CLUSTER, "demo": settings.PORTAL_LAB}
