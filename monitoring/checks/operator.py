"""What the Prometheus operator was told: retention, scrape interval, and that its objects are there.

Read from the custom resources, so it holds for every release name. An empty field means the operator's own default.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.custom import OperatorObject
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.parts import KubeObject
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, failing, ref, verified, worst
from monitoring.checks.quantities import parse_duration, same_duration
from monitoring.checks.text import clean, count, everywhere, in_namespace, kubectl, listing
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Verdict

PROMETHEUSES = "prometheuses.monitoring.coreos.com"
ALERTMANAGERS = "alertmanagers.monitoring.coreos.com"
# prometheus-operator API reference, PrometheusSpec and AlertmanagerSpec
_DEFAULTS = {PROMETHEUSES: {"retention": "24h", "scrape_interval": "30s"}, ALERTMANAGERS: {"retention": "120h"}}
_FIELDS = {"retention": "retention", "scrape_interval": "scrape interval"}


class PrometheusConfig(Params, frozen=True):
    """Parameters of ``prometheus_config``."""

    namespace: Annotated[str, Meta(description="where the Prometheus object is; empty is everywhere")] = ""
    name: Annotated[str, Meta(description="its name; empty is every one there")] = ""
    retention: Annotated[str, Meta(description="how long it keeps data, like 15d; empty is any")] = ""
    scrape_interval: Annotated[str, Meta(description="how often it scrapes, like 30s; empty is any")] = ""

    def __post_init__(self) -> None:
        _durations(self.retention, self.scrape_interval)


class AlertmanagerConfig(Params, frozen=True):
    """Parameters of ``alertmanager_config``."""

    namespace: Annotated[str, Meta(description="where the Alertmanager object is; empty is everywhere")] = ""
    name: Annotated[str, Meta(description="its name; empty is every one there")] = ""
    retention: Annotated[str, Meta(description="how long it keeps data, like 120h; empty is any")] = ""

    def __post_init__(self) -> None:
        _durations(self.retention)


class OperatorObjects(Params, frozen=True):
    """Parameters of ``operator_objects``: how many of each there must be; 0 means only that the kind is served."""

    namespace: Annotated[str, Meta(description="where they are; empty is everywhere")] = ""
    servicemonitors: Annotated[int, Meta(ge=0, description="ServiceMonitors")] = 0
    podmonitors: Annotated[int, Meta(ge=0, description="PodMonitors")] = 0
    prometheusrules: Annotated[int, Meta(ge=0, description="PrometheusRules")] = 0


class ObjectsPresent(Params, frozen=True):
    """Parameters of ``objects_present``."""

    resource: Annotated[str, Meta(min_length=1, description="like namespaces or serviceaccounts, as kubectl takes it")]
    names: Annotated[tuple[str, ...], Meta(min_length=1, description="which must be there")]
    namespace: Annotated[str, Meta(description="where they are; empty for what has no namespace")] = ""

    def __post_init__(self) -> None:
        if self.resource not in RESOURCES:
            raise ValueError(f"{self.resource!r} is not a resource this portal reads")


def _durations(*texts: str) -> None:
    for text in texts:
        if text:
            parse_duration(text)


def _config(resource: str, snapshot: Snapshot, params: PrometheusConfig | AlertmanagerConfig) -> Verdict:
    kind = RESOURCES[resource].kind
    found: list[OperatorObject] = snapshot.objects(resource, params.namespace)
    found = [item for item in found if not params.name or item.metadata.name == params.name]
    if not found:
        sentence = (
            f"There is no {kind} object{in_namespace(params.namespace)}, so the operator runs none. Create it again."
        )
        return failing("no_object", sentence, f"no {kind}")
    wanted = {field: getattr(params, field) for field in _FIELDS if getattr(params, field, "")}
    return worst(_settings(item, resource, wanted) for item in found)


def _settings(item: OperatorObject, resource: str, wanted: dict[str, str]) -> Verdict:
    have = {field: getattr(item.spec, field) or default for field, default in _DEFAULTS[resource].items()}
    facts: dict[str, Any] = {**have, "name": item.metadata.name, "version": item.spec.version.removeprefix("v")}
    shown = ", ".join(f"{_FIELDS[field]} {clean(have[field], 20)}" for field in (wanted or have))
    more: dict[str, Any] = {"facts": facts, "refs": (ref(item, resource),)}
    for field, value in wanted.items():
        if not same_duration(have[field], value):
            sentence = (
                f"{item.metadata.name} has {_FIELDS[field]} {clean(have[field], 20)}, not {value}. "
                "Set it in the values of its Application."
            )
            return failing(f"other_{field}", sentence, shown, **more)
    return verified(f"{shown.capitalize()}.", shown, **more)


def _needs_prometheus(_: Snapshot, params: PrometheusConfig) -> Iterable[Need]:
    yield Objects(PROMETHEUSES, params.namespace)


def _evaluate_prometheus(snapshot: Snapshot, params: PrometheusConfig, _: datetime) -> Verdict:
    return _config(PROMETHEUSES, snapshot, params)


def _needs_alertmanager(_: Snapshot, params: AlertmanagerConfig) -> Iterable[Need]:
    yield Objects(ALERTMANAGERS, params.namespace)


def _evaluate_alertmanager(snapshot: Snapshot, params: AlertmanagerConfig, _: datetime) -> Verdict:
    return _config(ALERTMANAGERS, snapshot, params)


def _wanted(params: OperatorObjects) -> dict[str, int]:
    return {
        f"{plural}.monitoring.coreos.com": getattr(params, plural)
        for plural in ("servicemonitors", "podmonitors", "prometheusrules")
    }


def _needs_objects(_: Snapshot, params: OperatorObjects) -> Iterable[Need]:
    yield from (Objects(resource, params.namespace) for resource in _wanted(params))


def _evaluate_objects(snapshot: Snapshot, params: OperatorObjects, _: datetime) -> Verdict:
    have = {resource: len(snapshot.objects(resource, params.namespace)) for resource in _wanted(params)}
    shown = ", ".join(count(number, RESOURCES[resource].kind) for resource, number in have.items())
    facts = {RESOURCES[resource].plural: number for resource, number in have.items()}
    for resource, least in _wanted(params).items():
        if have[resource] < least:
            sentence = (
                f"There {'is' if have[resource] == 1 else 'are'} {count(have[resource], RESOURCES[resource].kind)}"
                f"{in_namespace(params.namespace)}, {least} expected. Sync the Application that makes them."
            )
            return failing("too_few_objects", sentence, shown, facts=facts)
    return verified(f"{shown}.", shown, facts=facts)


def _needs_present(_: Snapshot, params: ObjectsPresent) -> Iterable[Need]:
    yield Objects(params.resource, params.namespace)


def _evaluate_present(snapshot: Snapshot, params: ObjectsPresent, _: datetime) -> Verdict:
    items: list[KubeObject] = snapshot.objects(params.resource, params.namespace)
    there = {item.metadata.name: item for item in items}
    lacking = [name for name in params.names if name not in there]
    leaving = [name for name in params.names if name in there and there[name].metadata.deletion_timestamp]
    kind = RESOURCES[params.resource].kind
    observed = f"{len(params.names) - len(lacking)} of {len(params.names)}"
    refs = tuple(ref(there[name], params.resource) for name in params.names[:10] if name in there)
    if lacking or leaving:
        names, what = (lacking, "not there") if lacking else (leaving, "being deleted")
        verb = "is" if len(names) == 1 else "are"
        sentence = f"{kind} {listing(names)} {verb} {what}{in_namespace(params.namespace)}. Create it again from Git."
        return failing("not_there" if lacking else "deleting", sentence, observed, refs=refs)
    return verified(f"{listing(params.names)} {'is' if len(params.names) == 1 else 'are'} there.", observed, refs=refs)


def _expected(params: PrometheusConfig | AlertmanagerConfig) -> str:
    wanted = [f"{words} {getattr(params, field)}" for field, words in _FIELDS.items() if getattr(params, field, "")]
    return ", ".join(wanted) or "the object exists"


def _config_command(plural: str, params: PrometheusConfig | AlertmanagerConfig) -> str:
    words = (*((params.name,) if params.name else ()), *everywhere(params.namespace))
    return kubectl("get", plural, *words, namespace=params.namespace, output="yaml")


def _objects_expected(params: OperatorObjects) -> str:
    wanted = [f"≥ {least} {RESOURCES[resource].kind}" for resource, least in _wanted(params).items() if least]
    return ", ".join(wanted) or "the operator's kinds are served"


def _claim_setting(field: str) -> claims.Builder:
    def build(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
        known = claims.component_of(match, context)
        slugs = {"app.kubernetes.io/name=prometheus": "prometheus_config"}
        if field == "retention":
            slugs["app.kubernetes.io/name=alertmanager"] = "alertmanager_config"
        slug = slugs.get(known.selector) if known else None
        value = f"{match['number']}{match['unit'][0].lower()}"
        return (slug, claims.scoped(context, **{field: value})) if slug else None

    return build


def _claim_managing(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    names = match.group(0).lower()
    wanted = {plural: 1 for plural in ("servicemonitors", "prometheusrules") if plural[:-1] in names}
    return "operator_objects", claims.scoped(context, **wanted)


def _claim_namespace(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.parents or "namespaces" not in context.parents[0].lower():
        return None
    return "objects_present", {"resource": "namespaces", "names": [match["name"]]}


_TIME = r"(?P<number>\d{1,6})[\s-]{0,3}(?P<unit>years?|y|weeks?|w|days?|d|hours?|h|minutes?|min|m|seconds?|sec|s)\b"

TYPES = (
    CheckType(
        slug="prometheus_config",
        title="Retention and scrape interval",
        summary="The Prometheus object keeps data so long and scrapes so often.",
        params=PrometheusConfig,
        needs=_needs_prometheus,
        evaluate=_evaluate_prometheus,
        command=lambda p: _config_command("prometheuses", p),
        expected=_expected,
        claims=(
            claims.pattern(rf"retention(?:\s+(?:time|period))?{claims.GAP}{_TIME}", _claim_setting("retention")),
            claims.pattern(rf"{_TIME}[\s-](?:of\s+)?retention\b", _claim_setting("retention")),
            claims.pattern(
                rf"\b(?:keeps|retains)\s+(?:(?:its|data|metrics|samples|for)\s+){{0,3}}{_TIME}",
                _claim_setting("retention"),
            ),
            claims.pattern(rf"scrape(?:s|d)?(?:\s+interval)?{claims.GAP}{_TIME}", _claim_setting("scrape_interval")),
        ),
    ),
    CheckType(
        slug="alertmanager_config",
        title="Retention",
        summary="The Alertmanager object keeps data so long.",
        params=AlertmanagerConfig,
        needs=_needs_alertmanager,
        evaluate=_evaluate_alertmanager,
        command=lambda p: _config_command("alertmanagers", p),
        expected=_expected,
    ),
    CheckType(
        slug="operator_objects",
        title="Operator's objects",
        summary="ServiceMonitors, PodMonitors and PrometheusRules are served and there.",
        params=OperatorObjects,
        needs=_needs_objects,
        evaluate=_evaluate_objects,
        command=lambda p: kubectl(
            "get", "servicemonitors,podmonitors,prometheusrules", *everywhere(p.namespace), namespace=p.namespace
        ),
        expected=_objects_expected,
        claims=(claims.pattern(r"\bmanaging\s+(?:service|pod)monitors?[\w ,]*", _claim_managing),),
    ),
    CheckType(
        slug="objects_present",
        title="Objects are there",
        summary="Objects of a kind exist by name: namespaces, service accounts.",
        params=ObjectsPresent,
        needs=_needs_present,
        evaluate=_evaluate_present,
        command=lambda p: kubectl("get", p.resource, *p.names, namespace=p.namespace),
        expected=lambda p: listing(p.names),
        claims=(
            claims.pattern(r"^\s*[-*+]\s+`?(?P<name>[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)`?\s*$", _claim_namespace),
        ),
    ),
)
