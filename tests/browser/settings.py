"""The tests' settings for a web process of its own: static files straight from the sources."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

WHITENOISE_USE_FINDERS = True
PORTAL_LAB = True
