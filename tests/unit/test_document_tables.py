"""Columns of kinds that are stored as documents: as kubectl 1.32 prints them."""

from __future__ import annotations

from typing import Any

import pytest

from model.api.objects import freeze
from reference_impl.lib import tables

MINUTE = 60_000
BORN = "2016-07-01T00:00:00Z"


def cells(version: str, kind: str, wide: bool = True, **content: Any) -> dict[str, str]:
    """Header -> cell of one object that is a minute old."""
    content.setdefault("metadata", {})
    content["metadata"] = {"name": "a", "creationTimestamp": BORN, **content["metadata"]}
    obj = freeze({"kind": kind, "apiVersion": version, **content})
    header, row = tables.rows(kind, (obj,), MINUTE, wide)
    return dict(zip(header, row, strict=True))


TEMPLATE = {"spec": {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"disk": "ssd"}}}


def test_workloads() -> None:
    """Counts of a StatefulSet and a DaemonSet, with their templates in wide output."""
    assert cells("apps/v1", "StatefulSet", spec={"replicas": 3, "template": TEMPLATE},
                 status={"replicas": 2, "readyReplicas": 1}) == {
        "NAME": "a", "READY": "1/3", "AGE": "60s", "CONTAINERS": "c", "IMAGES": "i"}
    found = cells("apps/v1", "DaemonSet", status={"desiredNumberScheduled": 2, "numberReady": 1},
                  spec={"template": TEMPLATE, "selector": {"matchLabels": {"x": "y"}}})
    assert (found["DESIRED"], found["READY"], found["AVAILABLE"]) == ("2", "1", "0")
    assert (found["NODE SELECTOR"], found["SELECTOR"]) == ("disk=ssd", "x=y")


@pytest.mark.parametrize(("status", "word", "lasted"), [
    ({"startTime": BORN}, "Running", "60s"),
    ({}, "Running", ""),
    ({"startTime": BORN, "completionTime": "2016-07-01T00:00:05Z", "succeeded": 1,
      "conditions": [{"type": "Complete", "status": "True"}]}, "Complete", "5s"),
    ({"conditions": [{"type": "Failed", "status": "True"}]}, "Failed", ""),
    ({"conditions": [{"type": "Suspended", "status": "True"}]}, "Suspended", ""),
])
def test_jobs_say_how_far_they_are(status: dict[str, Any], word: str, lasted: str) -> None:
    """The word comes from the conditions, the duration from the times."""
    found = cells("batch/v1", "Job", spec={"completions": 1, "template": TEMPLATE}, status=status)
    assert (found["STATUS"], found["DURATION"]) == (word, lasted)
    assert found["COMPLETIONS"] == f"{status.get('succeeded', 0)}/1"


def test_schedules_autoscalers_and_ingresses() -> None:
    """Unset values have words of their own."""
    found = cells("batch/v1", "CronJob", spec={"schedule": "0 3 * * *", "suspend": False})
    assert (found["TIMEZONE"], found["SUSPEND"], found["LAST SCHEDULE"]) == (
        "<none>", "False", "<none>")
    found = cells("autoscaling/v2", "HorizontalPodAutoscaler", spec={
        "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {
            "type": "Utilization", "averageUtilization": 60}}}]})
    assert (found["REFERENCE"], found["TARGETS"], found["MINPODS"]) == (
        "Deployment/web", "cpu: <unknown>/60%", "<unset>")
    found = cells("networking.k8s.io/v1", "Ingress", spec={
        "rules": [{"host": f"h{number}"} for number in range(5)], "tls": [{}]})
    assert (found["CLASS"], found["HOSTS"], found["PORTS"]) == (
        "<none>", "h0,h1,h2 + 2 more...", "80, 443")


def test_endpoint_slices_and_storage() -> None:
    """Three addresses are shown, the rest is counted; claims that are not bound have no size."""
    found = cells("discovery.k8s.io/v1", "EndpointSlice", addressType="IPv4",
                  ports=[{"name": "", "port": 80, "protocol": "TCP"}],
                  endpoints=[{"addresses": [f"10.0.0.{number}"]} for number in range(1, 6)])
    assert (found["PORTS"], found["ENDPOINTS"]) == (
        "80", "10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...")
    found = cells("v1", "PersistentVolumeClaim", spec={
        "accessModes": ["ReadWriteOnce"], "volumeMode": "Filesystem"}, status={"phase": "Pending"})
    assert (found["STATUS"], found["CAPACITY"], found["ACCESS MODES"]) == ("Pending", "", "")
    assert found["VOLUMEATTRIBUTESCLASS"] == "<unset>"
    found = cells("storage.k8s.io/v1", "StorageClass", provisioner="p", metadata={
        "annotations": {tables.DEFAULT_CLASS: "true"}})
    assert (found["NAME"], found["RECLAIMPOLICY"]) == ("a (default)", "Delete")


def test_columns_say_which_cells_are_numbers() -> None:
    """Counts are integers where the server says so; the count of a Secret is one all the same."""
    types = {column.name: column.type for column in tables.columns("ReplicaSet")}
    assert types["Desired"] == types["Ready"] == "integer"
    assert types["Age"] == "string"
    assert [column.name for column in tables.columns("Service")][2:6] == [
        "Cluster-IP", "External-IP", "Port(s)", "Age"]
    assert tables.typed_cells("Secret", ("a", "Opaque", "2", "5s")) == ["a", "Opaque", 2, "5s"]
    assert [column.wide for column in tables.columns("ReplicaSet")][-3:] == [True] * 3
