"""*Create Grafana's admin Secret*: ``admin.existingSecret`` of the chart, so that no render makes a new password (G16).

The password is made when the request is sent; it is in the Secret and nowhere else. A Secret that is there is never
touched: changing its password would not change the one in Grafana's database.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Blast,
    Create,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, helm
from deployments.catalogue.dashboards import gitops, stack, standalone_set
from deployments.catalogue.dashboards.standalone_set import PASSWORD_KEY, SECRET, USER_KEY
from integrations.kubernetes.parts import KubeObject
from monitoring.snapshot import Need, Objects, Snapshot

SLUG = "create-grafana-admin-secret"
_NAME = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$"
_UNDO = "Delete the Secret by its uid. A Grafana that already started with it keeps the password in its database."


class SecretParams(Params, frozen=True):
    """Where, and under which name."""

    namespace: Annotated[
        str, msgspec.Meta(pattern=_NAME, description="Namespace Grafana runs in; empty: found in the cluster")
    ] = ""
    name: Annotated[str, msgspec.Meta(pattern=_NAME, max_length=253, description="Secret")] = SECRET
    user: Annotated[
        str, msgspec.Meta(pattern=r"^[A-Za-z0-9._@-]{1,64}$", description="Name of Grafana's administrator")
    ] = "admin"

    def __post_init__(self) -> None:
        if not self.name:
            raise texts.Refused("name", "the Secret needs a name")


def needs(_snapshot: Snapshot, _params: SecretParams) -> Iterable[Need]:
    """Where Grafana is, who renders it, and that the namespace is there. The Secret itself is not read here."""
    yield from stack.needs()
    yield Objects(calls.APPLICATIONS)
    yield Objects("namespaces")


def draft(snapshot: Snapshot, params: SecretParams) -> PlanDraft:
    """One create. The engine refuses it when a Secret of that name is there. :raises CannotPlan, Missing:"""
    namespace = stack.namespace_of(snapshot, params.namespace, prepares=True)
    return PlanDraft(
        params=msgspec.to_builtins(SecretParams(namespace=namespace, name=params.name, user=params.user)),
        preconditions=(_namespace(snapshot, namespace),),
        steps=(step(namespace, params.name, params.user),),
        # the answer of the API server to the create is the evidence: the reading identity may not read Secrets
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(created=(f"Secret {params.name}",), sentence=_used(snapshot, namespace, params.name)),
    )


def step(namespace: str, name: str, user: str = "admin", *, kept: bool = False) -> StepSpec:
    """The create, for other plans too. ``kept``: an undo of the plan leaves it, people may know the password."""
    return StepSpec(
        verb="create",
        title=f"Create Secret {name} with a generated password",
        how="create",
        resource="secrets",
        namespace=namespace,
        name=name,
        effect=Create(standalone_set.admin_secret(namespace, name, user)),
        irreversible=kept,
    )


def _namespace(snapshot: Snapshot, namespace: str) -> Precondition:
    found: KubeObject | None = snapshot.get("namespaces", "", namespace)
    going = found is not None and found.metadata.deletion_timestamp is not None
    said = "not there" if found is None else "it is being deleted" if going else "there"
    return Precondition(f"Namespace {namespace} is there", found is not None and not going, said)


def _used(snapshot: Snapshot, namespace: str, name: str) -> str:
    """Who will read it, as far as the values say."""
    how = f"Its keys are {USER_KEY} and {PASSWORD_KEY}; the password is shown nowhere, read it with kubectl."
    owner = gitops.owner(snapshot, namespace)
    if owner is None:
        return f"{how} No Application that renders Grafana here refers to it."
    wanted = helm.at(owner.values, "admin", "existingSecret")
    app = owner.app.metadata.name
    if wanted == name:
        return f"{how} The values of {app} refer to it: a pod that waits for it starts by itself."
    return f"{how} The values of {app} do not refer to it yet (admin.existingSecret: {name})."


ACTION = Action(
    slug=SLUG,
    title="Create Grafana's admin Secret",
    family="Grafana",
    tier=1,
    summary="A Secret with the administrator's name and a generated password, for admin.existingSecret of the chart.",
    params=SecretParams,
    needs=needs,
    draft=draft,
    rules=(Rule("", "secrets", ("get", "create", "delete")),),
    undo=_UNDO,
    undoable=True,
    guards=(
        "a Secret that is there is not touched",
        "the password is made when the request is sent and stored nowhere",
    ),
    verified_by="The API server's answer to the create; the reading identity may not read Secrets.",
    reference="https://github.com/grafana-community/helm-charts/tree/main/charts/grafana",
)
