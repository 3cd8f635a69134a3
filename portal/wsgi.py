"""Django as a WSGI callable; ``portal.asgi`` runs it in a few lasting threads."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
# how long a page waits for a locked SQLite before it says so; nobody looks at a still page for the worker's 20 s
os.environ.setdefault("PORTAL_BUSY_SECONDS", "3")

application = get_wsgi_application()
