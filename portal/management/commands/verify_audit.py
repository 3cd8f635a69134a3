"""``manage.py verify_audit [--anchors FILE …] [--json]``: is the audit trail what it was?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from portal.management.reading import SentenceCommand, refuse


class Command(SentenceCommand):
    """Read the whole chain, and hold it against the anchors."""

    help = (
        "Verifies every row of the audit trail, and that its end is not older than what was anchored: in the file of "
        "PORTAL_AUDIT_ANCHOR, or in the files given here (logs of the system process are as good). Exit code 0: it "
        "verifies; 1: it does not, and the first bad row is named; 3: it could not be verified."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--anchors", nargs="+", type=Path, default=[], help="anchor files or logs instead")
        parser.add_argument("--json", action="store_true", help="one object instead of sentences")

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, and print what was found."""
        from common import anchors
        from common.models import AuditEvent

        named: list[Path] = options["anchors"] or [path for path in [anchors.file()] if path is not None]
        try:
            known = [anchor for path in named for anchor in _lines(path)]
        except OSError as error:
            raise refuse(f"{error.filename} cannot be read: {error.strerror}.") from error
        wrong, rows = anchors.verify(known), AuditEvent.objects.count()
        last = max(known, key=lambda anchor: anchor.seq, default=None)
        answer = {
            "verified": not wrong,
            "rows": rows,
            "first_bad_row": wrong[0].seq if wrong else None,
            "sentence": wrong[0].sentence if wrong else f"{rows} rows verify.",
            "anchors": len(known),
            "anchored": _anchored(last, rows, bool(named)),
        }
        self.stdout.write(json.dumps(answer) if options["json"] else f"{answer['sentence']}\n{answer['anchored']}")
        if wrong:
            sys.exit(1)


def _lines(path: Path) -> list[Any]:
    from common import anchors

    with path.open(errors="replace") as lines:
        return list(anchors.read(lines))


def _anchored(last: Any, rows: int, named: bool) -> str:
    if last is not None:
        return f"Anchored up to row {last.seq} at {last.at}; {max(0, rows - last.seq)} rows came after it."
    if named:
        return "There is no anchor in the file: a cut end or an older database would not show."
    return "PORTAL_AUDIT_ANCHOR is not set: a cut end, a chain written anew or an older database would not show."
