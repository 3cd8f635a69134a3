"""The lab's API server: TLS, authentication, faults, authorization, dispatch, and refusals as Status bodies.

`serve` is the short way to a running one. The server is one asyncio task set; everything that touches the store runs in
its event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from aiohttp import web

from lab.address import Address, url
from lab.api import admin, bootstrap, discovery, errors, proxy, reviews, striking, subresources, watching
from lab.api.auth import ANONYMOUS, Tokens, User, service_account_user
from lab.api.errors import ApiError
from lab.api.faults import Faults
from lab.api.handlers import VERBS, Core, ServiceBackend, utc_now
from lab.api.housekeeping import Housekeeping
from lab.api.rbac import Attributes, denial
from lab.api.registry import REVIEWS
from lab.api.render import respond
from lab.api.request import Call, parse
from lab.api.store import Store
from lab.api.striking import Replaced
from lab.api.tls import Tls, create_tls, write_kubeconfig

log = logging.getLogger(__name__)
_PUBLIC = ("/healthz", "/livez", "/readyz", "/version", "/version/")
_MAX_BODY = 16 * 1024 * 1024


class ApiServer:
    """See the module. All arguments have working defaults."""

    def __init__(
        self,
        store: Store | None = None,
        tls: Tls | None = None,
        tokens: Tokens | None = None,
        services: ServiceBackend | None = None,
        faults: Faults | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        seed: int | None = None,
    ) -> None:
        self.core = Core(
            store=store or Store(),
            tokens=tokens or Tokens(),
            faults=faults or Faults(),
            services=services,
            clock=clock,
            rng=random.Random(seed),
        )
        self._tls = tls or create_tls()
        self.base_url = ""
        self._runner: web.AppRunner | None = None
        self._housekeeping: asyncio.Task[None] | None = None

    @property
    def ca_pem(self) -> bytes:
        return self._tls.ca_pem

    @property
    def services(self) -> ServiceBackend | None:
        return self.core.services

    @services.setter
    def services(self, backend: ServiceBackend | None) -> None:
        """The service backend needs a client of this server, so it comes after the start."""
        self.core.services = backend

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port. Raises OSError when the address is taken or not this machine's."""
        if not list(self.core.store):
            bootstrap.load(self.core.store, self.core.registry, self.core.rng, self.core.objects.now())
        self._housekeeping = asyncio.create_task(Housekeeping(self.core, self.ca_pem).run())
        app = web.Application(client_max_size=_MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # Watches never end by themselves, so stopping does not wait for them.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, ssl_context=self._tls.server_context(), backlog=512)
        await site.start()
        bound: int = self._runner.addresses[0][1]
        self.base_url = url("https", Address(host).local, bound)
        return bound

    async def stop(self) -> None:
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def write_kubeconfig(self, path: Path, address: str = "") -> None:
        """Contexts `admin` (current) and `viewer` of the default tokens, with the CA embedded.

        `address` is the URL to write when clients come by another name than `base_url`.
        """
        write_kubeconfig(path, address or self.base_url, self.ca_pem, {"admin": "tok-admin", "viewer": "tok-view"})

    # -- one request

    async def _handle(self, http: web.Request) -> web.StreamResponse:
        try:
            call = await self._call(http)
            return await self._answer(call, http)
        except ApiError as problem:
            return respond(problem.status(), problem.code, problem.headers)
        except Replaced as replaced:
            return replaced.answer
        except ConnectionResetError:
            return web.Response(status=500)  # the transport is gone; nobody reads this
        except web.HTTPRequestEntityTooLarge:
            too_large = ApiError(413, "RequestEntityTooLarge", f"Request entity is too large: limit is {_MAX_BODY}")
            return respond(too_large.status(), 413)
        except Exception as problem:
            log.exception("%s %s failed", http.method, http.path)
            return respond(errors.failure(500, f"Internal error occurred: {problem}").status(), 500)

    async def _call(self, http: web.Request) -> Call:
        body = await http.read() if http.body_exists else b""
        call = Call(http.method, http.path, http.query, http.headers, body)
        call.user = self._authenticate(call)
        parse(call, self.core.registry)
        return call

    def _authenticate(self, call: Call) -> User:
        authorization = call.headers.get("Authorization", "")
        if not authorization and call.path in _PUBLIC:
            return ANONYMOUS
        user, claims = self.core.tokens.user(authorization, self.core.clock().timestamp())
        if claims is not None:
            bound = claims["kubernetes.io"]
            account = self.core.store.get("serviceaccounts", bound["namespace"], bound["serviceaccount"]["name"])
            if account is None or account["metadata"]["uid"] != bound["serviceaccount"]["uid"]:
                raise errors.unauthorized()
        return self._impersonated(call, user)

    def _impersonated(self, call: Call, user: User) -> User:
        """The user that `Impersonate-User` names, when the real one may impersonate it. Raises ApiError 403."""
        name = call.headers.get("Impersonate-User", "")
        if not name:
            return user
        groups = tuple(value for key, value in call.headers.items() if key.lower() == "impersonate-group")
        wanted = [("users", name), *(("groups", group) for group in groups)]
        if name.startswith("system:serviceaccount:"):
            _system, _kind, namespace, account = name.split(":", 3)
            wanted[0] = ("serviceaccounts", account)
            groups = (*service_account_user(namespace, account, "").groups, *groups)
        for resource, each in wanted:
            asked = Attributes(verb="impersonate", resource=resource, name=each)
            if not self.core.rbac.allows(user, asked):
                raise errors.forbidden(resource, "", each, denial(user, asked))
        return User(name, groups)

    async def _answer(self, call: Call, http: web.Request) -> web.StreamResponse:
        if call.path.startswith("/lab/"):
            return admin.handle(self.core, call)
        await striking.before(self.core.faults, call, http)
        if call.verb == "watch" and (refused := await self._watch_fault(call, http)) is not None:
            return refused
        if call.path not in _PUBLIC:
            self._authorize(call)
        answer = await self._dispatch(call, http)
        return await striking.after(self.core.faults, call, http, answer)

    async def _watch_fault(self, call: Call, http: web.Request) -> web.Response | None:
        """A fault on "watch"; a 410 comes as HTTP 200 with an ERROR line, as the real one does."""
        try:
            await striking.before(self.core.faults, call, http, "watch")
        except ApiError as problem:
            if problem.code != 410:
                raise
            return respond(watching.error_line(problem))
        return None

    def _authorize(self, call: Call) -> None:
        asked = call.attributes
        if self.core.rbac.allows(call.user, asked):
            return
        reason = self.core.rbac.answer(call.user, asked)[1]
        why = denial(call.user, asked) + (f": {reason}" if reason else "")
        if asked.path:
            raise ApiError(403, "Forbidden", f"forbidden: {why}", {})
        raise errors.forbidden(call.plural, call.group, call.name, why)

    async def _dispatch(self, call: Call, http: web.Request) -> web.StreamResponse:
        if not call.plural:
            return discovery.handle(self.core, call)
        if (call.group, call.plural) in REVIEWS and call.version == "v1":
            return reviews.handle(self.core, call)
        resource = call.resource
        if resource is None or not self._scope_fits(call):
            raise errors.unknown_path()
        if call.subresource == "proxy" and "proxy" in resource.subresources:
            return await proxy.handle(self.core, call, http)
        if call.subresource:
            return await subresources.handle(self.core, call, resource, http)
        handler = VERBS.get(call.verb)
        if handler is None:
            raise errors.method_not_allowed()
        return await handler(self.core, call, resource, http)

    @staticmethod
    def _scope_fits(call: Call) -> bool:
        """A namespaced resource is addressed in a namespace, or listed over all of them."""
        resource = call.resource
        if resource is None:
            return False
        if not resource.namespaced:
            return not call.namespace or resource.plural == "namespaces"
        return (
            bool(call.namespace)
            or call.verb in ("list", "watch")
            or (not call.name and call.verb == "deletecollection")
        )


async def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    kubeconfig: Path | None = None,
    services: ServiceBackend | None = None,
    seed: int | None = None,
) -> ApiServer:
    """Start a server with the default tokens; writes `kubeconfig` when asked to. Stop it with `await server.stop()`."""
    server = ApiServer(services=services, seed=seed)
    await server.start(host, port)
    if kubeconfig is not None:
        server.write_kubeconfig(kubeconfig)
    return server
