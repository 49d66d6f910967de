"""The component `outside`: clients that are no part of the cluster come in through it.

A request of a real client is the input `request CONNECTION TEXT`: an open action whose arguments
are scalars, so that it is recorded, replayed and shrunk like every other. The text is a JSON object
with the fields of a Request; `close CONNECTION` is the end of a client's watch. What comes back is
read off the transitions by whoever drives the system; nothing of it is kept here.

Not modelled: HTTP itself, which ends at the front door.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, NamedTuple

from model.api.objects import freeze, thaw
from model.api.requests import Impersonation, Options, Patch, Request
from model.kernel.action import Scalar
from model.kernel.component import CUT, Cause, Component, Io, Message
from model.kernel.errors import InputError
from reference_impl.apiserver.access.authentication import OUTSIDE


class Connections(NamedTuple):
    """How many requests came in so far."""

    requests: int = 0


class Outside(Component[Connections]):
    """See the head of this file."""

    name = OUTSIDE
    host = "outside"

    def init(self, io: Io) -> Connections:
        return Connections()

    def restart(self, local: Connections, cause: Cause, io: Io) -> Connections:
        return local

    def accepts(self, local: Connections, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb == "close":
            return len(args) == 1
        if verb != "request" or len(args) != 2:
            return False
        try:
            decode(str(args[1]))
        except InputError:
            return False
        return True

    def step(self, local: Connections, verb: str, args: tuple[Scalar, ...],
             io: Io) -> Connections:
        if verb == "close":
            io.request("apiserver", str(args[0]), CUT)
            return local
        io.request("apiserver", str(args[0]), decode(str(args[1])))
        return Connections(local.requests + 1)

    def receive(self, local: Connections, message: Message, io: Io) -> Connections:
        return local

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == "close":
            return f"ends {args[0]}"
        return f"asks on {args[0]}: {args[1]}"


def encode(request: Request) -> str:
    """A request as the text of an action."""
    fields: dict[str, Any] = {name: value for name, value in zip(
        request._fields, request, strict=True)
        if value and name not in ("body", "options", "impersonate")}
    if request.impersonate is not None:
        fields["impersonate"] = list(request.impersonate)
    if isinstance(request.body, Patch):
        fields["patch"] = [request.body.type, request.body.document.decode("utf-8", "replace")]
    elif request.body is not None:
        fields["body"] = thaw(request.body)
    options = {name: value for name, value in zip(
        request.options._fields, request.options, strict=True)
        if value != Options._field_defaults[name]}
    if options:
        fields["options"] = options
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@lru_cache(maxsize=64)  # asked for twice: by `accepts`, then by `step`
def decode(text: str) -> Request:
    """The request that a text means. InputError when it is none."""
    try:
        fields = json.loads(text)
    except ValueError as error:
        raise InputError(f"a request is JSON: {error}") from None
    if not isinstance(fields, dict) or "verb" not in fields or "resource" not in fields:
        raise InputError("a request names its verb and its resource")
    body = fields.pop("body", None)
    patch = fields.pop("patch", None)
    impersonate = fields.pop("impersonate", None)
    options = fields.pop("options", {})
    if patch is not None:
        made: Any = Patch(patch[0], patch[1].encode())
    else:
        made = None if body is None else freeze(body)
    try:
        return Request(**fields, body=made, options=Options(**options),
                       impersonate=_impersonation(impersonate))
    except (TypeError, ValueError) as error:
        raise InputError(f"a request has no such field: {error}") from None


def _impersonation(fields: Any) -> Impersonation | None:
    if fields is None:
        return None
    user, groups, uid, extra = fields
    return Impersonation(user, tuple(groups), uid,
                         tuple((key, tuple(values)) for key, values in extra))
