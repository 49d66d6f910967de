"""The ASGI application: URLs in, answers and streams of events out.

Each HTTP request becomes one input of the component `outside` and waits for what comes back on its
connection; nothing is decided here that the simulated server decides. What is no resource (health,
metrics, discovery, the page for people) is answered here, after the same question who may see it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, MutableMapping
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from kubeproof.http import (
    bodies,
    discovery,
    documents,
    events,
    health,
    logs,
    overview,
    patches,
    paths,
    protobuf,
    render,
    versions,
)
from kubeproof.http.custom import Custom
from kubeproof.http.engine import Engine
from kubeproof.http.metrics import Metrics
from kubeproof.http.real_etcd import Gateway
from kubeproof.http.render import Wish
from kubeproof.http.tokens import Caller, Tokens, add_header
from kubeproof.http.watches import Cursor, Feed
from model.api.requests import (
    ObjectList,
    Options,
    Reply,
    Request,
    Status,
    WatchEvent,
    bad_request,
    failure,
    method_not_allowed,
    no_such_path,
    status_document,
)
from model.api.resources import Resource
from reference_impl.apiserver.access import authorization
from reference_impl.apiserver.access.known import Known
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.outside import encode
from reference_impl.apiserver.state import Watcher

Scope = MutableMapping[str, Any]
Receive = Callable[[], Any]
Send = Callable[[MutableMapping[str, Any]], Any]

REPLY_TIMEOUT_S = 60.0
STEP_TIMEOUT_S = 3600.0  # where steps are taken by command, a client waits for a person
WATCH_TIMEOUT_S = 1800
IN_FLIGHT_MAX = 400
WATCHES_MAX = 1000
HEADER_BYTES_MAX = 64 * 1024
PLAIN_JSON = Wish()
SCORES_PATH = "/debug/scheduler/scores"
STATE_PATH = "/debug/state"
STEP_PATH = "/debug/step"
STEPS_AT_ONCE = 10_000
UI_PATH = "/ui"
UI_HEADERS = (("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; "
               "img-src data:; frame-ancestors 'none'"), ("Cache-Control", "no-store"))
_BODIED = frozenset(("POST", "PUT", "PATCH", "DELETE"))
_TOO_MANY = failure(429, "TooManyRequests", "Too many requests, please try again later."
                    )._replace(retry_after_seconds=1)
_TOO_LARGE = failure(413, "RequestEntityTooLarge",
                     f"Request entity too large: limit is {bodies.BODY_BYTES_MAX}")


class Call(NamedTuple):
    """One HTTP request: what stands in its first line and its headers, and how to read on."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    receive: Receive


class Answer(NamedTuple):
    """What goes back. `headers` beside the media type and the length."""

    code: int
    content: bytes
    media: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class GoneError(Exception):
    """The client hung up before its request was complete."""


class App:
    """The application. `engine` is the running cluster. `cut` breaks the connection of a client,
    which is given by its address. `gateway` leads to a store outside the world."""

    def __init__(self, engine: Engine, tokens: Tokens, anonymous: bool = True, *,
                 cut: Callable[[Any], None] | None = None,
                 gateway: Gateway | None = None) -> None:
        self.engine = engine
        self.gateway = gateway
        self.tokens = tokens
        self.anonymous = anonymous
        self.cut = cut
        self.feed = Feed(engine, tokens.outward)
        self.metrics = Metrics(engine, self.feed)
        self.documents = documents.Documents()
        self.custom = Custom()
        self.in_flight = 0
        self._watches = 0
        self._clock: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        began = asyncio.get_running_loop().time()
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            add_header(headers, name.decode("latin-1"), value.decode("latin-1"))
        query = scope["query_string"]
        call = Call(scope["method"], scope["path"], dict(parse_qsl(
            query.decode("latin-1"), keep_blank_values=True)) if query else {}, headers, receive)
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADER_BYTES_MAX:
            found: Answer | Request | logs.Following = _refusal(
                failure(431, "", "Request header fields too large"))
        elif self.in_flight >= IN_FLIGHT_MAX:
            found = _refusal(_TOO_MANY)
        else:
            self.in_flight += 1
            try:
                found = await self._answer(call)
            except GoneError:
                return
            finally:
                self.in_flight -= 1
        if isinstance(found, Request):
            await self._watch(found, call, scope, send)
            return
        if isinstance(found, logs.Following):
            await self._follow_log(found, call, send)
            return
        await _sent(found, send)
        self.metrics.answered(call.method, call.path, found.code,
                              asyncio.get_running_loop().time() - began)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                if self.gateway is not None:
                    await self.gateway.start()
                self._clock = asyncio.create_task(self._follow_time())
                await send({"type": "lifespan.startup.complete"})
            else:
                if self._clock is not None:
                    self._clock.cancel()
                if self.gateway is not None:
                    await self.gateway.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _follow_time(self) -> None:
        while True:
            await asyncio.sleep(self.engine.next_timer_s())
            self.engine.tick()
            self.feed.bookmarks()

    # -- one request ------------------------------------------------------------------------------

    async def _answer(self, call: Call) -> Answer | Request | logs.Following:
        """The answer to a call, or the watch or the growing log that it asks for."""
        described = self._documents(call)
        if described is not None:
            return described
        wish = _wish_of(call.headers.get("accept", ""))
        if isinstance(wish, Status):
            return _refusal(wish)
        token = self.tokens.caller(call.headers)
        target = paths.target_of(call.path)
        if target is None:
            return await self._plain_path(call, token, wish)
        verb = paths.verb_of(call.method, target, call.query)
        if not verb:
            return _refusal(method_not_allowed(), wish)
        if target.resource is None:
            target = self.custom.target(target, self.engine.world)
        if target.resource is None:
            fault = self._may(token, Attributes(verb, target.group, target.plural,
                                                target.namespace, target.name))
            if fault is None and not self.custom.has_group(target.group, self.engine.world):
                return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
            return _refusal(fault or no_such_path(), wish)
        log = logs.options_of(call.query, target.name) if logs.is_asked(target, verb) else None
        found = log if isinstance(log, Status) else await self._request(call, target, verb, token)
        if isinstance(found, Status):
            fault = self._may(token, Attributes(verb, target.group, _what(target),
                                                target.namespace, target.name))
            return _refusal(fault or found, wish)
        request, warnings = found
        newer = target.group == events.GROUP
        if newer:
            request = events.to_core(request)
        if verb == "watch":
            return request
        request, sent = self.tokens.inward(request)
        reply = await self._ask(request)
        if isinstance(log, logs.LogOptions) and reply.code == 200:
            return self._log(reply.body, log, wish)
        body = self.tokens.outward(reply.body, sent)
        body = versions.outward(body, target.group, target.version)
        reply = reply._replace(body=events.from_core(body) if newer else body)
        if verb == "patch" and reply.code == 404:
            # Nothing was there to patch, so the patch was not looked at.
            warnings = ()
        return self._shown(reply, wish, tuple(
            ("Warning", _warning(each)) for each in (*warnings, *reply.warnings)
            if each.isprintable()),
            target.resource)

    def _log(self, pod: Any, options: logs.LogOptions,
             wish: Wish) -> Answer | logs.Following:
        found = logs.answer(self.engine.world, pod, options)
        if isinstance(found, logs.Following):
            return found
        if isinstance(found, Status):
            return Answer(204, b"", logs.MEDIA) if found.code == 204 else _refusal(found, wish)
        return Answer(200, found, logs.MEDIA)

    def _shown(self, reply: Reply, wish: Wish,
               headers: tuple[tuple[str, str], ...] = (),
               resource: Resource | None = None) -> Answer:
        body = reply.body
        if resource is not None and resource.custom:
            own = self.custom.shown(resource, body, wish.form, self.engine.world.now)
            if own is not None:
                return Answer(reply.code, *render.encoded(own, wish), headers)
        if wish == PLAIN_JSON and not isinstance(body, Status):
            text = (self.feed.texts.list(body) if isinstance(body, ObjectList)
                    else self.feed.texts.of(body))
            return Answer(reply.code, text + b"\n", headers=headers)
        shown = render.document(body, wish, self.engine.world.now)
        if isinstance(reply.body, Status):
            if reply.code == 201:
                shown["code"] = 201
            if reply.body.retry_after_seconds:
                headers = (*headers, ("Retry-After", str(reply.body.retry_after_seconds)))
        content, media = render.encoded(shown, wish)
        return Answer(reply.code, content, media, headers)

    async def _request(self, call: Call, target: paths.Target, verb: str,
                       token: Caller) -> tuple[Request, tuple[str, ...]] | Status:
        """The request, and what there is to warn of; or the Status of a refusal."""
        resource, query = target.resource, call.query
        assert resource is not None, "the caller has answered unknown resources"
        data = await _body(call)
        if isinstance(data, Status):
            return data
        media = call.headers.get("content-type", "")
        if media.startswith(protobuf.MEDIA) and data:
            try:
                data, media = render.compact(protobuf.document(data)), "application/json"
            except protobuf.ProtobufError as error:
                return bad_request(error.what)
        found: bodies.Body | Status = bodies.Body(None)
        deletion: dict[str, Any] = {}
        if verb in ("delete", "deletecollection") and data:
            parsed = bodies.parsed(data, media, "DeleteOptions")
            if isinstance(parsed, Status):
                return parsed
            deletion = parsed
        wrong = paths.options_fault(query, deletion)
        if wrong:
            return bad_request(wrong)
        options = paths.options_of(query, deletion)
        if verb in ("create", "update", "patch"):
            fault = bodies.options_fault(verb, options, query.get("dryRun", ""),
                                         media.startswith("application/apply-patch"))
            if fault is not None:
                return fault
        if verb == "patch":
            found = bodies.patch_of(data, media, resource, target.subresource, options)
            if not isinstance(found, Status):
                strict = found.warnings if options.field_validation == "Strict" else ()
                found = patches.refusal(
                    found.object, data, target, strict, self.engine.world) or found
        elif verb in ("create", "update"):
            found = bodies.object_of(data, media, resource, target.subresource,
                                     options.field_validation)
        if resource.custom and not isinstance(found, Status):
            found = self.custom.accepted(resource, found, target.subresource,
                                         options.field_validation)
        if isinstance(found, Status):
            return found
        if verb in ("create", "update", "patch") and not options.field_manager:
            options = options._replace(field_manager=paths.program_of(
                call.headers.get("user-agent", "")))
        return Request(verb, paths.resource_name(resource), target.namespace,  # type: ignore[arg-type]  # one of the verbs
                       target.name, target.subresource, found.object, options,
                       token.token, token.impersonate), found.warnings

    async def _ask(self, request: Request) -> Reply:
        """Send one request to the cluster and wait for its reply."""
        heard: list[Any] = []
        lane = self.engine.open(heard.append)
        try:
            self.engine.ask(lane, encode(request))
            if not heard:
                heard.append(await self._later(lane))
        finally:
            self.engine.close(lane)
        if isinstance(heard[0], Reply):
            return heard[0]
        gone = failure(504, "Timeout", "Timeout: request did not complete within the "
                       "allotted timeout")
        return Reply(gone.code, gone)

    async def _later(self, lane: str) -> Any:
        """What comes back on a connection later; None when nothing does."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def heard(body: Any) -> None:
            if not answer.done():
                answer.set_result(body)
        self.engine.sinks[lane] = heard
        patience = STEP_TIMEOUT_S if self.engine.speed == "step" else REPLY_TIMEOUT_S
        try:
            return await asyncio.wait_for(answer, patience)
        except TimeoutError:
            return None

    # -- watches ----------------------------------------------------------------------------------

    async def _watch(self, request: Request, call: Call, scope: Scope, send: Send) -> None:
        """Open a watch; stream its events, or say why there is none."""
        wish = _wish_of(call.headers.get("accept", ""))
        assert isinstance(wish, Wish), "the caller has refused what cannot be shown"
        if self._watches >= WATCHES_MAX:
            await _sent(_refusal(_TOO_MANY, wish), send)
            return
        self._watches += 1
        client = scope.get("client")
        cursor = Cursor(self.feed, wish, lambda: self.cut(client) if self.cut else None)
        opened: asyncio.Future[Reply | None] = asyncio.get_running_loop().create_future()
        lane = self.engine.open(lambda body: self._heard(cursor, opened, request.options, body))
        try:
            self.engine.ask(lane, encode(request))
            refused = await opened
            if refused is not None:
                await _sent(self._shown(refused, wish), send)
            else:
                await self._streamed(cursor, request.options.timeout_seconds, call, send)
        finally:
            self._watches -= 1
            self.feed.detach(cursor)
            self.engine.close(lane)

    def _heard(self, cursor: Cursor, opened: asyncio.Future[Reply | None], options: Options,
               body: Any) -> None:
        if isinstance(body, WatchEvent):
            cursor.show(body)
            if body.type == "ERROR":
                cursor.end()
        elif isinstance(body, Watcher):
            self.feed.attach(cursor, body, options)
        elif body is None:
            cursor.end()
        if not opened.done():
            opened.set_result(body if isinstance(body, Reply) else None)

    async def _streamed(self, cursor: Cursor, timeout_s: int | None, call: Call,
                        send: Send) -> None:
        timer = asyncio.get_running_loop().call_later(timeout_s or WATCH_TIMEOUT_S, cursor.end)
        try:
            await _while_there(_written(cursor, send), call)
        finally:
            timer.cancel()

    async def _follow_log(self, following: logs.Following, call: Call, send: Send) -> None:
        """Stream a log. Watches and logs together are limited: both hold their connection."""
        if self._watches >= WATCHES_MAX:
            await _sent(_refusal(_TOO_MANY), send)
            return
        self._watches += 1
        try:
            await _while_there(logs.written(following, lambda: self.engine.world, send), call)
        finally:
            self._watches -= 1

    # -- paths that are no resource ---------------------------------------------------------------

    async def _plain_path(self, call: Call, token: Caller, wish: Wish) -> Answer:
        path = call.path
        if path == UI_PATH:
            # The page holds nothing of the cluster: what it shows, it asks for with a token.
            return Answer(200, overview.PAGE.read_bytes(), "text/html; charset=utf-8", UI_HEADERS)
        fault = self._may(token, Attributes(call.method.lower(), "", "", path=path))
        if fault is not None:
            return _refusal(fault, wish)
        checked = health.answer(path, call.query, self.engine)
        if checked is not None:
            return Answer(*checked)
        if path == "/metrics":
            return Answer(200, *self.metrics.text())
        if path.startswith("/debug/"):
            return self._debug(call, wish)
        if path == "/":
            return Answer(200, health.index(discovery.group_versions(
                self.custom.served(self.engine.world))))
        found = self.tokens.document(path) or discovery.document(path)
        if found is not None:
            return Answer(200, *render.encoded(found, wish))
        if path.startswith("/api"):
            return Answer(404, json.dumps(status_document(no_such_path())).encode())
        return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")

    def _documents(self, call: Call) -> Answer | None:
        """Discovery and OpenAPI, None for any other path."""
        if call.method not in ("GET", "HEAD") or not self.documents.has(call.path):
            return None
        token = self.tokens.caller(call.headers)
        fault = self._may(token, Attributes("get", "", "", path=call.path))
        if fault is not None:
            return _refusal(fault)
        known = call.headers.get("if-none-match", "")
        found = self.documents.answer(call.path, call.headers.get("accept", ""),
                                      self.custom.served(self.engine.world),
                                      call.headers.get("host", ""))
        if known and found.tag in known:
            # A client merges these headers into what it keeps: they say what the whole would say.
            return Answer(304, b"", found.media, tuple(found.headers().items()))
        return Answer(found.code, found.content, found.media, tuple(found.headers().items()))

    def _debug(self, call: Call, wish: Wish) -> Answer:
        """What people see of the simulation, and how they step it."""
        path, query = call.path, call.query
        if path == SCORES_PATH:
            return self._scores(query.get("pod", ""))
        number = query.get("since" if path == STATE_PATH else "count", "")
        chosen = int(number) if number.isascii() and number.isdigit() else -1
        if path == STATE_PATH and call.method == "GET":
            return Answer(200, render.compact(overview.overview(self.engine, max(chosen, 0))))
        if path != STEP_PATH:
            return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
        if call.method != "POST":
            return _refusal(method_not_allowed(), wish)
        if self.engine.speed != "step":
            return _refusal(failure(409, "Conflict", "the cluster moves by itself: only "
                                    "`kubeproof serve --speed step` is stepped"), wish)
        if not 1 <= chosen <= STEPS_AT_ONCE:
            return _refusal(bad_request(f"count: a number from 1 to {STEPS_AT_ONCE}"), wish)
        taken = self.engine.command(chosen, clock=query.get("clock") != "no")
        return Answer(200, render.compact({"taken": taken}))

    def _scores(self, pod: str) -> Answer:
        """The scores of the scheduler's last attempt for a pod ("namespace/name")."""
        names = self.engine.world.names
        kept = self.engine.world["scheduler"].scores if "scheduler" in names else {}
        parts = {node: dict(plugins) for node, plugins in kept.get(pod, ())}
        totals = {node: sum(plugins.values()) for node, plugins in parts.items()}
        return Answer(200, json.dumps({"plugin_scores": parts, "final_scores": totals}).encode())

    def _may(self, caller: Caller, asked: Attributes) -> Status | None:
        """Why a request that never reaches the cluster may not be made, None when it may."""
        known = Known(self.engine.world["apiserver"].cache, self.engine.world.now)
        user = self.tokens.user_of(caller, self.anonymous, known)
        if isinstance(user, Status):
            return user
        decision = authorization.decide(user, asked, known.cache)
        return None if decision.allowed else authorization.refusal(user, asked, decision.reason)


def _what(target: paths.Target) -> str:
    return f"{target.plural}/{target.subresource}" if target.subresource else target.plural


def _warning(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'


@lru_cache(maxsize=256)
def _wish_of(accept: str) -> Wish | Status:
    return render.wish_of(accept)


async def _body(call: Call) -> bytes | Status:
    """The body of a call, or the refusal of one that is too large. GoneError when it never ends."""
    if call.method not in _BODIED:
        return b""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        part = message.get("body", b"")
        size += len(part)
        if size > bodies.BODY_BYTES_MAX:
            return _TOO_LARGE
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


async def _while_there(stream: Coroutine[Any, Any, None], call: Call) -> None:
    """Write a stream to its end, or until the client has gone."""
    loop = asyncio.get_running_loop()
    writer = loop.create_task(stream)
    reader = loop.create_task(_hung_up(call.receive))
    try:
        await asyncio.wait((writer, reader), return_when=asyncio.FIRST_COMPLETED)
    finally:
        writer.cancel()
        reader.cancel()


async def _hung_up(receive: Receive) -> None:
    """Ends when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _written(cursor: Cursor, send: Send) -> None:
    """Write the events of a cursor until it ends."""
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json")]})
    while data := await cursor.lines():
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _sent(answer: Answer, send: Send) -> None:
    # A 304 says nothing of a body: what it said would replace what the client has kept; a 204 has
    # no body.
    headers = [] if answer.code in (204, 304) else [
        (b"content-type", answer.media.encode()),
        (b"content-length", b"%d" % len(answer.content))]
    headers += [(name.encode("latin-1"), value.encode("utf-8")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})


_WITH_EMPTY_DETAILS = ("MethodNotAllowed", "NotFound", "NotAcceptable", "Forbidden")


def _refusal(status: Status, wish: Wish | None = None) -> Answer:
    shown = status_document(status)
    if "details" not in shown and (status.reason in _WITH_EMPTY_DETAILS
                                   or status.message.startswith("415:")):
        shown["details"] = {}
    content, media = render.encoded(shown, wish or Wish())
    retry = status.retry_after_seconds
    return Answer(status.code, content, media, (("Retry-After", str(retry)),) if retry else ())
