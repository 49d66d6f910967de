"""Short stories of namespaces, accounts, tokens and quotas, told by what a 1.32 cluster did.

The facts (five seconds of hold-off, conditions and their texts, what a Secret is filled with) were
recorded from a real control plane; the table below is our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from model.api.metadata import annotation
from model.kernel.action import Action
from model.kernel.driver import FairDriver, run
from model.kernel.system import Transition
from model.kernel.world import World
from properties.reading import objects, stored
from reference_impl.cluster import build
from reference_impl.scenarios import named

HELD = (
    ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
     "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions",
     "All legacy kube types successfully parsed"),
    ("NamespaceDeletionContentFailure", "False", "ContentDeleted",
     "All content successfully deleted, may be waiting on finalization"),
    ("NamespaceContentRemaining", "True", "SomeResourcesRemain",
     "Some resources are remaining: configmaps. has 1 resource instances"),
    ("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
     "Some content in the namespace has finalizers remaining: "
     "example.com/hold in 1 resource instances"),
)


def told(scenario: str, *commands: str, release: str = "1.32",
         watch: Callable[[Transition], None] | None = None) -> World:
    """The world when everything is quiet after the commands."""
    script = (tuple(Action("kubectl", "run", (command,)) for command in commands),)
    made = replace(named(scenario), script=script, release=release)
    system = build(made)
    done = run(system, FairDriver(script=True), system.init(), steps=20_000,
               watch=(watch,) if watch else ())
    assert done.world.quiet()
    return done.world


def test_a_namespace_waits_five_seconds_and_for_what_others_hold() -> None:
    """Its conditions say what is left; its finalizer stays."""
    world = told("tenant", "create -f namespace.yaml", "create -f settings.yaml",
                 "delete -f namespace.yaml --wait=false")
    team = stored(world, "namespaces", "", "team")
    assert team.status.phase == "Terminating"
    assert tuple((each.type, each.status, each.reason, each.message)
                 for each in team.status.conditions) == HELD
    assert team.status.conditions[0].last_transition_time == "2016-07-01T00:00:05Z"
    assert stored(world, "configmaps", "team", "settings") is not None
    assert stored(world, "serviceaccounts", "team", "default") is None


def test_an_empty_namespace_goes_after_five_seconds() -> None:
    """With its account and everything else in it, and with good conditions at the end."""
    gone: list[tuple[int, Any]] = []

    def see(step: Transition) -> None:
        key = "/registry/namespaces/team"
        before, after = step.before["etcd"].kv, step.after["etcd"].kv
        if key in before and key not in after:
            gone.append((step.after.now, before[key].value))

    world = told("tenant", "create -f namespace.yaml", "delete -f namespace.yaml", watch=see)
    (now, last), = gone
    assert now == 5_000
    assert [each.status for each in last.status.conditions] == ["False"] * 5
    assert not [key for key in world["etcd"].kv if "/team" in key]


def test_the_default_account_comes_again_under_another_uid() -> None:
    """And since release 1.24 no Secret comes with it."""
    first = told("accounts", "create -f namespace.yaml")
    again = told("accounts", "create -f namespace.yaml", "delete serviceaccounts default -n team")
    old, new = (stored(each, "serviceaccounts", "team", "default") for each in (first, again))
    assert new is not None
    assert old.metadata.uid != new.metadata.uid
    assert not list(objects(again, "secrets"))


def test_a_token_that_somebody_asked_for_is_filled_in() -> None:
    """With the uid of its account, and three entries; without an account it is deleted."""
    world = told("accounts", "create -f robot.yaml", "create -f robot-token.yaml")
    token = stored(world, "secrets", "default", "robot-token")
    robot = stored(world, "serviceaccounts", "default", "robot")
    assert annotation(token.metadata, "kubernetes.io/service-account.uid") == robot.metadata.uid
    assert [name for name, _ in token.data] == ["ca.crt", "namespace", "token"]
    assert not robot.secrets
    nobody = told("accounts", "create -f robot-token.yaml")
    assert stored(nobody, "secrets", "default", "robot-token") is None
    left = told("accounts", "create -f robot.yaml", "create -f robot-token.yaml",
                "delete serviceaccounts robot")
    assert stored(left, "secrets", "default", "robot-token") is None


def test_before_release_1_24_every_account_lists_a_token_of_its_own() -> None:
    """Named after the account; a token that is deleted is made again."""
    for commands in (("create -f robot.yaml",),
                     ("create -f robot.yaml", "delete secrets --all")):
        world = told("accounts", *commands, release="1.3")
        robot = stored(world, "serviceaccounts", "default", "robot")
        name, = (each.name for each in robot.secrets)
        assert name.startswith("robot-token-")
        assert len(name) == len("robot-token-xxxxx")
        assert stored(world, "secrets", "default", name) is not None


def test_a_quota_tells_what_is_there_after_creations_and_deletions() -> None:
    """Admission raises the numbers, the controller lowers them five seconds later."""
    full = told("quota", "create -f quota.yaml", "create -f web-rc.yaml",
                "scale rc web --replicas=2")
    small = stored(full, "resourcequotas", "default", "small")
    assert small.status.used == (("pods", "2"), ("requests.cpu", "200m"))
    assert small.status.hard == (("pods", "2"), ("requests.cpu", "1"))
    less = told("quota", "create -f quota.yaml", "create -f web-rc.yaml",
                "scale rc web --replicas=1")
    small = stored(less, "resourcequotas", "default", "small")
    assert small.status.used == (("pods", "1"), ("requests.cpu", "100m"))
