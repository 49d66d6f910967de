"""Many at once: 200 watches and 50 writers lose and reorder nothing; what is too much is refused
with a clear answer, and those who do not read hurt nobody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from raw_client import HEAD, connected
from served_process import Served, config_map

from kubeproof.options import made_ready
from model.api.storage import Event, Watch, WatchReply
from properties.histories import Watched, broken_guarantees
from traces.history import load
from traces.replay import transitions

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
BARE = ("--components", "apiserver,etcd", "--speed", "max")
WATCHES, WRITERS, WRITES = 200, 50, 8
PREFIX = "/registry/configmaps/default/"


async def watching(port: int, version: str, seen: list[dict[str, Any]], until: int) -> None:
    """Collect the events of one watch until so many came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    writer.write(f"GET {CONFIGMAPS}?watch=1&resourceVersion={version} HTTP/1.1\r\n{HEAD}\r\n"
                 .encode())
    while len(seen) < until:
        line = await reader.readline()
        assert line, f"the watch ended after {len(seen)} events"
        if line.startswith(b"{"):
            seen.append(json.loads(line))
    writer.close()


async def writing(port: int, number: int) -> None:
    """One writer: creates, changes and deletes objects of its own, and one that all share."""
    client = await connected(port)
    for at in range(WRITES // 4):
        name = f"w{number}-{at}"
        assert (await client.ask("POST", CONFIGMAPS, config_map(name)))[0] == 201
        assert (await client.ask("PUT", f"{CONFIGMAPS}/{name}", config_map(name, x="1")))[0] == 200
        assert (await client.ask("PUT", f"{CONFIGMAPS}/shared",
                                 config_map("shared", by=name)))[0] == 200
        assert (await client.ask("DELETE", f"{CONFIGMAPS}/{name}"))[0] == 200
    client.writer.close()


async def crowd(port: int) -> tuple[int, list[list[dict[str, Any]]]]:
    """All of them at once; the revision before, and what each watch saw."""
    client = await connected(port)
    assert (await client.ask("POST", CONFIGMAPS, config_map("shared")))[0] == 201
    listed = (await client.ask("GET", CONFIGMAPS))[1]
    version = listed["metadata"]["resourceVersion"]
    seen: list[list[dict[str, Any]]] = [[] for _ in range(WATCHES)]
    watches = [asyncio.create_task(watching(port, version, each, WRITERS * WRITES))
               for each in seen]
    await asyncio.gather(*(writing(port, number) for number in range(WRITERS)))
    await asyncio.wait_for(asyncio.gather(*watches), 60)
    client.writer.close()
    return int(version), seen


def happened(trace: Path) -> list[Event]:
    """Every change of the store in order, by replaying the recording."""
    history = load(trace)
    system, world = made_ready(history.scenario)
    events: list[Event] = []
    for step in transitions(system, world, history.actions):
        if step.action.actor == "etcd":
            before, after = step.before["etcd"], step.after["etcd"]
            if before.revision != after.revision:
                events.extend(event for event in after.store.log.since(before.revision + 1)
                              if event.kv.key.startswith(PREFIX))
    return events


def as_replies(seen: list[dict[str, Any]], known: dict[int, Event]) -> tuple[WatchReply, ...]:
    """What a client saw, in the store's words; the object must be the one that was stored."""
    replies = []
    for event in seen:
        metadata = event["object"]["metadata"]
        revision = int(metadata["resourceVersion"])
        kind = "DELETE" if event["type"] == "DELETED" else "PUT"
        stored = known.get(revision)
        assert stored is not None, f"nothing happened at {revision}"
        assert (stored.type, stored.kv.key) == (kind, PREFIX + metadata["name"])
        if kind == "PUT":
            assert dict(stored.kv.value.data or ()) == event["object"].get("data", {})
        replies.append(WatchReply(revision, (stored,)))
    return tuple(replies)


def test_a_crowd_loses_and_reorders_nothing(tmp_path: Path) -> None:
    """Every watch saw every change once, in order, by the recorded history's own account."""
    trace = tmp_path / "run.trace"
    with Served(tmp_path, *BARE, "--record", str(trace)) as served:
        version, seen = asyncio.run(crowd(served.port))
        assert served.stop() == 0
    events = [event for event in happened(trace) if event.kv.mod_revision > version]
    assert len(events) == WRITERS * WRITES
    known = {event.kv.mod_revision: event for event in events}
    request = Watch(PREFIX, PREFIX[:-1] + "0", version + 1)
    first = as_replies(seen[0], known)
    assert broken_guarantees(Watched(request, first), events) == []
    for other in seen[1:]:
        assert other == seen[0]
    # The judge sees a lost event and two that changed places.
    assert broken_guarantees(Watched(request, first[:3] + first[4:]), events)
    assert broken_guarantees(Watched(request, (first[1], first[0], *first[2:])), events)


def until_the_end(connection: socket.socket) -> bytes:
    """The last bytes before a connection breaks."""
    last = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 20):
            last = (last + data)[-100:]
    return last


def test_a_client_that_does_not_read_is_dropped(tmp_path: Path) -> None:
    """Its connection breaks; a client that reads sees all; the server counts it."""
    with Served(tmp_path, *BARE) as served:
        with socket.create_connection(("127.0.0.1", served.port)) as lazy:
            lazy.sendall(f"GET {CONFIGMAPS}?watch=1 HTTP/1.1\r\n{HEAD}\r\n".encode())
            time.sleep(0.3)
            big = "x" * 900_000
            for number in range(30):
                reply = served.http.post(CONFIGMAPS, content=config_map(f"big-{number}", x=big))
                assert reply.status_code == 201
                served.http.delete(f"{CONFIGMAPS}/big-{number}")
            text = served.http.get("/metrics").text
            assert "apiserver_watch_dropped_total 1.0" in text
            assert "apiserver_longrunning_requests 0.0" in text
            assert not until_the_end(lazy).endswith(b"0\r\n\r\n")
        assert served.http.get(f"{CONFIGMAPS}/big-1").status_code == 404


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    """Bodies over 3 MiB: 413. Headers over 64 KiB: 431. Neither ends the server."""
    with Served(tmp_path, *BARE) as served:
        large = served.http.post(CONFIGMAPS, content=config_map("a", x="x" * 3_200_000))
        assert (large.status_code, large.json()["reason"]) == (413, "RequestEntityTooLarge")
        wide = served.http.get(CONFIGMAPS, headers={"X-Wide": "x" * 70_000})
        assert wide.status_code == 431
        endless = http.client.HTTPConnection("127.0.0.1", served.port, timeout=10)
        endless.connect()
        endless.sock.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(OSError):
            endless.sock.sendall(b"x" * 20_000_000)
        endless.close()
        assert served.http.get("/readyz").status_code == 200


def test_too_many_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    """429 with Retry-After above the bound of requests that wait."""
    with Served(tmp_path, "--components", "apiserver,etcd", "--speed", "step",
                ready=False) as served:
        async def wait_and_ask() -> tuple[int, str]:
            path = f"GET {CONFIGMAPS} HTTP/1.1\r\n{HEAD}\r\n".encode()
            waiting = []
            for _ in range(400):
                reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
                writer.write(path)
                waiting.append((reader, writer))
            await asyncio.sleep(1)
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            writer.write(path)
            head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode()
            for _, each in (*waiting, (reader, writer)):
                each.close()
            return int(head[9:12]), head.lower()
        code, head = asyncio.run(wait_and_ask())
        assert code == 429
        assert "retry-after: 1" in head
