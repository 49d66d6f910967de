"""A real etcd server behind the nouns of model.api.storage, through its JSON gateway.

Starts the server on free loopback ports in a temporary directory. Requests go out as etcd's v3 API
has them (etcd.io/docs, "gRPC gateway"): keys and values in base64, 64-bit numbers as text.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, get_args

from model.api import storage
from model.api.storage import Event, KeyValue

BINARY = shutil.which("etcd")
_TARGETS = {"version": "version", "create": "create_revision", "mod": "mod_revision",
            "value": "value", "lease": "lease"}
_RELATIONS = {"=": "EQUAL", "!=": "NOT_EQUAL", "<": "LESS", ">": "GREATER"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def version() -> tuple[int, ...]:
    """The version of the installed server, (3, 4, 23)."""
    assert BINARY is not None
    text = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"etcd Version: (\d+)\.(\d+)\.(\d+)", text)
    assert found is not None, text
    return tuple(int(part) for part in found.groups())


class RealEtcd:
    """A running server. `call` sends a request and gives the reply, as nouns."""

    def __init__(self, folder: Path) -> None:
        self.port, peer = _free_port(), _free_port()
        assert BINARY is not None
        client, other = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{peer}"
        with (folder / "etcd.log").open("wb") as log:
            self.process = subprocess.Popen(
                [BINARY, "--name", "one", "--data-dir", str(folder / "data"),
                 "--listen-client-urls", client, "--advertise-client-urls", client,
                 "--listen-peer-urls", other, "--initial-advertise-peer-urls", other,
                 "--initial-cluster", f"one={other}",
                 "--bcrypt-cost", "4"],  # the least, since passwords are not what is tested
                stdout=log, stderr=log)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.post("/v3/maintenance/status", {})
            except (OSError, http.client.HTTPException):
                self.connection.close()
                time.sleep(0.05)
            else:
                return
        raise AssertionError("etcd does not answer")

    def close(self) -> None:
        """Stop the server."""
        self.connection.close()
        self.process.terminate()
        self.process.wait(10)

    def post(self, path: str, body: dict[str, Any], token: str = "") -> dict[str, Any]:
        """One call of the gateway; the decoded answer."""
        headers = {"Authorization": token} if token else {}
        self.connection.request("POST", path, json.dumps(body), headers)
        answer: dict[str, Any] = json.loads(self.connection.getresponse().read())
        return answer

    def call(self, request: storage.Request) -> storage.Reply:
        """The server's reply as a noun; a Failure's revision is 0, since errors carry none."""
        token = ""
        if type(request) is storage.Signed:
            token, request = request.token, request.request
        path, body = _PATHS[type(request)], _body(request)
        answer = self.post(path, body, token)
        answer = answer.get("result", answer)
        if "error" in answer:
            return storage.Failure(0, answer["error"])
        return _reply(request, answer)

    def watch(self, request: storage.Watch) -> WatchStream:
        """Open a watch; it is acknowledged when this returns."""
        return WatchStream(self.port, request)


class WatchStream:
    """A watch on a real server: a thread reads it into `events`."""

    def __init__(self, port: int, request: storage.Watch) -> None:
        self.events: list[Event] = []
        self.compact_revision = 0
        self.cancelled = False
        self._created = threading.Event()
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        create: dict[str, Any] = {"key": encoded(request.key)}
        if request.range_end:
            create["range_end"] = encoded(request.range_end)
        if request.start_revision:
            create["start_revision"] = str(request.start_revision)
        if request.previous:
            create["prev_kv"] = True
        if request.filters:
            create["filters"] = ["NO" + name for name in request.filters]
        self._connection.request("POST", "/v3/watch", json.dumps({"create_request": create}))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._created.wait(10), "the watch was not acknowledged"

    def _read(self) -> None:
        # Closing from either side ends the stream.
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._read_lines()

    def _read_lines(self) -> None:
        response = self._connection.getresponse()
        while line := response.readline():
            result = json.loads(line).get("result", {})
            if result.get("created"):
                self._created.set()
            self.events.extend(_event(each) for each in result.get("events", ()))
            if result.get("canceled"):
                self.compact_revision = int(result.get("compact_revision", 0))
                self.cancelled = True
                return

    def wait(self, count: int, cancelled: bool) -> None:
        """Wait until at least `count` events came, and the end when it is expected."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if len(self.events) >= count and (self.cancelled or not cancelled):
                return
            time.sleep(0.01)

    def close(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):  # the server may have closed it first
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._connection.close()


_PATHS = {
    storage.Range: "/v3/kv/range", storage.Put: "/v3/kv/put",
    storage.Delete: "/v3/kv/deleterange", storage.Txn: "/v3/kv/txn",
    storage.Compact: "/v3/kv/compaction", storage.LeaseGrant: "/v3/lease/grant",
    storage.LeaseRevoke: "/v3/lease/revoke", storage.LeaseKeepAlive: "/v3/lease/keepalive",
    storage.LeaseTimeToLive: "/v3/lease/timetolive",
    storage.AuthEnable: "/v3/auth/enable", storage.AuthDisable: "/v3/auth/disable",
    storage.UserAdd: "/v3/auth/user/add", storage.UserGrantRole: "/v3/auth/user/grant",
    storage.RoleAdd: "/v3/auth/role/add", storage.RoleGrant: "/v3/auth/role/grant",
    storage.Authenticate: "/v3/auth/authenticate",
}


def _body(request: Any) -> dict[str, Any]:
    kind = type(request)
    if kind is storage.Txn:
        return {"compare": [_compare(each) for each in request.compares],
                "success": [_operation(each) for each in request.success],
                "failure": [_operation(each) for each in request.failure]}
    if kind is storage.Compact:
        return {"revision": str(request.revision), "physical": True}
    if kind is storage.LeaseGrant:
        return {"TTL": str(request.ttl_s), "ID": str(request.id)}
    if kind is storage.LeaseTimeToLive:
        return {"ID": str(request.id), "keys": True}
    if kind in (storage.LeaseRevoke, storage.LeaseKeepAlive):
        return {"ID": str(request.id)}
    if kind in (storage.AuthEnable, storage.AuthDisable):
        return {}
    if kind is storage.UserGrantRole:
        return {"user": request.name, "role": request.role}
    if kind is storage.RoleGrant:
        return {"name": request.name, "perm": {
            "permType": request.access.upper(), "key": encoded(request.key),
            "range_end": encoded(request.range_end)}}
    if kind in (storage.UserAdd, storage.RoleAdd, storage.Authenticate):
        return {key: value for key, value in request._asdict().items() if key != "kind"}
    body: dict[str, Any] = {"key": encoded(request.key)}
    if kind is storage.Put:
        body["value"] = encoded(request.value)
        body["lease"] = str(request.lease)
        body["prev_kv"] = request.previous
        return body
    if request.range_end:
        body["range_end"] = encoded(request.range_end)
    if kind is storage.Delete:
        body["prev_kv"] = request.previous
    else:
        body |= {"revision": str(request.revision), "limit": str(request.limit),
                 "count_only": request.count_only, "keys_only": request.keys_only}
    return body


def _operation(operation: Any) -> dict[str, Any]:
    names = {storage.Range: "request_range", storage.Put: "request_put",
             storage.Delete: "request_delete_range"}
    return {names[type(operation)]: _body(operation)}


def _compare(compare: storage.Compare) -> dict[str, Any]:
    target = compare.target
    operand = encoded(compare.operand) if target == "value" else str(compare.operand)
    return {"key": encoded(compare.key), "target": target.upper(),
            "result": _RELATIONS[compare.relation], _TARGETS[target]: operand}


def _revision(answer: dict[str, Any]) -> int:
    return int(answer.get("header", {}).get("revision", 0))


def _reply(request: Any, answer: dict[str, Any]) -> storage.Reply:
    kind, revision = type(request), _revision(answer)
    if kind is storage.Txn:
        succeeded = answer.get("succeeded", False)
        branch = request.success if succeeded else request.failure
        answers = [next(iter(each.values())) for each in answer.get("responses", ())]
        replies: Any = tuple(_reply(each, part)
                             for each, part in zip(branch, answers, strict=True))
        return storage.TxnReply(revision, succeeded, replies)
    if kind is storage.Range:
        return storage.RangeReply(revision, tuple(map(_kv, answer.get("kvs", ()))),
                                  int(answer.get("count", 0)), answer.get("more", False))
    if kind is storage.Put:
        before = answer.get("prev_kv")
        return storage.PutReply(revision, None if before is None else _kv(before))
    if kind is storage.Delete:
        return storage.DeleteReply(revision, int(answer.get("deleted", 0)),
                                   tuple(map(_kv, answer.get("prev_kvs", ()))))
    if kind is storage.Compact:
        return storage.CompactReply(revision)
    if kind in (*get_args(storage.AuthChange), storage.Authenticate):
        return storage.AuthReply(revision, answer.get("token", ""))
    keys = tuple(sorted(map(_decoded, answer.get("keys", ()))))
    return storage.LeaseReply(revision, int(answer.get("ID", request.id)),
                              int(answer.get("TTL", 0)), int(answer.get("grantedTTL", 0)), keys)


def _kv(found: dict[str, Any]) -> KeyValue:
    value = found.get("value")
    return KeyValue(_decoded(found["key"]), None if value is None else _decoded(value),
                    int(found.get("create_revision", 0)), int(found.get("mod_revision", 0)),
                    int(found.get("version", 0)), int(found.get("lease", 0)))


def _event(found: dict[str, Any]) -> Event:
    before = found.get("prev_kv")
    return Event(found.get("type", "PUT"), _kv(found["kv"]),
                 None if before is None else _kv(before))
