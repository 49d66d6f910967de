"""The API's own description, fuzzed: whatever is sent, no 5xx, no traceback, no hang."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from served_process import TOKEN, Served

GROUPS = ("api/v1", "apis/apps/v1", "apis/batch/v1", "apis/policy/v1",
          "apis/rbac.authorization.k8s.io/v1", "apis/networking.k8s.io/v1",
          "apis/autoscaling/v2", "apis/apiextensions.k8s.io/v1")
PATIENCE_S = 10
# 504 is the documented answer to a resource version that the server has not seen yet.
FINE = (*range(200, 500), 504)
# What release 1.32 itself answers with a 500: a version that is no number, an apply of no object,
# the log of a pod on a machine that nothing runs on.
AS_KUBERNETES = ("strconv.ParseUint: parsing", "failed to create typed patch object",
                 "no preferred addresses found", "connect: connection refused")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without machines: what is created stays as it is."""
    with Served(tmp_path_factory.mktemp("fuzzed"), "--components", "apiserver,etcd,controllers",
                "--speed", "max") as started:
        yield started


def operations(served: Served, group: str) -> list[Any]:
    """Every operation of a group's description."""
    schemathesis = pytest.importorskip("schemathesis")
    described = served.http.get(f"/openapi/v3/{group}")
    assert described.status_code == 200
    schema = schemathesis.openapi.from_dict(described.json())
    return [each.ok() for each in schema.get_all_operations()]


def send(served: Served, case: Any) -> None:
    """Send one drawn request. AssertionError for an answer that no client should get."""
    import requests
    watches = {"timeoutSeconds": 1} if case.method.upper() == "GET" else {}
    case.query = {**(case.query or {}), **watches}
    try:
        reply = case.call(base_url=served.url, timeout=PATIENCE_S,
                          headers={"Authorization": f"Bearer {TOKEN}"})
    except requests.exceptions.InvalidHeader:
        return  # drawn, but no client can send it
    text = f"{case.method} {case.formatted_path} {case.query} {case.body!r:.500}"
    if any(words in reply.text for words in AS_KUBERNETES):
        return
    assert reply.status_code in FINE, f"{reply.status_code} for {text}: {reply.content[:500]!r}"


def fuzz(served: Served, chosen: list[Any], examples: int) -> None:
    """Draw requests for some operations."""
    for operation in chosen:
        @settings(max_examples=examples, deadline=None, derandomize=True, database=None,
                  phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def sent(case: Any) -> None:
            send(served, case)
        sent()
    assert "Traceback" not in served.log.read_text()
    assert served.http.get("/readyz").status_code == 200


@pytest.mark.parametrize("group", GROUPS)
def test_some_operations_of_a_group(served: Served, group: str) -> None:
    """A few requests for a spread of operations."""
    found = operations(served, group)
    fuzz(served, found[::max(1, len(found) // 4)], 2)


@pytest.mark.nightly
@pytest.mark.parametrize("group", GROUPS)
def test_all_operations_of_a_group(served: Served, group: str) -> None:
    """Every operation, more requests each."""
    fuzz(served, operations(served, group), 25)


ODD_PATHS = ("//", "/api//v1", "/api/v1/namespaces//pods", "/api/v1/namespaces/%00/pods",
             "/api/v1/pods?limit=-1", "/api/v1/pods?limit=99999999999999999999",
             "/api/v1/pods?watch=1&timeoutSeconds=x", "/api/v1/pods?labelSelector=%ff",
             "/api/v1/pods?fieldSelector=a", "/api/v1/pods?resourceVersion=-5",
             "/api/v1/pods?continue=%F0%9F%92%A9", "/apis/..%2f..%2fetc", "/ui/../debug/state",
             "/api/v1/namespaces/a/b/c/d/e/f", "/debug/state?since=%C2%B2",
             "/api/v1/pods?gracePeriodSeconds=x", "/openapi/v3/..", "/healthz/%2e%2e",
             "/api/v1/namespaces/default/pods/a/log?tailLines=x")


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_odd_paths(served: Served, method: str, path: str) -> None:
    """Refused or answered; never an error of the server."""
    reply = httpx.request(method, served.url + path, timeout=PATIENCE_S,
                          headers={"Authorization": f"Bearer {TOKEN}"})
    assert reply.status_code in FINE or any(words in reply.text for words in AS_KUBERNETES), (
        reply.text)
    assert "Traceback" not in served.log.read_text()


def test_a_header_that_lies_about_the_body(served: Served) -> None:
    """A media type with a charset, an encoding that is none, a body where none belongs."""
    url = "/api/v1/namespaces/default/configmaps"
    for media in ("application/json; charset=utf-16", "application/yaml", "text/xml", "",
                  "application/vnd.kubernetes.protobuf", "application/merge-patch+json"):
        for body in (b"\xff\xfe", b"k8s\0", b"[]", b"null", b"{", b"a: &a [*a]", b"1" * 5000,
                     b'{"metadata":' * 2000):
            for method in ("POST", "PATCH", "PUT", "DELETE"):
                place = url if method in ("POST", "DELETE") else f"{url}/x"
                reply = served.http.request(method, place, content=body,
                                            headers={"Content-Type": media})
                assert reply.status_code in FINE, (method, media, body[:40], reply.text)
