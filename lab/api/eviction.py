"""The eviction subresource of pods: deletes a pod if its PodDisruptionBudget lets it go.

The rules are those of kube-apiserver 1.30 (pkg/registry/core/pod/storage/eviction.go): pending, finished and
terminating pods pass without a look at budgets; a pod that is not ready passes while its budget is met, or always when
the budget says so; a ready one takes one disruption from `status.disruptionsAllowed`, which the disruption controller
fills again.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from lab.api import deletion, errors, metadata, request
from lab.api.errors import ApiError, Obj
from lab.api.handlers import Core
from lab.api.objects import Options
from lab.api.patching import Cause
from lab.api.registry import Resource
from lab.api.render import respond
from lab.api.selectors import match_label_selector

_CREATED: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_VERSIONS = ("policy/v1", "policy/v1beta1")
_BUDGETS = "poddisruptionbudgets.policy"
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_VIOLATES = "Cannot evict pod as it would violate the pod's disruption budget."
_UNCONFIRMED = 2000  # evictions that the controller has not confirmed; more than a budget may have open


def evict(core: Core, call: request.Call, resource: Resource) -> web.Response:
    """Answer a POST. Raises ApiError 400, 404, 409 (precondition), 429 (budget), 500 (two budgets)."""
    body = request.read_body(call)
    if body.get("apiVersion", "policy/v1") not in _VERSIONS or body.get("kind", "Eviction") != "Eviction":
        raise errors.bad_request(f'no kind "{body.get("kind")}" is registered for version "{body.get("apiVersion")}"')
    if (body.get("metadata") or {}).get("name", call.name) != call.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    options = deletion.read_options(call, body.get("deleteOptions") or {})
    pod = core.objects.require(resource, call.namespace, call.name)
    if not _passes(pod):
        _ask_budget(core, pod, dry_run=options.dry_run)
    core.deletion.check_preconditions(resource, pod, options)
    if not options.dry_run:
        _mark(core, resource, pod)
        options = replace(options, resource_version="")
    obj, gone = core.deletion.delete(resource, call.namespace, call.name, options)
    core.ledger.record(call, pod, obj, core.objects.now(), gone=gone, dry_run=options.dry_run)
    return respond(_CREATED, 201)


def _passes(pod: Obj) -> bool:
    """Whether the pod's disruption has happened already, or has nothing to disrupt."""
    phase = (pod.get("status") or {}).get("phase")
    return phase in ("Pending", "Succeeded", "Failed") or bool(pod["metadata"].get("deletionTimestamp"))


def _ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _budgets_of(core: Core, pod: Obj) -> list[Obj]:
    labels = pod["metadata"].get("labels") or {}
    return [
        budget
        for budget in core.store.objects(_BUDGETS, pod["metadata"]["namespace"])
        if (selector := (budget.get("spec") or {}).get("selector")) is not None
        and match_label_selector(selector, labels)
    ]


def _ask_budget(core: Core, pod: Obj, *, dry_run: bool) -> None:
    """Take one disruption from the pod's budget where that is needed. Raises ApiError 403, 429, 500."""
    found = _budgets_of(core, pod)
    if not found:
        return
    if len(found) > 1:
        raise ApiError(500, "", _SEVERAL)
    budget = found[0]
    status, spec = budget.get("status") or {}, budget.get("spec") or {}
    if not _ready(pod):
        if spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
            return
        healthy, needed = int(status.get("currentHealthy") or 0), int(status.get("desiredHealthy") or 0)
        if healthy >= needed > 0:
            return
    _spend(core, pod, budget, dry_run=dry_run)


def _spend(core: Core, pod: Obj, budget: Obj, *, dry_run: bool) -> None:
    status, name = budget.get("status") or {}, budget["metadata"]["name"]
    if int(status.get("observedGeneration") or 0) < int(budget["metadata"].get("generation") or 0):
        raise _refused(f"The disruption budget {name} is still being processed by the server.")
    allowed = int(status.get("disruptionsAllowed") or 0)
    if allowed < 0:
        raise errors.forbidden("poddisruptionbudget", "policy", name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _UNCONFIRMED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("poddisruptionbudget", "policy", name, why)
    if allowed == 0:
        needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _refused(f"The disruption budget {name} needs {needed} healthy pods and has {healthy} currently")
    if dry_run:
        return
    changed = metadata.clone(budget)
    after = changed["status"]
    after["disruptionsAllowed"] = allowed - 1
    after.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = core.objects.now()
    if allowed == 1:
        _no_more(after, core.objects.now())
    resource = core.registry.by_key(_BUDGETS)
    assert resource is not None
    core.objects.update(resource, budget, changed, Options("kube-apiserver"), "status")


def _no_more(status: Obj, now: str) -> None:
    """The condition DisruptionAllowed as the controller will write it too."""
    for entry in status.get("conditions") or []:
        if entry.get("type") == "DisruptionAllowed" and entry.get("status") != "False":
            entry |= {"status": "False", "reason": "InsufficientPods", "lastTransitionTime": now}


def _refused(text: str) -> ApiError:
    return errors.too_many_requests(_VIOLATES, 0, [Cause("DisruptionBudget", "", text)])


def _mark(core: Core, resource: Resource, pod: Obj) -> None:
    """Say in the pod's status why it goes, before it does."""
    changed = metadata.clone(pod)
    status = changed.setdefault("status", {})
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": core.objects.now(),
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    others = [each for each in status.get("conditions") or [] if each.get("type") != "DisruptionTarget"]
    if len(others) == len(status.get("conditions") or []):
        status["conditions"] = [*others, condition]
        core.store.put(resource.key, changed)
