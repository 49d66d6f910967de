"""The audit log: one line for each request, who made it, what it was about, how it ended.

Source: Kubernetes documentation, "Auditing": events of audit.k8s.io/v1, level Metadata, stage
ResponseComplete. A line holds neither headers nor bodies, so that no bearer string and no
data of a Secret can stand in it; of the client's address only the host is told.

Not modelled: audit policies (every request is logged at one level), other stages, and webhooks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import parse_qsl

from kubeproof.http import paths
from kubeproof.http.app import App
from kubeproof.http.tokens import Caller, add_header
from model.api.objects import milliseconds, timestamp
from model.kernel.errors import InputError
from reference_impl.apiserver.access import authorization
from reference_impl.apiserver.access.authentication import ANONYMOUS
from reference_impl.apiserver.access.known import Known
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User

Scope = MutableMapping[str, Any]
Document = dict[str, Any]


class About(NamedTuple):
    """What is known of a request before it is answered."""

    number: int
    started_ms: int
    uri: str
    agent: str
    host: str
    verb: str
    object: Document
    user: User
    acted_for: User | None
    allowed: bool
    reason: str


class Audit:
    """An ASGI application around the server's: it looks at what passes and writes it down."""

    def __init__(self, app: App, file: Path) -> None:
        self.app = app
        self.count = 0
        try:
            self._file: IO[str] = file.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InputError(f"cannot be written: {error.strerror}", where=str(file)) from None

    async def __call__(self, scope: Scope, receive: Callable[[], Any],
                       send: Callable[[MutableMapping[str, Any]], Any]) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            self._file.close()  # the server's life is over
            return
        about = self._about(scope)
        codes: list[int] = []

        async def noted(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                codes.append(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            if codes:
                self._write(about, codes[0])

    def _about(self, scope: Scope) -> About:
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            add_header(headers, name.decode("latin-1"), value.decode("latin-1"))
        query = scope["query_string"].decode("latin-1")
        target = paths.target_of(scope["path"])
        verb, named = scope["method"].lower(), {}
        asked = Attributes(verb, "", "", path=scope["path"])
        if target is not None:
            verb = paths.verb_of(scope["method"], target, dict(parse_qsl(query))) or verb
            named = {key: value for key, value in (
                ("resource", target.plural), ("namespace", target.namespace),
                ("name", target.name), ("apiGroup", target.group),
                ("apiVersion", target.version), ("subresource", target.subresource)) if value}
            what = f"{target.plural}/{target.subresource}".rstrip("/")
            asked = Attributes(verb, target.group, what, target.namespace, target.name)
        caller = self.app.tokens.caller(headers)
        world = self.app.engine.world
        known = Known(world["apiserver"].cache, world.now)
        user, acted_for = self._users(caller, known)
        decision = authorization.decide(acted_for or user, asked, known.cache)
        self.count += 1
        return About(self.count, world.now, f"{scope['path']}{'?' + query if query else ''}",
                     headers.get("user-agent", ""), (scope.get("client") or ("",))[0], verb, named,
                     user, acted_for, decision.allowed, decision.reason)

    def _users(self, caller: Caller, known: Known) -> tuple[User, User | None]:
        """Who asks, and for whom; nobody known is anonymous."""
        found = self.app.tokens.user_of(Caller(caller.token), self.app.anonymous, known)
        user = found if isinstance(found, User) else ANONYMOUS
        if caller.impersonate is None:
            return user, None
        other = self.app.tokens.user_of(caller, self.app.anonymous, known)
        return user, other if isinstance(other, User) else None

    def _write(self, about: About, code: int) -> None:
        ended = self.app.engine.world.now
        entry: Document = {
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata",
            "auditID": _identity(about), "stage": "ResponseComplete", "requestURI": about.uri,
            "verb": about.verb, "user": _told(about.user)}
        if about.acted_for is not None:
            entry["impersonatedUser"] = _told(about.acted_for)
        entry |= {"sourceIPs": [about.host], "userAgent": about.agent}
        if about.object:
            entry["objectRef"] = about.object
        entry |= {"responseStatus": {"metadata": {}, "code": code},
                  "requestReceivedTimestamp": _micro(about.started_ms),
                  "stageTimestamp": _micro(ended),
                  "annotations": {
                      "authorization.k8s.io/decision": "allow" if about.allowed else "forbid",
                      "authorization.k8s.io/reason": about.reason}}
        self._file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")


def _identity(about: About) -> str:
    """A uid of its own for each entry, without chance."""
    digest = hashlib.blake2b(f"{about.started_ms}/{about.number}".encode(), digest_size=16)
    text = digest.hexdigest()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _told(user: User) -> Document:
    told: Document = {"username": user.name}
    if user.uid:
        told["uid"] = user.uid
    told["groups"] = list(user.groups)
    if user.extra:
        told["extra"] = {key: list(values) for key, values in user.extra}
    return told


def _micro(now: int) -> str:
    """A time of the cluster with fractions of a second, as audit events have it."""
    whole = timestamp(now)
    return f"{whole[:-1]}.{(now - milliseconds(whole)) * 1000:06d}Z"
