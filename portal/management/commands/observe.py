"""``manage.py observe``: the observer process (design §3). Several may run; one leads, the others stand by."""

from __future__ import annotations

import gc
import os
import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from integrations.errors import SourceError
from monitoring.collect import open_readers
from monitoring.observer.observer import Observer, Tempo
from portal.checklists.diagnosing import Diagnostician
from portal.checklists.sink import ItemSink

#: after a signal the main loop stops within a fraction of this; a hung system call must not hold the process
_GRACE_SECONDS = 2.5


class Command(BaseCommand):
    help = "Watch the cluster, judge the checks, write evidence. Stops on SIGTERM or Ctrl-C."
    #: the pages are no concern of this process: it starts without importing them
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--probe-seconds",
            type=float,
            default=Tempo.probe,
            help="ask a watch that said nothing for so long for a sign of life (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            readers = open_readers(settings)
        except SourceError as error:
            raise CommandError(error.sentence) from error
        tempo = Tempo(probe=options["probe_seconds"])
        stop = threading.Event()

        def on_signal(*_: object) -> None:
            stop.set()
            timer = threading.Timer(_GRACE_SECONDS, os._exit, args=(0,))
            timer.daemon = True
            timer.start()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        diagnostician = Diagnostician(open_readers(settings))
        threading.Thread(target=diagnostician.run, args=(stop,), name="diagnose", daemon=True).start()
        Observer(readers, ItemSink(), tempo).run(stop)
        self.stdout.write("The observer stopped.")
        # At exit the interpreter would search the client's thousand model classes for garbage: half a second or more.
        gc.freeze()
