"""``manage.py diagnose ITEM``: read the cluster once and say why an item is not proven, most likely cause first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.core.management.base import CommandParser

from common import clock
from monitoring import collect, diagnosis
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Finding
from portal.checklists.evaluation import needs_of, why_unreadable
from portal.checklists.models import Item
from portal.checklists.subjects import subject_of
from portal.management.reading import CANNOT_TELL, SentenceCommand, cluster, find_item, projects


class Command(SentenceCommand):
    help = (
        "Reads the cluster once and lists why an item is not proven, most likely first. Exit code 0 also when nothing "
        "is found; 2 when the cluster cannot be read; 3 when the command could not run."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("item", metavar="ITEM", help="the item's key, or project/key")
        parser.add_argument("--json", action="store_true", help="print JSON instead of text")

    def handle(self, *args: Any, **options: Any) -> None:
        item = find_item(options["item"], projects())
        with cluster() as readers:
            findings, unreadable = _diagnose(readers, item)
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [_as_json(finding) for finding in findings]}, indent=2))
        else:
            self._print(item, findings)
        if unreadable:
            self.stderr.write(unreadable)
            raise SystemExit(CANNOT_TELL)

    def _print(self, item: Item, findings: list[Finding]) -> None:
        self.stdout.write(f"{item.title}: {len(findings) or 'no'} finding{'' if len(findings) == 1 else 's'}")
        for finding in findings:
            self.stdout.write(f"\n{finding.id}  {finding.title}  ({finding.confidence:.0%})\n  {finding.sentence}")
            for line in finding.evidence:
                self.stdout.write(f"  > {line}")
            for line in finding.consequences:
                self.stdout.write(f"  so: {line}")
            if finding.remedies:
                self.stdout.write(f"  Remedies: {', '.join(_remedy(finding, slug) for slug in finding.remedies)}")
            if finding.reference:
                self.stdout.write(f"  See {finding.reference}")
        for line in findings[0].ruled_out if findings else ():
            self.stdout.write(f"\nnot: {line}" if line == findings[0].ruled_out[0] else f"not: {line}")


def _remedy(finding: Finding, slug: str) -> str:
    """``delete-pod (name=x, namespace=y)``."""
    known = ", ".join(f"{name}={value}" for name, value in sorted(finding.parameters.get(slug, {}).items()))
    return f"{slug} ({known})" if known else slug


def _diagnose(readers: collect.Readers, item: Item) -> tuple[list[Finding], str]:
    """Findings, and one sentence when not a single list could be read."""
    checks = list(item.item_checks.values_list("check_ref__type", "check_ref__params"))
    subject = subject_of(item.key, checks)
    of_checks = needs_of(checks)

    def needs(snapshot: Snapshot) -> Iterable[Need]:
        return [*of_checks(snapshot), *diagnosis.needs(snapshot, subject)]

    snapshot = collect.once(readers, needs)
    found = diagnosis.diagnose(snapshot, subject, clock.now())
    return sorted(found, key=lambda finding: -finding.confidence), why_unreadable(snapshot)


def _as_json(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "cause": finding.cause,
        "sentence": finding.sentence,
        "evidence": list(finding.evidence),
        "confidence": finding.confidence,
        "remedies": list(finding.remedies),
    }
