"""The `kubernetes` client for Python drives the worked example over an encrypted connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from served_process import ROOT, Served

EXAMPLE = ROOT / "reference_impl" / "scenarios" / "worked-example"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The client's core API, on a server with two nodes."""
    client = pytest.importorskip("kubernetes.client")
    from kubernetes import config
    with Served(tmp_path_factory.mktemp("served"), "--nodes", "2", secure=True) as served:
        config.load_kube_config(str(served.kubeconfig))
        yield client.CoreV1Api()
        client.ApiClient().close()


def manifest(name: str) -> dict[str, Any]:
    """A file of the worked example."""
    found: dict[str, Any] = yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text())
    return found


def eventually(check: Callable[[], bool], what: str, within_s: float = 20) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + within_s
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def running(api: Any, selector: str) -> list[Any]:
    pods = api.list_namespaced_pod("default", label_selector=selector).items
    return [pod for pod in pods if pod.status.phase == "Running"]


def test_the_worked_example(api: Any) -> None:
    """Create, list, watch, patch, scale, logs, events, delete: as typed objects."""
    from kubernetes import watch
    api.create_namespaced_replication_controller("default", manifest("mysql-rc"))
    api.create_namespaced_service("default", manifest("mysql-svc"))
    eventually(lambda: len(running(api, "app=mysql")) == 1, "mysql runs")
    version = api.list_namespaced_pod("default").metadata.resource_version
    api.create_namespaced_replication_controller("default", manifest("myweb-rc"))
    web = api.create_namespaced_service("default", manifest("myweb-svc"))
    assert web.spec.ports[0].node_port == 30001
    seen: dict[str, list[str]] = {}
    stream = watch.Watch()
    for event in stream.stream(api.list_namespaced_pod, "default", resource_version=version,
                               timeout_seconds=20):
        seen.setdefault(event["object"].metadata.name, []).append(event["type"])
        if event["object"].status.phase == "Running" and len(running(api, "app=myweb")) == 2:
            stream.stop()
    web_pods = [kinds for name, kinds in seen.items() if name.startswith("myweb")]
    assert [kinds[0] for kinds in web_pods] == ["ADDED", "ADDED"]
    ends = api.read_namespaced_endpoints("myweb", "default")
    eventually(lambda: sum(len(part.addresses or ()) for part in api.read_namespaced_endpoints(
        "myweb", "default").subsets or ()) == 2, f"both pods are reached: {ends}")

    scaled = api.patch_namespaced_replication_controller_scale(
        "myweb", "default", {"spec": {"replicas": 3}})
    assert scaled.spec.replicas == 3
    eventually(lambda: len(running(api, "app=myweb")) == 3, "three pods run")
    reasons = {event.reason for event in api.list_namespaced_event("default").items}
    assert {"Scheduled", "SuccessfulCreate", "Started"} <= reasons
    api.patch_namespaced_service("myweb", "default", {"metadata": {"labels": {"a": "b"}}})
    assert api.list_namespaced_service("default", label_selector="a=b").items[0].metadata.name == (
        "myweb")
    api.delete_namespaced_replication_controller("myweb", "default",
                                                 propagation_policy="Foreground")
    eventually(lambda: not api.list_namespaced_pod("default", label_selector="app=myweb").items,
               "the pods go with their controller")


def test_failures_are_the_clients_exceptions(api: Any) -> None:
    """A missing object, a conflict, an object that is not valid."""
    from kubernetes.client.exceptions import ApiException
    with pytest.raises(ApiException) as missing:
        api.read_namespaced_pod("nobody", "default")
    assert (missing.value.status, missing.value.reason) == (404, "Not Found")
    body = {"metadata": {"name": "twice"}, "data": {"a": "1"}}
    made = api.create_namespaced_config_map("default", body)
    api.patch_namespaced_config_map("twice", "default", {"data": {"a": "2"}})
    made.data = {"a": "3"}
    with pytest.raises(ApiException) as conflict:
        api.replace_namespaced_config_map("twice", "default", made)
    assert conflict.value.status == 409
    with pytest.raises(ApiException) as invalid:
        api.create_namespaced_config_map("default", {"metadata": {"name": "Not Valid"}})
    assert invalid.value.status == 422
    assert "RFC 1123" in invalid.value.body


def test_pages_and_dry_runs(api: Any) -> None:
    """A list in pages is the whole list; a dry run stores nothing."""
    for number in range(7):
        api.create_namespaced_config_map("kube-public", {"metadata": {"name": f"p-{number}"}})
    names: list[str] = []
    token = None
    while True:
        page = api.list_namespaced_config_map("kube-public", limit=3, _continue=token)
        names += [each.metadata.name for each in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert [name for name in names if name.startswith("p-")] == [f"p-{n}" for n in range(7)]
    api.create_namespaced_config_map("kube-public", {"metadata": {"name": "dry"}}, dry_run="All")
    assert "dry" not in {each.metadata.name for each in
                         api.list_namespaced_config_map("kube-public").items}
