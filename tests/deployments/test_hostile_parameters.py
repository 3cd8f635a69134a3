"""Every parameter of every action with what no one should send: through ``parse``, the draft and the dry run of a lab.

Each must end in one sentence (of the field, or of what cannot be planned) or in a plan whose preconditions say what is
unmet. What fits all the same is named here, one by one: there the text is only text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from common.redaction import visible
from deployments.catalogue import registry
from deployments.catalogue.action import Action, CannotPlan
from deployments.engine import planning, requests
from deployments.engine.cluster import RealCluster
from deployments.models import PlanRequest
from integrations.errors import SourceError
from monitoring import collect
from monitoring.snapshot import Missing, Need
from tests.deployments import whole
from tests.deployments.dashboards.conftest import Desks, desk, healthy_lab  # noqa: F401 - fixtures
from tests.lab.world.running import RunningLab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

MONITORING, STACK = "platform-monitoring", "kube-prometheus-stack"
GRAFANA = {"namespace": MONITORING, "name": f"{STACK}-grafana"}
APP = {"application": STACK}
CONTAINER = {**GRAFANA, "container": "grafana"}
POD = {"namespace": MONITORING, "name": "alertmanager-kube-prometheus-stack-alertmanager-0"}
PROMETHEUS = f"prometheus-{STACK}-prometheus"
MANIFESTS = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: walked}\ndata: {a: b}\n"

#: what is right in each action, so that one wrong thing at a time is seen
RIGHT: dict[str, dict[str, Any]] = {
    "apply-set": {"set": "walk", "namespace": "stage", "manifests": MANIFESTS},
    "clear-stale-operation": APP,
    "clear-stuck-hook": APP,
    "configure-datasources": {},
    "cordon": {"node": "worker01"},
    "create-grafana-admin-secret": {},
    "create-notification-channel": {"kind": "webhook", "url": "http://127.0.0.1:9/x"},
    "delete-pod": POD,
    "delete-set": {"set": "walk"},
    "drain": {"node": "worker01"},
    "drop-container": CONTAINER,
    "evict-pod": POD,
    "expand-claim": {"namespace": MONITORING, "name": f"{PROMETHEUS}-db-{PROMETHEUS}-0", "size": "500Gi"},
    "expire-silence": {"silence": "01234567-0123-0123-0123-0123456789ab"},
    "fix-duplicate-default-datasource": {},
    "fix-monitor-selection": {**GRAFANA, "kind": "ServiceMonitor"},
    "force-delete-pod": POD,
    "grafana-standalone": {"namespace": "stage"},
    "import-dora-dashboards": {},
    "pause-auto-sync": {"application": "root-app"},
    "pause-rollout": GRAFANA,
    "propose-in-git": {**APP, "values": "grafana.replicas=2"},
    "rebind-volume": {"volume": "pvc-x", "namespace": MONITORING, "claim": "x"},
    "recreate-application": APP,
    "recreate-job": {"namespace": "stage", "name": "x"},
    "refresh-application": APP,
    "remove-label": {"kind": "Node", "name": "worker01", "key": "storage"},
    "repair-grafana-in-place": {},
    "restart-operator-managed": {"kind": "Prometheus", "namespace": MONITORING, "name": f"{STACK}-prometheus"},
    "resume-auto-sync": APP,
    "resume-rollout": GRAFANA,
    "revert-bad-rule": {"namespace": MONITORING, "name": "argocd-alerts"},
    "roll-back-application": {**APP, "id": 0},
    "rollback-deployment": GRAFANA,
    "rollout-restart": GRAFANA,
    "run-cronjob-now": {"namespace": "stage", "name": "x"},
    "scale-workload": {**GRAFANA, "replicas": 2},
    "send-test-alert": {},
    "set-default-storage-class": {"name": "openebs-hostpath"},
    "set-environment-variable": {**CONTAINER, "variable": "A", "value": "b"},
    "set-helm-values": {"application": "root-app", "values": "grafana.replicas=2"},
    "set-image": {**CONTAINER, "image": "docker.io/grafana/grafana:10.2.3"},
    "set-label": {"kind": "Node", "name": "worker01", "key": "a"},
    "set-recreate-strategy": GRAFANA,
    "set-resources": {**CONTAINER, "cpu_request": "100m"},
    "silence-alerts": {"matchers": "alertname=Nothing", "duration": "30m", "comment": "walked"},
    "stop-cascading-deletion": APP,
    "sync-application": APP,
    "sync-selected-resources": APP,
    "taint": {"node": "worker01", "key": "a"},
    "terminate-operation": APP,
    "uncordon": {"node": "worker01"},
    "untaint": {"node": "worker04", "key": "storage"},
    "use-prometheus-ui": {},
    "withdraw-proposal": {"repository": "a/b", "number": 1},
}

#: refused whatever the parameter: they do not show, or the engine would fill them in
NEVER = ("a\0b", "\x1b[31mred", "a\u202eb", "a\u200bb", "a\ud800", "a\rb", "${run.bogus}", "${live:/spec}", "${seen.x}")
TEXTS = (
    "",
    " ",
    "x" * 300_000,
    "a\n",
    "a=b\r\nc=d",
    "../..",
    "%2e%2e%2f",
    "//a//",
    "; rm -rf /",
    "$(id)",
    "<script>alert(1)</script>",
    "{{ .Values }}",
    "{a: &a [*a]}",
    '{"a": 1}',
    "a: b: c",
    "a=!!python/object:os.system x",
    "[" * 1900,
    "a=" + "[" * 1900,
    'a="\\u0000"',
    'a="\\ud800"',
    'a="$\\u007brun.user}"',
    "a=[1e999]",
    "a=~(a+)",
    "a=~" + "(a+)+" * 9 + "$",
    "-1",
    "9" * 5000,
    "NaN",
    "٣",
    "null",
    "no-such-thing",
    "kube-system",
)
#: only of manifests: what YAML makes of them is no text
_ODD = ('{a: "\\0"}', '{a: "\\ud800"}', "{a: .nan}", "{a: 1e999}", "{1: b}", "{a: 2020-01-01}", "{? [a] : b}")
MANIFESTS_TOO = (
    *(MANIFESTS.replace("{a: b}", odd) for odd in _ODD),
    "a: &a [x]\nb: [*a, *a]",
    "---\n" * 5000,
    "[" * 60_000,
)
NUMBERS: tuple[Any, ...] = (
    -1,
    -(2**70),
    10**30,
    2**63,
    "9" * 5000,
    "NaN",
    "1e400",
    "0x10",
    "1.5",
    "٣",
    "abc",
    [],
    {},
    "\ud800",
)
OTHERS: tuple[Any, ...] = (5, ["; rm"], {"a": 1}, ["\ud800"], {"\0": "a"})

_LABELS = {
    "key": {"no-such-thing", "kube-system", "null", "NaN"},
    "value": {"no-such-thing", "kube-system", "null", "NaN"},
}
#: of a list: as if it were empty
_BLANK = {" "}
_PROTECTED = {"no-such-thing", "kube-system", "null", "NaN", "a\n", "a=b\r\nc=d"}
_FREE = set(TEXTS)
#: of what fits, the dry run sees these
DRIED = {"<script>alert(1)</script>", "kube-system", "a=b\r\nc=d"}
#: what a person may really mean, because the field is free text, or a new name
FITS: dict[str, dict[str, set[str]]] = {
    "silence-alerts": {
        "comment": _FREE,
        "matchers": {each for each in TEXTS if each.startswith("a=") and "[[" not in each},
    },
    "set-environment-variable": {"value": _FREE, "variable": {"no-such-thing", "kube-system", "NaN", "null"}},
    "propose-in-git": {"why": _FREE, "values": {"a=!!python/object:os.system x", "a=b\r\nc=d", "a=~(a+)", TEXTS[23]}},
    "create-grafana-admin-secret": {
        "namespace": {"kube-system"},
        "name": {"no-such-thing", "kube-system", "null"},
        "user": {"no-such-thing", "kube-system", "null", "NaN", "-1"},
    },
    "create-notification-channel": {
        "namespace": {"kube-system"},
        "name": {"no-such-thing", "kube-system", "null"},
        "severities": {"no-such-thing", "kube-system", "null", "NaN", "-1", "a\n"} | _BLANK,
    },
    "set-label": _LABELS,
    "taint": {**_LABELS, "protected": _PROTECTED | _BLANK},
    "untaint": {"protected": _PROTECTED},
    "apply-set": {"set": {"no-such-thing", "kube-system", "null"}, "manifests": {MANIFESTS_TOO[5]}},
    "grafana-standalone": {"namespace": {"kube-system"}},
}


class Remembering(RealCluster):
    """Nothing is written, so nothing needs to be read twice: the walk is long."""

    def __init__(self) -> None:
        super().__init__()
        self._got: dict[tuple[str, str, str], dict[str, Any] | None] = {}

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        key = (resource, namespace, name)
        if key not in self._got:
            self._got[key] = super().get(*key)
        return self._got[key]


def _once(ask: Callable[[Any, Any], Any], known: dict[Need, Any]) -> Callable[[Any, Any], Any]:
    def asked(readers: Any, need: Any) -> Any:
        if need not in known:
            known[need] = ask(readers, need)
        return known[need]

    return asked


@pytest.fixture(scope="module")
def remembered() -> dict[Need, Any]:
    return {}


@pytest.fixture
def cluster(
    desk: Desks,  # noqa: F811
    healthy_lab: RunningLab,  # noqa: F811
    remembered: dict[Need, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> RealCluster:
    desk(healthy_lab)
    for name in ("listing", "answer"):
        monkeypatch.setattr(collect, name, _once(getattr(collect, name), remembered))
    return Remembering()


def values(field: registry.Field) -> Iterator[Any]:
    if field.kind == "number":
        yield from NUMBERS
        return
    yield from (*NEVER, *OTHERS)
    yield from ("x" * 5000,) if field.kind in ("choice", "flag") else TEXTS
    if field.name == "manifests":
        yield from MANIFESTS_TOO


def end(cluster: RealCluster, action: Action, params: dict[str, Any], name: str) -> str:
    """What becomes of it: nothing at all, or what is wrong with how it ended."""
    value = params.get(name)
    try:
        parsed = registry.parse(action.slug, params)
    except ValueError as error:
        said = str(error).removeprefix(f"{action.title}: ").rpartition(" Parameters are: ")[0]
        spoken = name in said or {"manifests": "Line", "comment": "why"}.get(name, name) in said
        return _sentence(str(error)) or ("" if spoken else f"the sentence does not name it: {said}")
    if isinstance(value, str) and value in NEVER:
        return "it was accepted"
    try:
        drafted = planning.draft(cluster, action, parsed)
        fits = all(each.met for each in drafted.draft.preconditions)
        if fits and not (_may_fit(action, name, value) and value not in DRIED):
            plan = whole.hold(planning.make(cluster, action, parsed))
            if all(each["met"] for each in plan.preconditions):
                return "" if _may_fit(action, name, value) else f"it fits: {[s.title for s in drafted.draft.steps]}"
    except (CannotPlan, Missing, SourceError) as error:
        return _sentence(str(error))
    return ""


def _may_fit(action: Action, name: str, value: Any) -> bool:
    """An empty text is a parameter that was not given."""
    return value == "" or (isinstance(value, str) and value in FITS.get(action.slug, {}).get(name, ()))


def _sentence(said: str) -> str:
    """A sentence can be read, shown and stored."""
    if not said or len(said) > 2000 or visible(said, 10_000) != said:
        return f"no sentence for people: {said[:200]!r}"
    return "" if not re.search(r"Traceback|codec can't|object at 0x|\bNoneType\b", said) else f"not for people: {said}"


@pytest.mark.parametrize("slug", [action.slug for action in registry.all_actions()])
def test_no_value_of_a_parameter_ends_in_anything_but_a_sentence(cluster: RealCluster, slug: str) -> None:
    action, wrong = registry.get(slug), []
    for field in registry.fields(action):
        for value in values(field):
            try:
                said = end(cluster, action, {**RIGHT[slug], field.name: value}, field.name)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are walked too
                said = f"{type(error).__name__}: {error}"
            if said:
                wrong.append(f"{field.name}={ascii(value)[:60]}: {ascii(said)[:300]}")
    assert not wrong, "\n".join(wrong)


def test_a_blank_list_is_an_empty_field() -> None:
    parsed = registry.parse("untaint", {"node": "worker04", "key": "storage", "protected": " , "})
    assert parsed == registry.parse("untaint", {"node": "worker04", "key": "storage"})


def test_what_is_no_parameter_is_refused_in_a_short_sentence() -> None:
    for name in ("nose", "\ud800", "x" * 5000):
        with pytest.raises(ValueError, match="there is no parameter") as refused:
            registry.parse("cordon", {"node": "worker01", name: "a"})
        assert _sentence(str(refused.value)) == "", name


FORMS = (
    ("silence-alerts", "comment", "<script>alert(1)</script>"),
    ("silence-alerts", "comment", "${run.bogus} is no word"),
    ("silence-alerts", "comment", "a\0b\x1b[31m\u202e"),
    ("silence-alerts", "matchers", "a=~(("),
    ("set-environment-variable", "value", "a\r\nb"),
    ("set-helm-values", "values", "a=" + "[" * 1900),
    ("set-helm-values", "values", 'a="\\u0000"'),
    ("scale-workload", "replicas", "9" * 5000),
    ("scale-workload", "name", "x" * 300_000),
    ("rollout-restart", "kind", "<b>"),
    ("set-label", "key", "../.."),
    ("apply-set", "manifests", "a: &a [*a]"),
    ("apply-set", "manifests", MANIFESTS.replace("\n", "\r\n")),
    ("cordon", "node", "no-such-thing"),
    ("taint", "protected", "storag e=hdd"),
)


@pytest.mark.parametrize(("slug", "name", "value"), FORMS, ids=[f"{slug}-{i}" for i, (slug, _, _) in enumerate(FORMS)])
def test_a_form_filled_with_it_is_answered_by_a_page(
    client: Client, cluster: RealCluster, settings: Any, slug: str, name: str, value: str
) -> None:
    settings.PORTAL_LAB = True
    call_command("ensure_users", stdout=StringIO())
    client.force_login(User.objects.get(username="operator"))
    fields = {f"p-{key}": str(given) for key, given in {**RIGHT[slug], name: value}.items()}
    answer = client.post(reverse("action-plan", args=[slug]), fields)
    assert answer.status_code in (302, 303, 422)
    if answer.status_code == 422:
        text = answer.content.decode()
        assert name in text and "<script>alert" not in text
        return
    wish = requests.make(PlanRequest.objects.get().pk, opener=lambda: cluster)
    assert wish is not None and "could not be made" not in wish.sentence
    shown = client.get(answer.headers["Location"], follow=True)
    assert shown.status_code == 200 and "<script>alert" not in shown.content.decode()
    if wish.plan is not None:
        whole.hold(wish.plan)
