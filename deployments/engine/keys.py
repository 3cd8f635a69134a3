"""The installation's key, with which secrets become hashes before anything else is done with them."""

from __future__ import annotations

from django.conf import settings


def installation_key() -> str:
    """Never stored, never shown; another installation's hashes of the same secret are other hashes."""
    return str(settings.SECRET_KEY)
