"""The API server on a real etcd: what it asks leaves the world, and the replies enter as inputs.

Two halves. `EtcdOutside` stands in the world where etcd would be: it takes requests, and lets a
reply in as the open action `reply LANE TEXT`, so that a recorded run needs no etcd to be replayed.
`Gateway` is outside: it carries requests to the server through its v3 JSON API (etcd.io/docs,
"gRPC gateway": keys and values in base64, 64-bit numbers as text) and brings the replies back.

Not modelled: users of etcd, encrypted connections to it, and the other calls of its API, which an
API server does not make.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from model.api.metadata import Metadata
from model.api.objects import freeze, thaw
from model.api.records import read, write
from model.api.storage import (
    Compare,
    Delete,
    DeleteReply,
    Event,
    Failure,
    KeyValue,
    Put,
    PutReply,
    Range,
    RangeReply,
    Txn,
    TxnReply,
    Watch,
    WatchReply,
)
from model.kernel.action import Action, Scalar
from model.kernel.component import CUT, Component, Io, Message
from model.kernel.errors import InputError
from model.kernel.values import FrozenMap
from reference_impl.apiserver.registry.allocators import RangeAllocation

if TYPE_CHECKING:
    import httpx

NAME = "etcd"
RETRY_S = 0.5
TIMEOUT_S = 5.0
_TARGETS = {"version": "version", "create": "create_revision", "mod": "mod_revision"}
_RELATIONS = {"=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER"}


class StoreOutsideError(AttributeError):
    """Somebody wants to see what is in a store outside the world."""


class Nothing(NamedTuple):
    """What is known inside of a store that is outside."""

    kind: str = "Nothing"

    def __getattr__(self, name: str) -> Any:
        raise StoreOutsideError(f"{name}: the store is outside the world")


class EtcdOutside(Component[Nothing]):
    """See the head of this file."""

    name = NAME
    servers = ()

    def init(self, io: Io) -> Nothing:
        return Nothing()

    def accepts(self, local: Nothing, verb: str, args: tuple[Scalar, ...]) -> bool:
        if verb != "reply" or len(args) != 2:
            return False
        try:
            decoded(str(args[1]))
        except (InputError, ValueError, KeyError, TypeError, AttributeError):
            return False
        return True

    def step(self, local: Nothing, verb: str, args: tuple[Scalar, ...], io: Io) -> Nothing:
        io.reply("apiserver", str(args[0]), decoded(str(args[1])))
        return local

    def receive(self, local: Nothing, message: Message, io: Io) -> Nothing:
        return local


# -- replies as text ------------------------------------------------------------------------------


def decoded(text: str) -> Any:
    """The reply that a text means: the gateway's answer, with keys as text and values as documents;
    `{}` is a connection that broke."""
    found = json.loads(text)
    if not found:
        return CUT
    (kind, answer), = found.items()
    if kind == "failure":
        return Failure(0, str(answer))
    if kind == "watch":
        events = tuple(Event(event.get("type", "PUT"), _kv(event["kv"]))
                       for event in answer.get("events", ()))
        return WatchReply(_revision(answer), events, bool(answer.get("created")),
                          bool(answer.get("canceled")), int(answer.get("compact_revision", 0)))
    return _reply(kind, answer, _revision(answer))


def _revision(answer: dict[str, Any]) -> int:
    return int(answer.get("header", {}).get("revision", 0))


def _reply(kind: str, answer: dict[str, Any], revision: int) -> Any:
    if kind == "txn":
        parts = tuple(_reply(name.removeprefix("response_"), part, revision)
                      for each in answer.get("responses", ()) for name, part in each.items())
        return TxnReply(revision, bool(answer.get("succeeded")), parts)
    if kind == "range":
        return RangeReply(revision, tuple(map(_kv, answer.get("kvs", ()))),
                          int(answer.get("count", 0)), bool(answer.get("more")))
    if kind == "put":
        return PutReply(revision)
    return DeleteReply(revision, int(answer.get("deleted", 0)))


def _kv(found: dict[str, Any]) -> KeyValue:
    value = found.get("value")
    return KeyValue(found["key"], None if value is None else _object(value),
                    int(found.get("create_revision", 0)), int(found.get("mod_revision", 0)),
                    int(found.get("version", 0)), int(found.get("lease", 0)))


def _object(document: dict[str, Any]) -> Any:
    if document.get("kind") == "RangeAllocation":
        return RangeAllocation("RangeAllocation", read(Metadata, document["metadata"]),
                               FrozenMap(document["used"].items()))
    return freeze(document)


def _document(obj: Any) -> dict[str, Any]:
    if isinstance(obj, RangeAllocation):
        return {"kind": obj.kind, "metadata": write(obj.metadata), "used": dict(obj.used.items())}
    return thaw(obj)


# -- the gateway's own form -----------------------------------------------------------------------


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(answer: Any) -> Any:
    """An answer of the gateway with keys as text and values as documents."""
    if isinstance(answer, list):
        return [_plain(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    shown = {name: _plain(value) for name, value in answer.items() if name not in ("key", "value")}
    if "key" in answer:
        shown["key"] = base64.b64decode(answer["key"]).decode()
    if "value" in answer:
        shown["value"] = json.loads(base64.b64decode(answer["value"]))
    return shown


def _operation(operation: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"key": _base64(operation.key)}
    if isinstance(operation, Put):
        value = json.dumps(_document(operation.value), ensure_ascii=False)
        return {"request_put": {**body, "value": _base64(value), "lease": str(operation.lease)}}
    if operation.range_end:
        body["range_end"] = _base64(operation.range_end)
    if isinstance(operation, Delete):
        return {"request_delete_range": body}
    return {"request_range": {**body, "revision": str(operation.revision),
                              "limit": str(operation.limit), "count_only": operation.count_only,
                              "keys_only": operation.keys_only,
                              "serializable": operation.serializable}}


def _compare(compare: Compare) -> dict[str, Any]:
    return {"key": _base64(compare.key), "target": compare.target.upper(),
            "result": _RELATIONS[compare.relation],
            _TARGETS[compare.target]: str(compare.operand)}


def asked(request: Range | Txn) -> tuple[str, str, dict[str, Any]]:
    """Kind, path and body of a call of the gateway."""
    if isinstance(request, Range):
        return "range", "/v3/kv/range", _operation(request)["request_range"]
    return "txn", "/v3/kv/txn", {
        "compare": [_compare(each) for each in request.compares],
        "success": [_operation(each) for each in request.success],
        "failure": [_operation(each) for each in request.failure]}


class Gateway:
    """Carries what the API server asks to a real etcd. `act` takes an action and does what follows
    from it. One task a lane: a newer request on a lane ends what the lane carried before."""

    def __init__(self, url: str, act: Callable[[Action], None]) -> None:
        self.url = url
        self._act = act
        self._early: list[Message] = []
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Connect; what was asked before is asked now."""
        import httpx
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._client = httpx.AsyncClient(base_url=self.url, limits=limits, trust_env=False,
                                         timeout=TIMEOUT_S)
        for message in self._early:
            self.heard(message)
        self._early.clear()

    async def stop(self) -> None:
        """Break all connections."""
        for task in self._lanes.values():
            task.cancel()
        await asyncio.gather(*self._lanes.values(), return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()

    def heard(self, message: Message) -> None:
        """The stand-in received a message of the API server."""
        if self._client is None:
            self._early.append(message)
            return
        before = self._lanes.pop(message.lane, None)
        if before is not None:
            before.cancel()
        if message.body == CUT:
            return
        work = (self._watch(message.lane, message.body) if isinstance(message.body, Watch)
                else self._call(message.lane, message.body))
        task = self._lanes[message.lane] = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(lambda done: self._ended(message.lane, done))

    def _ended(self, lane: str, task: asyncio.Task[None]) -> None:
        if self._lanes.get(lane) is task:
            del self._lanes[lane]

    def _bring(self, lane: str, reply: dict[str, Any]) -> None:
        self._act(Action(NAME, "reply", (lane, json.dumps(reply, sort_keys=True,
                                                          ensure_ascii=False))))

    async def _call(self, lane: str, request: Any) -> None:
        """One request and its reply. A connection that broke leaves the outcome unknown."""
        import httpx
        assert self._client is not None, "the gateway is started"
        kind, path, body = asked(request)
        try:
            reply = await self._client.post(path, json=body)
            answer = reply.json()
        except (httpx.HTTPError, ValueError):
            await asyncio.sleep(RETRY_S)
            self._bring(lane, {})
            return
        if reply.status_code != 200:
            self._bring(lane, {"failure": str(answer.get("message") or answer.get("error"))})
        else:
            self._bring(lane, {kind: _plain(answer)})

    async def _watch(self, lane: str, request: Watch) -> None:
        """The stream of a watch, until it breaks; then the API server asks anew."""
        import httpx
        assert self._client is not None, "the gateway is started"
        create = {"key": _base64(request.key), "range_end": _base64(request.range_end),
                  "start_revision": str(request.start_revision),
                  "progress_notify": request.progress}
        try:
            async with self._client.stream("POST", "/v3/watch", json={"create_request": create},
                                           timeout=httpx.Timeout(TIMEOUT_S, read=None)) as stream:
                async for line in stream.aiter_lines():
                    result = json.loads(line).get("result")
                    if result is None:
                        break
                    self._bring(lane, {"watch": _plain(result)})
        except (httpx.HTTPError, ValueError):
            pass  # told below, like a stream that ended by itself
        await asyncio.sleep(RETRY_S)
        self._bring(lane, {})
