"""What people and programs make in one Grafana through its API: datasources, folders and dashboards.

It is kept in the pod's own database, so it lives as long as the pod does. Rules of Grafana 10.2 that callers meet: what
a file provisioned cannot be written (403) or saved over (400); one default per organisation, the last one set wins; a
dashboard's version counts up, and a save that does not overwrite must name the version it read (412).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.services.cluster import Obj
from lab.services.http import Answer, answer

Known = Mapping[str, Obj]


def problem(code: int, message: str, /, **more: Any) -> Answer:
    """An error as Grafana words it."""
    return answer({"message": message, **more, "traceID": ""}, code)


@dataclass
class Made:
    """What was created through the API in one pod."""

    datasources: dict[str, Obj] = field(default_factory=dict)
    dashboards: dict[str, Obj] = field(default_factory=dict)
    folders: dict[str, Obj] = field(default_factory=dict)
    #: uid of the datasource that was last made the default here; provisioned ones lose the flag to it
    default: str = ""
    _numbers: int = 0

    # -- datasources

    def add_datasource(self, source: Obj, known: Known) -> Answer:
        """POST /api/datasources."""
        if not (source.get("name") and source.get("type")):
            return problem(400, "bad request data")
        name = str(source["name"])
        uid = str(source.get("uid") or f"P{zlib.crc32(name.encode()):08X}")
        taken = next((what for what, hit in (("name", _named(known, name)), ("uid", uid in known)) if hit), "")
        if taken:
            return problem(409, f"data source with the same {taken} already exists")
        self._store(uid, source, version=1)
        return self._datasource_answer(uid, "Datasource added")

    def change_datasource(self, uid: str, source: Obj, known: Known) -> Answer:
        """PUT /api/datasources/uid/:uid."""
        if not (source.get("name") and source.get("type")):
            return problem(400, "bad request data")
        old = known.get(uid)
        if old is None:
            return problem(404, "Data source not found")
        if old["readOnly"]:
            return problem(403, "Cannot update read-only data source")
        if source.get("version") and int(source["version"]) != old["version"]:
            return problem(409, "Datasource has already been updated by someone else. Please reload and try again")
        if source["name"] != old["name"] and _named(known, str(source["name"])):
            return problem(409, "Failed to update datasource: data source with the same name already exists")
        self._store(uid, source, version=old["version"] + 1)
        return self._datasource_answer(uid, "Datasource updated")

    def remove_datasource(self, uid: str, known: Known) -> Answer:
        """DELETE /api/datasources/uid/:uid."""
        old = known.get(uid)
        if old is None:
            return problem(404, "Data source not found")
        if old["readOnly"]:
            return problem(403, "Cannot delete read-only data source")
        del self.datasources[uid]
        if self.default == uid:
            self.default = ""
        return answer({"id": old["id"], "message": "Data source deleted"})

    def _store(self, uid: str, source: Obj, *, version: int) -> None:
        self.datasources[uid] = {**source, "uid": uid, "version": version}
        if source.get("isDefault"):
            self.default = uid
        elif self.default == uid:
            self.default = ""

    def _datasource_answer(self, uid: str, message: str) -> Answer:
        stored = self.datasources[uid]
        shown = datasource(stored, list(self.datasources).index(uid) + 1, read_only=False)
        return answer({"datasource": shown, "id": shown["id"], "message": message, "name": shown["name"]})

    # -- folders

    def add_folder(self, source: Obj) -> Answer:
        """POST /api/folders."""
        title = str(source.get("title") or "")
        if not title:
            return problem(400, "folder title cannot be empty")
        uid = str(source.get("uid") or f"{zlib.crc32(title.encode()):08x}")
        if uid in self.folders:
            return problem(409, "a folder with the same UID already exists", status="uid-exists")
        if any(folder["title"] == title for folder in self.folders.values()):
            return problem(409, "a folder with the same name already exists in the current location")
        self._numbers += 1
        self.folders[uid] = {
            "id": self._numbers,
            "uid": uid,
            "title": title,
            "url": f"/dashboards/f/{uid}/{slug(title)}",
            "version": 1,
        }
        return answer(self.folders[uid])

    # -- dashboards

    def save_dashboard(self, source: Obj, provisioned: Known) -> Answer:
        """POST /api/dashboards/db."""
        dashboard = dict(source["dashboard"]) if isinstance(source.get("dashboard"), dict) else {}
        title = str(dashboard.get("title") or "")
        if not title:
            return problem(400, "Dashboard title cannot be empty", status="empty-name")
        folder = str(source.get("folderUid") or "")
        if folder and folder not in self.folders:
            return problem(400, "folder not found")
        uid = str(dashboard.get("uid") or f"{zlib.crc32(title.encode()):08x}")
        if uid in provisioned:
            return problem(400, "Cannot save provisioned dashboard")
        old = self.dashboards.get(uid)
        overwrite = bool(source.get("overwrite"))
        if old is not None and not overwrite and dashboard.get("version") != old["version"]:
            return problem(412, "The dashboard has been changed by someone else", status="version-mismatch")
        if old is None and self._same_title(title, folder) and not overwrite:
            return problem(412, "A dashboard with the same name in the folder already exists", status="name-exists")
        if old is None:
            self._numbers += 1
        number, version = (self._numbers, 1) if old is None else (old["id"], old["version"] + 1)
        self.dashboards[uid] = {**dashboard, "uid": uid, "id": number, "version": version, "folder": folder}
        done = {"id": number, "uid": uid, "url": f"/d/{uid}/{slug(title)}", "status": "success"}
        return answer({**done, "version": version, "slug": slug(title)})

    def remove_dashboard(self, uid: str, provisioned: Known) -> Answer:
        """DELETE /api/dashboards/uid/:uid."""
        if uid in provisioned:
            return problem(400, "provisioned dashboard cannot be deleted")
        gone = self.dashboards.pop(uid, None)
        if gone is None:
            return problem(404, "Dashboard not found")
        title = gone.get("title")
        return answer({"title": title, "message": f"Dashboard {title} deleted", "id": gone["id"]})

    def _same_title(self, title: str, folder: str) -> bool:
        return any((each["title"], each["folder"]) == (title, folder) for each in self.dashboards.values())


def _named(known: Known, name: str) -> bool:
    return any(each["name"] == name for each in known.values())


def datasource(source: Obj, number: int, *, read_only: bool) -> Obj:
    """A datasource as the API lists it. Credentials in `secureJsonData` never leave Grafana."""
    name, kind = str(source.get("name") or ""), str(source.get("type") or "")
    return {
        "id": number,
        "uid": str(source.get("uid") or f"P{zlib.crc32(name.encode()):08X}"),
        "orgId": int(source.get("orgId") or 1),
        "name": name,
        "type": kind,
        "typeName": kind.capitalize(),
        "access": str(source.get("access") or "proxy"),
        "url": str(source.get("url") or ""),
        "user": "",
        "database": "",
        "basicAuth": bool(source.get("basicAuth")),
        "isDefault": bool(source.get("isDefault")),
        "jsonData": source.get("jsonData") or {},
        "readOnly": read_only and not source.get("editable"),
        "version": int(source.get("version") or 1),
    }


def slug(title: str) -> str:
    """The readable part of a dashboard's address."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())
