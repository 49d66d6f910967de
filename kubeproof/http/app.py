"""The ASGI application: URLs in, answers and streams of events out. Built on Starlette.

Each HTTP request becomes one input of the component `outside` and waits for what comes back on its
connection; nothing is decided here that the simulated server decides. Watches are streamed, one
JSON event a line.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kubeproof.http import bodies, discovery, documents, paths, render
from kubeproof.http.engine import Engine
from kubeproof.http.render import Wish
from model.api.requests import (
    Reply,
    Request,
    Status,
    WatchEvent,
    failure,
    method_not_allowed,
    no_such_path,
    status_document,
    unauthorized,
)
from reference_impl.apiserver.access import authentication, authorization
from reference_impl.apiserver.access.authorization import Attributes
from reference_impl.apiserver.outside import encode
from reference_impl.apiserver.state import User

REPLY_TIMEOUT_S = 60.0
WATCH_TIMEOUT_S = 1800
CONNECTIONS_MAX = 1000
QUEUE_MAX = 10_000
ENDED = object()
UNKNOWN_TOKEN = "?"
SCORES_PATH = "/debug/scheduler/scores"


class Tokens:
    """Bearer tokens by a digest, so that a comparison takes the same time for every wrong one."""

    def __init__(self, entries: list[tuple[str, User]]) -> None:
        self._ids = {self._digest(token): f"t{at}" for at, (token, _) in enumerate(entries, 1)}
        self.users = {f"t{at}": user for at, (_, user) in enumerate(entries, 1)}

    @staticmethod
    def _digest(token: str) -> bytes:
        return hashlib.blake2b(token.encode()).digest()

    def id_of(self, header: str) -> str:
        """The id that stands for an Authorization header: "" without one."""
        if not header:
            return ""
        kind, _, token = header.partition(" ")
        if kind.lower() != "bearer":
            return UNKNOWN_TOKEN
        return self._ids.get(self._digest(token.strip()), UNKNOWN_TOKEN)


class App:
    """The application. `engine` is the running cluster."""

    def __init__(self, engine: Engine, tokens: Tokens, anonymous: bool = True) -> None:
        self.engine = engine
        self.tokens = tokens
        self.anonymous = anonymous
        self.documents = documents.Documents()
        self.open = 0
        self._clock: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        request = HttpRequest(scope, receive)
        if self.open >= CONNECTIONS_MAX:
            response: Response = _refusal(failure(429, "TooManyRequests", "Too many requests, "
                                                  "please try again later."), Wish())
        else:
            self.open += 1
            try:
                response = await self._answer(request)
            finally:
                self.open -= 1
        await response(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._clock = asyncio.create_task(self._follow_time())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._clock is not None:
                    self._clock.cancel()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _follow_time(self) -> None:
        while True:
            await asyncio.sleep(self.engine.next_timer_s())
            self.engine.tick()

    # -- one request ------------------------------------------------------------------------------

    async def _answer(self, http: HttpRequest) -> Response:
        documents = self._documents(http)
        if documents is not None:
            return documents
        wish = render.wish_of(http.headers.get("accept", ""))
        if isinstance(wish, Status):
            return _refusal(wish, Wish())
        token = self.tokens.id_of(http.headers.get("authorization", ""))
        path = http.url.path
        target = paths.target_of(path)
        if target is None:
            if path == SCORES_PATH:
                return self._scores(token, http.query_params.get("pod", ""), wish)
            return self._plain_path(path, token, http.method, wish)
        query = dict(http.query_params)
        verb = paths.verb_of(http.method, target, query)
        if not verb:
            return _refusal(method_not_allowed(), wish)
        if target.resource is None:
            fault = self._may(token, Attributes(verb, target.group, target.plural,
                                                target.namespace, target.name))
            return _refusal(fault or no_such_path(), wish)
        found = await self._request(http, target, verb, query, token)
        if isinstance(found, Status):
            fault = self._may(token, Attributes(verb, target.group, _what(target),
                                                target.namespace, target.name))
            return _refusal(fault or found, wish)
        request, warnings = found
        if verb == "watch":
            return await self._watch(request, wish)
        reply = await self._ask(request)
        response = self._shown(reply, wish)
        for warning in (*warnings, *reply.warnings):
            quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
            response.headers.append("Warning", f'299 - "{quoted}"')
        return response

    def _shown(self, reply: Reply, wish: Wish) -> Response:
        shown = render.document(reply.body, wish, self.engine.world.now)
        if isinstance(reply.body, Status) and reply.code == 201:
            shown["code"] = 201
        content, media = render.encoded(shown, wish)
        headers = {}
        if isinstance(reply.body, Status) and reply.body.retry_after_seconds:
            headers["Retry-After"] = str(reply.body.retry_after_seconds)
        return Response(content, reply.code, headers, media)

    async def _request(self, http: HttpRequest, target: paths.Target, verb: str,
                       query: dict[str, str], token: str
                       ) -> tuple[Request, tuple[str, ...]] | Status:
        """The request, and what there is to warn of; or the Status of a refusal."""
        resource = target.resource
        assert resource is not None, "the caller has answered unknown resources"
        data = await http.body() if http.method in ("POST", "PUT", "PATCH", "DELETE") else b""
        media = http.headers.get("content-type", "")
        found: bodies.Body | Status = bodies.Body(None)
        deletion: dict[str, Any] = {}
        if verb in ("delete", "deletecollection") and data:
            parsed = bodies.parsed(data, media, "DeleteOptions")
            if isinstance(parsed, Status):
                return parsed
            deletion = parsed
        options = paths.options_of(query, deletion)
        if verb in ("create", "update", "patch"):
            fault = bodies.options_fault(verb, options, query.get("dryRun", ""),
                                         media.startswith("application/apply-patch"))
            if fault is not None:
                return fault
        if verb == "patch":
            found = bodies.patch_of(data, media, resource, target.subresource, options)
        elif verb in ("create", "update"):
            found = bodies.object_of(data, media, resource, target.subresource,
                                     options.field_validation)
        if isinstance(found, Status):
            return found
        return Request(verb, paths.resource_name(resource), target.namespace,  # type: ignore[arg-type]  # one of the verbs
                       target.name, target.subresource, found.object, options,
                       token), found.warnings

    async def _ask(self, request: Request) -> Reply:
        """Send one request to the cluster and wait for its reply."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def heard(body: Any) -> None:
            if not answer.done():
                answer.set_result(body)

        lane = self.engine.open(heard)
        try:
            self.engine.ask(lane, encode(request))
            if not answer.done():
                await asyncio.wait_for(asyncio.shield(answer), REPLY_TIMEOUT_S)
            reply = answer.result()
        except TimeoutError:
            reply = None
        finally:
            self.engine.close(lane)
        if not isinstance(reply, Reply):
            gone = failure(504, "Timeout", "Timeout: request did not complete within the "
                           "allotted timeout")
            return Reply(gone.code, gone)
        return reply

    # -- watches ----------------------------------------------------------------------------------

    async def _watch(self, request: Request, wish: Wish) -> Response:
        events: asyncio.Queue[Any] = asyncio.Queue()

        def heard(body: Any) -> None:
            # A client that does not read is dropped; it lists and watches anew.
            events.put_nowait(ENDED if body is None or events.qsize() > QUEUE_MAX else body)

        lane = self.engine.open(heard)
        self.engine.ask(lane, encode(request))
        if not events.empty():
            first = events.get_nowait()
            if isinstance(first, Reply):
                self.engine.close(lane)
                return self._shown(first, wish)
            stream = self._stream(lane, events, request, wish, [first])
        else:
            stream = self._stream(lane, events, request, wish, [])
        return StreamingResponse(stream, media_type="application/json")

    async def _stream(self, lane: str, events: asyncio.Queue[Any], request: Request, wish: Wish,
                      ready: list[Any]) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + (request.options.timeout_seconds or WATCH_TIMEOUT_S)
        is_first = True
        try:
            while True:
                if ready:
                    found = ready.pop()
                else:
                    left = deadline - loop.time()
                    if left <= 0:
                        return
                    try:
                        found = await asyncio.wait_for(events.get(), left)
                    except TimeoutError:
                        return
                if found is ENDED or not isinstance(found, WatchEvent):
                    return
                shown = render.event(found, wish, self.engine.world.now, is_first)
                is_first = False
                yield json.dumps(shown, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        finally:
            with contextlib.suppress(KeyError):
                self.engine.close(lane)

    # -- paths that are no resource ---------------------------------------------------------------

    def _plain_path(self, path: str, token: str, method: str, wish: Wish) -> Response:
        fault = self._may(token, Attributes(method.lower(), "", "", path=path))
        if fault is not None:
            return _refusal(fault, wish)
        if path in discovery.HEALTH:
            return PlainTextResponse("ok")
        found = discovery.document(path)
        if found is None:
            return Response(b"404 page not found\n" if not path.startswith("/api") else
                            json.dumps(status_document(no_such_path())).encode(), 404,
                            media_type="application/json" if path.startswith("/api")
                            else "text/plain")
        content, media = render.encoded(found, wish)
        return Response(content, 200, media_type=media)

    def _documents(self, http: HttpRequest) -> Response | None:
        """Discovery and OpenAPI, None for any other path."""
        path = http.url.path
        if http.method not in ("GET", "HEAD") or not self.documents.has(path):
            return None
        accept = http.headers.get("accept", "")
        token = self.tokens.id_of(http.headers.get("authorization", ""))
        fault = self._may(token, Attributes("get", "", "", path=path))
        if fault is not None:
            return _refusal(fault, Wish())
        known = http.headers.get("if-none-match", "")
        found = self.documents.answer(path, accept, discovery.BUILT_IN, http.url.netloc)
        if known and found.tag in known:
            return Response(status_code=304, headers={"ETag": found.tag})
        return Response(found.content, found.code, found.headers(), found.media)

    def _scores(self, token: str, pod: str, wish: Wish) -> Response:
        """The scores of the scheduler's last attempt for a pod ("namespace/name")."""
        fault = self._may(token, Attributes("get", "", "", path=SCORES_PATH))
        if fault is not None:
            return _refusal(fault, wish)
        names = self.engine.world.names
        kept = self.engine.world["scheduler"].scores if "scheduler" in names else {}
        parts = {node: dict(plugins) for node, plugins in kept.get(pod, ())}
        totals = {node: sum(plugins.values()) for node, plugins in parts.items()}
        return Response(json.dumps({"plugin_scores": parts, "final_scores": totals}).encode(),
                        media_type="application/json")

    def _may(self, token: str, asked: Attributes) -> Status | None:
        """Why a request that never reaches the cluster may not be made, None when it may."""
        if token and token not in self.tokens.users:
            return unauthorized()
        if token:
            user = self.tokens.users[token]
            user = user._replace(groups=(*user.groups, authentication.AUTHENTICATED))
        elif self.anonymous:
            user = authentication.ANONYMOUS
        else:
            return unauthorized()
        policy = authorization.policy_of(self.engine.world["apiserver"].cache)
        if authorization.allowed(user, asked, policy):
            return None
        why = authorization.refusal(user, asked)
        named = f' "{asked.name}"' if asked.name else ""
        plural = asked.resource.partition("/")[0]
        head = f"forbidden: {why}" if asked.path else f"{plural}{named} is forbidden: {why}"
        return failure(403, "Forbidden", head)


def _what(target: paths.Target) -> str:
    return f"{target.plural}/{target.subresource}" if target.subresource else target.plural


_WITH_EMPTY_DETAILS = ("MethodNotAllowed", "NotFound", "NotAcceptable", "Forbidden")


def _refusal(status: Status, wish: Wish) -> Response:
    shown = status_document(status)
    if "details" not in shown and (status.reason in _WITH_EMPTY_DETAILS
                                   or status.message.startswith("415:")):
        shown["details"] = {}
    content, media = render.encoded(shown, wish)
    return Response(content, status.code, media_type=media)
