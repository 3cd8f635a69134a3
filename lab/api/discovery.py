"""Paths that are no resources: discovery, version, health, and the OpenAPI v3 that kubectl apply needs."""

from __future__ import annotations

import hashlib

from aiohttp import web

from lab.api import errors
from lab.api.errors import Obj
from lab.api.handlers import Core
from lab.api.registry import ALL_VERBS, REVIEWS, Gvk, Registry, Resource
from lab.api.render import encode, respond
from lab.api.request import Call

VERSION = "v1.30.10"  # the demo team's cluster
_SUB_KINDS = {
    "scale": Gvk("autoscaling", "v1", "Scale"),
    "eviction": Gvk("policy", "v1", "Eviction"),
    "binding": Gvk("", "v1", "Binding"),
    "token": Gvk("authentication.k8s.io", "v1", "TokenRequest"),
    "proxy": Gvk("", "v1", "ServiceProxyOptions"),
}
_SUB_VERBS = {
    "status": ["get", "patch", "update"],
    "scale": ["get", "patch", "update"],
    "log": ["get"],
    "eviction": ["create"],
    "binding": ["create"],
    "finalize": ["update"],
    "token": ["create"],
    "proxy": ["create", "delete", "get", "patch", "update"],
}


def handle(core: Core, call: Call) -> web.Response:
    """Raises ApiError 404 for paths that nobody serves."""
    parts = [part for part in call.path.split("/") if part]
    if parts and parts[0] in ("healthz", "livez", "readyz"):
        return web.Response(text="ok")
    body = _openapi(core.registry, parts[2:]) if parts[:2] == ["openapi", "v3"] else _discovery(core.registry, parts)
    if body is None:
        raise errors.unknown_path()
    return respond(body)


def _discovery(registry: Registry, parts: list[str]) -> Obj | None:
    groups = registry.group_versions()
    match parts:
        case []:
            return {"paths": ["/api", "/apis", "/healthz", "/livez", "/openapi/v3", "/readyz", "/version"]}
        case ["version"]:
            return _version()
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["api", "v1"]:
            return _resource_list(registry, "", "v1")
        case ["apis"]:
            found = [_group(name, versions) for name, versions in groups.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}
        case ["apis", group] if group in groups:
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, groups[group])}
        case ["apis", group, version] if version in groups.get(group, ()):
            return _resource_list(registry, group, version)
    return None


def _openapi(registry: Registry, parts: list[str]) -> Obj | None:
    known = _openapi_paths(registry)
    if not parts:
        return {"paths": {path: _openapi_link(registry, path) for path in known}}
    path = "/".join(parts)
    return openapi(registry, path) if path in known else None


def _version() -> Obj:
    major, minor, _patch = VERSION.removeprefix("v").split(".")
    return {
        "major": major,
        "minor": minor,
        "gitVersion": VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2025-02-12T00:00:00Z",
        "goVersion": "go1.22",
        "compiler": "gc",
        "platform": "linux/amd64",
    }


def _group(name: str, versions: list[str]) -> Obj:
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _resource_list(registry: Registry, group: str, version: str) -> Obj:
    resources: list[Obj] = []
    for resource in registry:
        if (resource.group, resource.version) == (group, version):
            resources += _described(resource)
    if version == "v1":
        for (review_group, plural), (kind, namespaced) in REVIEWS.items():
            if review_group == group:
                resources.append(
                    {
                        "name": plural,
                        "singularName": kind.lower(),
                        "namespaced": namespaced,
                        "kind": kind,
                        "verbs": ["create"],
                    }
                )
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _described(resource: Resource) -> list[Obj]:
    main: Obj = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(ALL_VERBS),
        "storageVersionHash": hashlib.sha256(resource.key.encode()).hexdigest()[:11] + "=",
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    found = [main]
    for name in resource.subresources:
        kind = _SUB_KINDS.get(name, resource.gvk)
        entry: Obj = {
            "name": f"{resource.plural}/{name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": kind.kind,
            "verbs": _SUB_VERBS[name],
        }
        if kind.group and name in _SUB_KINDS:
            entry |= {"group": kind.group, "version": kind.version}
        found.append(entry)
    return found


# -- OpenAPI v3: only what kubectl asks for before an apply


def _openapi_paths(registry: Registry) -> list[str]:
    return ["api/v1", *(f"apis/{group}/{each}" for group, found in registry.group_versions().items() for each in found)]


def _openapi_link(registry: Registry, path: str) -> Obj:
    digest = hashlib.sha256(encode(openapi(registry, path))).hexdigest().upper()
    return {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}


def openapi(registry: Registry, path: str) -> Obj:
    """The document of one group version: every kind with the `fieldValidation` parameter, and CRDs' schemas."""
    parts = path.split("/")
    group, version = ("", parts[1]) if parts[0] == "api" else (parts[1], parts[2])
    paths: Obj = {}
    schemas: Obj = {}
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for resource in registry:
        if (resource.group, resource.version) != (group, version):
            continue
        kind = {"group": group, "version": version, "kind": resource.kind}
        middle = "namespaces/{namespace}/" if resource.namespaced else ""
        operation = {"x-kubernetes-action": "patch", "x-kubernetes-group-version-kind": kind, "parameters": [parameter]}
        paths[f"/{path}/{middle}{resource.plural}/{{name}}"] = {"patch": operation}
        if resource.custom and resource.custom.schema:
            schemas[f"{resource.kind}"] = {**resource.custom.schema, "x-kubernetes-group-version-kind": [kind]}
    info = {"title": "Kubernetes", "version": VERSION}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}
