"""Admission plug-ins beyond those that every pod meets: security levels, policies, storage."""

from __future__ import annotations

from typing import Any

import pytest
from apiserver_client import Cluster

from model.api.objects import freeze, rest_fields, write
from model.api.requests import Patch, create, delete, patch, update
from reference_impl.apiserver.access.admission import node_restriction, pod_security

HARDENED = {"allowPrivilegeEscalation": False, "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}


def cluster_without_accounts() -> Cluster:
    """A cluster in which pods need no account."""
    return Cluster(disable_admission_plugins="ServiceAccount")


def document(kind: str, name: str, version: str = "v1", namespace: str = "default",
             **fields: Any) -> Any:
    """An object; cluster-scoped where the namespace is empty."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return freeze({"apiVersion": version, "kind": kind, "metadata": metadata, **fields})


def pod(**spec: Any) -> Any:
    """A pod of one container."""
    container = {"name": "c", "image": "i", **spec.pop("container", {})}
    return document("Pod", "p", spec={"containers": [container], **spec})


LEVELS = [
    (pod(), "baseline", ""),
    (pod(hostNetwork=True, hostPID=True), "baseline",
     "host namespaces (hostNetwork=true, hostPID=true)"),
    (pod(container={"securityContext": {"privileged": True}}), "baseline",
     'privileged (container "c" must not set securityContext.privileged=true)'),
    (pod(container={"securityContext": {"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}}),
     "baseline", 'non-default capabilities (container "c" must not include "NET_ADMIN" in '
     "securityContext.capabilities.add)"),
    (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "baseline",
     'hostPath volumes (volume "v")'),
    (pod(container={"ports": [{"containerPort": 80, "hostPort": 80}]}), "baseline",
     'hostPort (container "c" uses hostPort 80)'),
    (pod(securityContext={"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}), "baseline",
     "forbidden sysctls (kernel.msgmax)"),
    (pod(container={"securityContext": HARDENED}), "restricted", ""),
    (pod(container={"securityContext": HARDENED | {"runAsUser": 0}}), "restricted",
     'runAsUser=0 (container "c" must not set runAsUser=0)'),
    (pod(container={"securityContext": HARDENED},
         volumes=[{"name": "v", "nfs": {"server": "s", "path": "/"}}]), "restricted",
     'restricted volume types (volume "v" uses restricted volume type "nfs")'),
    (pod(), "privileged", ""),
]


@pytest.mark.parametrize(("sent", "level", "found"), LEVELS)
def test_what_a_level_forbids(sent: Any, level: str, found: str) -> None:
    """In the words of the server."""
    assert pod_security.violations(sent.spec, level) == found


def test_a_namespace_enforces_its_level() -> None:
    """A pod is refused by the label of its namespace and by nothing else."""
    cluster = cluster_without_accounts()
    assert cluster.ask(create(pod())).code == 201
    label = Patch("merge", b'{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":'
                           b'"restricted"}}}')
    assert cluster.ask(patch("namespaces", "", "default", label)).code == 200
    cluster.ask(delete("pods", "default", "p"))
    refused = cluster.ask(create(pod()))
    assert refused.code == 403
    assert refused.body.message.startswith(
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": '
        "allowPrivilegeEscalation != false (")
    hardened = pod(container={"securityContext": HARDENED})
    assert cluster.ask(create(hardened)).code == 201


# ---- policies ----------------------------------------------------------------------------------


def policy(*validations: dict[str, str], **spec: Any) -> Any:
    """A policy about the creation and the change of config maps."""
    rules = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
              "resources": ["configmaps"]}]
    return document("ValidatingAdmissionPolicy", "p", "admissionregistration.k8s.io/v1", "", spec={
        "matchConstraints": {"resourceRules": rules}, "validations": list(validations), **spec})


def bound(**spec: Any) -> Any:
    """The binding of that policy."""
    return document("ValidatingAdmissionPolicyBinding", "b", "admissionregistration.k8s.io/v1", "",
                    spec={"policyName": "p", "validationActions": ["Deny"], **spec})


def verdict(policy_: Any, binding: Any, data: dict[str, str], *more: Any) -> Any:
    """The reply to the creation of a config map under a policy."""
    cluster = Cluster()
    for each in (policy_, binding, *more):
        assert cluster.ask(create(each)).code == 201
    return cluster.ask(create(document("ConfigMap", "x", data=data)))


SHORT = {"expression": "size(object.data.v) < 3", "message": "v is long"}
PARAMETERS = document("ConfigMap", "limits", data={"most": "3"})
POLICIES: list[tuple[str, Any, Any, dict[str, str], tuple[Any, ...], int, str]] = [
    ("holds", policy(SHORT), bound(), {"v": "ab"}, (), 201, ""),
    ("fails", policy(SHORT), bound(), {"v": "abc"}, (), 422, "denied request: v is long"),
    ("no message", policy({"expression": "size(object.data.v) < 3"}), bound(), {"v": "abc"}, (),
     422, "failed expression: size(object.data.v) < 3"),
    ("reason", policy(SHORT | {"reason": "Forbidden"}), bound(), {"v": "abc"}, (), 403, "long"),
    ("an error denies", policy(SHORT), bound(), {"w": ""}, (), 422, "no such key: v"),
    ("an error is ignored", policy(SHORT, failurePolicy="Ignore"), bound(), {"w": ""}, (), 201,
     ""),
    ("a warning lets pass", policy(SHORT), bound(validationActions=["Warn"]), {"v": "abc"}, (),
     201, ""),
    ("a condition leaves it out", policy(SHORT, matchConditions=[
        {"name": "c", "expression": "request.userInfo.username != 'kubernetes-admin'"}]), bound(),
     {"v": "abc"}, (), 201, ""),
    ("variables", policy({"expression": "variables.length < 3", "messageExpression":
                          "'it has ' + string(variables.length)"}, variables=[
        {"name": "length", "expression": "size(object.data.v)"}]), bound(), {"v": "abc"}, (), 422,
     "it has 3"),
    ("parameters", policy({"expression": "size(object.data.v) < int(params.data.most)"},
                          paramKind={"apiVersion": "v1", "kind": "ConfigMap"}),
     bound(paramRef={"name": "limits", "namespace": "default",
                     "parameterNotFoundAction": "Deny"}), {"v": "abc"}, (), 422,
     "no params found"),
    ("another namespace", policy(SHORT), bound(matchResources={"namespaceSelector": {
        "matchLabels": {"team": "a"}}}), {"v": "abc"}, (), 201, ""),
]


@pytest.mark.parametrize(("policy_", "binding", "data", "more", "code", "text"),
                         [each[1:] for each in POLICIES], ids=[each[0] for each in POLICIES])
def test_policies(policy_: Any, binding: Any, data: dict[str, str], more: tuple[Any, ...],
                  code: int, text: str) -> None:
    """What a policy lets pass, refuses, and says."""
    reply = verdict(policy_, binding, data, *more)
    assert reply.code == code
    assert text in getattr(reply.body, "message", "")


def test_a_policy_judges_changes_with_the_old_object() -> None:
    """`oldObject` is what is stored."""
    cluster = Cluster()
    grows = policy({"expression": "oldObject == null || size(object.data) >= size(oldObject.data)",
                    "message": "nothing is taken away"})
    for each in (grows, bound()):
        cluster.ask(create(each))
    made = cluster.ask(create(document("ConfigMap", "x", data={"a": "", "b": ""})))
    assert made.code == 201
    less = cluster.ask(update(document("ConfigMap", "x", data={"a": ""})))
    assert (less.code, "nothing is taken away" in less.body.message) == (422, True)


def test_a_parameter_is_read() -> None:
    """The policy compares with what stands in its parameter object."""
    wants = policy({"expression": "size(object.data.v) < int(params.data.most)"},
                   paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
                   matchConditions=[{"name": "n", "expression": "'v' in object.data"}])
    refers = bound(paramRef={"name": "limits", "namespace": "default",
                             "parameterNotFoundAction": "Allow"})
    assert verdict(wants, refers, {"v": "ab"}, PARAMETERS).code == 201
    assert verdict(wants, refers, {"v": "abc"}, PARAMETERS).code == 422


def test_a_webhook_that_nobody_answers_refuses_or_is_ignored() -> None:
    """By its failure policy."""
    for failure, code in (("Fail", 500), ("Ignore", 201)):
        cluster = Cluster()
        hook = document("ValidatingWebhookConfiguration", "w", "admissionregistration.k8s.io/v1",
                        "", webhooks=[{
                            "name": "w.example.com", "failurePolicy": failure,
                            "clientConfig": {"url": "https://127.0.0.1:1/x"},
                            "rules": [{"apiGroups": [""], "apiVersions": ["v1"],
                                       "operations": ["*"], "resources": ["configmaps"]}],
                            "sideEffects": "None", "admissionReviewVersions": ["v1"]}])
        assert cluster.ask(create(hook)).code == 201
        assert cluster.ask(create(document("ConfigMap", "x"))).code == code


# ---- storage, ingress, runtime -----------------------------------------------------------------


def claim(size: str = "1Gi") -> Any:
    """A claim of storage."""
    return document("PersistentVolumeClaim", "d", spec={
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}})


def test_a_claim_gets_the_default_class_and_its_finalizer() -> None:
    """If some class is marked as the default."""
    cluster = Cluster()
    plain = cluster.ask(create(claim()))
    assert "storageClassName" not in rest_fields(plain.body)["spec"]
    cluster.ask(delete("persistentvolumeclaims", "default", "d"))
    marked = freeze({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {
        "name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p"})
    cluster.ask(create(marked))
    other = claim()
    made = cluster.ask(create(other._replace(metadata=other.metadata._replace(name="e"))))
    assert rest_fields(made.body)["spec"]["storageClassName"] == "fast"
    assert made.body.metadata.finalizers == ("kubernetes.io/pvc-protection",)


def test_a_claim_that_is_not_bound_does_not_grow() -> None:
    """Only bound claims of a class that allows it may ask for more."""
    cluster = Cluster()
    cluster.ask(create(claim()))
    grown = cluster.ask(patch("persistentvolumeclaims", "default", "d", Patch(
        "merge", b'{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')))
    assert grown.code in (403, 422)


def test_an_ingress_gets_the_default_class() -> None:
    """If there is one."""
    cluster = Cluster()
    cluster.ask(create(freeze({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {
            "name": "edge",
            "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "example.com/c"}})))
    made = cluster.ask(create(document("Ingress", "i", "networking.k8s.io/v1", spec={
        "defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}})))
    assert rest_fields(made.body)["spec"]["ingressClassName"] == "edge"


def test_a_runtime_class_gives_overhead_and_place() -> None:
    """And must exist."""
    cluster = cluster_without_accounts()
    missing = cluster.ask(create(pod(runtimeClassName="no")))
    assert missing.body.message == (
        'pods "p" is forbidden: pod rejected: RuntimeClass "no" not found')
    cluster.ask(create(document("RuntimeClass", "box", "node.k8s.io/v1", "", handler="h",
                                overhead={"podFixed": {"cpu": "100m"}},
                                scheduling={"nodeSelector": {"box": "yes"}})))
    made = cluster.ask(create(pod(runtimeClassName="box")))
    assert made.code == 201
    assert write(made.body.spec)["overhead"] == {"cpu": "100m"}
    assert made.body.spec.node_selector == (("box", "yes"),)


# ---- nodes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "answer"), [
    ("example.com/x", True), ("plain", True), ("kubernetes.io/hostname", True),
    ("node.kubernetes.io/anything", True), ("kubernetes.io/role", False),
    ("node-role.kubernetes.io/master", False), ("node-restriction.kubernetes.io/x", False),
    ("sub.node-restriction.kubernetes.io/x", False)])
def test_which_labels_a_kubelet_may_set(key: str, answer: bool) -> None:
    """Its own, and those outside of Kubernetes' domains."""
    assert node_restriction.may_label(key) is answer


def test_a_kubelet_does_not_free_its_node() -> None:
    """Neither taints nor owners nor reserved labels, and no other node; status it may."""
    cluster = Cluster("kubelet/node-1")
    node = document("Node", "node-1", namespace="")
    made = cluster.ask(create(node))
    assert made.code == 201
    for change in (b'{"spec":{"taints":null}}',
                   b'{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"a",'
                   b'"uid":"b"}]}}',
                   b'{"metadata":{"labels":{"node-restriction.kubernetes.io/a":"b"}}}'):
        reply = cluster.ask(patch("nodes", "", "node-1", Patch("merge", change)))
        assert reply.code == 403, change
        assert "is not allowed to modify" in reply.body.message
    other = cluster.ask(create(document("Node", "node-2", namespace="")))
    assert other.body.message == ('nodes "node-2" is forbidden: node "node-1" is not allowed to '
                                  'modify node "node-2"')
    fine = Patch("merge", b'{"status":{"phase":"Running"}}')
    assert cluster.ask(patch("nodes", "", "node-1", fine, "status")).code == 200
