"""Reads from the cache and from etcd: consistency, pages, watches that resume."""

from __future__ import annotations

from apiserver_client import Cluster

from model.api.objects import freeze
from model.api.requests import (
    Options,
    Request,
    WatchEvent,
    create,
    delete,
    get,
    list_,
    update,
    watch,
)
from model.kernel.action import Action


def config(name: str, **labels: str) -> object:
    """A ConfigMap in `default`."""
    return freeze({"apiVersion": "v1", "kind": "ConfigMap",
                   "metadata": {"name": name, "namespace": "default", "labels": labels}})


def events(cluster: Cluster, lane: str) -> list[tuple[str, str, str]]:
    """Type, name and version of what a watch told."""
    return [(body.type, body.object.metadata.name, body.object.metadata.resource_version)
            for heard, body in cluster.heard if heard == lane and type(body) is WatchEvent]


def test_a_list_without_version_shows_every_write_answered_before() -> None:
    """Also while the cache lags: the list waits for it."""
    cluster = Cluster()
    cluster.send(create(config("a")), "work")
    cluster.settle_without_cache()
    cluster.send(list_("configmaps"), "list")
    cluster.settle_without_cache()
    assert not [body for lane, body in cluster.heard if lane == "list"]
    cluster.send(list_("configmaps", options=Options(resource_version="0")), "stale")
    cluster.settle_without_cache()
    stale = next(body for lane, body in cluster.heard if lane == "stale")
    assert stale.body.items == ()
    cluster.settle()
    fresh = next(body for lane, body in cluster.heard if lane == "list")
    assert [item.metadata.name for item in fresh.body.items] == ["a"]


def test_a_list_of_the_future_gives_up_after_three_seconds() -> None:
    """504 with a hint to retry."""
    cluster = Cluster()
    cluster.send(list_("configmaps", options=Options(resource_version="99")), "list")
    cluster.settle()
    cluster.act(Action("clock", "advance"))
    cluster.settle()
    reply = next(body for lane, body in cluster.heard if lane == "list")
    assert (reply.code, reply.body.retry_after_seconds) == (504, 1)


def test_pages_show_one_revision() -> None:
    """What is written between two pages is not in the second."""
    cluster = Cluster()
    for name in ("a", "b", "c"):
        cluster.ask(create(config(name)))
    first = cluster.ask(list_("configmaps", options=Options(limit=2))).body
    cluster.ask(create(config("d")))
    second = cluster.ask(list_("configmaps", options=Options(limit=2,
                                                             continue_=first.continue_))).body
    assert [item.metadata.name for item in first.items] == ["a", "b"]
    assert first.remaining_item_count == 1
    assert [item.metadata.name for item in second.items] == ["c"]
    assert second.resource_version == first.resource_version
    assert second.continue_ == ""


def test_a_watch_with_a_selector_sees_objects_come_and_go() -> None:
    """What ceases to match is deleted for the watcher, in its last state, with the new version."""
    cluster = Cluster()
    cluster.ask(create(config("a", app="x")))
    cluster.send(watch("configmaps", "0", options=Options(label_selector="app=x")), "w")
    cluster.settle()
    cluster.ask(update(config("a", app="y")))
    cluster.ask(update(config("a", app="x")))
    cluster.ask(delete("configmaps", "default", "a"))
    assert events(cluster, "w") == [("ADDED", "a", "3"), ("DELETED", "a", "4"),
                                    ("ADDED", "a", "5"), ("DELETED", "a", "6")]


def test_a_watch_resumes_from_a_version_or_is_told_that_it_is_too_old() -> None:
    """The window is bounded; beyond it comes one ERROR event with a 410."""
    cluster = Cluster(watch_cache_size="3")
    for name in ("a", "b", "c", "d"):
        cluster.ask(create(config(name)))
    cluster.send(watch("configmaps", "4"), "w")
    cluster.settle()
    assert events(cluster, "w") == [("ADDED", "c", "5"), ("ADDED", "d", "6")]
    cluster.send(watch("configmaps", "2"), "old")
    cluster.settle()
    error = next(body for lane, body in cluster.heard if lane == "old")
    assert (error.type, error.object.code) == ("ERROR", 410)


def test_initial_events_end_with_a_bookmark() -> None:
    """A streaming list."""
    cluster = Cluster()
    cluster.ask(create(config("a")))
    request = Request("watch", "configmaps", options=Options(
        send_initial_events=True, allow_bookmarks=True, resource_version_match="NotOlderThan"))
    cluster.send(request, "w")
    cluster.settle()
    kinds = [body.type for lane, body in cluster.heard if lane == "w"]
    assert kinds == ["ADDED", "BOOKMARK"]
    last = [body for lane, body in cluster.heard if lane == "w"][-1]
    assert last.object.metadata.annotations == (("k8s.io/initial-events-end", "true"),)


def test_a_watch_of_one_nodes_pods_hears_only_those() -> None:
    """The server finds such watchers by the node."""
    cluster = Cluster(disable_admission_plugins="ServiceAccount")
    cluster.send(watch("pods", "0", options=Options(field_selector="spec.nodeName=n1")), "w")
    cluster.settle()
    for name, node in (("p", "n1"), ("q", "n2")):
        cluster.ask(create(freeze({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}]}})))
    assert [name for _, name, _ in events(cluster, "w")] == ["p"]
    assert cluster.world["apiserver"].node_listeners.keys() == ("n1",)
    cluster.send(get("pods", "default", "p"), "w")
    cluster.settle()
    assert cluster.world["apiserver"].node_listeners.keys() == ()
