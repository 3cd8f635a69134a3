"""A board of any size in a private SQLite database, for the benchmarks: items, checks, evidence, history."""

from __future__ import annotations

import os
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

CLUSTER = "bench"


def set_up_django(**environment: str) -> Path:
    """Point the settings at a fresh state directory and migrate. Returns the directory."""
    state = Path(os.environ.get("PORTAL_STATE_DIR") or tempfile.mkdtemp(prefix="phaseboard-bench-"))
    os.environ.update(
        {
            "PORTAL_STATE_DIR": str(state),
            "PORTAL_STATIC_ROOT": str(state / "static"),
            "PORTAL_CLUSTER": CLUSTER,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            **environment,
        }
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    return state


def fill(items: int, components: int) -> Any:
    """One phase with that many items (a check each, most verified, some failing) and components: the project."""
    from django.db import transaction

    from common.canonical import digest
    from common.clock import now
    from monitoring.models import Check, Component, Evidence, Source, Span
    from portal.accounts.services import ensure_roles
    from portal.checklists.models import Item, ItemCheck, ItemSpan, Phase, Project

    ensure_roles()
    at = now()
    with transaction.atomic():
        project = Project.objects.create(key="bench", title="Bench", cluster=CLUSTER)
        phase = Phase.objects.create(project=project, key="one", number=1, title="One")
        for name in ("kubernetes", "argocd", "prometheus", "alertmanager", "grafana"):
            Source.objects.create(cluster=CLUSTER, name=name, mode="watch", reachable=True, confirmed_at=at)
        for n in range(max(items, components)):
            params = {"namespace": "bench", "name": f"app-{n:03}", "kind": "Deployment"}
            check = Check.objects.create(
                cluster=CLUSTER, type="workload_ready", params=params, params_hash=digest(params)
            )
            failing = n % 20 == 3
            word = "failing" if failing else "verified"
            sentence = "0 of 1 ready since 13:41; read the pod's log." if failing else "1 of 1 ready on worker02."
            Evidence.objects.create(
                check_ref=check,
                word=word,
                sentence=sentence,
                expected="≥ 1 ready",
                observed=sentence[:10],
                facts={"ready": 1, "desired": 1},
                source="kubernetes",
                watched=True,
                observed_at=at,
                evaluated_at=at,
            )
            Span.objects.create(check_ref=check, word=word, sentence=sentence, opened_at=at - timedelta(hours=3))
            if n < items:
                item = Item.objects.create(
                    project=project, phase=phase, key=f"item-{n:03}", title=f"Item number {n}", position=n
                )
                ItemCheck.objects.create(item=item, check_ref=check, title="Workload is ready")
                ItemSpan.objects.create(item=item, word=word, sentence=sentence, opened_at=at - timedelta(hours=3))
            if n < components:
                component = Component.objects.create(cluster=CLUSTER, key=f"c-{n}", title=f"Component {n}", position=n)
                component.checks.add(check)
    return project
