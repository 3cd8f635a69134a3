"""An asynchronous Kubernetes API client, as small as the controllers need it.

It speaks JSON over HTTPS, finds resources by discovery (so one code runs on 1.20 and on 1.30), and
raises `ApiError` for every answer that is not 2xx. It does not retry: the work queues do.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

Object = dict[str, Any]
Objects = list[Object]

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


# program -> who it is in a cluster; the lab's controllers act under these names, so that a ledger tells them apart
_USERS = {
    "kube-controller-manager": "system:kube-controller-manager",
    "kube-scheduler": "system:kube-scheduler",
    "kubelet": "system:node:kubelet",
    "argocd-application-controller": "system:serviceaccount:argocd:argocd-application-controller",
    "nfs-client-provisioner": "system:serviceaccount:nfs-provisioner:nfs-client-provisioner",
    "metallb-controller": "system:serviceaccount:metallb-system:controller",
    "PrometheusOperator": "system:serviceaccount:platform-monitoring:kube-prometheus-stack-operator",
}


def user_of(agent: str) -> str:
    """The user that a program of the cluster is; controllers of the controller manager are ServiceAccounts."""
    return _USERS.get(agent, f"system:serviceaccount:kube-system:{agent}")


class ApiError(Exception):
    """An answer other than 2xx. `status` is 0 when there was no answer at all."""

    def __init__(self, status: int, reason: str, message: str, body: Object | None = None) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message
        self.body: Object = body or {}

    @property
    def missing(self) -> bool:
        return self.status == 404

    @property
    def conflict(self) -> bool:
        return self.status == 409

    @property
    def gone(self) -> bool:
        return self.status == 410


@dataclass(frozen=True)
class Resource:
    """Where one kind is served."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def key(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if namespace and self.namespaced:
            parts.append(f"namespaces/{namespace}")
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


class _Connection:
    """What all named clients share: the session and the discovery results."""

    def __init__(self, base_url: str, token: str, ca: str | None, own_names: bool) -> None:
        self.base_url, self.token, self.ca, self.own_names = base_url.rstrip("/"), token, ca, own_names
        self.session: aiohttp.ClientSession | None = None
        self.resources: dict[str, Resource] = {}
        self.kinds: dict[tuple[str, str], Resource] = {}
        self.server_version = (1, 30)

    def open(self) -> aiohttp.ClientSession:
        if self.session is None:
            context = ssl.create_default_context(cadata=self.ca)
            if not self.ca:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0, ttl_dns_cache=600),
                timeout=aiohttp.ClientTimeout(total=20),
            )
        return self.session


class Client:
    """One program at one API server. `named()` gives the same connection with another User-Agent.

    With `own_names` each program acts under its own user's name, by impersonation with the rights of `system:masters`.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        ca: str | None,
        agent: str = "kube-controller-manager",
        *,
        own_names: bool = False,
        connection: _Connection | None = None,
    ) -> None:
        self._shared = connection or _Connection(base_url, token, ca, own_names)
        self.agent = agent

    def named(self, agent: str) -> Client:
        return Client("", "", None, agent, connection=self._shared)

    @property
    def base_url(self) -> str:
        return self._shared.base_url

    @property
    def server_version(self) -> tuple[int, int]:
        return self._shared.server_version

    async def start(self) -> None:
        """Learn what the server serves. Raises ApiError when it does not answer."""
        version = await self.call("GET", "/version")
        minor = "".join(c for c in str(version.get("minor", "30")) if c.isdigit())
        self._shared.server_version = (int(version.get("major", 1)), int(minor or 30))
        await self.discover()

    async def discover(self) -> None:
        groups = (await self.call("GET", "/apis"))["groups"]
        paths = ["/api/v1"]
        paths += [f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups]
        paths += [
            f"/apis/{version['groupVersion']}"
            for group in groups
            for version in group["versions"]
            if version["groupVersion"] != group["preferredVersion"]["groupVersion"]
        ]
        answers = await asyncio.gather(*(self.call("GET", path) for path in paths), return_exceptions=True)
        resources: dict[str, Resource] = {}
        kinds: dict[tuple[str, str], Resource] = {}
        for path, answer in zip(paths, answers, strict=True):
            if isinstance(answer, BaseException):
                continue
            group, _, version = path.removeprefix("/apis/").removeprefix("/api/").rpartition("/")
            for entry in answer["resources"]:
                if "/" in entry["name"]:
                    continue
                found = Resource(group, version, entry["name"], entry["kind"], entry["namespaced"])
                resources.setdefault(found.key, found)
                kinds.setdefault((found.api_version, found.kind), found)
        self._shared.resources, self._shared.kinds = resources, kinds

    async def close(self) -> None:
        if self._shared.session:
            await self._shared.session.close()
            self._shared.session = None

    def serves(self, key: str) -> bool:
        return key in self._shared.resources

    def served(self) -> list[str]:
        """The keys of all resources that the server serves."""
        return list(self._shared.resources)

    def resource(self, key: str) -> Resource:
        """The resource with this key ("deployments.apps"). Raises ApiError 404 when it is not served."""
        found = self._shared.resources.get(key)
        if found is None:
            raise ApiError(404, "NotFound", f"the server could not find the requested resource {key}")
        return found

    async def resource_of(self, api_version: str, kind: str) -> Resource:
        """The resource of a manifest's kind; asks the server again once when it is unknown."""
        for attempt in (0, 1):
            found = self._shared.kinds.get((api_version, kind))
            if found:
                return found
            if attempt == 0:
                await self.discover()
        group, _, version = api_version.rpartition("/")
        raise ApiError(
            404,
            "NotFound",
            f'The Kubernetes API could not find version "{version}" of {group}/{kind} for requested resource. '
            f'Make sure the "{kind}" CRD is installed on the destination cluster.',
        )

    def _headers(self) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {self._shared.token}",
            "User-Agent": f"{self.agent}/v1.30.10 (linux/amd64) kubernetes/lab",
            "Accept": "application/json",
        }
        if self._shared.own_names:
            headers |= {"Impersonate-User": user_of(self.agent), "Impersonate-Group": "system:masters"}
        return headers

    # -- verbs ---------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        query: dict[str, str] | None = None,
    ) -> Object:
        headers = self._headers()
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = msgspec.json.encode(body)
        try:
            async with self._shared.open().request(
                method, self._shared.base_url + path, params=query, data=data, headers=headers
            ) as response:
                raw = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{type(error).__name__}: {error}") from error
        answer = _decoded(raw)
        if status >= 300:
            text = str(answer.get("message") or raw[:200].decode(errors="replace"))
            raise ApiError(status, str(answer.get("reason", "")), text, answer)
        return answer

    async def get(self, key: str, namespace: str | None, name: str) -> Object:
        return await self.call("GET", self.resource(key).path(namespace, name))

    async def list(self, key: str, namespace: str | None = None) -> tuple[Objects, str]:
        """All objects with kind and apiVersion filled in, and the list's resourceVersion."""
        resource = self.resource(key)
        answer = await self.call("GET", resource.path(namespace))
        items: Objects = answer.get("items") or []
        for item in items:
            item.setdefault("apiVersion", resource.api_version)
            item.setdefault("kind", resource.kind)
        return items, str(answer["metadata"]["resourceVersion"])

    async def create(self, key: str, obj: Object) -> Object:
        return await self.call("POST", self.resource(key).path(obj["metadata"].get("namespace")), obj)

    async def replace(self, key: str, obj: Object, subresource: str = "") -> Object:
        meta = obj["metadata"]
        path = self.resource(key).path(meta.get("namespace"), meta["name"], subresource)
        return await self.call("PUT", path, obj)

    async def patch(
        self,
        key: str,
        namespace: str | None,
        name: str,
        body: Any,
        *,
        how: str = "merge",
        subresource: str = "",
        manager: str = "",
        force: bool = False,
    ) -> Object:
        query = {"fieldManager": manager} if manager else {}
        if how == "apply" and force:
            query["force"] = "true"
        path = self.resource(key).path(namespace, name, subresource)
        return await self.call("PATCH", path, body, content_type=_PATCH_TYPES[how], query=query)

    async def delete(
        self,
        key: str,
        namespace: str | None,
        name: str,
        *,
        uid: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> Object:
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if propagation:
            options["propagationPolicy"] = propagation
        return await self.call("DELETE", self.resource(key).path(namespace, name), options)

    async def post(self, path: str, body: Any) -> Object:
        return await self.call("POST", path, body)

    async def watch(self, key: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Events after `version`. Ends when the server closes; raises ApiError (410 among them)."""
        query = {
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "300",
        }
        headers = self._headers()
        url = self._shared.base_url + self.resource(key).path()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=360)
        try:
            async with self._shared.open().get(url, params=query, headers=headers, timeout=timeout) as response:
                if response.status >= 300:
                    answer = _decoded(await response.read())
                    raise ApiError(
                        response.status, str(answer.get("reason", "")), str(answer.get("message", "")), answer
                    )
                async for kind, obj in _events(response.content):
                    yield kind, obj
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, "Unreachable", f"{type(error).__name__}: {error}") from error


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[tuple[str, Object]]:
    rest = b""
    async for chunk in stream.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if not line.strip():
                continue
            event = msgspec.json.decode(line)
            obj = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(int(obj.get("code", 500)), str(obj.get("reason", "")), str(obj.get("message", "")), obj)
            yield event["type"], obj


def _decoded(raw: bytes) -> Object:
    try:
        answer = msgspec.json.decode(raw) if raw.strip() else {}
    except msgspec.DecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
