"""`manage.py lab`: the embedded demo cluster on its own. It is a program beside the portal: nothing here imports it."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Replace this process by the lab's."""

    help = "Run the embedded demo cluster (see `manage.py lab -- --help` for all options)."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """Hand every option through as it is. The lab's own parser explains them."""
        rest = [argument for argument in argv[2:] if argument != "--"]
        os.chdir(settings.BASE_DIR)
        os.execv(sys.executable, [sys.executable, "-m", "lab", *rest])  # noqa: S606 - our own module, no shell

    def handle(self, *args: Any, **options: Any) -> None:
        """Run with default options (only reached through ``call_command``)."""
        self.run_from_argv(["manage.py", "lab"])
