"""Discovery and OpenAPI: complete, consistent in themselves, and shaped as clients expect."""

import json

import pytest

from kubeproof.http import discovery, documents, openapi
from model.api import schema

AGGREGATED = ("application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
              "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
              "application/json")


def references(document):
    """Every reference in a document."""
    if isinstance(document, dict):
        found = [document["$ref"]] if isinstance(document.get("$ref"), str) else []
        return found + [each for value in document.values() for each in references(value)]
    if isinstance(document, list):
        return [each for value in document for each in references(value)]
    return []


def test_every_reference_of_every_document_leads_somewhere():
    whole = openapi.document_v2(discovery.BUILT_IN)
    assert {each.removeprefix("#/definitions/") for each in references(whole)} <= set(
        whole["definitions"])
    for where, served in openapi.paths_v3(discovery.BUILT_IN).items():
        found = openapi.document_v3(served)
        names = {each.removeprefix("#/components/schemas/") for each in references(found)}
        assert names <= set(found["components"]["schemas"]), where


def test_every_kind_that_is_served_has_a_schema_and_says_which_kind_it_is():
    definitions = openapi.document_v2(discovery.BUILT_IN)["definitions"]
    marked = {(mark["group"], mark["version"], mark["kind"]) for each in definitions.values()
              for mark in each.get("x-kubernetes-group-version-kind", ())}
    for each in discovery.BUILT_IN:
        resource = each.resource
        assert (resource.group, resource.version, resource.kind) in marked


def test_operations_have_names_of_their_own():
    served = discovery.BUILT_IN
    for found in map(openapi.document_v3, openapi.paths_v3(served).values()):
        names = [operation["operationId"] for item in found["paths"].values()
                 for method, operation in item.items() if method != "parameters"]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["V1Pod", "V1Service", "V1Deployment", "V1Node", "V1Job",
                                  "V1NetworkPolicy", "V2HorizontalPodAutoscaler"])
def test_fields_have_the_types_that_the_python_client_knows(name):
    models = pytest.importorskip("kubernetes.client.models")
    seen = set()

    def compare(each):
        if each in seen:
            return
        seen.add(each)
        model = getattr(models, each)
        for field, code in schema.fields_of(each).items():
            attribute = next(key for key, value in model.attribute_map.items() if value == field)
            theirs = model.openapi_types[attribute]
            assert theirs.lower().startswith("list[") == code.startswith("["), (each, field)
            assert theirs.lower().startswith("dict") == code.startswith("{"), (each, field)
            if schema.is_type(code.lstrip("[{")):
                assert code.lstrip("[{") in theirs
                compare(code.lstrip("[{"))

    compare(name)
    assert len(seen) > 5


def test_list_types_and_merge_keys_are_told():
    pod = openapi.document_v3(discovery.BUILT_IN)["components"]["schemas"][
        "io.k8s.api.core.v1.PodSpec"]["properties"]
    assert pod["containers"]["x-kubernetes-list-map-keys"] == ["name"]
    assert pod["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert pod["volumes"]["x-kubernetes-patch-strategy"] == "merge,retainKeys"
    assert pod["tolerations"]["x-kubernetes-list-type"] == "atomic"
    assert pod["nodeSelector"]["x-kubernetes-map-type"] == "atomic"


def test_patches_tell_that_fields_are_validated():
    """kubectl validates on the server only if it finds this parameter."""
    found = openapi.document_v3(discovery.BUILT_IN)["paths"][
        "/api/v1/namespaces/{namespace}/pods/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= {
        each["name"] for each in found["parameters"]}


def test_the_accept_header_decides_the_form_of_discovery():
    kept = documents.Documents()
    served = discovery.BUILT_IN
    old = kept.answer("/apis", "application/json", served, "a")
    new = kept.answer("/apis", AGGREGATED, served, "a")
    assert json.loads(old.content)["kind"] == "APIGroupList"
    assert json.loads(new.content)["kind"] == "APIGroupDiscoveryList"
    assert "as=APIGroupDiscoveryList" in new.media
    one = json.loads(kept.answer("/apis/apps/v1", AGGREGATED, served, "a").content)
    assert one["kind"] == "APIResourceList"
    assert kept.answer("/openapi/v2", "application/vnd.x+protobuf", served, "a").code == 406
    assert kept.answer("/apis/nosuch", "", served, "a").code == 404
    assert kept.answer("/api/v2", "", served, "a").code == 404


def test_both_forms_of_discovery_tell_the_same_resources():
    groups = {item["metadata"].get("name", ""): item for path in ("/api", "/apis")
              for item in discovery.aggregated(path)["items"]}
    for name, item in groups.items():
        for version in item["versions"]:
            path = f"/apis/{name}/{version['version']}" if name else "/api/v1"
            plain = {each["name"]: each for each in discovery.document(path)["resources"]}
            told = {each["resource"]: each for each in version["resources"]}
            assert set(told) == {each for each in plain if "/" not in each}
            for plural, each in told.items():
                assert each["verbs"] == plain[plural]["verbs"]
                for inner in each.get("subresources", ()):
                    assert inner["verbs"] == plain[f"{plural}/{inner['subresource']}"]["verbs"]
