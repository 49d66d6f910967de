"""Field rules of every kind: the valid object passes, each change is refused at its field."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from model.api.objects import freeze, resource_of
from reference_impl.apiserver.registry import encoding, validation, warnings
from reference_impl.apiserver.registry.defaulting import defaulted
from reference_impl.apiserver.registry.rules import statuses

POD = {"containers": [{"name": "c", "image": "nginx:1"}]}
TEMPLATE = {"metadata": {"labels": {"app": "a"}}, "spec": POD}
SELECTED = {"selector": {"matchLabels": {"app": "a"}}, "template": TEMPLATE}
BACKEND = {"service": {"name": "web", "port": {"number": 80}}}
PATH = {"path": "/", "pathType": "Prefix", "backend": BACKEND}

VALID: dict[str, dict[str, Any]] = {
    "apps/v1 StatefulSet": {"spec": {**SELECTED, "serviceName": "s"}},
    "apps/v1 DaemonSet": {"spec": SELECTED},
    "batch/v1 Job": {"spec": {"template": {"spec": {**POD, "restartPolicy": "Never"}}}},
    "batch/v1 CronJob": {"spec": {"schedule": "*/5 * * * *", "jobTemplate": {"spec": {
        "template": {"spec": {**POD, "restartPolicy": "OnFailure"}}}}}},
    "autoscaling/v2 HorizontalPodAutoscaler": {"spec": {
        "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}}},
    "networking.k8s.io/v1 Ingress": {"spec": {"rules": [{"http": {"paths": [PATH]}}]}},
    "networking.k8s.io/v1 NetworkPolicy": {"spec": {"podSelector": {}}},
    "v1 PersistentVolume": {"spec": {"accessModes": ["ReadWriteOnce"],
                                     "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}}},
    "v1 PersistentVolumeClaim": {"spec": {"accessModes": ["ReadWriteOnce"],
                                          "resources": {"requests": {"storage": "1Gi"}}}},
    "storage.k8s.io/v1 StorageClass": {"provisioner": "example.com/disk"},
    "scheduling.k8s.io/v1 PriorityClass": {"value": 7},
    "node.k8s.io/v1 RuntimeClass": {"handler": "runc"},
    "coordination.k8s.io/v1 Lease": {"spec": {"leaseDurationSeconds": 15}},
    "rbac.authorization.k8s.io/v1 RoleBinding": {
        "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
    "policy/v1 PodDisruptionBudget": {"spec": {"minAvailable": "50%"}},
    "v1 ResourceQuota": {"spec": {"hard": {"pods": "3"}}},
    "v1 Secret": {"type": "Opaque"},
    "v1 Pod": {"spec": POD},
}

REFUSED = [
    ("apps/v1 StatefulSet", "spec.podManagementPolicy", "Any", "spec.podManagementPolicy"),
    ("apps/v1 StatefulSet", "spec.selector.matchLabels.app", "b", "spec.template.metadata.labels"),
    ("apps/v1 DaemonSet", "spec.updateStrategy", {"type": "Never"}, "spec.updateStrategy.type"),
    ("batch/v1 Job", "spec.template.spec.restartPolicy", "Always",
     "spec.template.spec.restartPolicy"),
    ("batch/v1 Job", "spec.parallelism", -1, "spec.parallelism"),
    ("batch/v1 CronJob", "spec.schedule", "* * *", "spec.schedule"),
    ("batch/v1 CronJob", "spec.schedule", "@sometimes", "spec.schedule"),
    ("batch/v1 CronJob", "spec.concurrencyPolicy", "Maybe", "spec.concurrencyPolicy"),
    ("autoscaling/v2 HorizontalPodAutoscaler", "spec.maxReplicas", 0, "spec.maxReplicas"),
    ("autoscaling/v2 HorizontalPodAutoscaler", "spec.minReplicas", 4, "spec.maxReplicas"),
    ("networking.k8s.io/v1 Ingress", "spec.rules", [], "spec"),
    ("networking.k8s.io/v1 Ingress", "spec.rules", [{"http": {"paths": [{**PATH, "path": "x"}]}}],
     "spec.rules[0].http.paths[0].path"),
    ("networking.k8s.io/v1 NetworkPolicy", "spec.policyTypes", ["Both"], "spec.policyTypes[0]"),
    ("v1 PersistentVolume", "spec.hostPath", None, "spec"),
    ("v1 PersistentVolume", "spec.capacity", {}, "spec.capacity"),
    ("v1 PersistentVolumeClaim", "spec.accessModes", ["Some"], "spec.accessModes"),
    ("v1 PersistentVolumeClaim", "spec.resources", {}, "spec.resources[storage]"),
    ("storage.k8s.io/v1 StorageClass", "reclaimPolicy", "Keep", "reclaimPolicy"),
    ("scheduling.k8s.io/v1 PriorityClass", "value", 2_000_000_000, "value"),
    ("node.k8s.io/v1 RuntimeClass", "handler", "Not_A_Label", "handler"),
    ("coordination.k8s.io/v1 Lease", "spec.leaseDurationSeconds", 0, "spec.leaseDurationSeconds"),
    ("rbac.authorization.k8s.io/v1 RoleBinding", "roleRef.kind", "Group", "roleRef.kind"),
    ("rbac.authorization.k8s.io/v1 RoleBinding", "subjects", [{"kind": "User"}],
     "subjects[0].name"),
    ("policy/v1 PodDisruptionBudget", "spec.maxUnavailable", 1, "spec"),
    ("policy/v1 PodDisruptionBudget", "spec.minAvailable", "150%", "spec.minAvailable"),
    ("v1 ResourceQuota", "spec.hard.pods", "1.5", "spec.hard[pods]"),
    ("v1 ResourceQuota", "spec.scopeSelector", {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": "In"}]},
     "spec.scopeSelector.matchExpressions.values"),
    ("v1 Secret", "type", "kubernetes.io/basic-auth", "data[username]"),
    ("v1 Secret", "type", "kubernetes.io/ssh-auth", "data[ssh-privatekey]"),
    ("v1 Pod", "spec.containers", [{"name": "c", "image": "i", "securityContext": {
        "privileged": True, "allowPrivilegeEscalation": False}}],
     "spec.containers[0].securityContext"),
]


def made(kind: str, body: dict[str, Any]) -> Any:
    """The object with its defaults, as creation validates it."""
    version, _, name = kind.partition(" ")
    return defaulted(freeze({"apiVersion": version, "kind": name, "metadata": {"name": "a"},
                             **body}))


def fields(obj: Any) -> list[str]:
    """Where an object is faulty."""
    return [cause.field for cause in validation.faults(obj, resource_of(obj))]


@pytest.mark.parametrize("kind", VALID)
def test_the_valid_object_has_no_fault(kind: str) -> None:
    assert fields(made(kind, VALID[kind])) == []


@pytest.mark.parametrize(("kind", "path", "value", "field"), REFUSED)
def test_each_change_is_refused_at_its_field(kind: str, path: str, value: Any,
                                             field: str) -> None:
    body = copy.deepcopy(VALID[kind])
    *steps, last = path.split(".")
    place = body
    for step in steps:
        place = place.setdefault(step, {})
    place[last] = value
    assert field in fields(made(kind, body))


IMMUTABLE = [
    ("apps/v1 StatefulSet", {"spec": {**SELECTED, "serviceName": "other"}}, "spec"),
    ("batch/v1 Job", {"spec": {"completions": 9, "template": {
        "spec": {**POD, "restartPolicy": "Never"}}}}, "spec.completions"),
    ("v1 PersistentVolumeClaim", {"spec": {"accessModes": ["ReadOnlyMany"], "resources": {
        "requests": {"storage": "1Gi"}}}}, "spec"),
    ("storage.k8s.io/v1 StorageClass", {"provisioner": "example.com/tape"}, "provisioner"),
    ("scheduling.k8s.io/v1 PriorityClass", {"value": 8}, "value"),
    ("node.k8s.io/v1 RuntimeClass", {"handler": "other"}, "handler"),
]


@pytest.mark.parametrize(("kind", "body", "field"), IMMUTABLE)
def test_what_may_not_change_is_refused(kind: str, body: dict[str, Any], field: str) -> None:
    old, new = made(kind, VALID[kind]), made(kind, body)
    assert [cause.field for cause in validation.update_faults(new, old)] == [field]
    assert validation.update_faults(old, old) == []


def test_a_claim_may_grow() -> None:
    wider = made("v1 PersistentVolumeClaim", {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}})
    old = made("v1 PersistentVolumeClaim", VALID["v1 PersistentVolumeClaim"])
    assert validation.update_faults(wider, old) == []


@pytest.mark.parametrize(("kind", "status", "field"), [
    ("v1 ReplicationController", {"replicas": 1, "readyReplicas": 2}, "status.readyReplicas"),
    ("apps/v1 Deployment", {"replicas": -1}, "status.replicas"),
    ("v1 Namespace", {"phase": "Terminating"}, "status.Phase"),
    ("v1 Service", {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}},
     "status.loadBalancer.ingress"),
])
def test_statuses_are_validated(kind: str, status: dict[str, Any], field: str) -> None:
    version, name = kind.split(" ")
    document = {"apiVersion": version, "kind": name, "metadata": {"name": "a"}}
    old, new = freeze(document), freeze({**document, "status": status})
    assert field in [cause.field for cause in statuses.faults(new, old)]
    assert statuses.faults(new, new) == []


def test_zeros_of_plain_fields_and_fractions_are_written_as_go_writes_them() -> None:
    document: dict[str, Any] = {
        "hostNetwork": False, "terminationGracePeriodSeconds": 0, "schedulingGates": [],
        "containers": [{"name": "c", "resources": {"requests": {"cpu": 0.5, "memory": "1024Mi"}},
                        "env": [{"name": "A", "value": ""}]}]}
    encoding.tidy(document)
    assert document == {"terminationGracePeriodSeconds": 0, "containers": [
        {"name": "c", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
         "env": [{"name": "A"}]}]}


def test_what_passes_may_be_warned_of() -> None:
    pod = made("v1 Pod", {"spec": {"containers": [{"name": "c", "image": "i", "env": [
        {"name": "A"}, {"name": "A"}]}]}})
    assert warnings.of(pod, None) == (
        'spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when '
        "using apply",)
    assert warnings.of(pod, pod) == ()
