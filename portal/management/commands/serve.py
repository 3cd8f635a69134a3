"""`manage.py serve`: the whole portal on one machine, on embedded defaults (what `make run` starts)."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from portal.serving import preflight
from portal.serving.embedded import NothingToServeWith, embedded_redis, free_port
from portal.serving.supervisor import Child, Supervisor

_LAB_READY_SECONDS = 30.0
#: on a machine with few processors a page does not wait for what a worker plans: these stand back
_BEHIND = 5


class Command(BaseCommand):
    """Migrate, load the project, start web, worker, system, observer (and Redis and the lab where none is given)."""

    help = "Run the whole portal on this machine until Ctrl-C."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Command-line options; each has an environment variable, so that `make run` can be configured."""
        parser.add_argument("--host", default=os.environ.get("PORTAL_HOST", "127.0.0.1"))
        parser.add_argument("--port", default=os.environ.get("PORTAL_PORT", "8000"))
        parser.add_argument("--scenario", default=os.environ.get("PORTAL_LAB_SCENARIO", "grafana-broken"))

    def handle(self, *args: Any, **options: Any) -> None:
        """:raises CommandError: something is missing or taken; one sentence says what to do."""
        began = time.monotonic()
        try:
            self._serve(options["host"], preflight.port_number(options["port"]), options["scenario"], began)
        except (NothingToServeWith, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error

    def _serve(self, host: str, port: int, scenario: str, began: float) -> None:
        preflight.port_is_free(host, port)
        state: Path = settings.STATE_DIR
        lock = preflight.only_one(state)
        supervisor = Supervisor(state / "logs", self._say)
        try:
            env, demo = self._backing_services(supervisor, state, scenario)
            preflight.database_answers()
            self._collect_static()
            # The web process opens no cluster connection: it starts while the database is prepared and the lab loads.
            self._start_web(supervisor, env, host, port)
            self._prepare_database(demo)
            self._greet(supervisor, host, port, demo, began)
            if "PORTAL_LAB" in env:
                self._wait_for_lab(supervisor, Path(env["PORTAL_KUBECONFIG"]))
            self._start_work(supervisor, env, demo)
            supervisor.run()
        finally:
            supervisor.stop()
            lock.close()
            self._say("Stopped.")

    def _backing_services(self, supervisor: Supervisor, state: Path, scenario: str) -> tuple[dict[str, str], bool]:
        """Redis and the cluster: those that were given, else embedded ones. The second value: is this the lab?"""
        env: dict[str, str] = {}
        if not os.environ.get("REDIS_URL") and not os.environ.get("REDIS_URL_FILE"):
            embedded = embedded_redis(state)
            env["REDIS_URL"] = embedded.url
            supervisor.start(Child("redis", embedded.argv, stdin=embedded.config))
        if settings.PORTAL_KUBECONFIG:
            preflight.kubeconfig_reads(settings.PORTAL_KUBECONFIG)
            self._say(f"Cluster: {settings.PORTAL_KUBECONFIG} (PORTAL_KUBECONFIG)")
            return env, settings.PORTAL_LAB
        if preflight.in_cluster():
            self._say("Cluster: the one this pod runs in")
            return env, False
        if os.environ.get("KUBECONFIG") or (Path.home() / ".kube" / "config").exists():
            self._say("KUBECONFIG and ~/.kube/config are ignored; set PORTAL_KUBECONFIG to use a real cluster.")
        kubeconfig = state / "lab" / "kubeconfig"
        kubeconfig.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        for stale in (kubeconfig, Path(f"{kubeconfig}.env")):
            stale.unlink(missing_ok=True)
        env |= {"PORTAL_KUBECONFIG": str(kubeconfig), "PORTAL_LAB": "1"}
        argv = [sys.executable, "-m", "lab", "--scenario", scenario, "--port", str(free_port())]
        supervisor.start(Child("lab", [*argv, "--kubeconfig", str(kubeconfig)], env=env, nice=_BEHIND))
        return env, True

    def _collect_static(self) -> None:
        """``make run`` has done it; a bare ``manage.py serve`` would answer every page with 500 without them."""
        if not (Path(settings.STATIC_ROOT) / "staticfiles.json").exists():
            self._say("Collecting static files (once)")
            call_command("collectstatic", interactive=False, verbosity=0)

    def _prepare_database(self, demo: bool) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("load_project", verbosity=0)
        from portal.accounts import services as accounts

        accounts.ensure_roles()
        if demo:
            self._sign_ins = accounts.ensure_demo_users()
        else:
            admin = accounts.ensure_admin()
            self._sign_ins = [admin] if admin else []

    def _wait_for_lab(self, supervisor: Supervisor, kubeconfig: Path) -> None:
        """The portal's processes read the lab's addresses when they start, so the lab must have written them."""
        end = time.monotonic() + _LAB_READY_SECONDS
        while not (kubeconfig.exists() and Path(f"{kubeconfig}.env").exists()):
            supervisor.tick()
            if time.monotonic() > end:
                tail = "\n".join(supervisor.tail("lab"))
                raise NothingToServeWith(f"The demo cluster did not start within {_LAB_READY_SECONDS:.0f} s.\n{tail}")
            time.sleep(0.02)

    def _start_web(self, supervisor: Supervisor, env: dict[str, str], host: str, port: int) -> None:
        web = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--host", host, "--port", str(port)]
        supervisor.start(Child("web", [*web, "--timeout-graceful-shutdown", "3", "--no-access-log"], env))

    def _start_work(self, supervisor: Supervisor, env: dict[str, str], demo: bool) -> None:
        python, lab = sys.executable, ("lab",) if demo else ()
        celery = [python, "-m", "celery", "-A", "portal", "worker", "--loglevel", "INFO"]
        celery += ["--without-gossip", "--without-mingle"]
        beat = ["--beat", "--schedule", str(settings.STATE_DIR / "beat"), "--concurrency", "1"]
        observe = [python, str(settings.BASE_DIR / "manage.py"), "observe"]
        supervisor.start(Child("observer", observe, env, restarts_with=lab))
        runs = [*celery, "--queues", "runs", "--concurrency", "2", "--hostname", "runs@%h"]
        supervisor.start(Child("worker", runs, env, restarts_with=lab, stop_seconds=8, nice=_BEHIND))
        system = [*celery, "--queues", "system", "--hostname", "system@%h", *beat]
        supervisor.start(Child("system", system, env, restarts_with=lab, nice=_BEHIND))

    def _greet(self, supervisor: Supervisor, host: str, port: int, demo: bool, began: float) -> None:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - only compared
        self._wait_for_web(supervisor, f"http://{shown}:{port}/healthz")
        self._say(f"\nPhaseboard runs at http://{shown}:{port}/  (first page after {time.monotonic() - began:.1f} s)")
        if self._sign_ins:
            self._say("Sign in as:" if demo else "A first administrator was made; the password is shown this once:")
            for name, password in self._sign_ins:
                self._say(f"    {name:<10} {password}")
        self._say(f"Logs: {settings.STATE_DIR / 'logs'}   Stop: Ctrl-C\n")

    def _wait_for_web(self, supervisor: Supervisor, url: str) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end:
            supervisor.tick()
            try:
                with urllib.request.urlopen(url, timeout=1):  # noqa: S310 - our own loopback address
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.03)
        raise NothingToServeWith("The web process did not answer within 30 s:\n" + "\n".join(supervisor.tail("web")))

    def _say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()
