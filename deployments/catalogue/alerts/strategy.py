"""The matcher strategy: by default the operator binds a channel to the alerts of its own namespace.

Facts (prometheus-operator's source and API reference): under ``OnNamespace`` (the default) each first route gets
``namespace="<its own>"``, so an alert without that label reaches nobody; ``None`` binds nobody; since v0.84
``OnNamespaceExceptForAlertmanagerNamespace`` leaves only Alertmanager's own namespace unbound. The chart does not write
the field unless told to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from deployments.catalogue.action import Precondition
from deployments.catalogue.alerts.managers import Operator, Owner
from deployments.catalogue.alerts.selection import fit
from deployments.catalogue.nodes import fields
from integrations.kubernetes.parts import KubeObject
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Snapshot

FIELD = ("spec", "alertmanagerConfigMatcherStrategy", "type")
VALUE = "alertmanager.alertmanagerSpec.alertmanagerConfigMatcherStrategy.type"
ON_NAMESPACE, EXCEPT_OWN, UNBOUND = "OnNamespace", "OnNamespaceExceptForAlertmanagerNamespace", "None"
_EXCEPT_SINCE = (0, 84)


@dataclass(frozen=True, slots=True)
class Change:
    """The strategy as it is and as it must become; ``after`` is empty when it may stay."""

    before: str
    after: str = ""


def change(owner: Owner, operator: Operator | None, namespace: str) -> Change:
    """What a channel of this namespace needs to get alerts of the whole cluster."""
    before = str((owner.spec.get("alertmanagerConfigMatcherStrategy") or {}).get("type") or ON_NAMESPACE)
    own = namespace == owner.meta.namespace
    if before == UNBOUND or (before == EXCEPT_OWN and own):
        return Change(before)
    new = operator is not None and operator.version >= _EXCEPT_SINCE
    return Change(before, EXCEPT_OWN if own and new else UNBOUND)


def preconditions(
    snapshot: Snapshot, owner: Owner, wanted: Change, namespace: str, name: str, others: Iterable[KubeObject]
) -> Iterable[Precondition]:
    """Nobody reverts the change, and no other channel begins to get alerts that are not its own."""
    stays = fields.stays(snapshot, owner.raw, *FIELD)
    yield Precondition("Nobody reverts the change of the matcher strategy", stays.met, stays.evidence)
    selector = owner.spec.get("alertmanagerConfigSelector")
    loosened = sorted(
        f"{other.metadata.namespace}/{other.metadata.name}"
        for other in others
        if fit(selector, other.metadata.labels).met
        and (other.metadata.namespace, other.metadata.name) != (namespace, name)
        and (wanted.after == UNBOUND or other.metadata.namespace == owner.meta.namespace)
    )
    yield Precondition(
        "No other channel begins to get alerts of the whole cluster",
        not loosened,
        f"{clean(listing(loosened), 200)} would; take scope namespace, or set the strategy with their owners"
        if loosened
        else "no other AlertmanagerConfig is bound to its namespace by the strategy",
    )
