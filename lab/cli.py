"""The lab's command: one process with the API server, the controllers and the services around them.

It refuses to start with DJANGO_DEBUG=0 unless PORTAL_LAB=1 says so, because it is a stand-in for a cluster and must not
be taken for one in production. SIGTERM and SIGINT end it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from lab.address import LOOPBACK, Address
from lab.scenarios import NAMES

_STOP_SECONDS = 1.8
READY = "lab ready: {url} scenario={scenario} kubeconfig={kubeconfig}"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="lab", description="The embedded demo cluster.")
    made.add_argument("--scenario", choices=NAMES, default="grafana-broken")
    made.add_argument("--host", default=LOOPBACK, help="address that the API server and the plain listeners take")
    made.add_argument(
        "--advertise", default="", help="name written into kubeconfig, .env and certificate; default: the host"
    )
    made.add_argument("--port", type=int, default=0, help="API server's port; 0 chooses a free one")
    made.add_argument("--kubeconfig", type=Path, default=Path(".phaseboard/lab/kubeconfig"), help="file to write")
    made.add_argument("--speed", type=float, default=1.0, help="factor on all durations; 0.1 is ten times faster")
    made.add_argument("--seed", type=int, default=1, help="seed of the random names")
    made.add_argument("--against", type=Path, help="kubeconfig of a real API server to run the scenario against")
    made.add_argument("--external-controllers", choices=("auto", "yes", "no"), default="auto")
    made.add_argument("--git", type=Path, help="folder of the lab's Git repository; default: beside the kubeconfig")
    made.add_argument("--no-controllers", action="store_true")
    made.add_argument("--no-load", action="store_true", help="load no scenario objects")
    made.add_argument("--verbose", action="store_true")
    return made


def refusal() -> str:
    """Why the lab may not start here, or an empty text."""
    off = os.environ.get("DJANGO_DEBUG", "").strip().lower() in ("0", "false", "no", "off")
    if off and os.environ.get("PORTAL_LAB") != "1":
        return "The lab is a demo cluster and does not start with DJANGO_DEBUG=0; set PORTAL_LAB=1 to allow it."
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal. Exit codes: 0 stopped, 1 could not start, 2 refused or wrong arguments."""
    options = parser().parse_args(arguments)
    reason = refusal()
    if reason:
        sys.stderr.write(reason + "\n")
        return 2
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(asctime)s lab %(name)s %(levelname)s %(message)s",
    )
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    from lab.runner import Lab, StartError

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    lab = Lab(
        scenario=options.scenario,
        kubeconfig=options.kubeconfig,
        port=options.port,
        address=Address(options.host, options.advertise),
        speed=options.speed,
        seed=options.seed,
        against=options.against,
        external_controllers=options.external_controllers,
        git=options.git,
        controllers=not options.no_controllers,
        load=not options.no_load,
    )
    try:
        await lab.start()
    except StartError as error:
        sys.stderr.write(f"{error}\n")
        await lab.stop()
        return 1
    ready = READY.format(url=lab.url, scenario=options.scenario, kubeconfig=options.kubeconfig)
    sys.stdout.write(ready + "\n")
    sys.stdout.flush()
    await stop.wait()
    _leave_at_the_latest(_STOP_SECONDS)
    await lab.stop()
    return 0


def _leave_at_the_latest(seconds: float) -> None:
    """A part that does not end must not keep the process; nothing here is worth a longer wait."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()
