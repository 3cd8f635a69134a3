"""The URL map."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from portal.views import (
    approving,
    board,
    catalogue,
    decisions,
    deploy,
    gallery,
    ops,
    planpage,
    policypage,
    proposing,
    reports,
    running,
    undoing,
)

handler400 = "portal.views.errors.bad_request"
handler403 = "portal.views.errors.denied"
handler404 = "portal.views.errors.not_found"
handler500 = "portal.views.errors.server_error"

urlpatterns: list[URLPattern | URLResolver] = [
    path("", board.overview, name="overview"),
    path("phases/", board.phases, name="phases"),
    path("phases/<int:number>-<slug:key>/", board.phase, name="phase"),
    path("phases/<int:number>-<slug:key>/verify/", board.verify_phase, name="phase-verify"),
    path("items/<int:pk>/", board.item, name="item"),
    path("items/<int:pk>/verify/", board.verify_item, name="item-verify"),
    path("items/<int:pk>/attest/", board.attest_item, name="item-attest"),
    path("items/<int:pk>/plan/", deploy.plan_item, name="item-plan"),
    path("status/", board.status, name="status"),
    path("search", board.search, name="search"),
    path("actions/", catalogue.actions, name="actions"),
    path("actions/<slug:slug>/", catalogue.action, name="action"),
    path("actions/<slug:slug>/plan/", deploy.plan_action, name="action-plan"),
    path("plans/requests/<str:pk>/", deploy.plan_request, name="plan-request"),
    path("plans/<str:digest>/", deploy.plan, name="plan"),
    path("plans/<str:digest>/run/", deploy.run_plan, name="plan-run"),
    path("plans/<str:digest>/compare/", planpage.compare, name="plan-compare"),
    path("plans/<str:digest>/again/", planpage.again, name="plan-again"),
    path("plans/<str:digest>/git.patch", planpage.git_patch, name="plan-git-patch"),
    path("plans/<str:digest>/propose/", proposing.ask, name="plan-propose"),
    path("plans/<str:digest>/break-glass/", approving.break_glass, name="plan-break-glass"),
    path("approvals/", approving.index, name="approvals"),
    path("policy/", policypage.index, name="policy"),
    path("policy/stop/", policypage.stop, name="policy-stop"),
    path("policy/allow/", policypage.allow, name="policy-allow"),
    path("runs/", running.runs, name="runs"),
    path("runs/<str:pk>/", running.run, name="run"),
    path("runs/<str:pk>/log.txt", running.log_text, name="run-log"),
    path("runs/<str:pk>/lines/", running.log_lines, name="run-lines"),
    path("runs/<str:pk>/undo/", undoing.undo, name="run-undo"),
    path("runs/<str:pk>/settle/", undoing.settle, name="run-settle"),
    path("runs/<str:pk>/cancel/", running.cancel, name="run-cancel"),
    path("runs/<str:pk>/approve/", approving.approve, name="run-approve"),
    path("runs/<str:pk>/deny/", approving.deny, name="run-deny"),
    path("runs/<str:pk>/review/", approving.review, name="run-review"),
    path("runs/<str:pk>/review/close/", approving.close_review, name="run-review-close"),
    path("decisions/", decisions.decisions, name="decisions"),
    path("decisions/<slug:key>/", decisions.decision, name="decision"),
    path("decisions/<slug:key>/choose/", decisions.choose, name="decision-choose"),
    path("reports/", reports.index, name="reports"),
    path("reports/import/", reports.import_report, name="report-import"),
    path("reports/import/<int:pk>/", reports.report_draft, name="report-draft"),
    path("reports/import/<int:pk>/accept/", reports.accept_draft, name="report-accept"),
    path("reports/<int:pk>/", reports.report, name="report"),
    path("audit/", ops.audit_trail, name="audit"),
    path("settings/", ops.connections, name="settings"),
    path("gallery/", gallery.gallery, name="gallery"),
    path("healthz", ops.healthz, name="healthz"),
    path("readyz", ops.readyz, name="readyz"),
    path("accounts/", include("portal.accounts.urls")),
]
