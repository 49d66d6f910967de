"""What `kubeproof serve` carries: API server and etcd only, speed `max`, one process.

Rates are per CPU second of the server, beside what the wall clock showed; latencies are the
client's. Each row is measured with the properties checked and without. `pytest -m bench -s
tests/bench/bench_serve.py` prints the table; the test asserts ratios only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))

from raw_client import HEAD, connected
from served_process import Served, config_map

pytestmark = pytest.mark.bench

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
CONNECTIONS = 10
TICKS = os.sysconf("SC_CLK_TCK")


class Row(NamedTuple):
    """One measurement; times in milliseconds. `late`: from a write to its event, at a client."""

    what: str
    watches: int
    per_cpu: float
    per_second: float
    median: float
    worst: float
    late: float
    megabytes: float


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(process: int) -> float:
    """Resident megabytes of a process."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def middle(found: list[float], part: float = 0.5) -> float:
    """A quantile, in milliseconds."""
    return sorted(found)[int(len(found) * part)] * 1000 if found else 0.0


@contextlib.asynccontextmanager
async def watched(port: int, count: int, late: list[float]) -> AsyncIterator[None]:
    """`count` open watches; each event tells in its data when it was written."""
    tasks = [asyncio.create_task(watching(port, late)) for _ in range(count)]
    await asyncio.sleep(0.3 + count / 100)
    late.clear()
    yield
    await asyncio.sleep(0.5)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def watching(port: int, late: list[float]) -> None:
    client = await connected(port)
    version = (await client.ask("GET", f"{CONFIGMAPS}?limit=1"))[1]["metadata"]["resourceVersion"]
    client.writer.write(f"GET {CONFIGMAPS}?watch=1&resourceVersion={version} HTTP/1.1\r\n{HEAD}"
                        "\r\n".encode())
    try:
        while line := await client.reader.readline():
            at = line.find(b'"t":"')
            if at > 0:
                late.append(time.perf_counter() - float(line[at + 5:line.index(b'"', at + 5)]))
    finally:
        client.writer.transport.abort()


async def load(port: int, what: str, total: int, pace: float, took: list[float]) -> None:
    """`total` requests over some connections; `pace` seconds between two of a connection."""
    async def one(number: int) -> None:
        client = await connected(port)
        for at in range(total // CONNECTIONS):
            began = time.perf_counter()
            if what == "get":
                code, _ = await client.ask("GET", f"{CONFIGMAPS}/base")
            else:
                name = f"c{began:.6f}-{number}-{at}".replace(".", "-")
                code, _ = await client.ask("POST", CONFIGMAPS, config_map(name, t=f"{began}"))
            assert code in (200, 201)
            took.append(time.perf_counter() - began)
            if pace:
                await asyncio.sleep(pace)
        client.writer.close()
    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))


def measured(served: Served, what: str, watches: int, total: int, pace: float = 0.0) -> Row:
    """One row."""
    took: list[float] = []
    late: list[float] = []

    async def run() -> tuple[float, float]:
        async with watched(served.port, watches, late):
            cpu, began = cpu_seconds(served.process.pid), time.perf_counter()
            await load(served.port, what, total, pace, took)
            wall = time.perf_counter() - began
        return cpu_seconds(served.process.pid) - cpu, wall
    cpu, wall = asyncio.run(run())
    label = what if not pace else f"{what}, {CONNECTIONS / pace:.0f}/s asked"
    return Row(label, watches, total / cpu, total / wall, middle(took), middle(took, 0.99),
               middle(late), memory(served.process.pid))


def rows(folder: Path, *flags: str) -> list[Row]:
    """All rows of one server."""
    with Served(folder, "--components", "apiserver,etcd", "--speed", "max", *flags) as served:
        made: Any = served.http.post(CONFIGMAPS, content=config_map("base", a="b"))
        assert made.status_code == 201
        return [measured(served, "get", 0, 3000), measured(served, "get", 10, 3000),
                measured(served, "create", 0, 2000), measured(served, "create", 10, 2000),
                measured(served, "create", 10, 500, 0.1),
                measured(served, "create", 200, 500),
                measured(served, "create", 200, 200, 0.2)]


def test_what_a_server_carries(tmp_path: Path) -> None:
    """Prints the table; watches must not cost reads much, nor checks more than half."""
    tables = {}
    for name, flags in (("checked", ()), ("unchecked", ("--no-check",))):
        folder = tmp_path / name
        folder.mkdir()
        tables[name] = rows(folder, *flags)
        print(f"\n{name:24} watches   /CPU s     /s   p50 ms   p99 ms  event ms    MiB")
        for row in tables[name]:
            print(f"  {row.what:22} {row.watches:7} {row.per_cpu:8.0f} {row.per_second:6.0f} "
                  f"{row.median:8.1f} {row.worst:8.1f} {row.late:9.1f} {row.megabytes:6.0f}")
    checked, bare = tables["checked"], tables["unchecked"]
    assert checked[1].per_cpu > 0.5 * checked[0].per_cpu
    assert checked[2].per_cpu > 0.3 * bare[2].per_cpu
