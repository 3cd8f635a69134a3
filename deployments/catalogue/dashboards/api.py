"""What is in Grafana, by its API: datasources, dashboards, folders; and the conditions that say a call was made.

Everything but the health needs the portal's token; without one, or while Grafana does not answer, a question raises
:class:`monitoring.snapshot.Missing`. A dashboard of ours carries the revision of its content in its description: that
survives every store Grafana has had, while its version only counts saves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from deployments.catalogue.seen import Outlook, Seen
from monitoring.checks.grafana import DATASOURCES, known_datasources
from monitoring.checks.text import clean
from monitoring.snapshot import Fetch, Missing, Need, Snapshot

#: fields of a datasource that we set and compare; of ``jsonData`` only the keys we set
_COMPARED = ("name", "type", "url", "access", "isDefault")


def dashboard(uid: str) -> Fetch:
    """One dashboard with its ``meta``."""
    return Fetch("grafana", f"/api/dashboards/uid/{quote(uid, safe='')}")


def folder(uid: str) -> Fetch:
    """One folder."""
    return Fetch("grafana", f"/api/folders/{quote(uid, safe='')}")


def found(snapshot: Snapshot, need: Fetch) -> dict[str, Any] | None:
    """The object Grafana answers with; None when it has none (404). :raises Missing: nobody can tell."""
    reply = snapshot.reply(need)
    if reply.status == 404:
        return None
    if reply.status == 200 and isinstance(reply.body, dict):
        return reply.body
    raise Missing(need, f"Grafana answers {need.path} with HTTP {reply.status}, which says nothing.")


def differs(have: Mapping[str, Any], want: Mapping[str, Any]) -> list[str]:
    """The fields of ``want`` that a listed datasource does not have so."""
    fields = [name for name in _COMPARED if name in want and have.get(name) != want[name]]
    stored = have.get("jsonData")
    inner = stored if isinstance(stored, Mapping) else {}
    return fields + [
        f"jsonData.{key}" for key, value in (want.get("jsonData") or {}).items() if inner.get(key) != value
    ]


# -- conditions


def datasource_needs(_snapshot: Snapshot, _args: Mapping[str, Any]) -> Iterable[Need]:
    """The list; one by its uid would not tell a provisioned one of the same name."""
    return (DATASOURCES,)


def datasource_is(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Grafana has a datasource of this ``uid`` with these ``fields``."""
    have = next((d for d in known_datasources(snapshot) if d.get("uid") == args["uid"]), None)
    name = clean(str(args["fields"].get("name") or args["uid"]), 80)
    if have is None:
        return Seen(Outlook.NOT_YET, f"Waiting for datasource {name} to be in Grafana.")
    other = differs(have, args["fields"])
    if other:
        return Seen(Outlook.NOT_YET, f"Datasource {name} is there and differs in {', '.join(other)}.")
    return Seen(Outlook.MET, f"Grafana has datasource {name} as planned.")


def datasource_gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Grafana has no datasource of this ``uid``."""
    if any(d.get("uid") == args["uid"] for d in known_datasources(snapshot)):
        return Seen(Outlook.NOT_YET, f"Datasource {args['uid']} is still there.")
    return Seen(Outlook.MET, f"Datasource {args['uid']} is not in Grafana.")


def dashboard_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    return (dashboard(args["uid"]),)


def dashboard_is(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Grafana has the dashboard ``uid`` with the content of this ``revision``."""
    body = found(snapshot, dashboard(args["uid"]))
    if body is None:
        return Seen(Outlook.NOT_YET, f"Waiting for dashboard {args['uid']} to be in Grafana.")
    if revision_of(body) != args["revision"]:
        return Seen(Outlook.NOT_YET, f"Dashboard {args['uid']} is there with other content.")
    return Seen(Outlook.MET, f"Grafana has dashboard {args['uid']}, revision {args['revision']}.")


def dashboard_gone(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Grafana has no dashboard of this ``uid``."""
    if found(snapshot, dashboard(args["uid"])) is not None:
        return Seen(Outlook.NOT_YET, f"Dashboard {args['uid']} is still there.")
    return Seen(Outlook.MET, f"Dashboard {args['uid']} is not in Grafana.")


def folder_needs(_snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    return (folder(args["uid"]),)


def folder_is(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Grafana has this folder."""
    if found(snapshot, folder(args["uid"])) is None:
        return Seen(Outlook.NOT_YET, f"Waiting for folder {args['uid']} to be in Grafana.")
    return Seen(Outlook.MET, f"Grafana has folder {args['uid']}.")


# -- the revision a dashboard of ours carries

_REVISION = "Phaseboard revision "


def described(text: str, revision: str) -> str:
    """A description with the revision at its end."""
    return f"{text} {_REVISION}{revision}."


def revision_of(body: Mapping[str, Any]) -> str:
    """The revision a fetched dashboard carries; empty when it is none of ours."""
    inner = body.get("dashboard")
    text = str(inner.get("description") or "") if isinstance(inner, Mapping) else ""
    return text.rpartition(_REVISION)[2].rstrip(".") if _REVISION in text else ""
