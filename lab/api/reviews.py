"""Reviews: may I, what may I, who am I, whose token is this. Answered from RBAC and tokens, never stored."""

from __future__ import annotations

from aiohttp import web

from lab.api import errors
from lab.api.auth import User
from lab.api.errors import ApiError, Obj
from lab.api.handlers import Core
from lab.api.patching import Cause
from lab.api.rbac import Attributes
from lab.api.registry import REVIEWS
from lab.api.render import respond
from lab.api.request import Call, read_body


def handle(core: Core, call: Call) -> web.Response:
    """Answer a POST. Raises ApiError 400, 405, 422."""
    if call.verb != "create":
        raise errors.method_not_allowed()
    kind, _namespaced = REVIEWS[(call.group, call.plural)]
    body = read_body(call)
    if body.get("kind", kind) != kind:
        raise errors.bad_request(f"{body['kind']} cannot be handled as a {kind}")
    spec: Obj = body.get("spec") or {}
    match kind:
        case "SelfSubjectRulesReview":
            status = _rules(core, call.user, spec.get("namespace", ""))
        case "SelfSubjectReview":
            status = {"userInfo": call.user.info}
        case "TokenReview":
            status = _token(core, str(spec.get("token", "")))
        case "SelfSubjectAccessReview":
            status = _access(core, kind, call.user, spec)
        case _:
            if not spec.get("user") and not spec.get("groups"):
                cause = Cause(
                    "FieldValueInvalid",
                    "spec.user",
                    'Invalid value: "": at least one of user or group must be specified',
                )
                raise errors.invalid(kind, "authorization.k8s.io", "", [cause])
            groups = tuple(each for each in spec.get("groups") or [] if each != "system:authenticated")
            status = _access(core, kind, User(spec.get("user", ""), groups), spec)
    meta = {"creationTimestamp": None, **(body.get("metadata") or {})}
    answer = {
        "kind": kind,
        "apiVersion": f"{call.group}/{call.version}",
        "metadata": meta,
        "spec": spec,
        "status": status,
    }
    return respond(answer, 201)


def _access(core: Core, kind: str, user: User, spec: Obj) -> Obj:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (path is None):
        message = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("FieldValueInvalid", "spec.resourceAttributes", message)
        raise errors.invalid(kind, "authorization.k8s.io", "", [cause])
    if resource is not None:
        asked = Attributes(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            namespace=resource.get("namespace", ""),
            name=resource.get("name", ""),
        )
    else:
        assert path is not None
        asked = Attributes(verb=path.get("verb", ""), path=path.get("path", "") or "/")
    allowed, reason = core.rbac.answer(user, asked)
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


def _rules(core: Core, user: User, namespace: str) -> Obj:
    if not namespace:
        raise errors.bad_request("no namespace on request")
    resources: list[Obj] = []
    paths: list[Obj] = []
    for rule in core.rbac.rules(user, namespace):
        kept = {name: rule[name] for name in ("verbs", "apiGroups", "resources", "resourceNames") if rule.get(name)}
        if rule.get("nonResourceURLs"):
            paths.append({"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]})
        else:
            resources.append(kept)
    return {"resourceRules": resources, "nonResourceRules": paths, "incomplete": False}


def _token(core: Core, token: str) -> Obj:
    try:
        user, _claims = core.tokens.user(f"Bearer {token}", core.clock().timestamp())
    except ApiError:
        return {"user": {}, "error": "[invalid bearer token]"}
    return {"authenticated": True, "user": user.info}
