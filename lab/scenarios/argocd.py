"""Argo CD as the team runs it: workloads, Services, projects, and the Applications of the repository."""

from __future__ import annotations

from lab.controllers.argocd import kinds
from lab.controllers.client import Object
from lab.git import Repository
from lab.git.templates import plain
from lab.scenarios.builder import Builder
from lab.scenarios.cluster import PLATFORM_AGE, account, container, definition, namespace, service, workload

WHERE = "argocd"
IMAGE = "quay.io/argoproj/argocd:v2.14.20"
_SHORT = {
    "Application": ["app", "apps"],
    "AppProject": ["appproj", "appprojs"],
    "ApplicationSet": ["appset", "appsets"],
}
ROOT: Object = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "root-app", "namespace": WHERE, "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
    "spec": {
        "project": "infrastructure",
        "source": {
            "repoURL": "https://github.com/platform-team/infrastructure-gitops.git",
            "targetRevision": "main",
            "path": "bootstrap/apps",
        },
        "destination": {"server": "https://kubernetes.default.svc", "namespace": WHERE},
        "syncPolicy": {"automated": {"prune": False, "selfHeal": True}, "syncOptions": ["CreateNamespace=true"]},
    },
}


def load(world: Builder) -> None:
    """Argo CD's own objects."""
    world.add(namespace(WHERE), PLATFORM_AGE)
    columns = [
        ("Sync Status", "string", ".status.sync.status"),
        ("Health Status", "string", ".status.health.status"),
        ("Revision", "string", ".status.sync.revision"),
        ("Project", "string", ".spec.project"),
    ]
    for kind, plural in (
        ("Application", "applications"),
        ("AppProject", "appprojects"),
        ("ApplicationSet", "applicationsets"),
    ):
        crd = definition("argoproj.io", kind, plural, "v1alpha1", columns if kind == "Application" else None)
        crd["spec"]["names"]["shortNames"] = _SHORT[kind]
        world.add(crd, PLATFORM_AGE)
    _settings(world)
    _workloads(world)
    for name, text in (
        ("default", ""),
        ("infrastructure", "Cluster services of the platform team"),
        ("applications", "Applications of the product teams"),
    ):
        spec: Object = {
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
            "destinations": [{"namespace": "*", "server": "*"}],
            "sourceRepos": ["*"],
        }
        if text:
            spec["description"] = text
        meta = {"name": name, "namespace": WHERE}
        world.add(
            {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": meta, "spec": spec}, PLATFORM_AGE
        )


def _settings(world: Builder) -> None:
    labels = {"app.kubernetes.io/part-of": "argocd"}
    for name, data in (
        ("argocd-cm", {"application.resourceTrackingMethod": "annotation"}),
        ("argocd-cmd-params-cm", {"server.insecure": "true"}),
        ("argocd-rbac-cm", {"policy.default": "role:readonly"}),
    ):
        meta = {"name": name, "namespace": WHERE, "labels": {**labels, "app.kubernetes.io/name": name}}
        world.add({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}, PLATFORM_AGE)


def _workloads(world: Builder) -> None:
    parts: list[tuple[str, str, str, list[tuple[str, int]], list[str]]] = [
        ("StatefulSet", "application-controller", IMAGE, [("metrics", 8082)], ["argocd-application-controller"]),
        ("Deployment", "server", IMAGE, [("server", 8080), ("metrics", 8083)], ["argocd-server"]),
        ("Deployment", "repo-server", IMAGE, [("server", 8081), ("metrics", 8084)], ["argocd-repo-server"]),
        ("Deployment", "redis", "docker.io/library/redis:7.4.5-alpine", [("redis", 6379)], ["redis-server"]),
        ("Deployment", "applicationset-controller", IMAGE, [("webhook", 7000), ("metrics", 8080)], ["argocd-appset"]),
    ]
    for kind, part, image, ports, command in parts:
        name = f"argocd-{part}"
        labels = {"app.kubernetes.io/name": name}
        all_labels = {**labels, "app.kubernetes.io/component": part, "app.kubernetes.io/part-of": "argocd"}
        world.add(account(name, WHERE), PLATFORM_AGE)
        open_ports = [{"name": port, "containerPort": number, "protocol": "TCP"} for port, number in ports]
        main = container(name, image, args=command, ports=open_ports)
        if part != "redis":
            main["readinessProbe"] = {"httpGet": {"path": "/healthz", "port": ports[-1][0]}}
        pod: Object = {"serviceAccountName": name, "containers": [main]}
        body = workload(kind, name, WHERE, all_labels, pod, replicas=1)
        if kind == "StatefulSet":
            body["spec"]["serviceName"] = name
        world.add(body, PLATFORM_AGE)
    services: list[tuple[str, str, list[tuple[str, int, object]]]] = [
        ("argocd-metrics", "application-controller", [("metrics", 8082, 8082)]),
        ("argocd-server-metrics", "server", [("metrics", 8083, 8083)]),
        ("argocd-repo-server", "repo-server", [("server", 8081, 8081), ("metrics", 8084, 8084)]),
        ("argocd-redis", "redis", [("tcp-redis", 6379, 6379)]),
        ("argocd-applicationset-controller", "applicationset-controller", [("webhook", 7000, 7000)]),
        ("argocd-server", "server", [("http", 80, 8080), ("https", 443, 8080)]),
    ]
    for name, target, exposed in services:
        extra: Object = {"type": "LoadBalancer"} if name == "argocd-server" else {}
        body = service(name, WHERE, {"app.kubernetes.io/name": f"argocd-{target}"}, exposed, **extra)
        if extra:
            body["status"] = {"loadBalancer": {"ingress": [{"ip": "10.1.5.184", "ipMode": "VIP"}]}}
        world.add(body, PLATFORM_AGE)


def load_applications(world: Builder, repository: Repository) -> None:
    """root-app and its children as Git has them, and what the two small children deploy."""
    world.add(ROOT, PLATFORM_AGE)
    for manifest in kinds.prepared(repository.manifests(ROOT["spec"]["source"], WHERE, "root-app"), "root-app", WHERE):
        age = 170.0 if manifest["metadata"]["name"] == "kube-prometheus-stack" else PLATFORM_AGE
        world.add(manifest, age, kinds.MANAGER)
    for name in ("infrastructure", "platform-services"):
        child = plain(repository.files[f"bootstrap/apps/{name}.yaml"])
        for manifest in kinds.prepared(repository.manifests(child["spec"]["source"], WHERE, name), name, WHERE):
            made = world.add(manifest, PLATFORM_AGE, kinds.MANAGER)
            if made["kind"] == "Namespace":
                base = namespace(made["metadata"]["name"])
                made["metadata"]["labels"] |= base["metadata"]["labels"]
                made |= {"spec": base["spec"], "status": base["status"]}
