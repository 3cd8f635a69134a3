"""Settings: one typed file, read from the environment (and ``.env`` files), failing loudly.

Names follow what operators expect (``DATABASE_URL``, ``REDIS_URL``, ``DJANGO_SECRET_KEY``; ``NAME_FILE`` for secrets
that are mounted files); what is Phaseboard's own starts with ``PORTAL_``.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
#: embedded database, sockets, lab files: everything `make run` creates at run time
STATE_DIR = Path(os.environ.get("PORTAL_STATE_DIR", BASE_DIR / ".phaseboard"))
VERSION = "0.1.0"

env = environ.Env()


def secret(name: str, default: str | None = None) -> str | None:
    """``NAME`` or the content of the file named by ``NAME_FILE``. :raises ImproperlyConfigured: the file is missing."""
    path = os.environ.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name}_FILE names {path}, which cannot be read: {error.strerror}.") from error
    return os.environ.get(name, default)


def flag(name: str) -> bool:
    """A setting that is on or off; off when it is not set. :raises ImproperlyConfigured: it says neither."""
    given = os.environ.get(name, "").strip().lower()
    if given in {"1", "true", "yes", "on"}:
        return True
    if given in {"", "0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} is {given!r}: set it to 1 or 0.")


def _kubeconfig_env(path: str) -> bool:
    """``P.env`` beside a kubeconfig P (the lab writes one) fills in what the environment does not say; True: it did."""
    beside = Path(f"{path}.env")
    if not beside.is_file():
        return False
    environ.Env.read_env(str(beside), overwrite=False)
    return True


PORTAL_KUBECONFIG = os.environ.get("PORTAL_KUBECONFIG", "")
#: the web process may begin before the lab has written it: portal.serving.beside
PORTAL_BESIDE_READ = bool(PORTAL_KUBECONFIG) and _kubeconfig_env(PORTAL_KUBECONFIG)
#: opened by deployments.engine alone; empty: the reading identity is used for both and the UI says so
PORTAL_WRITE_KUBECONFIG = os.environ.get("PORTAL_WRITE_KUBECONFIG", "")
PORTAL_KUBE_CONTEXT = os.environ.get("PORTAL_KUBE_CONTEXT", "")
#: the name this portal gives the cluster: part of every key
PORTAL_CLUSTER = os.environ.get("PORTAL_CLUSTER", "is-platform")
PORTAL_PROMETHEUS_URL = os.environ.get("PORTAL_PROMETHEUS_URL", "")
PORTAL_ALERTMANAGER_URL = os.environ.get("PORTAL_ALERTMANAGER_URL", "")
PORTAL_GRAFANA_URL = os.environ.get("PORTAL_GRAFANA_URL", "")
PORTAL_GRAFANA_TOKEN_FILE = os.environ.get("PORTAL_GRAFANA_TOKEN_FILE", "")
#: a file outside the database's reach that each minute gets a line with the end of the audit chain (common.anchors)
PORTAL_AUDIT_ANCHOR = os.environ.get("PORTAL_AUDIT_ANCHOR", "")
#: a file with the address of an incoming webhook (Slack and its like) that is told of broken glass, the stop switch and
#: unknown outcomes; the address is a secret
PORTAL_NOTIFY_URL_FILE = os.environ.get("PORTAL_NOTIFY_URL_FILE", "")
#: GitHub for pull requests (docs/github.md): its API, the token's file, and the host in the URLs of repositories where
#: that is not the API's own
PORTAL_GITHUB_URL = os.environ.get("PORTAL_GITHUB_URL", "") or "https://api.github.com"
PORTAL_GITHUB_TOKEN_FILE = os.environ.get("PORTAL_GITHUB_TOKEN_FILE", "")
PORTAL_GITHUB_HOST = os.environ.get("PORTAL_GITHUB_HOST", "")
#: 1 when the cluster is the embedded lab: the UI says DEMO on every page
PORTAL_LAB = flag("PORTAL_LAB")
PORTAL_PROJECTS_DIR = Path(os.environ.get("PORTAL_PROJECTS_DIR", BASE_DIR / "projects"))
#: two-person rule also for tier 2 (design §6)
PORTAL_PRODUCTION = flag("PORTAL_PRODUCTION")

DEBUG = flag("DJANGO_DEBUG")


def _secret_key() -> str:
    """From the environment; else one is made once and kept in the state directory, readable by its owner only."""
    given = secret("DJANGO_SECRET_KEY")
    if given:
        return given
    path = STATE_DIR / "secret_key"
    if not path.exists():
        STATE_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
    return path.read_text().strip()


SECRET_KEY = _secret_key()
ALLOWED_HOSTS = env.list("DJANGO_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("DJANGO_CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "heroicons",
    "common",
    "monitoring",
    "deployments",
    "portal.accounts",
    "portal.checklists",
    "portal",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "portal.middleware.late_settings",
    "portal.middleware.stream_position",
]

ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.shell",
            ],
            "builtins": ["heroicons.templatetags.heroicons"],
        },
    }
]


def _database() -> dict[str, Any]:
    """``DATABASE_URL`` or SQLite in the state directory, with the options that keep SQLite honest under load."""
    url = secret("DATABASE_URL")
    if not url:
        STATE_DIR.mkdir(parents=True, exist_ok=True, mode=0o700)
        url = f"sqlite:///{STATE_DIR / 'phaseboard.sqlite3'}"
    if url.partition(":")[0] not in {"postgres", "postgresql", "psql", "pgsql", "sqlite"}:
        raise ImproperlyConfigured("DATABASE_URL must name PostgreSQL (postgres://…) or SQLite (sqlite:///path).")
    try:
        config: dict[str, Any] = dict(env.db_url_config(url))
    except (environ.ImproperlyConfigured, ValueError, KeyError) as error:
        raise ImproperlyConfigured(
            "DATABASE_URL is not a database URL, e.g. postgres://user:password@host:5432/name."
        ) from error
    if config.get("ENGINE") == "django.db.backends.sqlite3":
        # Deferred BEGIN fails 85 % of read-then-write transactions at once under contention, in WAL too.
        config["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            # a person who waits is told soon (portal.wsgi sets 3); a worker rather waits than gives up
            "timeout": env.float("PORTAL_BUSY_SECONDS", default=20.0),
            # FULL: with NORMAL a power cut takes the last commits: an intent that is gone is an effect nobody knows of
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
        }
    else:
        config.setdefault("OPTIONS", {}).setdefault("connect_timeout", 3)
    config["CONN_MAX_AGE"] = 60
    config["CONN_HEALTH_CHECKS"] = True
    return config


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = secret("REDIS_URL") or "redis://127.0.0.1:6379/0"
if not REDIS_URL.startswith(("redis://", "rediss://")):
    raise ImproperlyConfigured("REDIS_URL is not a Redis URL, e.g. redis://:password@host:6379/0.")

# The row is the job and the message a wake-up: early acknowledgement, no results, no retries of the publish.
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A Redis that becomes a replica, or is full, answers with an error: by default that ends every worker for good.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_WORKER_CONSUMER = "portal.consumer:Consumer"
CELERY_BROKER_TRANSPORT_OPTIONS = {"socket_timeout": 5, "socket_connect_timeout": 0.5, "visibility_timeout": 3600}
CELERY_TASK_DEFAULT_QUEUE = "runs"
CELERY_TASK_ROUTES = {
    "deployments.due": {"queue": "system"},
    "deployments.sweep": {"queue": "system"},
    "deployments.tell": {"queue": "system"},
    "common.anchor_audit": {"queue": "system"},
}
CELERY_BEAT_SCHEDULE = {
    "due": {"task": "deployments.due", "schedule": 1.0, "options": {"expires": 1}},
    "sweep": {"task": "deployments.sweep", "schedule": 5.0, "options": {"expires": 5}},
    "tell": {"task": "deployments.tell", "schedule": 5.0, "options": {"expires": 5}},
    "anchor": {"task": "common.anchor_audit", "schedule": 60.0, "options": {"expires": 60}},
    "verify": {"task": "common.verify_audit", "schedule": 3600.0, "options": {"expires": 600}},
}
CELERY_TIMEZONE = "UTC"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "accounts:sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "accounts:sign-in"

_SECURE = flag("PORTAL_HTTPS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _SECURE
SECURE_SSL_REDIRECT = _SECURE
SECURE_HSTS_SECONDS = 31_536_000 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _SECURE
SECURE_HSTS_PRELOAD = _SECURE
if flag("PORTAL_BEHIND_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
    }
}

LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = Path(os.environ.get("PORTAL_STATIC_ROOT", BASE_DIR / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "portal.logs.JsonFormatter"}, "console": {"()": "portal.logs.ConsoleFormatter"}},
    "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": env.str("LOG_FORMAT", default="console")}},
    "root": {"handlers": ["stdout"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        # the last three would say every second that a wake-up was sent, received and done
        name: {"level": "WARNING"}
        for name in ("httpx", "urllib3", "kubernetes", "celery.beat", "celery.worker.strategy", "celery.app.trace")
    },
}
