"""A cluster of etcd members steps as the spec of Raft allows: read off what the members tell.

Each member's story (reference_impl/etcd/story.py) holds what is durable of its promises and what it
did as a leader; the ledger of a term is what its leader had as its log. Places count from 1 in the
implementation and from 0 in the spec. Judged where the members are fixed, since the spec has no
change of members, and where operators work on etcd itself: the ledgers of a whole cluster's story
would be long.
"""

from __future__ import annotations

from typing import Any

from model.etcd.raft import SPEC
from model.kernel.property import Part, Property
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import FrozenMap
from model.kernel.world import World
from properties.etcd.raft import members, parts
from reference_impl.etcd.story import MOVES_KEPT, Ledger, Story

_PLACED = ("extend", "accept", "commit")


def stories(world: World) -> tuple[tuple[str, Story], ...]:
    """(name, story) of each member."""
    return tuple((name, node.raft.story) for name, node in members(world))


def ledgers(told: tuple[tuple[str, Story], ...]) -> dict[int, list[int]]:
    """Term -> the terms of the entries in its leader's log."""
    led: dict[int, Ledger] = {term: ledger for _, story in told
                              for term, ledger in story.ledgers.items()}
    found: dict[int, list[int]] = {0: []}
    for term in sorted(led):
        branch, length, size = led[term]
        found[term] = found[branch][:length] + [term] * (size - length)
    return found


def _state(told: tuple[tuple[str, Story], ...]) -> dict[str, Any]:
    logs = ledgers(told)
    return {
        "term": FrozenMap((name, story.term) for name, story in told),
        "branch": FrozenMap((name, story.branch) for name, story in told),
        "length": FrozenMap((name, story.length) for name, story in told),
        "vote": FrozenMap(((name, term), whom) for name, story in told
                          for term, whom in story.votes.items()),
        "led": FrozenMap(((term, name), True) for name, story in told for term in story.ledgers),
        "ledger": FrozenMap(((term, place), entry) for term, log in logs.items()
                            for place, entry in enumerate(log)),
        "size": FrozenMap((term, len(log)) for term, log in logs.items()),
        "acked": FrozenMap(((name, term), count) for name, story in told
                           for term, count in story.acked.items()),
        "done": FrozenMap((term, count) for _, story in told
                          for term, count in story.done.items())}


class _Latest:
    """The state of the last world asked for: the `after` of a step is the `before` of the next."""

    def __init__(self) -> None:
        self.told: tuple[tuple[str, Story], ...] = ()
        self.state: dict[str, Any] = {}

    def of(self, world: World) -> dict[str, Any]:
        told = stories(world)
        if len(told) != len(self.told) or any(
                new[1] is not old[1] for new, old in zip(told, self.told, strict=True)):
            self.told, self.state = told, _state(told)
        return self.state


_latest = _Latest()


def labels(step: Transition) -> tuple[Label, ...]:
    """What the member that moved tells of this step."""
    name = step.action.actor
    if name not in dict(stories(step.after)):
        return ()
    old: Story = step.before[name].raft.story
    new: Story = step.after[name].raft.story
    fresh = new.told - old.told
    assert fresh <= MOVES_KEPT, "a step of a member tells less than is kept"
    return tuple([_label(name, *move) for move in new.moves[len(new.moves) - fresh:]])


def _label(name: str, action: str | int, term: str | int, *rest: str | int) -> Label:
    if action in _PLACED:
        return Label(str(action), (name, term, int(rest[0]) - 1))
    return Label(str(action), (name, term, *rest))


_REFINED = refinement(
    "the_members_of_a_cluster_step_as_the_spec_of_raft_allows", SPEC,
    reads=(*parts("raft.story"), Part("etcdctl", "promised")), state=_latest.of, labels=labels,
    why="what Raft promises was proved of its spec")


def _where_members_are_fixed(step: Transition) -> str | None:
    every = tuple(members(step.after))
    if any(len(node.raft.voters) != len(every) for _, node in every):
        return None
    found: str | None = _REFINED.check(step)
    return found


REFINEMENT = _REFINED._replace(check=_where_members_are_fixed)
PROPERTIES: tuple[Property, ...] = (REFINEMENT,)
