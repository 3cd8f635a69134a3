"""``python -m tests.faults.sick BUG worker …``: a real Celery worker whose engine has one planted bug.

So the storm can be shown to find it with real processes, against the lab and a real API server: ``--planted BUG``.
"""

from __future__ import annotations

import sys

import django
from celery.__main__ import main as celery

from tests.faults.planted import planted


def main() -> None:
    """Run Celery with the bug; its pool inherits it."""
    django.setup()
    with planted(sys.argv[1]):
        sys.argv = ["celery", *sys.argv[2:]]
        celery()


if __name__ == "__main__":
    main()
