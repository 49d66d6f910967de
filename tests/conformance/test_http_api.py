"""The API over HTTP, in process: what a client without any Kubernetes library sees."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from model.kernel.fault import FaultPlan
from model.kernel.system import System
from model.kernel.values import FrozenMap
from reference_impl.apiserver.component import ApiServer, config_of
from reference_impl.apiserver.outside import Outside
from reference_impl.apiserver.state import User
from reference_impl.etcd.member import Etcd

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
JSON = "application/json"


@pytest.fixture
def client() -> Iterator[Any]:
    """A client whose requests carry an administrator's token."""
    with warnings.catch_warnings():
        # The test client prefers a successor of httpx that the environment does not have.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    from kubeproof.http.app import App
    from kubeproof.http.engine import Engine
    from kubeproof.http.tokens import Tokens
    from model.api.scenario import Scenario

    tokens = Tokens([("secret", User("root", "", ("system:masters",)))])
    server = ApiServer(config_of(Scenario("http")), FrozenMap(tokens.users.items()))
    system = System((server, Etcd(), Outside()), faults=FaultPlan((("crash", 9),)))
    with TestClient(App(Engine(system), tokens), headers={"Authorization": "Bearer secret"},
                    raise_server_exceptions=True) as made:
        yield made


def body(name: str, **fields: Any) -> dict[str, Any]:
    """A ConfigMap as a document."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **fields}


def test_create_get_update_patch_delete(client: Any) -> None:
    """The verbs, their codes and what they answer."""
    made = client.post(CONFIGMAPS, json=body("a", data={"x": "1"}))
    assert (made.status_code, made.json()["data"]) == (201, {"x": "1"})
    assert client.get(f"{CONFIGMAPS}/a").json() == made.json()
    again = client.post(CONFIGMAPS, json=body("a"))
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    changed = client.put(f"{CONFIGMAPS}/a", json=body("a", data={"x": "2"})).json()
    assert int(changed["metadata"]["resourceVersion"]) > int(
        made.json()["metadata"]["resourceVersion"])
    patched = client.patch(f"{CONFIGMAPS}/a", content=b'{"data":{"y":"3"}}',
                           headers={"Content-Type": "application/merge-patch+json"})
    assert patched.json()["data"] == {"x": "2", "y": "3"}
    assert client.delete(f"{CONFIGMAPS}/a").json()["status"] == "Success"
    missing = client.get(f"{CONFIGMAPS}/a")
    assert (missing.status_code, missing.json()["details"]["name"]) == (404, "a")


def test_lists_tables_and_metadata_alone(client: Any) -> None:
    """Three representations, and YAML."""
    client.post(CONFIGMAPS, json=body("a", data={"x": "1"}))
    found = client.get(CONFIGMAPS).json()
    assert (found["kind"], len(found["items"])) == ("ConfigMapList", 1)
    assert "kind" not in found["items"][0]
    client.post("/api/v1/namespaces/default/events", json={
        "metadata": {"name": "e", "namespace": "default"}, "eventTime": None, "reason": "Told",
        "involvedObject": {"kind": "ConfigMap", "namespace": "default", "name": "a"},
        "reportingComponent": "somebody"})
    event, = client.get("/api/v1/namespaces/default/events").json()["items"]
    assert (event["reportingComponent"], event["reason"]) == ("somebody", "Told")
    assert "kind" not in event
    table = client.get(CONFIGMAPS, headers={
        "Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    assert table["kind"] == "Table"
    assert table["rows"][0]["cells"][:2] == ["a", 1]
    partial = client.get(f"{CONFIGMAPS}/a", headers={
        "Accept": "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}).json()
    assert set(partial) == {"kind", "apiVersion", "metadata"}
    text = client.get(f"{CONFIGMAPS}/a", headers={"Accept": "application/yaml"}).text
    assert 'x: \'1\'' in text
    assert client.get(CONFIGMAPS, headers={"Accept": "text/html"}).status_code == 406


def test_a_watch_streams_events_and_ends_in_time(client: Any) -> None:
    """One JSON event a line; the server ends it after timeoutSeconds."""
    version = client.get(CONFIGMAPS).json()["metadata"]["resourceVersion"]
    client.post(CONFIGMAPS, json=body("a"))
    client.delete(f"{CONFIGMAPS}/a")
    reply = client.get(f"{CONFIGMAPS}?watch=true&timeoutSeconds=1&resourceVersion={version}")
    events = [json.loads(line) for line in reply.text.splitlines()]
    assert [event["type"] for event in events] == ["ADDED", "DELETED"]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(versions)


def test_who_asks(client: Any) -> None:
    """A wrong token is 401, none is anonymous, who may see that the server is alive."""
    assert client.get(CONFIGMAPS, headers={"Authorization": "Bearer wrong"}).status_code == 401
    anonymous = {"Authorization": ""}
    refused = client.get(CONFIGMAPS, headers=anonymous)
    assert (refused.status_code, refused.json()["reason"]) == (403, "Forbidden")
    assert client.get("/readyz", headers=anonymous).text == "ok"
    assert client.post(CONFIGMAPS, json=body("a"), headers=anonymous).status_code == 403


UNKNOWN = [
    ("", 201, '299 - "unknown field \\"bogus\\""'), ("?fieldValidation=Ignore", 201, None),
    ("?fieldValidation=Strict", 400, None), ("?fieldValidation=Nonsense", 422, None),
]


@pytest.mark.parametrize(("query", "code", "warning"), UNKNOWN)
def test_unknown_fields(client: Any, query: str, code: int, warning: str | None) -> None:
    """Dropped with a warning, silently, or refused."""
    reply = client.post(CONFIGMAPS + query, json=body("a", bogus=1))
    assert (reply.status_code, reply.headers.get("Warning")) == (code, warning)
    assert "bogus" not in reply.json()


BAD = [
    (b"{", JSON, 400, "unexpected end of JSON input"), (b"", JSON, 400, "<empty>"),
    (b"[]", JSON, 400, "cannot unmarshal array"), (b"x: [", "application/yaml", 400, "yaml"),
    (b"{}", "text/plain", 415, "unknown format"),
    (b'{"kind":"Secret","apiVersion":"v1"}', JSON, 400, "unknown conversion"),
    (b'{"metadata":{"name":5}}', JSON, 400,
     "cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
    (b'{"metadata":{"name":"Bad"}}', JSON, 422, "RFC 1123 subdomain"),
]


@pytest.mark.parametrize(("content", "media", "code", "text"), BAD)
def test_bad_bodies_are_named(client: Any, content: bytes, media: str, code: int,
                              text: str) -> None:
    """Never a 5xx."""
    reply = client.post(CONFIGMAPS, content=content, headers={"Content-Type": media})
    assert reply.status_code == code
    assert text in reply.json()["message"]


def test_discovery_names_what_is_served(client: Any) -> None:
    """Groups, versions, resources with their verbs."""
    assert client.get("/api").json()["versions"] == ["v1"]
    names = {group["name"] for group in client.get("/apis").json()["groups"]}
    assert {"apps", "policy", "rbac.authorization.k8s.io"} <= names
    core = {entry["name"]: entry for entry in client.get("/api/v1").json()["resources"]}
    assert core["pods"]["shortNames"] == ["po"]
    assert "pods/binding" in core
    assert client.get("/version").json()["minor"] == "32"
    assert client.get("/apis/nonsense/v1").status_code == 404


def test_a_component_that_fails_is_started_anew(client: Any, monkeypatch: Any,
                                                capsys: Any) -> None:
    """The request is lost, the next one is served from what is stored."""
    from reference_impl.apiserver.registry import strategies
    client.post(CONFIGMAPS, json=body("a"))
    with monkeypatch.context() as patch:
        patch.setattr(strategies, "prepare_create", lambda *_: 1 / 0)
        assert client.post(CONFIGMAPS, json=body("b")).status_code == 504
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert client.get(f"{CONFIGMAPS}/a").status_code == 200
    assert client.post(CONFIGMAPS, json=body("b")).status_code == 201


def test_a_patch_that_leaves_no_object_of_the_kind_shows_what_it_left(client: Any) -> None:
    """The document stands in the refusal: patched maps by name, all else as Go declares it."""
    client.post(CONFIGMAPS, json=body("a", data={"x": "1"}))
    merge = {"Content-Type": "application/merge-patch+json"}
    wrong = client.patch(f"{CONFIGMAPS}/a", headers=merge,
                         content=b'{"metadata":{"labels":{"n":1}}}')
    assert wrong.status_code == 422
    cause = wrong.json()["details"]["causes"][0]
    assert cause["field"] == "patch"
    assert cause["message"].endswith(
        ": json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type "
        "string")
    told = json.loads(json.loads(cause["message"].partition("Invalid value: ")[2].rpartition(
        ": json:")[0]))
    assert told["metadata"]["labels"] == {"n": 1}
    assert list(told["metadata"]) == sorted(told["metadata"])
    strict = client.patch(f"{CONFIGMAPS}/a?fieldValidation=Strict", headers=merge,
                          content=b'{"bogus":1}').json()["message"]
    assert strict.endswith('strict decoding error: unknown field "bogus"')
    assert '\\"bogus\\":1' in strict
    other = client.patch(f"{CONFIGMAPS}/a", headers=merge, content=b'{"kind":"Pod"}').json()
    assert other["message"].endswith(
        "converting (v1.Pod) to (core.ConfigMap): unknown conversion")
    assert client.get(f"{CONFIGMAPS}/a").json()["data"] == {"x": "1"}
