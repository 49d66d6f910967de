"""The API server on a real etcd: objects live there, watches see its changes, a restart loses none,
and the recording replays without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import etcd_gateway
import pytest
from etcd_gateway import RealEtcd
from served_process import Served, config_map

from kubeproof.options import made_ready
from model.api.storage import Range
from traces.history import load
from traces.replay import replay

pytestmark = pytest.mark.skipif(etcd_gateway.BINARY is None,
                                reason="no etcd server is installed (Debian: etcd-server)")
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
SECRETS = "/api/v1/namespaces/default/secrets"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[RealEtcd]:
    """A server on free loopback ports."""
    folder = tmp_path / "etcd"
    folder.mkdir()
    started = RealEtcd(folder)
    yield started
    started.close()


def flags(etcd: RealEtcd, trace: Path) -> tuple[str, ...]:
    return ("--etcd", f"http://127.0.0.1:{etcd.port}", "--record", str(trace), "--components",
            "apiserver,etcd,controllers,scheduler,kubelet", "--nodes", "1")


def test_objects_live_in_etcd_and_outlast_the_server(etcd: RealEtcd, tmp_path: Path) -> None:
    """Create, change, watch, delete; then a new server shows what the first one stored."""
    trace = tmp_path / "run.trace"
    with Served(tmp_path, *flags(etcd, trace)) as served:
        http = served.http
        assert http.post(CONFIGMAPS, content=config_map("a", x="1")).status_code == 201
        version = http.get(CONFIGMAPS).json()["metadata"]["resourceVersion"]
        changed = http.put(f"{CONFIGMAPS}/a", content=config_map("a", x="2"))
        assert changed.json()["data"] == {"x": "2"}
        old = json.loads(config_map("a", x="3"))
        old["metadata"]["resourceVersion"] = version
        assert http.put(f"{CONFIGMAPS}/a", json={**old, "metadata": {
            "name": "a", "resourceVersion": "1"}}).status_code == 409
        assert http.post(CONFIGMAPS, content=config_map("b")).status_code == 201
        assert http.delete(f"{CONFIGMAPS}/b").status_code == 200
        reply = http.get(f"{CONFIGMAPS}?watch=1&timeoutSeconds=1&resourceVersion={version}")
        events = [json.loads(line) for line in reply.text.splitlines()]
        assert [(each["type"], each["object"]["metadata"]["name"]) for each in events] == [
            ("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "b")]
        secret = {"metadata": {"name": "s"}, "stringData": {"p": PASSWORD}}
        assert http.post(SECRETS, json=secret).status_code == 201
        pod = {"metadata": {"generateName": "p-"}, "spec": {"containers": [
            {"name": "c", "image": "i"}]}}
        first = http.post("/api/v1/namespaces/default/pods", json=pod).json()["metadata"]
        uid = http.get(f"{CONFIGMAPS}/a").json()["metadata"]["uid"]
        assert served.stop() == 0
    stored = etcd.call(Range("/registry/configmaps/default/a"))
    document = json.loads(stored.kvs[0].value)  # type: ignore[union-attr]  # a range gives key-values
    assert (document["data"], document["metadata"]["uid"]) == ({"x": "2"}, uid)
    replays(trace)
    second = tmp_path / "again"
    second.mkdir()
    with Served(second, *flags(etcd, second / "run.trace")) as served:
        assert served.http.get(f"{CONFIGMAPS}/a").json()["metadata"]["uid"] == uid
        again = served.http.post("/api/v1/namespaces/default/pods", json=pod).json()["metadata"]
        assert (again["name"], again["uid"]) != (first["name"], first["uid"])


def replays(trace: Path) -> None:
    """The recording takes the same way again, with nobody outside, and holds no secret."""
    text = trace.read_text()
    assert PASSWORD not in text
    history = load(trace)
    system, start = made_ready(history.scenario)
    seen = replay(system, start, history.actions)
    assert (seen.skipped, seen.violation) == (0, None)
    assert seen.world["apiserver"].cache["configmaps"]["default/a"].data == (("x", "2"),)


def test_an_etcd_that_goes_away_is_waited_for(tmp_path: Path) -> None:
    """Without a store the server is not ready, and says so; it does not end."""
    with Served(tmp_path, "--etcd", "http://127.0.0.1:9", "--components", "apiserver,etcd",
                ready=False) as served:
        assert served.http.get("/readyz").status_code == 500
        assert served.http.get("/livez/ping").status_code == 200
        assert served.stop() == 0
