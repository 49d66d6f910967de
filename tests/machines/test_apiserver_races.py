"""Random interleavings of a few writers against the API server: its promises hold, and each seeded
bug breaks the one that is named for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from model.api.objects import (
    ConfigMap,
    Metadata,
    Service,
    ServicePort,
    ServiceSpec,
)
from model.api.requests import Request, create, delete, update, watch
from model.api.scenario import Scenario
from model.kernel.action import Action
from model.kernel.driver import RandomDriver, run
from model.kernel.fault import FaultPlan, budget_of
from model.kernel.property import Checker
from model.kernel.system import System
from properties.apiserver.component import MUTANTS, PROPERTIES
from reference_impl.apiserver.component import ApiServer, config_of
from reference_impl.etcd.member import Etcd

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from apiserver_client import Caller, Cluster  # beside the unit tests that share it

HISTORIES_MAX = 150
STEPS = 400


def config(name: str, version: str | None = None, finalizers: tuple[str, ...] | None = None,
           uid: str | None = None, labels: tuple[tuple[str, str], ...] | None = None) -> ConfigMap:
    """A ConfigMap in `default`."""
    return ConfigMap(metadata=Metadata(name=name, namespace="default", resource_version=version,
                                       finalizers=finalizers, uid=uid, labels=labels))


def service(name: str, port: int | None = None, finalizers: tuple[str, ...] | None = None,
            protocol: str = "TCP", label: str = "") -> Service:
    """A Service of type NodePort in `default`."""
    labels = (("app", label),) if label else None
    return Service(metadata=Metadata(name=name, namespace="default", finalizers=finalizers,
                                     labels=labels),
                   spec=ServiceSpec(type="NodePort",
                                    ports=(ServicePort(None, protocol, None, 80, None, port),)))


@dataclass
class Story:
    """Sessions of requests, each in order on one lane; and the faults that may happen."""

    sessions: tuple[tuple[Request, ...], ...]
    faults: str = "none"
    patient: bool = False


TWO_WRITERS = Story((
    (create(config("a")), update(config("a", "3", labels=(("app", "one"),)))),
    (update(config("a", "3", labels=(("app", "two"),))),
     update(config("a", "3", labels=(("app", "three"),)))),
    (delete("configmaps", "default", "a"), create(config("a"))),
))
FINALIZERS = Story((
    (create(config("a")), update(config("a", finalizers=("example.com/f",))),
     update(config("a"))),
    (delete("configmaps", "default", "a"), delete("configmaps", "default", "a")),
))
REPAIRED = Story(((create(service("s")), create(service("t")), create(service("u"))),),
                 patient=True)
SERVICES = Story((
    (create(service("s")), delete("services", "default", "s"), create(service("t"))),
    (create(service("u", 30007)), update(service("u", 30007, ("example.com/f",))),
     delete("services", "default", "u"), update(service("u", 30007))),
    (create(service("v", 30007)), delete("services", "default", "v")),
))
WATCHED = Story((
    (create(config("a")), update(config("a", labels=(("app", "x"),))),
     delete("configmaps", "default", "a"), create(config("b"))),
    (watch("configmaps", "2"), watch("configmaps", "3"), watch("configmaps", "4"),
     watch("configmaps", "5")),
), faults="crash,cut")
WATCHED_AGAIN = Story(((create(config("a")),), (watch("configmaps", "2"),) * 8), faults="crash")
STORIES = {"repaired": REPAIRED, "two_writers": TWO_WRITERS, "finalizers": FINALIZERS,
           "services": SERVICES, "watched": WATCHED,
           "watched_again": WATCHED_AGAIN}


def system_of(story: Story) -> System:
    """etcd, a server, and one caller a session."""
    callers = []
    script = []
    for number, requests in enumerate(story.sessions):
        name = "kubectl" if number == 0 else f"controllers/test-{number}"
        caller = Caller(name, story.patient)
        caller.outbox.extend(requests)
        callers.append(caller)
        script.append(tuple(Action(caller.name, "ask", (at, f"lane-{at}"))
                            for at in range(len(requests))))
    budget = budget_of(story.faults, 2) if story.faults != "none" else ()
    server = ApiServer(config_of(Scenario("races")))
    return System((server, Etcd(), *callers), tuple(script),
                  FaultPlan(budget, components=("apiserver",)))


def violations(story: Story, seed: int) -> list[str]:
    """The names of the properties that one random history breaks."""
    system = system_of(story)
    checker = Checker(system, PROPERTIES)
    outcome = run(system, RandomDriver(seed, fault_rate=20, input_rate=60), system.init(),
                  steps=STEPS, checker=checker)
    return [violation.property for violation in outcome.violations]


@pytest.mark.parametrize("name", sorted(STORIES))
def test_promises_hold_in_random_histories(name: str) -> None:
    """No interleaving of the stories breaks a promise or leaves the spec."""
    for seed in range(40):
        assert violations(STORIES[name], seed) == []


SEEDED = {
    "repair_at_first_sight": "repaired",
    "delete_does_not_compare_versions": "finalizers",
    "update_does_not_compare_versions": "two_writers",
    "update_never_removes": "finalizers",
    "fresh_window_starts_one_too_low": "watched_again",
    "deleted_event_has_the_old_version": "watched",
    "released_by_the_delete_request": "services",
    "released_though_another_holds": "services",
}


@pytest.mark.parametrize("name", sorted(SEEDED))
def test_each_seeded_bug_is_caught_by_its_property(name: str) -> None:
    """Within a bounded number of histories."""
    mutant = next(each for each in MUTANTS if each.name == name)
    with mutant.installed():
        for seed in range(HISTORIES_MAX):
            found = violations(STORIES[SEEDED[name]], seed)
            if found:
                assert mutant.caught_by in found
                return
    pytest.fail(f"{name} survived {HISTORIES_MAX} histories")


def conflicts_behind_a_lagging_cache() -> list[str]:
    """The object is replaced while the cache lags; then the new one is deleted by its uid."""
    cluster = Cluster()
    cluster.ask(create(config("a")))
    for request in (delete("configmaps", "default", "a"), create(config("a"))):
        cluster.send(request)
        cluster.settle_without_cache()
    uid = cluster.heard[-1][1].body.metadata.uid
    cluster.send(delete("configmaps", "default", "a", uid=uid))
    checker = Checker(cluster.system, PROPERTIES)
    found = [violation.property for step in cluster.settle_without_cache()
             for violation in checker.check(step)]
    assert (cluster.heard[-1][1].code == 200) is (not found)
    return found


def test_a_precondition_is_judged_on_the_live_object() -> None:
    """The seeded bug of `guaranteed-update-precondition-on-stale` answers from the cache."""
    assert conflicts_behind_a_lagging_cache() == []
    mutant = next(each for each in MUTANTS if each.name == "conflict_from_the_cache")
    with mutant.installed():
        assert conflicts_behind_a_lagging_cache() == [mutant.caught_by]
