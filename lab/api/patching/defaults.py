"""What a server fills into an object that does not say it: by kind for built-in ones, by schema for CRDs'.

Only what follows from the object itself; what needs the store (addresses, tolerations, QoS) is admission's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.api.patching import openapi
from lab.api.patching.schema import GVK
from lab.api.patching.unknown import without_unknown
from lab.plain import copied

Obj = dict[str, Any]


def default(gvk: GVK, obj: Obj, now: str, *, schema: Obj | None = None) -> Obj:
    """A copy with unknown fields dropped and defaults filled in; stamps creationTimestamp `now` if there is none.

    `now` is RFC 3339 in UTC. `schema` is the openAPIV3Schema of a CRD's version.
    """
    result = copied(without_unknown(gvk, obj, schema=schema))
    metadata = result.setdefault("metadata", {})
    if isinstance(metadata, dict) and not metadata.get("creationTimestamp"):
        metadata["creationTimestamp"] = now
    if schema:
        openapi.fill_defaults(result, schema)
        return result
    fill = _BY_KIND.get((gvk[0], gvk[2]))
    if fill is not None:
        fill(result)
    return result


def _spec(obj: Obj) -> Obj:
    """The object's spec, or something to write into that is thrown away when validation will refuse it anyway."""
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    return spec if isinstance(spec, dict) else {}


def _dicts(values: Any) -> list[Obj]:
    return [each for each in values or [] if isinstance(each, dict)] if isinstance(values, list) else []


def _fill(target: Obj, **values: Any) -> None:
    for name, value in values.items():
        if target.get(name) is None:
            target[name] = copied(value)


def pod_spec(spec: Obj) -> None:
    """Defaults of a pod's or template's spec, in place."""
    _fill(
        spec,
        restartPolicy="Always",
        dnsPolicy="ClusterFirst",
        schedulerName="default-scheduler",
        securityContext={},
        terminationGracePeriodSeconds=30,
    )
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in _dicts(spec.get(field)):
            _container(container)
    for volume in _dicts(spec.get("volumes")):
        _volume(volume)


def _container(container: Obj) -> None:
    image = str(container.get("image") or "")
    tag = image.rpartition("/")[2]
    latest = "@" not in tag and (":" not in tag or tag.endswith(":latest"))
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    for port in _dicts(container.get("ports")):
        _fill(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if isinstance(container.get(name), dict):
            _probe(container[name])
    for variable in _dicts(container.get("env")):
        field_ref = (variable.get("valueFrom") or {}).get("fieldRef")
        if isinstance(field_ref, dict):
            _fill(field_ref, apiVersion="v1")


def _probe(probe: Obj) -> None:
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    if isinstance(probe.get("httpGet"), dict):
        _fill(probe["httpGet"], path="/", scheme="HTTP")


def _volume(volume: Obj) -> None:
    if not (volume.keys() - {"name"}):
        volume["emptyDir"] = {}
    for name in ("secret", "configMap", "projected", "downwardAPI"):
        if isinstance(volume.get(name), dict):
            _fill(volume[name], defaultMode=420)
    for source in _dicts((volume.get("projected") or {}).get("sources")):
        if isinstance(source.get("serviceAccountToken"), dict):
            _fill(source["serviceAccountToken"], expirationSeconds=3600)
    if isinstance(volume.get("hostPath"), dict):
        _fill(volume["hostPath"], type="")


def _template(spec: Obj) -> None:
    template = spec.get("template")
    if isinstance(template, dict) and isinstance(template.get("spec"), dict):
        pod_spec(template["spec"])


def _pod(obj: Obj) -> None:
    spec = _spec(obj)
    pod_spec(spec)
    _fill(spec, enableServiceLinks=True)
    for container in _dicts(spec.get("containers")) + _dicts(spec.get("initContainers")):
        resources = container.get("resources")
        if isinstance(resources, dict) and isinstance(resources.get("limits"), dict):
            resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _deployment(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1, strategy={}, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = spec["strategy"]
    if isinstance(strategy, dict):
        _fill(strategy, type="RollingUpdate")
        if strategy["type"] == "RollingUpdate":
            _fill(strategy, rollingUpdate={})
            _fill(strategy["rollingUpdate"], maxUnavailable="25%", maxSurge="25%")
    _template(spec)


def _replica_set(obj: Obj) -> None:
    _fill(_spec(obj), replicas=1)
    _template(_spec(obj))


def _stateful_set(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, replicas=1, podManagementPolicy="OrderedReady", updateStrategy={}, revisionHistoryLimit=10)
    _fill(spec, persistentVolumeClaimRetentionPolicy={})
    _fill(spec["persistentVolumeClaimRetentionPolicy"], whenDeleted="Retain", whenScaled="Retain")
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={"partition": 0})
    for claim in _dicts(spec.get("volumeClaimTemplates")):
        _fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _claim(claim)
    _template(spec)


def _daemon_set(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, updateStrategy={}, revisionHistoryLimit=10)
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        _fill(spec["updateStrategy"], rollingUpdate={})
        _fill(spec["updateStrategy"]["rollingUpdate"], maxUnavailable=1, maxSurge=0)
    _template(spec)


def _job_spec(spec: Obj) -> None:
    if spec.get("completions") is None and spec.get("parallelism") is None:
        _fill(spec, completions=1)
    _fill(spec, parallelism=1, backoffLimit=6, completionMode="NonIndexed", suspend=False)
    _template(spec)


def _cron_job(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(
        spec,
        concurrencyPolicy="Allow",
        suspend=False,
        successfulJobsHistoryLimit=3,
        failedJobsHistoryLimit=1,
    )
    job = spec.get("jobTemplate")
    if isinstance(job, dict) and isinstance(job.get("spec"), dict):
        _template(job["spec"])


def _service(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["type"] != "ExternalName":
        _fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)
    for port in _dicts(spec.get("ports")):
        _fill(port, protocol="TCP", targetPort=port.get("port"))


def _claim(obj: Obj) -> None:
    _fill(_spec(obj), volumeMode="Filesystem")


def _volume_object(obj: Obj) -> None:
    _fill(_spec(obj), volumeMode="Filesystem", persistentVolumeReclaimPolicy="Retain")


def _storage_class(obj: Obj) -> None:
    _fill(obj, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _secret(obj: Obj) -> None:
    _fill(obj, type="Opaque")


def _network_policy(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, policyTypes=["Ingress", "Egress"] if "egress" in spec else ["Ingress"])


def _binding(obj: Obj) -> None:
    if isinstance(obj.get("roleRef"), dict):
        _fill(obj["roleRef"], apiGroup="rbac.authorization.k8s.io")
    for subject in _dicts(obj.get("subjects")):
        if subject.get("kind") in ("User", "Group"):
            _fill(subject, apiGroup="rbac.authorization.k8s.io")


def _endpoint_slice(obj: Obj) -> None:
    for port in _dicts(obj.get("ports")):
        _fill(port, name="", protocol="TCP")


def _endpoints(obj: Obj) -> None:
    for subset in _dicts(obj.get("subsets")):
        for port in _dicts(subset.get("ports")):
            _fill(port, protocol="TCP")


def _autoscaler(obj: Obj) -> None:
    target = {"type": "Utilization", "averageUtilization": 80}
    _fill(_spec(obj), minReplicas=1, metrics=[{"type": "Resource", "resource": {"name": "cpu", "target": target}}])


def _definition(obj: Obj) -> None:
    spec = _spec(obj)
    _fill(spec, conversion={"strategy": "None"})
    names = spec.get("names")
    if isinstance(names, dict) and names.get("kind"):
        _fill(names, singular=str(names["kind"]).lower(), listKind=f"{names['kind']}List")


_BY_KIND: dict[tuple[str, str], Callable[[Obj], None]] = {
    ("", "Pod"): _pod,
    ("", "Service"): _service,
    ("", "Secret"): _secret,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume_object,
    ("", "Endpoints"): _endpoints,
    ("apps", "Deployment"): _deployment,
    ("apps", "ReplicaSet"): _replica_set,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("batch", "Job"): lambda obj: _job_spec(_spec(obj)),
    ("batch", "CronJob"): _cron_job,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("rbac.authorization.k8s.io", "RoleBinding"): _binding,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _binding,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("autoscaling", "HorizontalPodAutoscaler"): _autoscaler,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
}
