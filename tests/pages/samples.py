"""One frozen hour (23 November 2025) in the selectors' shapes, for looking at pages without a cluster and for template tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from portal.checklists.selectors.shapes import (
    Bar,
    Block,
    Board,
    CheckRow,
    ComponentRow,
    Gate,
    GateLine,
    Group,
    Headline,
    ItemPage,
    ItemRow,
    Named,
    NeedsYou,
    Part,
    PhaseCard,
    PhasePage,
    ProjectRef,
    RunRow,
    SourceRow,
)
from portal.checklists.words import ItemWord as W

NOW = datetime.now(UTC).replace(microsecond=0)
TODAY = NOW.date()


def ago(**kwargs: float) -> datetime:
    return NOW - timedelta(**kwargs)


PROJECT = ProjectRef(1, "platform-services", "Platform services", "is-platform")


def row(number: int, title: str, word: W, sentence: str, **more: object) -> ItemRow:
    base = ItemRow(
        id=number,
        key=title.lower().replace(" ", "-"),
        title=title,
        description="",
        phase_id=2,
        phase_key="platform-services",
        word=word,
        evidence_word=word,
        last_word=word,
        sentence=sentence,
        cause="",
        since=ago(minutes=24),
        regressed=False,
        checking=False,
        age_seconds=1,
        limit_seconds=60,
        owner="operator",
        due_on=None,
        blocked_by=None,
        closes_with=None,
        run=None,
        remedies=(),
        counted=word is not W.EXEMPT,
        proven=word in (W.VERIFIED, W.ATTESTED),
        falls_due=None,
    )
    return replace(base, **more)  # type: ignore[arg-type]


GRAFANA = Named(1, "grafana-deployed", "Resolve Grafana deployment")
DATASOURCES = Named(4, "grafana-datasources", "Configure Grafana datasources")
FAILING = row(
    1,
    "Resolve Grafana deployment",
    W.FAILING,
    "No Grafana pod is ready. Argo CD waited for a Deployment that had been deleted by hand, so selfHeal could not bring it "
    "back. Repair it in place.",
    due_on=TODAY,
)
ROWS = (
    FAILING,
    row(
        2,
        "kube-prometheus-stack is Synced and Healthy",
        W.FAILING,
        "Argo CD reads OutOfSync, Missing: 1 of 118 objects not live.",
        since=ago(minutes=31),
        due_on=TODAY,
        age_seconds=2,
        closes_with=GRAFANA,
    ),
    row(
        3,
        "Set up Alertmanager notification channels",
        W.WAITING_FOR_APPROVAL,
        "The only receiver is null: nobody is notified. Plan 3b90e2c1 waits for an approver.",
        owner="approver",
        due_on=date(2025, 11, 24),
    ),
    row(4, "Configure Grafana datasources", W.BLOCKED, "One datasource is declared and waits.", blocked_by=GRAFANA),
    row(5, "Import DORA metrics dashboards", W.BLOCKED, "Two dashboards are ready to import.", blocked_by=DATASOURCES),
    row(6, "Document dashboard access", W.PENDING, "Not started.", age_seconds=None, since=None, owner="viewer"),
    row(
        7,
        "Argo CD metrics are scraped",
        W.STALE,
        "Prometheus has not answered since 13:17; 3 of 3 was the last reading.",
        age_seconds=2460,
        limit_seconds=300,
        last_word=W.VERIFIED,
    ),
    row(8, "Prometheus collects and stores metrics", W.VERIFIED, "2/2 ready on worker02. 20Gi nfs-client Bound, retention 15d."),
    row(9, "Alertmanager accepts and groups alerts", W.VERIFIED, "2/2 ready on worker01. 5Gi nfs-client Bound, retention 120h."),
    row(10, "Node Exporter runs on every node", W.VERIFIED, "7 of 7 pods ready: 3 masters, 4 workers, worker04 included."),
    row(11, "Storage strategy decided", W.ATTESTED, "nfs-client over OpenEBS, for multi-node access. Expires 23 Feb 2026."),
    row(12, "Prometheus runs in high availability", W.EXEMPT, "Waived until 31 Jan 2026: single instances with storage."),
)


def phase(number: int, title: str, word: W, words: list[W], sentence: str, **more: object) -> PhaseCard:
    proven = sum(w in (W.VERIFIED, W.ATTESTED) for w in words)
    base = PhaseCard(
        id=number,
        key=title.lower().replace(" ", "-"),
        number=number,
        title=title,
        word=word,
        current=number == 2,
        proven=proven,
        total=len(words),
        percent=100 * proven // len(words),
        exempt=0,
        claimed_percent=None,
        claimed_on=None,
        blocks=tuple(Block(i, str(i), str(i), w) for i, w in enumerate(words)),
        parts=(),
        sentence=sentence,
        gate_open=number < 3,
        oldest_seconds=29,
    )
    return replace(base, **more)  # type: ignore[arg-type]


WORDS2 = [W.VERIFIED] * 10 + [W.ATTESTED, W.FAILING, W.FAILING, W.WAITING_FOR_APPROVAL, W.BLOCKED, W.BLOCKED, W.PENDING]
PARTS = (
    Part(2, W.FAILING, "2 failing", "#failing"),
    Part(1, W.WAITING_FOR_APPROVAL, "1 waiting for you", "#waiting_for_approval"),
    Part(2, W.BLOCKED, "2 blocked", "#blocked"),
    Part(1, W.PENDING, "1 pending", "#pending"),
    Part(1, W.ATTESTED, "1 attested", "#attested"),
    Part(10, W.VERIFIED, "10 verified", "#verified"),
)
PHASES = (
    phase(1, "Foundation", W.VERIFIED, [W.VERIFIED] * 14, "Verified since 9 Nov"),
    phase(
        2,
        "Platform Services",
        W.FAILING,
        WORDS2,
        "2 failing · 1 waiting · 2 blocked · 1 pending · 1 exempt, not counted",
        claimed_percent=90,
        claimed_on=date(2025, 11, 23),
        parts=PARTS,
        exempt=1,
    ),
    phase(3, "Application Delivery", W.PENDING, [W.PENDING] * 9, "Gate closed: 6 items open in phase 2"),
)
GATE = Gate(
    "Application Delivery",
    3,
    False,
    "Gate to phase 3 is closed",
    (
        GateLine("Every item verified or attested", False, "6 open"),
        GateLine("No item failing", False, "2 failing"),
        GateLine("No exemption past its date", True, "31 Jan"),
    ),
)


def source(number: int, name: str, title: str, word: W, mode: str, seconds: int | None) -> SourceRow:
    return SourceRow(
        id=number,
        cluster="is-platform",
        name=name,
        title=title,
        mode=mode,
        word=word,
        sentence="",
        age_seconds=seconds,
        limit_seconds=60,
        confirmed_at=None if seconds is None else ago(seconds=seconds),
        latency_ms=9.0,
        last_error="" if seconds is not None else "connection refused",
        error_at=None if seconds is not None else ago(minutes=24),
        address="https://10.1.5.180:6443",
        identity="system:serviceaccount:phaseboard:portal-observer",
        version="v1.30.10",
        falls_due=None,
    )


SOURCES = (
    source(1, "kubernetes", "Kubernetes", W.VERIFIED, "watch", 1),
    source(2, "prometheus", "Prometheus", W.VERIFIED, "poll", 12),
    source(3, "alertmanager", "Alertmanager", W.VERIFIED, "poll", 9),
    source(4, "grafana", "Grafana", W.UNKNOWN, "poll", None),
    source(5, "argocd", "Argo CD", W.VERIFIED, "watch", 2),
)


def component(number: int, title: str, word: W, ready: str, words: list[str], **more: object) -> ComponentRow:
    base = ComponentRow(
        id=number,
        key=title.lower().replace(" ", "-"),
        title=title,
        group="platform-monitoring" if number < 7 else "platform",
        detail="Deployment",
        word=word,
        last_word=word,
        sentence="",
        ready=ready,
        version="1.7.0",
        runs_on="worker02",
        storage="20Gi nfs-client",
        retention="15 d",
        bars=tuple(Bar(TODAY - timedelta(days=29 - i), w, w) for i, w in enumerate(words)),
        percent=99.81,
        since=ago(minutes=24),
        age_seconds=1,
        falls_due=None,
    )
    return replace(base, **more)  # type: ignore[arg-type]


NONE = [""] * 24
GOOD = ["verified"] * 6
COMPONENTS = (
    component(1, "Grafana", W.FAILING, "0/1", NONE + ["failing"] * 6, storage="", retention=""),
    component(2, "Prometheus", W.VERIFIED, "2/2", [*NONE, *["failing"] * 5, "degraded"]),
    component(3, "Alertmanager", W.VERIFIED, "2/2", [*NONE, *["failing"] * 5, "degraded"]),
    component(4, "Node Exporter", W.VERIFIED, "7/7", NONE + GOOD, percent=100.0),
    component(5, "Kube State Metrics", W.VERIFIED, "1/1", [*NONE, *["verified"] * 4, "degraded", "verified"]),
    component(6, "Prometheus Operator", W.VERIFIED, "1/1", NONE + GOOD, percent=100.0),
    component(7, "Argo CD", W.VERIFIED, "5/5", ["verified"] * 11 + ["degraded"] + ["verified"] * 18),
    component(8, "Kubernetes API", W.VERIFIED, "3/3", ["verified"] * 18 + ["failing"] + ["verified"] * 11),
)
BOARD = Board(
    project=PROJECT,
    headline=Headline(
        "Phase 2 of 3:",
        PARTS[:2],
        "11 of 17 items proven by live evidence, oldest 29 s. The report of 23 November claimed 90 %; the cluster says 65 %.",
    ),
    phases=PHASES,
    held_back=(*ROWS[:2], *ROWS[3:6]),
    held_back_note="one cause behind all five",
    needs_you=(
        NeedsYou(
            "approval",
            Named(3, "alert-channels", "Set up Alertmanager notification channels"),
            "Set up Alertmanager notification channels",
            "Receiver is null: nobody is notified today. operator asks to send critical and warning alerts to #ops.",
            "deployments.approve_plan",
            "",
            "3b90e2c1" * 8,
            "operator",
            ago(minutes=19),
        ),
    ),
    running=(
        RunRow(
            "01JD0000000000000000000000",
            42,
            "Repair Grafana in place",
            "running",
            "Step 7 of 8: wait for rollout, 2 m 09 s of 8 m",
            7,
            8,
            6,
            "operator",
            ago(seconds=182),
            ago(seconds=182),
            182,
            "7f3c91d2" * 8,
            GRAFANA,
        ),
    ),
    sources=SOURCES,
    components=COMPONENTS,
    days=30,
    falls_due=None,
)


def groups(rows: tuple[ItemRow, ...]) -> tuple[Group, ...]:
    words = dict.fromkeys(r.word for r in rows)
    return tuple(Group(w, tuple(r for r in rows if r.word is w), "") for w in words)


PHASE_PAGE = PhasePage(PROJECT, PHASES[1], GATE, None, groups(ROWS), ROWS, 1)


def check(number: int, title: str, slug: str, expected: str, observed: str, command: str, word: W = W.FAILING) -> CheckRow:
    return CheckRow(
        check_id=number,
        type=slug,
        title=title,
        word=word,
        last_word=word,
        sentence="",
        cause="",
        expected=expected,
        observed=observed,
        source="kubernetes",
        observed_at=ago(seconds=1),
        age_seconds=1,
        limit_seconds=60,
        command=command,
        watched=True,
        falls_due=None,
        facts={},
        params={},
    )


CHECKS = (
    check(1, "Workload is ready", "workload_ready", "≥ 1 ready, no restart in 10 min", "No Deployment with this label (404)",
          "kubectl get deploy -n platform-monitoring -l app.kubernetes.io/name=grafana"),
    check(2, "Service has endpoints", "service_has_endpoints", "≥ 1 ready address", "0 addresses behind 10.1.5.185",
          "kubectl get endpointslices -n platform-monitoring -l kubernetes.io/service-name=kube-prometheus-stack-grafana"),
    check(3, "Grafana answers", "grafana_health", "database: ok", "connection refused", "curl -s http://10.1.5.185/api/health"),
    check(4, "Argo CD agrees", "argocd_application", "Synced, Healthy", "Synced, Healthy",
          "kubectl get application -n argocd kube-prometheus-stack", W.VERIFIED),
)  # fmt: skip
ITEM_PAGE = ItemPage(
    project=PROJECT,
    phase=PHASES[1],
    row=FAILING,
    checks=CHECKS,
    passing=1,
    blocks=(DATASOURCES, Named(5, "dora-dashboards", "Import DORA dashboards")),
    blockers=(),
    history=(),
    attempts=(),
    attestations=(),
    needs_attestation=False,
    attestation_statement="",
    attestation_days=90,
    exempt_until=None,
    exempt_by="",
    exempt_why="",
    provenance={},
    subject={},
    previous=None,
    next=DATASOURCES,
)
