"""Which datasources Grafana should have, which it has, and what each lacks. Pure; no steps here.

Wanted are the cluster's own Prometheus (the default, unless another one is) and Alertmanager, by the Services that lead
to them. Facts: a datasource from a file is ``readOnly`` and answers 403 to a change; a datasource that becomes the
default takes the flag from the one that has it, from a provisioned one too, and the API cannot give it back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.dashboards import api, stack
from integrations.kubernetes.custom import OperatorObject
from monitoring.checks.grafana import known_datasources
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Snapshot

_TITLES = {"prometheus": "Prometheus", "alertmanager": "Alertmanager"}
_KEPT = ("name", "type", "access", "url", "isDefault", "jsonData", "basicAuth", "basicAuthUser", "user", "database")


@dataclass(frozen=True, slots=True)
class Gap:
    """What one wanted datasource lacks. ``have`` is what Grafana lists of it now, if anything.

    ``blocked`` says why the API cannot close the gap; then only the file it comes from can.
    """

    want: Mapping[str, Any]
    have: Mapping[str, Any] | None = None
    differs: tuple[str, ...] = ()
    blocked: str = ""

    @property
    def name(self) -> str:
        return clean(str(self.want["name"]), 80)

    @property
    def uid(self) -> str:
        return str((self.have or self.want).get("uid") or "")

    @property
    def body(self) -> dict[str, Any]:
        """The request's body: of a changed one everything that Grafana lists of it stays, its version guards it."""
        if self.have is None:
            return dict(self.want)
        kept = {key: self.have[key] for key in _KEPT if key in self.have}
        inner = {**(kept.get("jsonData") or {}), **(self.want.get("jsonData") or {})}
        changed = {key: value for key, value in self.want.items() if key not in ("uid", "name")}
        version = {"version": self.have["version"]} if self.have.get("version") else {}
        return {**kept, **changed, "jsonData": inner, **version}

    @property
    def fields(self) -> dict[str, Any]:
        """What must be so once the gap is closed."""
        return {key: value for key, value in self.body.items() if key != "version"}


@dataclass(frozen=True, slots=True)
class Findings:
    """All datasources Grafana has, by name, what is as wanted, and the gaps."""

    known: tuple[Mapping[str, Any], ...]
    good: tuple[str, ...] = ()
    gaps: tuple[Gap, ...] = field(default=())


def compare(snapshot: Snapshot, namespace: str) -> Findings:
    """What is missing in Grafana. :raises CannotPlan: no Service leads to Prometheus. :raises Missing:"""
    known = tuple(sorted(known_datasources(snapshot), key=lambda d: (str(d.get("name")), str(d.get("uid")))))
    wanted = list(_wanted(snapshot, namespace, known))
    good, gaps = [], []
    for want in wanted:
        gap = _gap(want, known)
        if gap is None:
            good.append(str(want["name"]))
        else:
            gaps.append(gap)
    return Findings(known, tuple(good), tuple(gaps))


def wanted_file(snapshot: Snapshot, namespace: str) -> list[dict[str, Any]]:
    """The entries of a provisioning file of one's own: both datasources, Prometheus the default."""
    return [{**want, "access": "proxy", "editable": False} for want in _wanted(snapshot, namespace, ())]


def described(entry: Mapping[str, Any]) -> str:
    """One datasource in a line of evidence."""
    words = [str(entry.get("type") or "")]
    words += ["the default"] if entry.get("isDefault") else []
    words += ["from a file"] if entry.get("readOnly") else []
    return clean(f"{entry.get('name')} ({', '.join(words)})", 160)


def _wanted(snapshot: Snapshot, namespace: str, known: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    prometheus = stack.service(snapshot, "prometheus", namespace) or stack.service(snapshot, "prometheus")
    if prometheus is None:
        raise CannotPlan("No Service leads to a Prometheus, so there is nothing to ask. Bring Prometheus back first.")
    other_default = any(d.get("isDefault") and d.get("type") != "prometheus" for d in known)
    yield {
        "name": "Prometheus",
        "uid": "prometheus",
        "type": "prometheus",
        "access": "proxy",
        "url": stack.url(prometheus, "prometheus"),
        "isDefault": not other_default,
        "jsonData": {"httpMethod": "POST", "timeInterval": _interval(snapshot, prometheus.metadata.namespace)},
    }
    alertmanager = stack.service(snapshot, "alertmanager", namespace) or stack.service(snapshot, "alertmanager")
    if alertmanager is not None:
        yield {
            "name": "Alertmanager",
            "uid": "alertmanager",
            "type": "alertmanager",
            "access": "proxy",
            "url": stack.url(alertmanager, "alertmanager"),
            "isDefault": False,
            "jsonData": {"implementation": "prometheus", "handleGrafanaManagedAlerts": False},
        }


def _interval(snapshot: Snapshot, namespace: str) -> str:
    """Prometheus's scrape interval: Grafana's smallest step must not be smaller. 30 s is the operator's default."""
    try:
        found: list[OperatorObject] = snapshot.objects("prometheuses.monitoring.coreos.com", namespace)
    except Missing:
        return "30s"
    return next((p.spec.scrape_interval for p in found if p.spec.scrape_interval), "30s")


def _gap(want: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> Gap | None:
    """The gap of one wanted datasource; None when Grafana has one that leads there (and is the default, if it must)."""
    of_type = [d for d in known if d.get("type") == want["type"]]
    there = [d for d in of_type if stack.same_address(str(d.get("url") or ""), str(want["url"]))]
    default = next((d for d in known if d.get("isDefault")), None)
    if there:
        if not want["isDefault"] or default is not None:
            return None
        return _changed(there[0], {"isDefault": True}, want, "the default")
    taken = next((d for d in known if want["uid"] == d.get("uid") or want["name"] == d.get("name")), None)
    if taken is not None:
        if taken.get("type") != want["type"]:
            said = f"{described(taken)} has the name or uid that {want['name']} needs"
            return Gap(want, None, ("name",), said)
        return _changed(taken, {"url": want["url"]}, want, "an address that leads to it")
    # a default of somebody's own stays theirs
    return Gap({**want, "isDefault": bool(want["isDefault"] and default is None)})


def _changed(have: Mapping[str, Any], change: Mapping[str, Any], want: Mapping[str, Any], what: str) -> Gap:
    asked = {"name": have["name"], "type": have["type"], **change}
    blocked = f"{described(have)} lacks {what}, and only its file can say so" if have.get("readOnly") else ""
    return Gap({"uid": have.get("uid") or want["uid"], **asked}, have, tuple(api.differs(have, asked)), blocked)
