"""The product's settings with what tests change: own state directory, no hashed static files, quick passwords."""

from __future__ import annotations

import os
import tempfile

_STATE = tempfile.mkdtemp(prefix="phaseboard-tests-")
os.environ.setdefault("PORTAL_STATE_DIR", _STATE)
os.environ.setdefault("DJANGO_SECRET_KEY", "tests-only-key-that-is-long-enough-for-the-system-checks-0123456789")
for name in (
    "PORTAL_KUBECONFIG",
    "PORTAL_WRITE_KUBECONFIG",
    "PORTAL_GRAFANA_URL",
    "PORTAL_PROMETHEUS_URL",
    "PORTAL_LAB",
):
    os.environ.pop(name, None)

from portal.settings import *  # noqa: E402, F403 - the environment above must be read first

STORAGES = {  # the hashed storage needs `collectstatic`, which tests of pages do not
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True
#: nothing listens here: tests that need Redis start their own and set this
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1/0")
CELERY_BROKER_URL = REDIS_URL
if "sqlite" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # a file, so that threads and child processes see the same database as the test
    DATABASES["default"]["TEST"] = {"NAME": os.path.join(os.environ["PORTAL_STATE_DIR"], "test.sqlite3")}  # noqa: F405, PTH118
