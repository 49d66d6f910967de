"""A served run is a trace: it replays to the same world, survives a kill, and holds no secret."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from served_process import TOKEN, Served, config_map

from kubeproof.http.secrecy import Veil
from kubeproof.options import made_ready
from model.kernel.action import Action
from traces.history import load, to_text
from traces.replay import replay

SECRETS = "/api/v1/namespaces/default/secrets"
CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
PASSWORD = "correct horse battery staple"


def test_a_recorded_run_replays_to_what_its_clients_saw(tmp_path: Path) -> None:
    """Every action is possible again, in order, and the store is what the last answer showed."""
    trace = tmp_path / "run.trace"
    with Served(tmp_path, "--record", str(trace), "--nodes", "1") as served:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                  "stringData": {"password": PASSWORD}}
        assert served.http.post(SECRETS, json=secret).status_code == 201
        assert served.http.post(CONFIGMAPS, content=config_map("a", x="1")).status_code == 201
        data = served.http.get(f"{SECRETS}/s").json()["data"]
        last = served.http.get(f"{CONFIGMAPS}/a").json()
        assert base64.b64decode(data["password"]).decode() == PASSWORD
        assert served.stop() == 0
    text = trace.read_text()
    assert PASSWORD not in text
    assert base64.b64encode(PASSWORD.encode()).decode() not in text
    assert TOKEN not in text
    history = load(trace)
    assert history.finished
    assert to_text(history) == text
    system, start = made_ready(history.scenario)
    seen = replay(system, start, history.actions)
    assert (seen.skipped, seen.violation) == (0, None)
    stored = seen.world["etcd"].kv["/registry/configmaps/default/a"]
    assert str(stored.mod_revision) == last["metadata"]["resourceVersion"]
    assert stored.value.metadata.uid == last["metadata"]["uid"]
    assert stored.value.metadata.creation_timestamp == last["metadata"]["creationTimestamp"]


def test_a_kill_loses_at_most_the_last_entry(tmp_path: Path) -> None:
    """kill -9: what was answered is in the trace, and the trace loads and replays."""
    trace = tmp_path / "run.trace"
    with Served(tmp_path, "--record", str(trace), "--components", "apiserver,etcd") as served:
        for number in range(20):
            reply = served.http.post(CONFIGMAPS, content=config_map(f"a-{number}"))
            assert reply.status_code == 201
        served.kill()
    history = load(trace)
    assert not history.finished
    system, start = made_ready(history.scenario)
    seen = replay(system, start, history.actions)
    assert seen.skipped == 0
    kept = [key for key in seen.world["etcd"].kv if key.startswith("/registry/configmaps/default/")]
    assert len([key for key in kept if "/a-" in key]) == 20


def hidden(**fields: Any) -> str:
    """The text of a request about Secrets, as a recording keeps it."""
    text = json.dumps({"resource": "secrets", "verb": "create", **fields})
    return str(Veil(b"salt")(Action("outside", "request", ("c1", text))).args[1])


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BODIES = [
    {"body": {"kind": "Secret", "data": {"k": encoded(PASSWORD)}}},
    {"body": {"kind": "Secret", "stringData": {"k": PASSWORD}}},
    {"body": {"kind": "Secret", "metadata": {"annotations": {
        APPLIED: json.dumps({"kind": "Secret", "data": {"k": encoded(PASSWORD)}})}}}},
    {"patch": ["merge", json.dumps({"stringData": {"k": PASSWORD}})]},
    {"patch": ["json", json.dumps([{"op": "add", "path": "/stringData/k", "value": PASSWORD}])]},
    {"patch": ["json", json.dumps([{"op": "replace", "path": "", "value": {
        "data": {"k": encoded(PASSWORD)}}}])]},
    {"patch": ["json", json.dumps([{"op": "add", "path": "/metadata", "value": {"annotations": {
        APPLIED: json.dumps({"data": {"k": encoded(PASSWORD)}})}}}])]},
    {"patch": ["json", json.dumps([{"op": "add", "path": "/metadata/annotations/x", "value":
                                    json.dumps({"data": {"k": encoded(PASSWORD)}})}])]},
    {"patch": ["merge", f"{{{PASSWORD}"]},
]


@pytest.mark.parametrize("fields", BODIES, ids=range(len(BODIES)))
def test_data_of_secrets_is_hidden_wherever_it_stands(fields: dict[str, Any]) -> None:
    """Bodies, all kinds of patches, and the copy that kubectl keeps in an annotation."""
    text = hidden(**fields)
    assert PASSWORD not in text
    assert encoded(PASSWORD) not in text
    assert "hidden-" in text or encoded("hidden-")[:8] in text


def test_placeholders_keep_shape_and_equality() -> None:
    """Equal values stay equal, base64 stays base64, JSON stays JSON, empty stays empty."""
    data = json.loads(hidden(body={"data": {
        "a": encoded("one"), "b": encoded("one"), "c": encoded("two"), "d": "",
        "e": encoded('{"auths":{}}')}}))["body"]["data"]
    assert data["a"] == data["b"] != data["c"]
    assert data["d"] == ""
    assert isinstance(json.loads(base64.b64decode(data["e"])), dict)
    other = Veil(b"pepper")(Action("outside", "request", ("c1", json.dumps(
        {"resource": "secrets", "body": {"data": {"a": encoded("one")}}}))))
    assert data["a"] not in str(other)


def test_what_is_no_secret_is_kept() -> None:
    """Other resources and other actors' actions pass unchanged."""
    veil = Veil(b"salt")
    for action in (Action("outside", "request", ("c1", '{"resource":"configmaps","body":'
                                                 '{"data":{"k":"secrets"}}}')),
                   Action("clock", "advance"), Action("outside", "close", ("c1",))):
        assert veil(action) == action
