"""What can be wrong before anything starts, each as one sentence that says what to do."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from django.conf import settings
from django.db import DatabaseError, connection
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from portal.serving.embedded import NothingToServeWith


def port_number(given: str | int) -> int:
    """What ``PORTAL_PORT`` says. :raises NothingToServeWith: it is no port."""
    text = str(given).strip()
    if text.isascii() and text.isdigit() and 0 < int(text) < 65_536:
        return int(text)
    raise NothingToServeWith(f"{text!r} is not a port; set PORTAL_PORT to a number from 1 to 65535.")


def port_is_free(host: str, port: int) -> None:
    """:raises NothingToServeWith: somebody listens there."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
                raise
            raise NothingToServeWith(
                f"Port {port} on {host} is taken ({str(error.strerror).lower()}). "
                f"Use another: PORTAL_PORT={port + 1} make run"
            ) from error


def only_one(state: Path) -> IO[str]:
    """Hold the state directory for this process. :raises NothingToServeWith: another portal holds it."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = (state / "serve.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        pid = lock.read().strip() or "unknown"
        raise NothingToServeWith(
            f"A portal already runs on the data in {state} (process {pid}). "
            "Stop it, or give this one its own: PORTAL_STATE_DIR=/some/where make run"
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def database_answers() -> None:
    """:raises NothingToServeWith: the database cannot be opened."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        reason = str(error).strip().splitlines()[0]
        raise NothingToServeWith(f"The database in DATABASE_URL does not answer: {reason}") from error


def kubeconfig_reads(path: str) -> None:
    """Only an explicit ``PORTAL_KUBECONFIG`` means a cluster. :raises NothingToServeWith: it is no kubeconfig."""
    try:
        loaded = YAML(typ="safe").load(Path(path).expanduser().read_text())
    except OSError as error:
        raise NothingToServeWith(f"PORTAL_KUBECONFIG names {path}, which cannot be read: {error.strerror}.") from error
    except (YAMLError, UnicodeDecodeError) as error:
        raise NothingToServeWith(f"PORTAL_KUBECONFIG names {path}, which is not YAML.") from error
    if not isinstance(loaded, dict) or not loaded.get("clusters"):
        raise NothingToServeWith(f"PORTAL_KUBECONFIG names {path}, which has no clusters in it.")
    contexts = [entry.get("name") for entry in loaded.get("contexts") or []]
    wanted = settings.PORTAL_KUBE_CONTEXT or loaded.get("current-context")
    if wanted not in contexts:
        raise NothingToServeWith(
            f"{path} has no context {wanted!r}. Set PORTAL_KUBE_CONTEXT to one of: {', '.join(map(str, contexts))}"
        )


def in_cluster() -> bool:
    """Whether this process runs in a pod with a ServiceAccount token."""
    token = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST")) and token.is_file()
