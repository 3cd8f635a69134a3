"""Reports: the list, one report as it was imported, and importing one (preview, then accept)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from portal.accounts.access import requires
from portal.checklists.models import Report


@requires("checklists.view_board")
def index(request: HttpRequest) -> HttpResponse:
    """``/reports/``: newest first."""
    found = Report.objects.select_related("imported_by").defer("markdown").order_by("-imported_at")[:100]
    return render(request, "pages/reports.html", {"reports": [_listed(row) for row in found]})


def _listed(row: Report) -> dict[str, Any]:
    claims = row.understood.get("claims", [])
    return {
        "id": row.pk,
        "title": row.title,
        "dated_on": row.dated_on,
        "imported_at": row.imported_at,
        "by": row.imported_by.username if row.imported_by else "",
        "claims": len(claims),
    }


@requires("checklists.view_board")
def import_report(request: HttpRequest) -> HttpResponse:
    return render(request, "pages/report_import.html", {})


@requires("checklists.view_board")
def report(request: HttpRequest, pk: int) -> HttpResponse:
    get_object_or_404(Report, pk=pk)
    return render(request, "pages/report.html", {})
