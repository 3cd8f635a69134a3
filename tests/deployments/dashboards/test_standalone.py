"""*Run a standalone Grafana*: the set, and the two ways in which two Grafanas would stand behind one address."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deployments.catalogue.action import Apply, CannotPlan, Create, PlanDraft
from deployments.catalogue.seen import Outlook
from tests.deployments.dashboards.world import (
    APPS,
    CANARY,
    DEPLOYMENTS,
    GRAFANA,
    NAMESPACE,
    SERVICES,
    STACK,
    case,
    draft,
    look,
    named,
    unmet,
    values,
    without,
)

SLUG = "grafana-standalone"


def broken() -> dict[str, Any]:
    """The report's hour: the Deployment is gone and the last sync failed."""
    loaded = case()
    without(loaded, DEPLOYMENTS, GRAFANA)
    named(loaded, APPS, STACK)["status"]["operationState"] |= {"phase": "Failed"}
    return loaded


def applied(drafted: PlanDraft, resource: str) -> dict[str, Any]:
    [effect] = [s.effect for s in drafted.steps if s.resource == resource and isinstance(s.effect, Apply)]
    assert effect.manager == "grafana-minimal"
    return effect.body


def test_the_set_is_a_secret_a_look_a_config_map_and_a_deployment() -> None:
    drafted = draft(SLUG, broken())
    assert unmet(drafted) == []
    assert [(s.verb, s.resource) for s in drafted.steps] == [
        ("create", "secrets"),
        ("compare", DEPLOYMENTS),
        ("apply", "configmaps"),
        ("apply", DEPLOYMENTS),
    ]


def test_the_pods_carry_what_the_service_selects_so_that_the_address_leads_to_them() -> None:
    labels = applied(draft(SLUG, broken()), DEPLOYMENTS)["spec"]["template"]["metadata"]["labels"]
    assert labels == {
        "app": "grafana-standalone",
        "app.kubernetes.io/name": "grafana",
        "app.kubernetes.io/instance": "kube-prometheus-stack",
    }
    assert "10.1.5.185 leads to it" in draft(SLUG, broken()).blast.sentence


def test_it_is_the_teams_image_with_their_start_up_allowance() -> None:
    body = applied(draft(SLUG, broken()), DEPLOYMENTS)
    [container] = body["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "docker.io/grafana/grafana:10.2.2"
    probe = container["startupProbe"]
    assert (probe["initialDelaySeconds"], probe["periodSeconds"], probe["failureThreshold"]) == (30, 10, 30)
    assert body["spec"]["strategy"] == {"type": "Recreate"}


def test_its_datasources_are_in_its_file() -> None:
    data = applied(draft(SLUG, broken()), "configmaps")["data"]
    entries = yaml.safe_load(data["datasources.yaml"])["datasources"]
    assert [(e["name"], e["isDefault"]) for e in entries] == [("Prometheus", True), ("Alertmanager", False)]


def test_the_pod_is_replaced_when_the_file_it_mounts_changes() -> None:
    def checksum(loaded: dict[str, Any]) -> str:
        template = applied(draft(SLUG, loaded), DEPLOYMENTS)["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/provisioning"])

    other = broken()
    without(other, SERVICES, "kube-prometheus-stack-alertmanager")
    assert checksum(broken()) == checksum(broken()) != checksum(other)


def test_the_password_is_made_at_the_run_and_the_secret_outlives_an_undo() -> None:
    secret = draft(SLUG, broken()).steps[0]
    assert isinstance(secret.effect, Create)
    assert secret.effect.body["stringData"]["admin-password"] == "${run.secret}"
    assert secret.irreversible
    assert CANARY not in repr(draft(SLUG, broken()))


def test_a_secret_that_the_values_refer_to_is_used_with_its_keys() -> None:
    loaded = broken()
    values(loaded, "grafana:\n", "grafana:\n  admin:\n    existingSecret: ours\n    passwordKey: pw\n")
    drafted = draft(SLUG, loaded)
    assert drafted.steps[0].verb == "compare"
    [container] = applied(drafted, DEPLOYMENTS)["spec"]["template"]["spec"]["containers"]
    keys = [e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e]
    assert keys == [{"name": "ours", "key": "admin-user"}, {"name": "ours", "key": "pw"}]
    assert drafted.params["admin"] == "keep"


def test_a_secret_that_is_there_can_be_kept() -> None:
    assert "create" not in [s.verb for s in draft(SLUG, broken(), admin="keep").steps]


def test_a_running_grafana_blocks_it() -> None:
    loaded = broken()
    loaded["objects"][DEPLOYMENTS] = case()["objects"][DEPLOYMENTS]
    assert any("No other Grafana runs" in u and f"{GRAFANA} wants 1" in u for u in unmet(draft(SLUG, loaded)))
    named(loaded, DEPLOYMENTS, GRAFANA)["spec"]["replicas"] = 0
    assert unmet(draft(SLUG, loaded)) == []


@pytest.mark.parametrize(
    ("change", "met"),
    [
        ({"phase": "Succeeded", "selfHeal": True}, False),
        ({"phase": "Succeeded", "selfHeal": False}, True),
        ({"phase": "Failed", "selfHeal": True}, True),
        ({"phase": "Succeeded", "automated": False}, True),
        ({"phase": "Running", "operation": True}, False),
        ({"phase": "Succeeded", "selfHeal": True, "disabled": True}, True),
    ],
    ids=["heals", "does not heal", "failed", "by hand", "running", "disabled"],
)
def test_argo_cd_must_not_be_about_to_bring_its_own_back(change: dict[str, Any], met: bool) -> None:
    loaded = broken()
    app = named(loaded, APPS, STACK)
    app["status"]["operationState"]["phase"] = change["phase"]
    if "selfHeal" in change:
        app["spec"]["syncPolicy"]["automated"]["selfHeal"] = change["selfHeal"]
    if change.get("automated") is False:
        app["spec"]["syncPolicy"] = {}
    if change.get("operation"):
        app["operation"] = {"sync": {}}
    if change.get("disabled"):
        values(loaded, "grafana:\n  enabled: true", "grafana:\n  enabled: false")
    assert (unmet(draft(SLUG, loaded)) == []) is met


def test_git_disables_the_charts_own_and_warns_of_the_service() -> None:
    drafted = draft(SLUG, broken())
    assert "+          enabled: false" in drafted.git_patch
    assert "chart's Service goes" in drafted.git_way
    assert "second one behind the same Service" in drafted.managed_by


def test_without_a_service_the_set_brings_one_with_the_address() -> None:
    loaded = broken()
    without(loaded, SERVICES, GRAFANA)
    drafted = draft(SLUG, loaded, address="10.1.5.185")
    service = applied(drafted, SERVICES)
    assert service["metadata"]["annotations"]["metallb.io/loadBalancerIPs"] == "10.1.5.185"
    pods = applied(drafted, DEPLOYMENTS)["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= pods.items()
    assert drafted.params["namespace"] == NAMESPACE
    with pytest.raises(CannotPlan, match="service=own"):
        draft(SLUG, loaded, service="keep", namespace=NAMESPACE)


def test_an_address_must_be_one() -> None:
    with pytest.raises(ValueError, match="address"):
        draft(SLUG, broken(), address="10.1.5.185; rm")


@pytest.mark.parametrize("params", [{}, {"service": "own", "address": "10.1.5.186"}, {"admin": "keep"}])
def test_a_second_draft_of_the_filled_parameters_is_the_same(params: dict[str, str]) -> None:
    first = draft(SLUG, broken(), **params)
    assert draft(SLUG, broken(), **first.params) == first


# -- the condition just before the set is applied


def test_another_grafana_that_came_meanwhile_is_refused() -> None:
    asked = {"namespace": NAMESPACE, "name": "grafana-standalone"}
    assert look(broken(), "no_other_grafana", **asked).outlook == Outlook.MET
    assert look(case(), "no_other_grafana", **asked).outlook == Outlook.REFUSED
    own = case()
    named(own, DEPLOYMENTS, GRAFANA)["metadata"]["name"] = "grafana-standalone"
    assert look(own, "no_other_grafana", **asked).outlook == Outlook.MET
