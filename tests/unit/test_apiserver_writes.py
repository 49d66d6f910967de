"""Writes through the four stages: creation, updates, patches, deletion, subresources."""

from __future__ import annotations

import pytest
from apiserver_client import Cluster

from model.api.objects import Binding, Metadata, ObjectReference, freeze, thaw
from model.api.requests import (
    NO_OPTIONS,
    Options,
    Patch,
    Request,
    bind,
    create,
    delete,
    evict,
    get,
    list_,
    patch,
    scale,
    update,
    update_status,
)


def make(kind: str, name: str, version: str = "v1", **fields: object) -> object:
    """An object in `default`."""
    metadata = {"name": name, "namespace": "default", **fields.pop("metadata", {})}  # type: ignore[dict-item]  # a mapping
    return freeze({"apiVersion": version, "kind": kind, "metadata": metadata, **fields})


POD = {"containers": [{"name": "c", "image": "nginx"}]}


@pytest.fixture
def cluster() -> Cluster:
    """A cluster whose namespace `default` has its account."""
    made = Cluster()
    assert made.ask(create(make("ServiceAccount", "default"))).code == 201
    return made


def test_a_created_object_has_uid_version_and_time(cluster: Cluster) -> None:
    """And it is stored without its version, which is its revision."""
    reply = cluster.ask(create(make("ConfigMap", "a", data={"x": "1"})))
    metadata = reply.body.metadata
    assert reply.code == 201
    assert metadata.resource_version == str(cluster.world["etcd"].revision)
    assert metadata.creation_timestamp == "2016-07-01T00:00:00Z"
    assert len(metadata.uid) == 36
    stored = cluster.world["etcd"].kv["/registry/configmaps/default/a"].value
    assert stored.metadata.resource_version is None


def test_a_second_creation_conflicts_and_generated_names_differ(cluster: Cluster) -> None:
    """409 for a taken name; generateName draws until a name is free."""
    cluster.ask(create(make("ConfigMap", "a")))
    refused = cluster.ask(create(make("ConfigMap", "a")))
    assert (refused.code, refused.body.message) == (409, 'configmaps "a" already exists')
    names = {cluster.ask(create(freeze({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"generateName": "b-", "namespace": "default"}}))).body.metadata.name
        for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("b-") and len(name) == 7 for name in names)


@pytest.mark.parametrize(("version", "code"), [(None, 200), ("current", 200), ("1", 409)])
def test_an_update_needs_the_current_version_or_none(cluster: Cluster, version: str | None,
                                                     code: int) -> None:
    """Without one it overwrites; an update that changes nothing keeps the version."""
    made = cluster.ask(create(make("ConfigMap", "a", data={"x": "1"}))).body
    wanted = made.metadata.resource_version if version == "current" else version
    metadata = {"resourceVersion": wanted} if wanted else {}
    reply = cluster.ask(update(make("ConfigMap", "a", data={"x": "2"}, metadata=metadata)))
    assert reply.code == code
    if code == 200:
        again = cluster.ask(update(make("ConfigMap", "a", data={"x": "2"})))
        assert again.body.metadata.resource_version == reply.body.metadata.resource_version


PATCHES = [
    ("merge", b'{"data":{"x":null,"y":"2"}}', {"y": "2"}),
    ("strategic", b'{"data":{"y":"2"}}', {"x": "1", "y": "2"}),
    ("json", b'[{"op":"replace","path":"/data/x","value":"3"}]', {"x": "3"}),
]


@pytest.mark.parametrize(("kind", "document", "data"), PATCHES)
def test_patches_of_three_kinds(cluster: Cluster, kind: str, document: bytes,
                                data: dict[str, str]) -> None:
    """RFC 7386, strategic merge, RFC 6902."""
    cluster.ask(create(make("ConfigMap", "a", data={"x": "1"})))
    reply = cluster.ask(patch("configmaps", "default", "a", Patch(kind, document)))  # type: ignore[arg-type]  # from the table
    assert (reply.code, dict(reply.body.data)) == (200, data)


def test_a_strategic_patch_merges_containers_by_name(cluster: Cluster) -> None:
    """The image of one container changes, the other stays; the rest of the pod is immutable."""
    spec = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}
    cluster.ask(create(make("Pod", "p", spec=spec)))
    body = b'{"spec":{"containers":[{"name":"b","image":"y:2"}]}}'
    reply = cluster.ask(patch("pods", "default", "p", Patch("strategic", body)))
    assert [c.image for c in reply.body.spec.containers] == ["x:1", "y:2"]
    body = b'{"spec":{"nodeName":"n"}}'
    refused = cluster.ask(patch("pods", "default", "p", Patch("merge", body)))
    assert (refused.code, refused.body.causes[0].field) == (422, "spec")


def test_a_pod_is_bound_once_and_deleted_with_grace(cluster: Cluster) -> None:
    """A bound pod gets its grace period, an unbound one goes at once; 409 for a second binding."""
    cluster.ask(create(make("Pod", "p", spec=POD)))
    binding = Binding(metadata=Metadata(name="p", namespace="default"),
                      target=ObjectReference(kind="Node", name="n1"))
    assert cluster.ask(bind("default", "p", binding)).code == 201
    second = cluster.ask(bind("default", "p", binding))
    assert second.code == 409
    assert "already assigned" in second.body.message
    marked = cluster.ask(delete("pods", "default", "p")).body
    assert marked.metadata.deletion_grace_period_seconds == 30
    assert marked.metadata.deletion_timestamp == "2016-07-01T00:00:30Z"
    longer = cluster.ask(delete("pods", "default", "p", grace_period_seconds=60)).body
    assert longer.metadata.deletion_grace_period_seconds == 30
    cluster.ask(delete("pods", "default", "p", grace_period_seconds=0))
    assert cluster.ask(get("pods", "default", "p")).code == 404
    cluster.ask(create(make("Pod", "q", spec=POD)))
    assert cluster.ask(delete("pods", "default", "q")).code == 200
    assert cluster.ask(get("pods", "default", "q")).code == 404


def test_finalizers_keep_an_object_until_the_last_is_gone(cluster: Cluster) -> None:
    """A name that is being deleted is taken; removing the last finalizer removes the object."""
    held = {"finalizers": ["example.com/f"]}
    cluster.ask(create(make("ConfigMap", "a", metadata=held)))
    marked = cluster.ask(delete("configmaps", "default", "a"))
    assert marked.body.metadata.deletion_timestamp
    taken = cluster.ask(create(make("ConfigMap", "a")))
    assert taken.body.message.startswith("object is being deleted")
    assert cluster.ask(update(make("ConfigMap", "a"))).code == 200
    assert cluster.ask(get("configmaps", "default", "a")).code == 404


def test_status_and_spec_are_written_apart(cluster: Cluster) -> None:
    """An update ignores the status, a status update the spec; generation counts the spec."""
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    rc = make("ReplicationController", "r", spec={"replicas": 2, "template": template})
    made = cluster.ask(create(rc)).body
    assert (made.spec.selector, made.metadata.generation) == ((("a", "b"),), 1)
    changed = make("ReplicationController", "r", status={"replicas": 7},
                   spec={"replicas": 3, "template": template})
    after = cluster.ask(update(changed)).body
    assert (after.spec.replicas, after.status.replicas, after.metadata.generation) == (3, 0, 2)
    after = cluster.ask(update_status(changed)).body
    assert (after.spec.replicas, after.status.replicas, after.metadata.generation) == (3, 7, 2)
    assert cluster.ask(scale("replicationcontrollers", "default", "r", 5)).body.spec.replicas == 5


def test_a_terminating_namespace_takes_nothing_and_needs_finalize(cluster: Cluster) -> None:
    """It goes when its own finalizer is removed through `finalize`."""
    namespace = freeze({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    made = cluster.ask(create(namespace)).body
    assert made.spec.finalizers == ("kubernetes",)
    gone = cluster.ask(delete("namespaces", "", "n")).body
    assert gone.status.phase == "Terminating"
    inside = freeze({"apiVersion": "v1", "kind": "ConfigMap",
                     "metadata": {"name": "a", "namespace": "n"}})
    refused = cluster.ask(create(inside))
    assert refused.code == 403
    assert "because it is being terminated" in refused.body.message
    empty = gone._replace(spec=gone.spec._replace(finalizers=None))
    cluster.ask(Request("update", "namespaces", "", "n", "finalize", empty))
    assert cluster.ask(get("namespaces", "", "n")).code == 404
    assert cluster.ask(delete("namespaces", "", "default")).code == 403


def test_a_collection_is_deleted_object_by_object(cluster: Cluster) -> None:
    """What the selector leaves out stays."""
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        cluster.ask(create(make("ConfigMap", name, metadata={"labels": {"app": label}})))
    reply = cluster.ask(Request("deletecollection", "configmaps", "default",
                                options=Options(label_selector="app=x")))
    assert [item.metadata.name for item in reply.body.items] == ["a", "b"]
    left = cluster.ask(list_("configmaps", "default")).body.items
    assert [item.metadata.name for item in left] == ["c"]


def test_an_eviction_asks_the_budget(cluster: Cluster) -> None:
    """429 while no disruption is allowed; a granted one is written down."""
    labels = {"labels": {"app": "w"}}
    cluster.ask(create(make("Pod", "p", spec=POD, metadata=labels)))
    binding = Binding(metadata=Metadata(name="p", namespace="default"),
                      target=ObjectReference(kind="Node", name="n1"))
    cluster.ask(bind("default", "p", binding))
    running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    cluster.ask(update_status(make("Pod", "p", spec=POD, status=running, metadata=labels)))
    budget = make("PodDisruptionBudget", "b", "policy/v1",
                  spec={"minAvailable": 1, "selector": {"matchLabels": {"app": "w"}}})
    budget = cluster.ask(create(budget)).body
    eviction = make("Eviction", "p", "policy/v1")
    assert cluster.ask(evict("default", "p", eviction)).code == 429
    seen = budget._replace(status=freeze({
        **thaw(budget), "status": {"observedGeneration": 1, "disruptionsAllowed": 1,
                                   "currentHealthy": 2, "desiredHealthy": 1,
                                   "expectedPods": 2}}).status)
    cluster.ask(update_status(seen))
    assert cluster.ask(evict("default", "p", eviction)).code == 201
    after = cluster.ask(get("poddisruptionbudgets", "default", "b")).body
    assert after.status.disruptions_allowed == 0
    assert dict(after.status.disrupted_pods).keys() == {"p"}


def test_a_dry_run_writes_nothing(cluster: Cluster) -> None:
    """It answers as if it had."""
    before = cluster.world["etcd"].revision
    request = create(make("ConfigMap", "a"), options=NO_OPTIONS._replace(dry_run=True))
    assert cluster.ask(request).code == 201
    assert cluster.world["etcd"].revision == before


def test_preconditions_of_a_delete(cluster: Cluster) -> None:
    """Another uid or version is a conflict."""
    made = cluster.ask(create(make("ConfigMap", "a"))).body
    assert cluster.ask(delete("configmaps", "default", "a", uid="x")).code == 409
    assert cluster.ask(delete("configmaps", "default", "a", resource_version="1")).code == 409
    assert cluster.ask(delete("configmaps", "default", "a", uid=made.metadata.uid)).code == 200


def test_bad_paths_and_bodies(cluster: Cluster) -> None:
    """404 for what is not served, 405 for verbs that do not fit, 400 for a body that does not."""
    assert cluster.ask(Request("get", "nonsense", "default", "a")).code == 404
    assert cluster.ask(Request("update", "configmaps", "default")).code == 405
    assert cluster.ask(Request("get", "configmaps", "default", "a", "nosub")).code == 404
    wrong = make("ConfigMap", "a")
    assert cluster.ask(Request("update", "configmaps", "default", "b", "", wrong)).code == 400
    assert cluster.ask(Request("create", "secrets", "default", "", "", wrong)).code == 400
    missing = freeze({"apiVersion": "v1", "kind": "ConfigMap",
                      "metadata": {"name": "a", "namespace": "nosuch"}})
    refused = cluster.ask(create(missing))
    assert (refused.code, refused.body.message) == (404, 'namespaces "nosuch" not found')


def test_ephemeral_containers_are_added_and_stay(cluster: Cluster) -> None:
    """Only through their subresource, and none is ever taken away."""
    pod = cluster.ask(create(make("Pod", "p", spec=POD))).body
    document = thaw(pod)
    document["spec"]["ephemeralContainers"] = [{"name": "look", "image": "busybox:1"}]
    added = cluster.ask(Request("update", "pods", "default", "p", "ephemeralcontainers",
                                freeze(document)))
    assert added.code == 200
    assert thaw(added.body)["spec"]["ephemeralContainers"][0]["imagePullPolicy"] == "IfNotPresent"
    without = freeze({**thaw(added.body), "spec": thaw(pod)["spec"]})
    gone = cluster.ask(Request("update", "pods", "default", "p", "ephemeralcontainers", without))
    assert gone.body.causes[0].field == "spec.ephemeralContainers"
    assert cluster.ask(create(make("Pod", "q", spec=document["spec"]))).code == 422


def test_a_collection_answers_what_it_found_and_gives_addresses_back(cluster: Cluster) -> None:
    """The addresses of services that go together are free at once."""
    for name in ("a", "b"):
        cluster.ask(create(make("Service", name, spec={"ports": [{"port": 80}]})))
    held = {thaw(item)["spec"]["clusterIP"] for item in cluster.ask(
        list_("services", "default")).body.items if item.metadata.name in ("a", "b")}
    reply = cluster.ask(Request("deletecollection", "services", "default"))
    assert {item.metadata.name for item in reply.body.items} >= {"a", "b"}
    used = cluster.world["etcd"].kv["/registry/ranges/serviceips"].value.used
    assert not held & set(used)


def test_a_continue_token_of_a_compacted_revision_leads_on() -> None:
    """The answer has a token that goes on from what is stored now."""
    from reference_impl.apiserver import rest
    token = rest.token_of(7, "b\0")
    assert rest.continued(token) == (7, "b\0")
    request = Request("list", "configmaps", "default", options=Options(continue_=token))
    refused = rest.compacted(request)
    assert (refused.code, rest.continued(refused.continue_)) == (410, (0, "b\0"))
    assert rest.continued("garbage").code == 400


def test_jobs_select_their_pods_and_daemon_sets_count_their_templates(cluster: Cluster) -> None:
    """What the server adds to kinds that no controller here knows."""
    job = thaw(cluster.ask(create(make("Job", "j", "batch/v1", spec={"template": {"spec": {
        "containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}}}))).body)
    mark = {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    assert job["spec"]["selector"] == {"matchLabels": mark}
    assert mark.items() <= job["spec"]["template"]["metadata"]["labels"].items()
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}
    made = thaw(cluster.ask(create(make("DaemonSet", "d", "apps/v1", spec=spec))).body)
    counter = "deprecated.daemonset.template.generation"
    assert made["metadata"]["annotations"][counter] == "1"
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    changed = thaw(cluster.ask(update(freeze(made))).body)
    assert changed["metadata"]["annotations"][counter] == "2"


def test_one_service_port_of_two_protocols_gets_one_node_port(cluster: Cluster) -> None:
    """Like a name server, which answers on both."""
    ports = [{"name": "u", "port": 53, "protocol": "UDP"}, {"name": "t", "port": 53},
             {"name": "w", "port": 80}]
    made = cluster.ask(create(make("Service", "dns", spec={"type": "NodePort", "ports": ports})))
    found = [port["nodePort"] for port in thaw(made.body)["spec"]["ports"]]
    assert found[0] == found[1] != found[2]
