"""A request as the API understands it: verb, resource, namespace, name, subresource, options and body."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from lab.api import errors
from lab.api.auth import ANONYMOUS, User
from lab.api.errors import Obj
from lab.api.patching import Cause
from lab.api.rbac import Attributes
from lab.api.registry import Registry, Resource

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PATCHES = (JSON_PATCH, MERGE_PATCH, APPLY_PATCH)
PROTOBUF = "application/vnd.kubernetes.protobuf"
BODIES = ("application/json", "application/yaml", PROTOBUF)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get", "HEAD": "get"}


@dataclass(slots=True)
class Call:
    """One request. `resource` is None for reviews and for what is not served (`plural` says what was asked)."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    user: User = ANONYMOUS
    verb: str = ""
    group: str = ""
    version: str = ""
    plural: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    tail: str = ""
    resource: Resource | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def user_agent(self) -> str:
        return self.headers.get("User-Agent", "")

    @property
    def manager(self) -> str:
        """Field manager of a write that is not an apply."""
        return self.query.get("fieldManager") or self.user_agent.partition("/")[0][:128] or "unknown"

    @property
    def dry_run(self) -> bool:
        return "dryRun" in self.query

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true", "t")

    def number(self, name: str) -> int | None:
        """A whole-number query parameter, or None. Raises ApiError 400."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    @property
    def attributes(self) -> Attributes:
        if not self.plural:
            verb = self.method.lower()
            return Attributes(verb=verb, path=self.path)
        return Attributes(
            verb=self.verb,
            group=self.group,
            resource=self.plural,
            subresource=self.subresource,
            namespace=self.namespace,
            name=self.name,
        )


def parse(call: Call, registry: Registry) -> None:
    """Fill in what the path says. A path outside /api/v1 and /apis/GROUP/VERSION stays a non-resource request."""
    parts = [part for part in call.path.split("/") if part]
    if len(parts) > 2 and parts[0] == "api":
        call.version, rest = parts[1], parts[2:]
    elif len(parts) > 3 and parts[0] == "apis":
        call.group, call.version, rest = parts[1], parts[2], parts[3:]
    else:
        return
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in ("status", "finalize")):
        call.namespace, rest = rest[1], rest[2:]
    call.plural = rest[0]
    call.name = rest[1] if len(rest) > 1 else ""
    call.subresource = rest[2] if len(rest) > 2 else ""
    call.tail = "/".join(rest[3:])
    if call.plural == "namespaces" and not call.group:
        call.namespace = call.name
    call.verb = _verb(call)
    call.resource = registry.find(call.group, call.version, call.plural)


def _verb(call: Call) -> str:
    verb = _VERBS.get(call.method, call.method.lower())
    if call.name:
        return verb
    if verb == "get":
        return "watch" if call.flag("watch") else "list"
    return "deletecollection" if verb == "delete" else verb


def check_dry_run(call: Call, kind: str) -> None:
    if call.dry_run and call.query.get("dryRun") != "All":
        message = f'Invalid value: "{call.query.get("dryRun")}": unsupported dryRun value, supported: "All"'
        raise errors.invalid(kind, "meta.k8s.io", "", [Cause("FieldValueInvalid", "dryRun", message)])


class _Yaml(yaml.SafeLoader):
    """YAML whose values are those of JSON: times stay text."""


_Yaml.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _load_yaml(content: bytes) -> object:
    """JSON is YAML, and most clients send it; json is many times faster."""
    try:
        return json.loads(content)
    except ValueError:
        return yaml.load(content, _Yaml)  # noqa: S506 - a SafeLoader


def _mapping(value: object) -> Obj:
    if not isinstance(value, dict):
        raise errors.bad_request("couldn't get version/kind; json parse error: the body is not an object")
    return value


def read_body(call: Call) -> Obj:
    """The body of a create, update or delete. Raises ApiError 400 or 415."""
    kind = call.content_type or "application/json"
    if kind == PROTOBUF:
        return _protobuf(call.body)
    if kind not in BODIES:
        raise errors.unsupported_media_type(kind, BODIES)
    try:
        value = _load_yaml(call.body) if kind == "application/yaml" else json.loads(call.body)
    except (ValueError, yaml.YAMLError) as problem:
        text = str(problem).partition("\n")[0]
        raise errors.bad_request(f"the object provided is unrecognized (must be of type object): {text}") from None
    return _mapping(value)


def _protobuf(content: bytes) -> Obj:
    from lab.api import protobuf

    try:
        return protobuf.decode(content)
    except (ValueError, KeyError, IndexError) as problem:
        raise errors.bad_request(f"the protobuf body cannot be decoded: {problem}") from None


def read_patch(call: Call) -> object:
    """The document of a patch: a list for JSON patch, else a dict. Raises ApiError 400."""
    try:
        if call.content_type == APPLY_PATCH:
            return _mapping(_load_yaml(call.body))
        value = json.loads(call.body)
    except (ValueError, yaml.YAMLError) as problem:
        raise errors.bad_request(f"error decoding patch: {str(problem).partition(chr(10))[0]}") from None
    if call.content_type == JSON_PATCH:
        if not isinstance(value, list):
            raise errors.bad_request("error decoding patch: json: cannot unmarshal object into Go value of type patch")
        return value
    return _mapping(value)
