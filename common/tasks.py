"""The Celery tasks of the audit trail: note its end each minute, verify the whole of it each hour."""

from __future__ import annotations

import logging

from celery import shared_task

_log = logging.getLogger(__name__)


@shared_task(name="common.anchor_audit", ignore_result=True)
def anchor_audit() -> None:
    """Note the end of the chain outside the database."""
    from common import anchors

    anchors.note()


@shared_task(name="common.verify_audit", ignore_result=True)
def verify_audit() -> None:
    """Read the whole chain, and say in the log what is wrong with it."""
    from common import anchors

    try:
        wrong = anchors.verify(anchors.kept())
    except OSError as error:
        _log.error("the audit anchors cannot be read: %s", error.strerror)
        return
    if wrong:
        _log.error("the audit trail does not verify: %s", wrong[0].sentence)
