#!/usr/bin/env python
"""Django's command line for Phaseboard. A setting that makes no sense ends it with one sentence and exit code 3."""

import json
import os
import sys


def main() -> None:
    """Run the command named on the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(_refused(str(error)))


def _refused(sentence: str) -> int:
    if "--json" in sys.argv:
        sys.stdout.write(json.dumps({"error": sentence}, indent=2) + "\n")
    sys.stderr.write(sentence + "\n")
    return 3


if __name__ == "__main__":
    main()
