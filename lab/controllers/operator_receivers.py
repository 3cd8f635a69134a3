"""How the operator turns AlertmanagerConfigs into Alertmanager's own configuration. Pure.

From the operator's source (`pkg/alertmanager/amcfg.go`): receivers are called `<namespace>/<name>/<receiver>`; the
first route of each object goes on to the next and, by the matcher strategy, takes only alerts of its own namespace;
references to Secrets of that namespace are filled in. An object that cannot be used is left out, with an Event.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.rights import View

STRATEGIES = ("OnNamespace", "OnNamespaceExceptForAlertmanagerNamespace", "None")
#: what the lab knows how to render; the operator knows more
_CHANNELS = ("webhookConfigs", "slackConfigs", "emailConfigs")
_ROUTE_FIELDS = ("groupBy", "groupWait", "groupInterval", "repeatInterval")
_REFERENCE = {"name", "key"}


class Unusable(Exception):  # noqa: N818 - what the operator says of an object, not a failure of ours
    """An AlertmanagerConfig that the operator leaves out: why."""


def rendered(entry: Object, view: View) -> tuple[Object | None, list[Object]]:
    """The first route of an AlertmanagerConfig, if it has one, and its receivers. Raises Unusable."""
    namespace, name = meta.key_of(entry)
    spec = entry.get("spec") or {}
    prefix = f"{namespace}/{name}/"
    receivers = [_receiver(each, prefix, namespace, view) for each in spec.get("receivers") or []]
    route = spec.get("route")
    if not route:
        return None, []
    if not route.get("receiver"):
        raise Unusable("root route must have a receiver")
    made = _route(route, prefix, {each["name"] for each in receivers})
    return made, receivers


def enforced(route: Object, entry: Object, owner: Object) -> Object:
    """The first route under the owner's matcher strategy."""
    namespace = entry["metadata"]["namespace"]
    strategy = (owner["spec"].get("alertmanagerConfigMatcherStrategy") or {}).get("type") or STRATEGIES[0]
    own = namespace == owner["metadata"]["namespace"]
    if strategy == STRATEGIES[0] or (strategy == STRATEGIES[1] and not own):
        route = {**route, "matchers": [*route.get("matchers", []), f'namespace="{namespace}"']}
    return {**route, "continue": True}


def _receiver(source: Object, prefix: str, namespace: str, view: View) -> Object:
    made: Object = {"name": prefix + str(source.get("name", ""))}
    for kind, configs in source.items():
        if not kind.endswith("Configs") or not configs:
            continue
        if kind not in _CHANNELS:
            raise Unusable(f"receiver {source.get('name')}: the lab's operator does not know {kind}")
        made[_snake(kind)] = [_channel(kind, config, namespace, view) for config in configs]
    return made


def _channel(kind: str, source: Object, namespace: str, view: View) -> Object:
    config: Object = _filled(source, namespace, view)
    if kind == "webhookConfigs":
        address = config.pop("url_secret", None) or config.get("url")
        if not address:
            raise Unusable("one of 'url' or 'urlSecret' must be specified")
        config["url"] = _address(str(address))
    if kind == "slackConfigs" and "api_url" in config:
        config["api_url"] = _address(str(config["api_url"]))
    if kind == "emailConfigs":
        if not config.get("to"):
            raise Unusable("missing 'to' address")
        if "headers" in config:
            config["headers"] = {each["key"]: each["value"] for each in config["headers"]}
    return config


def _address(text: str) -> str:
    text = text.strip()
    if not re.match(r"https?://[^/\s]", text):
        raise Unusable("a URL must have the scheme http or https and a host")
    return text


def _filled(value: Any, namespace: str, view: View) -> Any:
    """Field names as Alertmanager spells them, references to Secrets replaced by what they hold."""
    if isinstance(value, list):
        return [_filled(each, namespace, view) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) - {"optional"} == _REFERENCE:
        return _secret(value, namespace, view)
    return {_snake(key): _filled(each, namespace, view) for key, each in value.items()}


def _secret(reference: Object, namespace: str, view: View) -> str:
    found = view.get("secrets", namespace, reference["name"])
    if found is None:
        raise Unusable(f'failed to get secret: secrets "{reference["name"]}" not found')
    raw = (found.get("data") or {}).get(reference["key"])
    if raw is None:
        raise Unusable(f'key "{reference["key"]}" in secret "{reference["name"]}" not found')
    return base64.b64decode(raw).decode(errors="replace")


def _snake(name: str) -> str:
    """`apiURL` is `api_url`, `sendResolved` is `send_resolved`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _route(source: Object, prefix: str, receivers: set[str]) -> Object:
    route: Object = {}
    if source.get("receiver"):
        route["receiver"] = prefix + source["receiver"]
        if route["receiver"] not in receivers:
            raise Unusable(f"receiver {source['receiver']!r} not found")
    for field in _ROUTE_FIELDS:
        if source.get(field):
            route[_snake(field)] = source[field]
    if matchers := list(_matchers(source)):
        route["matchers"] = matchers
    if source.get("continue"):
        route["continue"] = True
    if source.get("routes"):
        route["routes"] = [_route(each, prefix, receivers) for each in source["routes"]]
    return route


def _matchers(source: Object) -> Iterator[str]:
    for each in source.get("matchers") or []:
        operator = each.get("matchType") or ("=~" if each.get("regex") else "=")
        value = str(each.get("value", "")).replace("\\", "\\\\").replace('"', '\\"')
        yield f'{each["name"]}{operator}"{value}"'
