"""Triggers that refuse every change of a written audit row, on SQLite and on PostgreSQL.

A row may only be appended behind the head, and the head may only go forward by one: ``common.models.audit`` does just
that. The owner of the tables can still drop a trigger; that is what the hashes and the anchors are for
(``common.anchors``). SQLite forgets triggers when a table is made anew: a migration that alters these tables must
install them again.
"""

from __future__ import annotations

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

_EVENT, _HEAD = "common_auditevent", "common_audithead"
_APPEND = "NOT EXISTS (SELECT 1 FROM common_audithead AS h WHERE h.seq + 1 = NEW.seq AND h.hash = NEW.previous)"
#: SQLite only: INSERT OR REPLACE takes a row away without asking a DELETE trigger
_REPLACES = f"EXISTS (SELECT 1 FROM {_EVENT} AS e WHERE e.id = NEW.id OR e.seq = NEW.seq)"
_RESETS = f"NEW.seq <> 0 OR EXISTS (SELECT 1 FROM {_HEAD} AS h WHERE h.id = NEW.id)"

#: name, event, table, condition, sentence
_RULES = (
    ("common_audit_change", "UPDATE", _EVENT, "", "an audit row is never changed"),
    ("common_audit_remove", "DELETE", _EVENT, "", "an audit row is never taken away"),
    ("common_audit_append", "INSERT", _EVENT, f"{_APPEND} OR {_REPLACES}", "an audit row is only appended"),
    ("common_audit_back", "UPDATE", _HEAD, "NEW.seq <> OLD.seq + 1", "the audit head only goes forward"),
    ("common_audit_behead", "DELETE", _HEAD, "", "the audit head is never taken away"),
    ("common_audit_reset", "INSERT", _HEAD, _RESETS, "there is one audit head, and it begins at 0"),
)

_FUNCTION = f"""
CREATE OR REPLACE FUNCTION common_audit_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_TABLE_NAME = '{_EVENT}' AND TG_OP = 'INSERT' THEN
    IF {_APPEND} THEN
      RAISE EXCEPTION 'an audit row is only appended' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
  ELSIF TG_TABLE_NAME = '{_HEAD}' AND TG_OP = 'INSERT' THEN
    IF NEW.seq <> 0 THEN
      RAISE EXCEPTION 'the audit head begins at 0' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
  ELSIF TG_TABLE_NAME = '{_HEAD}' AND TG_OP = 'UPDATE' THEN
    IF NEW.seq <> OLD.seq + 1 THEN
      RAISE EXCEPTION 'the audit head only goes forward' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def install(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    """Create the triggers."""
    if editor.connection.vendor == "postgresql":
        editor.execute(_FUNCTION, params=None)
        for table in (_EVENT, _HEAD):
            editor.execute(
                f"CREATE TRIGGER common_audit_rows BEFORE INSERT OR UPDATE OR DELETE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION common_audit_guard()"
            )
            editor.execute(
                f"CREATE TRIGGER common_audit_whole BEFORE TRUNCATE ON {table}"
                " FOR EACH STATEMENT EXECUTE FUNCTION common_audit_guard()"
            )
        return
    for name, event, table, condition, sentence in _RULES:
        when = f"WHEN {condition}" if condition else ""
        editor.execute(
            f"CREATE TRIGGER {name} BEFORE {event} ON {table} {when} BEGIN SELECT RAISE(ABORT, '{sentence}'); END"
        )


def remove(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    """Take them away again."""
    if editor.connection.vendor == "postgresql":
        for table in (_EVENT, _HEAD):
            editor.execute(f"DROP TRIGGER IF EXISTS common_audit_rows ON {table}")
            editor.execute(f"DROP TRIGGER IF EXISTS common_audit_whole ON {table}")
        return
    for name, *_ in _RULES:
        editor.execute(f"DROP TRIGGER IF EXISTS {name}")


class Migration(migrations.Migration):
    dependencies = [("common", "0001_initial")]

    operations = [migrations.RunPython(install, remove)]
