"""Admission, allocators and access: who may write what, and what the server adds."""

from __future__ import annotations

import pytest
from apiserver_client import Cluster

from model.api.objects import freeze, rest_fields
from model.api.requests import create, delete, get, list_, update, update_status
from model.kernel.action import Action
from reference_impl.apiserver.access import authorization
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.state import User


def pod(name: str, **spec: object) -> object:
    """A pod in `default`."""
    containers = spec.pop("containers", [{"name": "c", "image": "nginx"}])
    return freeze({"apiVersion": "v1", "kind": "Pod",
                   "metadata": {"name": name, "namespace": "default"},
                   "spec": {"containers": containers, **spec}})


def account(cluster: Cluster) -> Cluster:
    """The same cluster, with the default account."""
    cluster.ask(create(freeze({"apiVersion": "v1", "kind": "ServiceAccount",
                               "metadata": {"name": "default", "namespace": "default"}})))
    return cluster


def service(name: str, **spec: object) -> object:
    """A service in `default`."""
    return freeze({"apiVersion": "v1", "kind": "Service",
                   "metadata": {"name": name, "namespace": "default"},
                   "spec": {"ports": [{"port": 80}], **spec}})


def test_a_pod_waits_for_its_account() -> None:
    """It is created as soon as the account is there; without one it is refused in the end."""
    cluster = Cluster()
    cluster.send(create(pod("p")), "pod")
    cluster.settle()
    assert not [body for lane, body in cluster.heard if lane == "pod"]
    account(cluster)
    reply = next(body for lane, body in cluster.heard if lane == "pod")
    assert reply.code == 201
    assert reply.body.spec.service_account_name == "default"
    assert reply.body.spec.volumes[0].name.startswith("kube-api-access-")
    cluster.send(create(pod("q", serviceAccountName="nosuch")), "other")
    cluster.settle()
    cluster.act(Action("clock", "advance"))
    cluster.settle()
    refused = next(body for lane, body in cluster.heard if lane == "other")
    assert refused.code == 403
    assert refused.body.message.endswith('serviceaccount "nosuch" not found')


def test_a_pod_gets_tolerations_priority_and_defaults() -> None:
    """As release 1.32 adds them."""
    reply = account(Cluster()).ask(create(pod("p")))
    spec = reply.body.spec
    assert [(t.key, t.toleration_seconds) for t in spec.tolerations] == [
        ("node.kubernetes.io/not-ready", 300), ("node.kubernetes.io/unreachable", 300)]
    assert (spec.priority, spec.restart_policy, spec.dns_policy) == (0, "Always", "ClusterFirst")
    assert spec.containers[0].image_pull_policy == "Always"
    assert (reply.body.status.phase, reply.body.status.qos_class) == ("Pending", "BestEffort")


def test_always_pull_images_is_off_unless_asked_for() -> None:
    """It overrides what the pod says."""
    container = {"name": "c", "image": "x:1", "imagePullPolicy": "Never"}
    plain = account(Cluster()).ask(create(pod("p", containers=[container])))
    assert plain.body.spec.containers[0].image_pull_policy == "Never"
    strict = account(Cluster(enable_admission_plugins="AlwaysPullImages"))
    pulled = strict.ask(create(pod("p", containers=[container])))
    assert pulled.body.spec.containers[0].image_pull_policy == "Always"


def test_limit_ranges_give_defaults_and_bounds() -> None:
    """The default limit is also the default request."""
    cluster = account(Cluster())
    cluster.ask(create(freeze({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "l", "namespace": "default"},
        "spec": {"limits": [{"type": "Container", "default": {"cpu": "500m"},
                             "max": {"cpu": "1"}}]}})))
    made = cluster.ask(create(pod("p"))).body.spec.containers[0].resources
    assert (made.limits, made.requests) == ((("cpu", "500m"),), (("cpu", "500m"),))
    big = [{"name": "c", "image": "x", "resources": {"limits": {"cpu": "2"}}}]
    refused = cluster.ask(create(pod("q", containers=big)))
    assert refused.body.message == ('pods "q" is forbidden: maximum cpu usage per Container is 1, '
                                    "but limit is 2")


def test_a_quota_is_charged_and_refuses_what_exceeds() -> None:
    """Without a status it limits nothing; deletion does not lower what is used."""
    cluster = account(Cluster())
    quota = {"apiVersion": "v1", "kind": "ResourceQuota",
             "metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"pods": "1"}}}
    cluster.ask(create(freeze(quota)))
    assert cluster.ask(create(pod("free"))).code == 201
    cluster.ask(update_status(freeze({**quota, "status": {"hard": {"pods": "1"}}})))
    unknown = cluster.ask(create(pod("p")))
    assert "status unknown for quota: q" in unknown.body.message
    known = {"hard": {"pods": "1"}, "used": {"pods": "0"}}
    cluster.ask(update_status(freeze({**quota, "status": known})))
    assert cluster.ask(create(pod("p"))).code == 201
    used = cluster.ask(get("resourcequotas", "default", "q")).body.status.used
    assert used == (("pods", "1"),)
    cluster.ask(delete("pods", "default", "p"))
    refused = cluster.ask(create(pod("r")))
    assert refused.body.message == ('pods "r" is forbidden: exceeded quota: q, requested: pods=1, '
                                    "used: pods=1, limited: pods=1")


def test_a_new_node_is_tainted() -> None:
    """Until the node controller has seen it ready."""
    node = freeze({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}})
    taints = Cluster().ask(create(node)).body.spec.taints
    assert [(t.key, t.effect) for t in taints] == [("node.kubernetes.io/not-ready", "NoSchedule")]


def test_addresses_and_ports_are_given_once_and_released() -> None:
    """Also when the type of a service changes, and when a creation fails afterwards."""
    cluster = Cluster()
    first = cluster.ask(create(service("a", type="NodePort"))).body
    port, address = first.spec.ports[0].node_port, first.spec.cluster_ip
    assert 30000 <= port <= 32767
    taken = cluster.ask(create(service("b", type="NodePort",
                                       ports=[{"port": 80, "nodePort": port}])))
    assert taken.body.causes[0].message.endswith("provided port is already allocated")
    taken = cluster.ask(create(service("b", clusterIP=address)))
    assert taken.body.causes[0].message.endswith("provided IP is already allocated")
    assert cluster.ask(create(service("a"))).code == 409
    ranges = cluster.cache["ranges"]
    assert ranges["serviceips"].used.keys() == tuple(sorted(("10.96.0.1", address)))
    plain = cluster.ask(update(service("a", type="ClusterIP"))).body
    assert (plain.spec.cluster_ip, plain.spec.ports[0].node_port) == (address, None)
    assert cluster.cache["ranges"]["servicenodeports"].used.keys() == ()
    cluster.ask(delete("services", "default", "a"))
    assert cluster.cache["ranges"]["serviceips"].used.keys() == ("10.96.0.1",)


def test_the_repair_loop_frees_what_a_crash_left_behind() -> None:
    """After three sightings."""
    cluster = Cluster()
    cluster.send(create(service("a", type="NodePort")))
    while len(cluster.world["etcd"].kv["/registry/ranges/servicenodeports"].value.used) == 0:
        cluster.act(cluster.system.pick(cluster.world, 0))
    cluster.crash()
    cluster.settle()
    assert cluster.ask(get("services", "default", "a")).code == 404
    for _ in range(16):
        cluster.act(Action("clock", "advance"))
        cluster.settle()
    assert cluster.cache["ranges"]["servicenodeports"].used.keys() == ()
    assert cluster.cache["ranges"]["serviceips"].used.keys() == ("10.96.0.1",)


ALLOWED = [
    (User("system:kube-scheduler"), Attributes("create", "", "pods/binding", "default"), True),
    (User("system:kube-scheduler"), Attributes("create", "", "pods", "default"), False),
    (User("system:node:n1", "", ("system:nodes",)), Attributes("update", "", "pods/status"), True),
    (User("system:node:n1", "", ("system:nodes",)), Attributes("delete", "", "nodes"), False),
    (User("a", "", ("system:masters",)), Attributes("delete", "", "nodes"), True),
    (User("a", "", ("system:authenticated",)), Attributes("get", "", "", path="/apis"), True),
    (User("a", "", ("system:unauthenticated",)), Attributes("get", "", "", path="/apis"), False),
]


@pytest.mark.parametrize(("user", "asked", "answer"), ALLOWED)
def test_who_may_do_what(user: User, asked: Attributes, answer: bool) -> None:
    """By the roles that every cluster starts with."""
    assert authorization.decide(user, asked, Cluster().cache).allowed is answer


def test_a_role_binding_opens_one_namespace() -> None:
    """The scheduler may not list config maps, until a binding says so."""
    admin = Cluster()
    stranger = User("alice", "", ("dev",))
    asked = Attributes("list", "", "configmaps", "default")
    assert not authorization.decide(stranger, asked, admin.cache).allowed
    admin.ask(create(freeze({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "b", "namespace": "default"},
        "subjects": [{"kind": "Group", "name": "dev"}],
        "roleRef": {"kind": "ClusterRole", "name": "view",
                    "apiGroup": "rbac.authorization.k8s.io"}})))
    assert authorization.decide(stranger, asked, admin.cache).allowed
    elsewhere = asked._replace(namespace="kube-system")
    assert not authorization.decide(stranger, elsewhere, admin.cache).allowed


def test_a_component_without_the_right_is_refused() -> None:
    """403 with the words of the server."""
    cluster = Cluster("kube-proxy/n1")
    refused = cluster.ask(list_("secrets"))
    assert refused.code == 403
    assert refused.body.message == (
        'secrets is forbidden: User "system:kube-proxy" cannot list resource "secrets" in API '
        'group "" at the cluster scope')


REVIEWS = [
    ("SelfSubjectAccessReview", {"resourceAttributes": {"verb": "delete", "resource": "nodes"}},
     True),
    ("SubjectAccessReview", {"user": "alice", "resourceAttributes": {
        "verb": "list", "resource": "pods", "namespace": "default"}}, False),
    ("SubjectAccessReview", {"user": "system:kube-scheduler", "resourceAttributes": {
        "verb": "create", "resource": "pods", "subresource": "binding",
        "namespace": "default"}}, True),
]


@pytest.mark.parametrize(("kind", "spec", "granted"), REVIEWS)
def test_access_reviews_are_answered_and_not_stored(kind: str, spec: dict[str, object],
                                                    granted: bool) -> None:
    """By the same rules that decide requests."""
    cluster = Cluster()
    before = cluster.world["etcd"].revision
    body = freeze({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec})
    reply = cluster.ask(create(body))
    status = rest_fields(reply.body)["status"]
    assert (reply.code, status["allowed"]) == (201, granted)
    assert ("RBAC: allowed by" in status.get("reason", "")) == (kind == "SubjectAccessReview"
                                                                and granted)
    assert cluster.world["etcd"].revision == before
