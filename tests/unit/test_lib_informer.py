"""The reflector and its informer, fed by hand."""

from __future__ import annotations

from typing import Any

from model.api.metadata import Metadata
from model.api.objects import Pod, PodSpec
from model.api.requests import (
    ObjectList,
    Reply,
    WatchEvent,
    expired,
    internal_error,
    refused,
    too_large,
)
from model.kernel.component import CUT, Io, Message
from reference_impl.lib.informer import WAITING, WATCHING, Informer, Reflector

REFLECTOR = Reflector("pods", indexes={"node": lambda pod: pod.spec.node_name,
                                       "labels": lambda pod: tuple(
                                           value for _, value in pod.metadata.labels or ())})


def pod(name: str, version: int, node: str | None = None, uid: str = "",
        labels: tuple[tuple[str, str], ...] = ()) -> Pod:
    return Pod(metadata=Metadata(name=name, namespace="default", uid=uid or f"uid-{name}",
                                 resource_version=str(version), labels=labels),
               spec=PodSpec(node_name=node))


def feed(informer: Informer, body: Any) -> tuple[Informer, list[str], Io]:
    io = Io(0)
    informer, changes = REFLECTOR.on_message(informer, Message("apiserver", "pods", body), io)
    told = [f"{'deleted' if new is None else 'added' if old is None else 'updated'} {key}"
            for key, old, new in changes]
    return informer, told, io


def page(version: int, *pods: Pod) -> Reply:
    return Reply(200, ObjectList("PodList", pods, str(version)))


def watching(*pods: Pod) -> Informer:
    informer = REFLECTOR.start(REFLECTOR.init(), Io(0))
    return feed(informer, page(10, *pods))[0]


def request(io: Io) -> tuple[str, str | None]:
    (_, lane, body), = io.requests
    assert lane == "pods"
    return body.verb, body.options.resource_version


class TestNormalLife:
    def test_the_first_list_may_be_answered_from_a_cache(self) -> None:
        """An initial list asks for any version, so that a server need not ask etcd."""
        io = Io(0)
        REFLECTOR.start(REFLECTOR.init(), io)
        assert request(io) == ("list", "0")

    def test_a_list_fills_the_store_and_starts_a_watch_from_its_version(self) -> None:
        """The watch continues exactly where the list ended."""
        informer = REFLECTOR.start(REFLECTOR.init(), Io(0))
        informer, changes, io = feed(informer, page(10, pod("b", 4), pod("a", 7)))
        assert changes == ["added default/a", "added default/b"]
        assert informer.synced
        assert request(io) == ("watch", "10")

    def test_events_change_the_store_and_the_indexes(self) -> None:
        """Every index follows each event."""
        informer = watching(pod("a", 4))
        informer, changes, _ = feed(informer, WatchEvent("MODIFIED", pod("a", 11, "n1")))
        assert changes == ["updated default/a"]
        informer, _, _ = feed(informer, WatchEvent("ADDED", pod("b", 12, "n1")))
        assert REFLECTOR.keys_by(informer, "node", "n1") == ("default/a", "default/b")
        informer, changes, _ = feed(informer, WatchEvent("DELETED", pod("a", 13, "n2")))
        assert changes == ["deleted default/a"]
        assert [each.metadata.name for each in REFLECTOR.by(informer, "node", "n1")] == ["b"]
        assert informer.resource_version == "13"

    def test_an_index_may_hold_an_object_under_several_values(self) -> None:
        """A function that gives several values files the object under each of them."""
        informer = watching(pod("a", 4, labels=(("x", "1"), ("y", "2"))))
        informer, _, _ = feed(informer, WatchEvent(
            "MODIFIED", pod("a", 11, labels=(("x", "2"), ("y", "3")))))
        assert REFLECTOR.keys_by(informer, "labels", "1") == ()
        assert REFLECTOR.keys_by(informer, "labels", "2") == ("default/a",)
        assert REFLECTOR.keys_by(informer, "labels", "3") == ("default/a",)

    def test_a_bookmark_only_moves_the_version(self) -> None:
        """A later resume starts from the bookmark."""
        informer, changes, _ = feed(watching(pod("a", 4)), WatchEvent("BOOKMARK", pod("", 20)))
        assert changes == []
        _, _, io = feed(informer, CUT)
        assert request(io) == ("watch", "20")


class TestTrouble:
    def test_a_cut_watch_resumes_from_the_last_version_seen(self) -> None:
        """No event is repeated and none is missed."""
        informer, _, _ = feed(watching(), WatchEvent("ADDED", pod("a", 12)))
        informer, changes, io = feed(informer, CUT)
        assert (changes, informer.phase) == ([], WATCHING)
        assert request(io) == ("watch", "12")

    def test_a_cut_list_is_sent_again(self) -> None:
        """A list has no effect, so it may be repeated."""
        informer = REFLECTOR.start(REFLECTOR.init(), Io(0))
        _, _, io = feed(informer, CUT)
        assert request(io) == ("list", "0")

    def test_an_expired_version_leads_to_a_list_of_the_newest_state(self) -> None:
        """410 comes as an ERROR event; the relist reports what changed meanwhile, deletions too."""
        informer, changes, io = feed(watching(pod("a", 4), pod("b", 5), pod("c", 6)),
                                     WatchEvent("ERROR", expired("too old resource version")))
        assert changes == []
        assert request(io) == ("list", None)
        informer, changes, io = feed(informer, page(30, pod("b", 5), pod("c", 20, uid="new"),
                                                    pod("d", 22)))
        assert changes == ["deleted default/a", "deleted default/c", "added default/c",
                           "added default/d"]
        assert request(io) == ("watch", "30")

    def test_a_version_the_server_does_not_know_is_forgotten(self) -> None:
        """A restored server that has gone back must not lock the reflector out."""
        informer, _, io = feed(watching(), refused(too_large(50, 30)))
        assert informer.phase == WAITING
        assert io.timers == [("reflect:pods", 800)]
        again = Io(0)
        REFLECTOR.on_timer(informer, again)
        assert request(again) == ("list", None)

    def test_failures_wait_longer_each_time_and_a_success_forgets_them(self) -> None:
        """800 ms, doubled, at most 30 s."""
        informer = watching()
        delays = []
        for _ in range(7):
            informer, _, io = feed(informer, refused(internal_error("no leader")))
            delays.append(io.timers[0][1])
            informer = REFLECTOR.on_timer(informer, Io(0))
        assert delays == [800, 1600, 3200, 6400, 12800, 25600, 30000]
        informer, _, _ = feed(informer, page(40))
        informer, _, _ = feed(informer, WatchEvent("BOOKMARK", pod("", 41)))
        assert informer.failures == 0

    def test_what_comes_while_waiting_changes_nothing(self) -> None:
        """CUT or a late event of a broken stream is ignored until the list is asked anew."""
        informer, _, _ = feed(watching(), refused(internal_error("no leader")))
        for body in (CUT, WatchEvent("ADDED", pod("a", 12))):
            after, changes, io = feed(informer, body)
            assert (after, changes, io.requests) == (informer, [], [])
