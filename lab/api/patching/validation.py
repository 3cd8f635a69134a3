"""What is wrong with an object beyond its metadata: required fields, ranges, references between its own
fields, and what must not change once it is created. Pure.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from lab.api.patching import openapi
from lab.api.patching.errors import Cause
from lab.api.patching.schema import GVK

Obj = dict[str, Any]
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_DATA_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_QUANTITY = re.compile(r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+|[numkMGTPE]|[KMGTPE]i)?$")
_SCHEDULE = re.compile(r"^(@(yearly|annually|monthly|weekly|daily|midnight|hourly|every \S+)|(\S+ ){4}\S+)$")
_JOB_UID = "batch.kubernetes.io/controller-uid"
_PERCENT_HELP = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
    "validation is '[0-9]+%')"
)
_IMMUTABLE = "field is immutable"
_LABEL_HELP = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"
_KEY_HELP = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_CLAIM_FORBIDDEN = "Forbidden: spec is immutable after creation except resources.requests for bound claims"
_POD_MUTABLE = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "nodeName", "schedulingGates")
_POD_FORBIDDEN = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_SET_FORBIDDEN = (
    "Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_SET_MUTABLE = (
    "replicas",
    "template",
    "updateStrategy",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
)


def validate(gvk: GVK, obj: Obj, old: Obj | None = None, *, schema: Obj | None = None) -> list[Cause]:
    """The causes of a 422; empty when the object may be stored. `old` is what it replaces."""
    if schema:
        return list(openapi.causes(obj, schema))
    check = _BY_KIND.get((gvk[0], gvk[2]))
    return list(check(obj, old)) if check else []


def _required(field: str, text: str = "") -> Cause:
    return Cause("FieldValueRequired", field, f"Required value: {text}" if text else "Required value")


def _invalid(field: str, value: Any, text: str) -> Cause:
    return Cause("FieldValueInvalid", field, f"Invalid value: {json.dumps(value, ensure_ascii=False)}: {text}")


def _spec(obj: Obj | None) -> Obj:
    spec = (obj or {}).get("spec")
    return spec if isinstance(spec, dict) else {}


def _whole_number(spec: Obj, name: str) -> Iterator[Cause]:
    value = spec.get(name)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        yield _invalid(f"spec.{name}", value, "must be greater than or equal to 0")


def _pod_spec(spec: Any, path: str, claims: frozenset[Any] = frozenset()) -> Iterator[Cause]:
    if not isinstance(spec, dict) or not spec.get("containers"):
        yield _required(f"{path}.containers")
        return
    volumes = claims | {each.get("name") for each in spec.get("volumes") or []}
    seen: set[str] = set()
    for field in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(field) or []):
            here = f"{path}.{field}[{index}]"
            yield from _container(container, here, volumes)
            name = str(container.get("name"))
            if name in seen:
                yield Cause("FieldValueDuplicate", f"{here}.name", f'Duplicate value: "{name}"')
            seen.add(name)


def _container(container: Obj, here: str, volumes: frozenset[Any]) -> Iterator[Cause]:
    name = container.get("name")
    if not name:
        yield _required(f"{here}.name")
    elif not _NAME.match(str(name)) or len(str(name)) > 63:
        yield _invalid(f"{here}.name", name, _LABEL_HELP)
    if not container.get("image"):
        yield _required(f"{here}.image")
    resources = container.get("resources") or {}
    for part in ("limits", "requests"):
        for key, amount in (resources.get(part) or {}).items():
            if not _QUANTITY.match(str(amount)):
                yield _invalid(f"{here}.resources.{part}[{key}]", amount, "not a quantity")
    names = [port.get("name") for port in container.get("ports") or [] if port.get("name")]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Cause("FieldValueDuplicate", f"{here}.ports[{index}].name", f'Duplicate value: "{name}"')
    for index, mount in enumerate(container.get("volumeMounts") or []):
        if mount.get("name") not in volumes:
            yield Cause("FieldValueNotFound", f"{here}.volumeMounts[{index}].name", f'Not found: "{mount.get("name")}"')


def _pod(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    yield from _pod_spec(obj.get("spec"), "spec")
    if old is not None and _fixed_pod_spec(obj) != _fixed_pod_spec(old):
        yield Cause("FieldValueForbidden", "spec", _POD_FORBIDDEN)


def _fixed_pod_spec(obj: Obj) -> Obj:
    spec = {name: value for name, value in _spec(obj).items() if name not in _POD_MUTABLE}
    for field in ("containers", "initContainers"):
        if isinstance(spec.get(field), list):
            spec[field] = [{**each, "image": ""} for each in spec[field] if isinstance(each, dict)]
    spec.pop("ephemeralContainers", None)
    return spec


def _workload(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    """What all workloads share: selector, template, replicas."""
    spec = _spec(obj)
    yield from _whole_number(spec, "replicas")
    selector = spec.get("selector")
    template = spec.get("template") if isinstance(spec.get("template"), dict) else {}
    if not isinstance(selector, dict) or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        yield _required("spec.selector")
    else:
        labels = ((template or {}).get("metadata") or {}).get("labels") or {}
        wanted = selector.get("matchLabels") or {}
        if any(labels.get(key) != value for key, value in wanted.items()):
            yield _invalid("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")
        if old is not None and _spec(old).get("selector") != selector:
            yield _invalid("spec.selector", selector, _IMMUTABLE)
    claims = frozenset((each.get("metadata") or {}).get("name") for each in spec.get("volumeClaimTemplates") or [])
    yield from _pod_spec((template or {}).get("spec"), "spec.template.spec", claims)
    restart = ((template or {}).get("spec") or {}).get("restartPolicy")
    if restart not in (None, "Always"):
        text = f'Unsupported value: "{restart}": supported values: "Always"'
        yield Cause("FieldValueNotSupported", "spec.template.spec.restartPolicy", text)


def _deployment(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    yield from _workload(obj, old)
    strategy = _spec(obj).get("strategy") or {}
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        text = "Forbidden: may not be specified when strategy `type` is 'Recreate'"
        yield Cause("FieldValueForbidden", "spec.strategy.rollingUpdate", text)


def _stateful_set(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    if old is None:
        yield from _workload(obj, None)
        return

    def fixed(which: Obj) -> Obj:
        return {name: value for name, value in _spec(which).items() if name not in _SET_MUTABLE}

    yield from _workload(obj, {"spec": {"selector": _spec(obj).get("selector")}})
    if fixed(obj) != fixed(old):
        yield Cause("FieldValueForbidden", "spec", _SET_FORBIDDEN)


def _job(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    template = spec.get("template") if isinstance(spec.get("template"), dict) else {}
    claims = frozenset((each.get("metadata") or {}).get("name") for each in spec.get("volumeClaimTemplates") or [])
    yield from _pod_spec((template or {}).get("spec"), "spec.template.spec", claims)
    restart = ((template or {}).get("spec") or {}).get("restartPolicy")
    if restart not in ("Never", "OnFailure"):
        text = f'Unsupported value: "{restart}": supported values: "OnFailure", "Never"'
        yield Cause("FieldValueNotSupported", "spec.template.spec.restartPolicy", text)
    yield from _job_identity(obj, spec, template or {})
    if old is not None:
        for name in ("selector", "template", "completions", "completionMode"):
            if _spec(old).get(name) != spec.get(name):
                yield _invalid(f"spec.{name}", {} if name == "template" else spec.get(name), _IMMUTABLE)


def _job_identity(obj: Obj, spec: Obj, template: Obj) -> Iterator[Cause]:
    """A generated selector, and the labels that go with it, are of this very Job: a copy must come without them."""
    uid = (obj.get("metadata") or {}).get("uid")
    if not uid or spec.get("manualSelector"):
        return
    if spec.get("selector") != {"matchLabels": {_JOB_UID: uid}}:
        yield _invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated")
    labels = (template.get("metadata") or {}).get("labels") or {}
    for key in ("controller-uid", _JOB_UID):
        if labels.get(key) != uid:
            yield _invalid(f"spec.template.metadata.labels[{key}]", labels.get(key), f"must be '{uid}'")


def _cron_job(obj: Obj, _old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    if not spec.get("schedule"):
        yield _required("spec.schedule")
    elif not _SCHEDULE.match(str(spec["schedule"])):
        yield _invalid("spec.schedule", spec["schedule"], "expected exactly 5 fields, or a descriptor such as @hourly")
    template = spec.get("jobTemplate") if isinstance(spec.get("jobTemplate"), dict) else {}
    for cause in _job({"spec": (template or {}).get("spec")}, None):
        yield Cause(cause.reason, cause.field.replace("spec.", "spec.jobTemplate.spec.", 1), cause.message)
    if spec.get("concurrencyPolicy") not in (None, "Allow", "Forbid", "Replace"):
        text = f'Unsupported value: "{spec["concurrencyPolicy"]}": supported values: "Allow", "Forbid", "Replace"'
        yield Cause("FieldValueNotSupported", "spec.concurrencyPolicy", text)


def _budget(obj: Obj, _old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        yield _invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
    for name in ("minAvailable", "maxUnavailable"):
        value = spec.get(name)
        if isinstance(value, str):
            if not re.fullmatch(r"[0-9]+%", value):
                yield _invalid(f"spec.{name}", value, _PERCENT_HELP)
            elif int(value[:-1]) > 100:
                yield _invalid(f"spec.{name}", value, "must not be greater than 100%")
        else:
            yield from _whole_number(spec, name)


def _autoscaler(obj: Obj, _old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    target = spec.get("scaleTargetRef") or {}
    for name in ("kind", "name"):
        if not target.get(name):
            yield _required(f"spec.scaleTargetRef.{name}")
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if not isinstance(most, int) or most < 1:
        yield _invalid("spec.maxReplicas", most, "must be greater than 0")
    elif isinstance(least, int) and least > most:
        yield _invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


def _service(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    ports = spec.get("ports") or []
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield _required("spec.ports")
    for index, port in enumerate(ports):
        number = port.get("port")
        if not isinstance(number, int) or not 0 < number < 65536:
            yield _invalid(f"spec.ports[{index}].port", number, "must be between 1 and 65535, inclusive")
        if len(ports) > 1 and not port.get("name"):
            yield _required(f"spec.ports[{index}].name")
    before = _spec(old).get("clusterIP")
    external = "ExternalName" in (spec.get("type"), _spec(old).get("type"))
    if before and not external and spec.get("clusterIP") != before:
        yield _invalid("spec.clusterIP", spec.get("clusterIP"), _IMMUTABLE)


def _data(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    """ConfigMap and Secret: keys, base64, `immutable`."""
    for field in ("data", "binaryData"):
        for key, value in (obj.get(field) or {}).items():
            if not _DATA_KEY.match(key) or len(key) > 253:
                yield _invalid(
                    f"{field}[{key}]",
                    key,
                    _KEY_HELP,
                )
            elif (obj.get("kind") == "Secret" or field == "binaryData") and not _is_base64(value):
                yield _invalid(f"{field}[{key}]", "<redacted>", "illegal base64 data")
    if old is not None and old.get("immutable"):
        if any(obj.get(field) != old.get(field) for field in ("data", "binaryData")):
            yield Cause("FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set")
        if not obj.get("immutable"):
            yield Cause("FieldValueForbidden", "immutable", "Forbidden: field is immutable when `immutable` is set")
    if old is not None and obj.get("kind") == "Secret" and obj.get("type") != old.get("type"):
        yield _invalid("type", obj.get("type"), _IMMUTABLE)


def _is_base64(value: Any) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError, TypeError):
        return False
    return True


def _claim(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    spec, before = _spec(obj), _spec(old)
    if not spec.get("accessModes"):
        yield _required("spec.accessModes", "at least 1 access mode is required")
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield _required("spec.resources[storage]")
    # set later by the binder and by the default-class admission, then fixed
    late = {name for name in ("volumeName", "storageClassName") if not before.get(name)}
    mutable = {"resources", "volumeAttributesClassName", *late}
    if old is not None and _other(spec, mutable) != _other(before, mutable):
        yield Cause("FieldValueForbidden", "spec", _CLAIM_FORBIDDEN)


def _other(spec: Obj, names: set[str]) -> Obj:
    return {name: value for name, value in spec.items() if name not in names}


def _storage_class(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    if not obj.get("provisioner"):
        yield _required("provisioner")
    for field in ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"):
        if old is not None and obj.get(field) != old.get(field):
            yield Cause("FieldValueForbidden", field, f"Forbidden: updates to {field} are forbidden.")


def _binding(obj: Obj, old: Obj | None) -> Iterator[Cause]:
    role = obj.get("roleRef") or {}
    if not role.get("name"):
        yield _required("roleRef.name")
    if old is not None and old.get("roleRef") != role:
        yield _invalid("roleRef", role, "cannot change roleRef")
    for index, subject in enumerate(obj.get("subjects") or []):
        if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
            yield _required(f"subjects[{index}].namespace")


def _definition(obj: Obj, _old: Obj | None) -> Iterator[Cause]:
    spec = _spec(obj)
    names = spec.get("names") or {}
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    for field in ("group", "scope", "versions"):
        if not spec.get(field):
            yield _required(f"spec.{field}")
    for field in ("plural", "kind"):
        if not names.get(field):
            yield _required(f"spec.names.{field}")
    if (obj.get("metadata") or {}).get("name") != wanted:
        yield _invalid("metadata.name", (obj.get("metadata") or {}).get("name"), "must be spec.names.plural.spec.group")
    if sum(1 for version in spec.get("versions") or [] if version.get("storage")) != 1:
        yield _invalid("spec.versions", [], "must have exactly one version marked as storage version")


_BY_KIND: dict[tuple[str, str], Callable[[Obj, Obj | None], Iterator[Cause]]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "ConfigMap"): _data,
    ("", "Secret"): _data,
    ("", "PersistentVolumeClaim"): _claim,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _workload,
    ("apps", "DaemonSet"): _workload,
    ("apps", "StatefulSet"): _stateful_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("policy", "PodDisruptionBudget"): _budget,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
