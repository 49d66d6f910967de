"""Custom resources over HTTP, from definition to clean-up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("cel")

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GADGETS = "/apis/example.org/v1/namespaces/default/gadgets"
MERGE = {"Content-Type": "application/merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}


@pytest.fixture
def client() -> Iterator[Any]:
    """A client whose requests carry an administrator's token."""
    import warnings

    with warnings.catch_warnings():
        # The test client prefers a successor of httpx that the environment does not have.
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    from kubeproof.http.app import App
    from kubeproof.http.engine import Engine
    from kubeproof.http.tokens import Tokens
    from model.api.scenario import Scenario
    from model.kernel.fault import FaultPlan
    from model.kernel.system import System
    from model.kernel.values import FrozenMap
    from reference_impl.apiserver.component import ApiServer, config_of
    from reference_impl.apiserver.outside import Outside
    from reference_impl.apiserver.state import User
    from reference_impl.etcd.member import Etcd

    tokens = Tokens([("secret", User("root", "", ("system:masters",)))])
    scenario = Scenario("http", settings=(("field-management", "yes"),))
    server = ApiServer(config_of(scenario), FrozenMap(tokens.users.items()))
    system = System((server, Etcd(), Outside()), faults=FaultPlan((("crash", 9),)))
    with TestClient(App(Engine(system), tokens), headers={"Authorization": "Bearer secret"},
                    raise_server_exceptions=True) as made:
        yield made


def definition(**names: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": {
        "size": {"type": "integer", "default": 1, "maximum": 9},
        "parts": {"type": "array", "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["name"], "items": {
                      "type": "object", "required": ["name"], "properties": {
                          "name": {"type": "string"}, "count": {"type": "integer"}}}}}}
    status = {"type": "object", "properties": {"phase": {"type": "string"}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.org"},
        "spec": {"group": "example.org", "scope": "Namespaced",
                 "names": {"plural": "gadgets", "kind": "Gadget", "shortNames": ["gd"], **names},
                 "versions": [{
                     "name": "v1", "served": True, "storage": True, "subresources": {"status": {}},
                     "additionalPrinterColumns": [
                         {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                         {"name": "Ready", "type": "string",
                          "jsonPath": '.status.conditions[?(@.type=="Ready")].status'}],
                     "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                         "spec": spec, "status": status}}}}]}}


def gadget(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "example.org/v1", "kind": "Gadget", "metadata": {"name": name},
            "spec": spec}


def conditions(document: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["status"] for each in document["status"]["conditions"]}


def test_a_definition_is_accepted_and_served(client: Any) -> None:
    assert client.get(GADGETS).status_code == 404
    made = client.post(CRDS, json=definition())
    assert (made.status_code, made.json()["spec"]["names"]["listKind"]) == (201, "GadgetList")
    found = client.get(f"{CRDS}/gadgets.example.org").json()
    assert conditions(found) == {"NamesAccepted": "True", "Established": "True"}
    assert client.get("/apis/example.org/v1").json()["resources"][0]["shortNames"] == ["gd"]
    assert "/apis/example.org/v1" in [
        f"/apis/{version['groupVersion']}" for group in client.get("/apis").json()["groups"]
        for version in group["versions"]]
    paths = client.get("/openapi/v3").json()["paths"]
    assert "org.example.v1.Gadget" in client.get(
        paths["apis/example.org/v1"]["serverRelativeURL"]).json()["components"]["schemas"]
    assert client.get(GADGETS).json()["kind"] == "GadgetList"


def test_names_that_are_taken_are_not_accepted(client: Any) -> None:
    client.post(CRDS, json=definition())
    other = definition(plural="widgets", shortNames=["gd"])
    other["metadata"]["name"] = "widgets.example.org"
    other["spec"]["names"]["kind"] = "Widget"
    client.post(CRDS, json=other)
    found = client.get(f"{CRDS}/widgets.example.org").json()
    assert conditions(found) == {"NamesAccepted": "False", "Established": "False"}
    assert client.get("/apis/example.org/v1/widgets").status_code == 404


def test_instances_are_pruned_defaulted_and_judged(client: Any) -> None:
    client.post(CRDS, json=definition())
    made = client.post(GADGETS, json={**gadget("a", bogus=1), "status": {"phase": "x"}})
    assert made.headers["warning"] == '299 - "unknown field \\"spec.bogus\\""'
    assert (made.json()["spec"], made.json()["metadata"]["generation"]) == ({"size": 1}, 1)
    assert "status" not in made.json()
    strict = client.post(f"{GADGETS}?fieldValidation=Strict", json=gadget("b", bogus=1))
    assert strict.status_code == 400
    large = client.post(GADGETS, json=gadget("b", size=10))
    assert large.status_code == 422
    assert large.json()["details"]["causes"][0]["field"] == "spec.size"
    changed = client.patch(f"{GADGETS}/a", content=b'{"spec":{"size":2}}', headers=MERGE).json()
    assert changed["metadata"]["generation"] == 2
    told = client.patch(f"{GADGETS}/a/status", headers=MERGE,
                        content=b'{"status":{"phase":"y"},"spec":{"size":3}}').json()
    assert (told["status"], told["spec"]) == ({"phase": "y"}, {"size": 2})
    assert told["metadata"]["generation"] == 2


def test_applies_merge_lists_by_their_keys(client: Any) -> None:
    client.post(CRDS, json=definition())
    one = gadget("a", parts=[{"name": "x", "count": 1}])
    two = gadget("a", parts=[{"name": "y"}])
    client.patch(f"{GADGETS}/a?fieldManager=m1", content=json.dumps(one), headers=APPLY)
    both = client.patch(f"{GADGETS}/a?fieldManager=m2", content=json.dumps(two), headers=APPLY)
    assert [each["name"] for each in both.json()["spec"]["parts"]] == ["x", "y"]
    clash = client.patch(f"{GADGETS}/a?fieldManager=m2", headers=APPLY, content=json.dumps(
        gadget("a", parts=[{"name": "x", "count": 2}])))
    assert clash.status_code == 409
    assert clash.json()["details"]["causes"][0]["field"] == '.spec.parts[name="x"].count'
    unknown = client.patch(f"{GADGETS}/a?fieldManager=m1", headers=APPLY, content=json.dumps(
        gadget("a", bogus=1)))
    assert (unknown.status_code, ".spec.bogus: field not declared in schema" in unknown.json()[
        "message"]) == (500, True)


def test_tables_have_the_columns_of_the_definition(client: Any) -> None:
    client.post(CRDS, json=definition())
    client.post(GADGETS, json=gadget("a", size=4))
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = client.get(GADGETS, headers=accept).json()
    assert [each["name"] for each in table["columnDefinitions"]] == ["Name", "Size", "Ready"]
    assert table["rows"][0]["cells"] == ["a", 4, None]


def test_a_definition_goes_after_its_instances(client: Any) -> None:
    client.post(CRDS, json=definition())
    for name in ("a", "b"):
        client.post(GADGETS, json=gadget(name))
    held = gadget("c")
    held["metadata"]["finalizers"] = ["example.org/wait"]
    client.post(GADGETS, json=held)
    going = client.delete(f"{CRDS}/gadgets.example.org").json()
    assert conditions(going)["Terminating"] == "True"
    assert [each["metadata"]["name"] for each in client.get(GADGETS).json()["items"]] == ["c"]
    client.patch(f"{GADGETS}/c", content=b'{"metadata":{"finalizers":null}}', headers=MERGE)
    assert client.get(f"{CRDS}/gadgets.example.org").status_code == 404
    assert client.get(GADGETS).text == "404 page not found\n"


def test_a_namespace_that_ends_takes_its_instances_along(client: Any) -> None:
    client.post(CRDS, json=definition())
    client.post("/api/v1/namespaces", json={"apiVersion": "v1", "kind": "Namespace",
                                            "metadata": {"name": "n"}})
    inside = GADGETS.replace("default", "n")
    for name in ("a", "b"):
        assert client.post(inside, json=gadget(name)).status_code == 201
    client.post(GADGETS, json=gadget("c"))
    client.delete("/api/v1/namespaces/n")
    assert client.get(inside).json()["items"] == []
    assert len(client.get(GADGETS).json()["items"]) == 1


@pytest.mark.parametrize(("change", "field"), [
    (lambda spec: spec.update(group="nodots"), "metadata.name"),
    (lambda spec: spec.update(scope="Everywhere"), "spec.scope"),
    (lambda spec: spec["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema"),
    (lambda spec: spec["versions"][0].update(storage=False), "spec.versions"),
])
def test_definitions_are_judged(client: Any, change: Any, field: str) -> None:
    wrong = definition()
    change(wrong["spec"])
    found = client.post(CRDS, json=wrong)
    assert found.status_code == 422
    assert field in [each["field"] for each in found.json()["details"]["causes"]]
