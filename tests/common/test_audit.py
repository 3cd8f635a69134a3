"""The audit trail under somebody who owns its tables: the seven tamperings of E34, each with the first bad row."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from common import anchors
from common.models import GENESIS, AuditEvent, AuditHead, audit, broken_links
from tests.tampering import unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path, settings: Any) -> Path:
    """Where the end of the chain is noted."""
    settings.PORTAL_AUDIT_ANCHOR = str(tmp_path / "anchors")
    return tmp_path / "anchors"


@pytest.fixture
def chain(file: Path) -> Path:
    """Ten rows, anchored after the fifth and after the tenth."""
    for number in range(1, 11):
        audit(actor="ada", verb="run.start", object=f"run:{number}", number=number, note="äöü ✓", share=0.5)
        if number % 5 == 0:
            assert anchors.note() is not None
    assert anchors.verify(anchors.kept()) == [] and broken_links() == []
    return file


def verified() -> dict[str, Any]:
    """What the command says; its exit code is part of it."""
    out, code = StringIO(), 0
    try:
        call_command("verify_audit", "--json", stdout=out)
    except SystemExit as ended:
        code = int(str(ended.code))
    answer: dict[str, Any] = json.loads(out.getvalue())
    assert code == (0 if answer["verified"] else 1)
    return answer


def rewrite(start: int) -> None:
    """Every row from ``start`` on gets another actor and hashes that fit: whoever can do this knows the code."""
    previous = AuditEvent.objects.get(seq=start - 1).hash if start > 1 else GENESIS
    for row in AuditEvent.objects.filter(seq__gte=start).order_by("seq"):
        row.actor, row.previous = "somebody else", previous
        previous = row.computed_hash()
        AuditEvent.objects.filter(pk=row.pk).update(actor=row.actor, previous=row.previous, hash=previous)
    AuditHead.objects.update(hash=previous)


def _edit() -> None:
    AuditEvent.objects.filter(seq=4).update(actor="somebody else")


def _edit_with_its_hash() -> None:
    row = AuditEvent.objects.get(seq=4)
    row.actor = "somebody else"
    AuditEvent.objects.filter(seq=4).update(actor=row.actor, hash=row.computed_hash())


def _delete_middle() -> None:
    AuditEvent.objects.filter(seq=4).delete()


def _delete_last() -> None:
    AuditEvent.objects.filter(seq=10).delete()


def _delete_last_and_set_the_head_back() -> None:
    AuditEvent.objects.filter(seq=10).delete()
    AuditHead.objects.update(seq=9, hash=AuditEvent.objects.get(seq=9).hash)


def _swap() -> None:
    AuditEvent.objects.filter(seq=4).update(seq=100)
    AuditEvent.objects.filter(seq=5).update(seq=4)
    AuditEvent.objects.filter(seq=100).update(seq=5)


def _insert() -> None:
    last = AuditEvent.objects.get(seq=10)
    row = AuditEvent(
        seq=11, at=last.at, actor="eve", verb="approval.grant", object="run:1", detail={}, previous=last.hash
    )
    row.hash = row.computed_hash()
    row.save()


def _insert_in_the_middle() -> None:
    for seq in range(10, 3, -1):
        AuditEvent.objects.filter(seq=seq).update(seq=seq + 1)
    third = AuditEvent.objects.get(seq=3)
    row = AuditEvent(seq=4, at=third.at, actor="eve", verb="x", object="y", detail={}, previous=third.hash)
    row.hash = row.computed_hash()
    row.save()
    AuditHead.objects.update(seq=11)


def _rewrite() -> None:
    rewrite(1)


def _rewrite_from_the_seventh() -> None:
    rewrite(7)


@pytest.mark.parametrize(
    ("tamper", "row", "said"),
    [
        (_edit, 4, "was changed"),
        (_edit_with_its_hash, 5, "does not follow row 4"),
        (_delete_middle, 4, "Row 4 is missing"),
        (_delete_last, 10, "Row 10 is missing"),
        (_delete_last_and_set_the_head_back, 6, "Row 10 was there"),
        (_swap, 4, "was changed"),
        (_insert, 11, "the head does not know it"),
        (_insert_in_the_middle, 5, "was changed"),
        (_rewrite, 1, "Row 5 is not the one of"),
        (_rewrite_from_the_seventh, 6, "Row 10 is not the one of"),
    ],
)
def test_tampering_is_refused_by_the_database_and_found_when_the_triggers_are_gone(
    chain: Path, tamper: Callable[[], None], row: int, said: str
) -> None:
    if tamper is not _insert:  # a row behind the last one is what the triggers let through; it is found all the same
        with pytest.raises(IntegrityError), transaction.atomic():
            tamper()
        assert verified()["verified"]
    with unguarded():
        tamper()
    answer = verified()
    assert answer["first_bad_row"] == row and said in answer["sentence"], answer


@pytest.mark.parametrize("tamper", [_rewrite, _delete_last_and_set_the_head_back])
def test_what_only_the_anchor_shows_is_also_said_without_being_asked(
    chain: Path, tamper: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    with unguarded():
        tamper()
    assert broken_links() == [], "the chain itself must be whole, or this shows nothing of the anchor"
    before = chain.read_text()
    assert anchors.note() is None
    audit(actor="ada", verb="run.start", object="run:later")
    assert anchors.note() is None
    assert "is not the one that was anchored" in caplog.text
    assert chain.read_text() == before


def test_an_older_database_file_is_found_also_after_it_grew_longer(tmp_path: Path, file: Path) -> None:
    """Restoring a copy: here rows and head as they were after the third row, then other rows after them."""
    for number in range(1, 4):
        audit(actor="ada", verb="run.start", object=f"run:{number}")
    kept = list(AuditEvent.objects.values()), list(AuditHead.objects.values())
    for number in range(4, 8):
        audit(actor="ada", verb="run.start", object=f"run:{number}")
    assert anchors.note() is not None
    with unguarded():
        AuditEvent.objects.all().delete()
        AuditHead.objects.all().delete()
        AuditEvent.objects.bulk_create(AuditEvent(**row) for row in kept[0])
        AuditHead.objects.bulk_create(AuditHead(**row) for row in kept[1])
    assert broken_links() == []
    assert "Row 7 was there" in verified()["sentence"]
    for number in range(4, 20):
        audit(actor="eve", verb="run.start", object=f"run:{number}")
    assert broken_links() == []
    assert "Row 7 is not the one of" in verified()["sentence"]


def test_a_log_that_has_the_lines_is_as_good_as_the_file(chain: Path, tmp_path: Path, settings: Any) -> None:
    anchor = anchors.kept()[-1]
    event = json.dumps({"timestamp": "2026", "event": anchor.line()})
    log = tmp_path / "system.log"
    log.write_text(f"something else\n{event}\n14:02:11 info common.anchors: {anchor.line()}\nseq=3 hash=\n")
    settings.PORTAL_AUDIT_ANCHOR = ""
    assert list(anchors.read(log.read_text().splitlines())) == [anchor, anchor]
    out = StringIO()
    call_command("verify_audit", "--anchors", str(log), stdout=out)
    assert "Anchored up to row 10" in out.getvalue()


def test_without_an_anchor_the_command_says_what_it_cannot_see(settings: Any) -> None:
    settings.PORTAL_AUDIT_ANCHOR = ""
    audit(actor="ada", verb="run.start", object="run:1")
    answer = verified()
    assert answer["verified"] and "would not show" in answer["anchored"]


def test_a_missing_anchor_file_is_not_taken_for_an_empty_one(chain: Path) -> None:
    chain.unlink()
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("verify_audit", stdout=StringIO())


def test_a_file_that_cannot_be_written_stops_nothing(
    tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.PORTAL_AUDIT_ANCHOR = str(tmp_path / "no" / "such" / "directory" / "anchors")
    audit(actor="ada", verb="run.start", object="run:1")
    assert anchors.note() is not None
    assert "could not be written" in caplog.text


def test_nothing_is_noted_twice(chain: Path) -> None:
    assert anchors.note() is None
    assert len(chain.read_text().splitlines()) == 2


@pytest.mark.sqlite
@pytest.mark.parametrize("column", ["id", "seq"])
def test_insert_or_replace_takes_no_row_away(column: str) -> None:
    """SQLite's REPLACE asks no DELETE trigger."""
    for number in (1, 2):
        audit(actor="ada", verb="run.start", object=f"run:{number}")
    head, first = AuditHead.objects.get(), AuditEvent.objects.get(seq=1)
    values = {"id": first.pk if column == "id" else 99, "seq": 3 if column == "id" else 1}
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "INSERT OR REPLACE INTO common_auditevent (id, seq, at, actor, verb, object, detail, previous, hash)"
            " VALUES (%s, %s, '2026-01-01', 'eve', 'x', 'y', '{}', %s, 'z')",
            [values["id"], values["seq"], head.hash],
        )
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT OR REPLACE INTO common_audithead (id, seq, hash) VALUES (1, 0, %s)", [GENESIS])
    assert broken_links() == [] and AuditEvent.objects.count() == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.sqlite
def test_a_database_file_copied_back_is_found(file: Path, tmp_path: Path) -> None:
    """The same with real files: the copy is a whole, valid portal database, only older."""
    audit(actor="ada", verb="run.start", object="run:1")
    name = str(connection.settings_dict["NAME"])
    copy = tmp_path / "older.sqlite3"
    with sqlite3.connect(name) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    audit(actor="ada", verb="run.start", object="run:2")
    assert anchors.note() is not None
    connection.close()
    with sqlite3.connect(copy) as source, sqlite3.connect(name) as target:
        source.backup(target)
    assert broken_links() == []
    assert "Row 2 was there" in verified()["sentence"]


def test_the_system_process_notes_and_a_worker_verifies(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the schedule names is there to be run, and does it."""
    from portal.celery import app

    app.loader.import_default_modules()
    said: list[str] = []
    monkeypatch.setattr("common.tasks._log.error", lambda text, *args: said.append(text % args))
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert {"common.anchor_audit", "common.verify_audit"} <= scheduled <= set(app.tasks)
    assert app.conf.task_routes["common.anchor_audit"] == {"queue": "system"}
    audit(actor="ada", verb="run.start", object="run:11")
    app.tasks["common.anchor_audit"]()
    assert anchors.kept()[-1].seq == 11
    app.tasks["common.verify_audit"]()
    assert said == []
    with unguarded():
        _edit()
    app.tasks["common.verify_audit"]()
    assert len(said) == 1 and "does not verify: Row 4 was changed" in said[0]
