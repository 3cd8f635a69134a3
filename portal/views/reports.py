"""Reports: the list, one report as it was imported, and importing one (preview, then accept).

A draft shows the claims judged by the stored evidence at once, and by the cluster when the observer's side has read it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse

from portal.accounts.access import READ, WRITE, lowest, may, member, requires, role
from portal.checklists import importing
from portal.checklists.importing import drafts
from portal.checklists.models import Report, ReportDraft
from portal.views.common import project, see_other

_MATCH = {"key": "already an item", "title": "already an item", "proposed": "new"}
_OTHERS = ("decisions", "options", "lessons", "resources")
_MANAGE = "checklists.manage_project"


@requires("checklists.view_board")
def index(request: HttpRequest) -> HttpResponse:
    """``/reports/``: newest first."""
    found = Report.objects.select_related("imported_by").defer("markdown").order_by("-imported_at")[:100]
    return render(request, "pages/reports.html", {"reports": [_listed(row) for row in found]})


def _listed(row: Report) -> dict[str, Any]:
    return {
        "id": row.pk,
        "title": row.title,
        "dated_on": row.dated_on,
        "imported_at": row.imported_at,
        "by": row.imported_by.username if row.imported_by else "",
        "claims": _claims_sentence(row.understood.get("claims", [])),
    }


@requires("checklists.view_board")
def report(request: HttpRequest, pk: int) -> HttpResponse:
    """``/reports/<id>/``: what was understood of it, and its text."""
    row = get_object_or_404(Report.objects.select_related("imported_by"), pk=pk)
    return render(request, "pages/report.html", {"report": row, "found": _found(row.understood), "accepted": True})


@requires("checklists.view_board", (*READ, *WRITE))
def import_report(request: HttpRequest) -> HttpResponse:
    """``/reports/import/``: upload or paste. Writes a draft, nothing of the project."""
    if request.method != "POST":
        return render(request, "pages/report_import.html", {})
    try:
        draft = drafts.make(project(), _markdown(request), member(request))
    except importing.ReportError as error:
        context = {"sentence": str(error), "markdown": request.POST.get("markdown", "")}
        return render(request, "pages/report_import.html", context, status=422)
    return see_other(reverse("report-draft", args=(draft.pk,)))


@requires("checklists.view_board")
def report_draft(request: HttpRequest, pk: int) -> HttpResponse:
    """``/reports/import/<id>/``: what was understood, with the cluster's verdicts as they come. Accepting is a POST."""
    context = draft_context(pk)
    if context is None:
        raise Http404("There is no such draft; drafts are forgotten after a day.")
    context |= {"can_accept": may(role(request), _MANAGE), "accept_role": lowest(_MANAGE), "topics": [f"draft:{pk}"]}
    return render(request, "pages/report_draft.html", context)


def draft_context(pk: int) -> dict[str, Any] | None:
    """What the live part of a draft's page shows."""
    draft = ReportDraft.objects.filter(pk=pk).select_related("project").first()
    if draft is None:
        return None
    digest = hashlib.sha256(draft.markdown.encode()).hexdigest()
    again = Report.objects.filter(project=draft.project, digest=digest).exists()
    return {"draft": draft, "found": _found(draft.understood), "again": again}


@requires(_MANAGE, WRITE)
def accept_draft(request: HttpRequest, pk: int) -> HttpResponse:
    """Import a draft, with the verdicts that were shown."""
    draft = get_object_or_404(ReportDraft.objects.select_related("project"), pk=pk)
    row = drafts.accept(draft, member(request))
    messages.success(request, "The report is imported.", extra_tags="verified")
    return see_other(reverse("report", args=(row.pk,)))


def _markdown(request: HttpRequest) -> str:
    """The uploaded file, else the pasted text. :raises ReportError: neither, too large, or not text."""
    upload = request.FILES.get("file")
    if upload is not None:
        if (upload.size or 0) > importing.MAX_BYTES:
            raise importing.ReportError(f"The file is larger than {importing.MAX_BYTES // 1024 // 1024} MB.")
        return importing.decode(upload.read())
    text = request.POST.get("markdown", "")
    if not text.strip():
        raise importing.ReportError("Choose a file or paste the report's Markdown.")
    return importing.decode(text.encode())


def _lines(pair: Any) -> str:
    first, last = [*pair, 0, 0][:2] if isinstance(pair, list | tuple) else (0, 0)
    return str(first) if first == last else f"{first}–{last}"


def _claims_sentence(claims: list[Mapping[str, Any]]) -> str:
    counts = Counter(str(claim.get("verdict", "")) for claim in claims)
    parts = [f"{counts[word]} {word}" for word in ("contradicted", "confirmed", "not checkable") if counts[word]]
    return ", ".join(parts) or "none"


def _found(data: Mapping[str, Any]) -> dict[str, Any]:
    """What was understood, as the page shows it."""
    claims = list(data.get("claims", []))
    items = list(data.get("items", []))
    counts = Counter(str(claim.get("verdict", "")) for claim in claims)
    order = {"contradicted": 0, "confirmed": 1}
    claims.sort(key=lambda claim: order.get(str(claim.get("verdict")), 2))
    new = sum(item.get("match") == "proposed" for item in items)
    return {
        "headline": "No claim that a check could verify"
        if not claims
        else f"{counts['confirmed']} of {len(claims)} claim{'' if len(claims) == 1 else 's'} confirmed"
        + (f", {counts['contradicted']} contradicted" if counts["contradicted"] else ""),
        "claims_sentence": _claims_sentence(claims),
        "claims": [
            {
                "word": str(claim.get("verdict", "")).replace(" ", "_"),
                "text": claim.get("text", ""),
                "evidence": claim.get("evidence", ""),
                "lines": _lines(claim.get("lines")),
            }
            for claim in claims
        ],
        "items": [
            {
                "title": item.get("title", ""),
                "note": f"{_MATCH.get(item.get('match', ''), '')}, claimed {item.get('claimed', '')}",
            }
            for item in items
        ],
        "others": [
            (name.capitalize(), _texts(data.get(name, []))) for name in ("decisions", "options", "lessons", "resources")
        ],
        "not_understood": [
            {"text": part.get("text", ""), "lines": _lines(part.get("lines"))}
            for part in data.get("not_understood", [])
        ],
        "say": f"{new} new item{'' if new == 1 else 's'}, {len(items) - new} already known.",
    }


def _texts(rows: list[Mapping[str, Any]]) -> list[str]:
    found = []
    for row in rows:
        lead = row.get("kind") or (f"Option {row['option']}" if row.get("option") else "")
        text = str(row.get("title") or row.get("name") or row.get("text") or "")
        more = row.get("selected") or ""
        found.append(": ".join(filter(None, (str(lead), text, str(more)))))
    return found
