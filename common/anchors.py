"""The end of the audit chain, noted outside the database: each minute a line in the log and, if named, in a file.

A chain shows a changed row, but not that its end was cut off, that it was written anew as a whole, or that an older
copy of the database took its place. A line that the database's owner cannot reach shows all three.
``PORTAL_AUDIT_ANCHOR`` names a file for these lines; the log has the same line, so that a copy of either is enough. The
lines are worth as much as the place they are kept in: who can write that place and the database can forge both.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from common.clock import now
from common.models import AuditEvent, AuditHead, Defect, defects

_log = logging.getLogger(__name__)
_LINE = re.compile(r"audit-anchor seq=(\d{1,19}) hash=([0-9a-f]{64}) at=(\S{1,40}?)(?=[\s\"]|$)")
#: the end of the file that is read to find its last line
_TAIL = 4096
#: the last row whose anchor this process has logged
_logged = 0


@dataclass(frozen=True, slots=True)
class Anchor:
    """So many rows there were at ``at``, and the last one had this hash. The chain has no gaps: ``seq`` counts it."""

    seq: int
    hash: str
    at: str

    def line(self) -> str:
        """As it stands in the file and in the log."""
        return f"audit-anchor seq={self.seq} hash={self.hash} at={self.at}"


def read(lines: Iterable[str]) -> Iterator[Anchor]:
    """The anchors in these lines, of the file or of any log that has them; other lines are passed over."""
    for line in lines:
        for seq, digest, at in _LINE.findall(line):
            yield Anchor(int(seq), digest, at)


def note() -> Anchor | None:
    """Note the end of the chain; None when there is no row, or no new one.

    A file whose last line is not in the chain any more gets no further line: that is what it is there to show, and the
    log says so each time. Never raises for the file.
    """
    global _logged  # noqa: PLW0603 - what this process has said already
    head = AuditHead.objects.filter(pk=1).first()
    path = file()
    before = _last(path) if path is not None else None
    wrong = _against([before]) if before is not None else []
    if wrong:
        _log.error("the audit trail is not the one that was anchored: %s", wrong[0][1].sentence)
        return None
    if head is None or head.seq == 0 or head.seq == (before.seq if before is not None else _logged):
        return None
    anchor = Anchor(head.seq, head.hash, now().isoformat(timespec="seconds"))
    _log.info("%s", anchor.line())
    _logged = anchor.seq
    if path is not None:
        try:
            _append(path, anchor)
        except OSError as error:
            _log.error("the audit anchor could not be written to %s: %s", path, error.strerror)
    return anchor


def verify(anchors: Iterable[Anchor]) -> list[Defect]:
    """What is wrong with the chain in itself and against these anchors, the first bad row first.

    Where an anchor only tells that one of several rows was written anew, the chain is more exact and comes first.
    """
    found = [(defect.seq, defect) for defect in defects()] + _against(anchors)
    return [defect for _, defect in sorted(found, key=lambda at: at[0])]


def file() -> Path | None:
    """The file for the lines, or None."""
    named: str = settings.PORTAL_AUDIT_ANCHOR
    return Path(named) if named else None


def kept() -> list[Anchor]:
    """The anchors in the file. :raises OSError: it is named and cannot be read."""
    path = file()
    if path is None or not path.exists():
        return []
    with path.open(errors="replace") as lines:
        return list(read(lines))


def _against(anchors: Iterable[Anchor]) -> list[tuple[int, Defect]]:
    """The first anchor that the chain contradicts, if any, with its number; the rest follows from it. The defect's row
    is the first that can be meant: the one after the last anchor that holds."""
    good = 0
    for anchor in sorted(anchors, key=lambda a: (a.seq, a.at)):
        found = AuditEvent.objects.filter(seq=anchor.seq).values_list("hash", flat=True).first()
        if found == anchor.hash:
            good = anchor.seq
            continue
        rows = f"row {good + 1}" if anchor.seq == good + 1 else f"one of the rows {good + 1} to {anchor.seq}"
        if found is None:
            said = (
                f"Row {anchor.seq} was there at {anchor.at} and is not: the end was cut off or the database is older."
            )
        else:
            said = f"Row {anchor.seq} is not the one of {anchor.at}: {rows} was written anew and all after it."
        return [(anchor.seq, Defect(good + 1, said))]
    return []


def _last(path: Path) -> Anchor | None:
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL))
            found = list(read(stream.read().decode(errors="replace").splitlines()))
    except OSError:
        return None
    return found[-1] if found else None


def _append(path: Path, anchor: Anchor) -> None:
    """One write, on disk when this returns: two processes cannot mix their lines, and a full disk leaves none half."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        os.write(descriptor, f"{anchor.line()}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
