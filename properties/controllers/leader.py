"""What candidates for one job promise, how their steps map to their spec, and seeded bugs.

Source: Kubernetes documentation, "Leases"; kubernetes issues 44887, 47671, 114872.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.controllers.leader import SPEC
from model.kernel.action import Action
from model.kernel.component import CUT
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import UP, World
from properties.reading import KV, stored
from reference_impl.controllers.leader import LEASE, SPACE, WRITING, Candidate, State
from reference_impl.lib.leader_lease import Terms, View

FAMILY = "candidate/"
ALL = Part("candidate/*")


# ---- who acts ----------------------------------------------------------------------------------


def candidates(world: World) -> Iterator[tuple[str, State, int]]:
    """Name, local state and own time of each candidate that is up."""
    for name, at in world.names.items():
        if name.startswith(FAMILY) and world.slots[at].status == UP:
            yield name, world[name], world.now + world.slots[at].skew


def name_in_lease(name: str, local: State) -> str:
    """Under which name a candidate stands in the lease."""
    return f"{name.removeprefix(FAMILY)}_{local.incarnation}"


def time_left(local: State, now: int) -> int:
    """For how many milliseconds a candidate may still act without a renewal."""
    if local.led_from < 0:
        return 0
    return max(0, local.led_from + local.terms.deadline_s * 1000 - now)


def stored_holder(world: World) -> str:
    """Whom the stored lease names."""
    lease = stored(world, "leases", SPACE, LEASE)
    return (lease.spec.holder_identity or "") if lease is not None else ""


# ---- promises ----------------------------------------------------------------------------------


@always(reads=(ALL,), why="two that do one job undo each other's work")
def at_most_one_candidate_may_act(world: World) -> str | None:
    """By its own clock, within the deadline since its last renewal was sent."""
    acting = [name for name, local, now in candidates(world) if time_left(local, now)]
    return f"{' and '.join(acting)} may act at once" if len(acting) > 1 else None


@step_rule(reads=(ALL,), why="a write by somebody who was replaced meets the writes of another")
def only_the_holder_of_the_lease_works(before: World, action: Action, after: World) -> str | None:
    """Whoever sends a piece of the job is named by the stored lease at that moment."""
    name = action.actor
    if not name.startswith(FAMILY) or before[name].acting or not after[name].acting:
        return None
    me, holder = name_in_lease(name, after[name]), stored_holder(before)
    return None if me == holder else f"{me} works, and the lease is held by {holder or 'nobody'}"


@leads_to(within_ms=600_000, reads=(ALL, KV), why="a job that nobody does is not done")
def somebody_holds_the_lease(world: World) -> str | None:
    """In the end one of the candidates, if there are any, is named by the lease."""
    names = {name_in_lease(name, local) for name, local, _ in candidates(world)}
    holder = stored_holder(world)
    if not names or holder in names:
        return None
    return f"the lease is held by {holder or 'nobody'}, who is no candidate now"


@sometimes(reads=(ALL, KV), why="a lease that never changes hands shows nothing")
def the_lease_changes_hands(world: World) -> bool:
    """Somebody took over."""
    lease = stored(world, "leases", SPACE, LEASE)
    return lease is not None and (lease.spec.lease_transitions or 0) > 0


# ---- refinement --------------------------------------------------------------------------------


def duration_ms(record: Any) -> int:
    """How long the holder of a record promised to keep it, as the record says."""
    return (record.spec.lease_duration_seconds or 0) * 1000 if record is not None else 0


def state(world: World) -> dict[str, Any]:
    """The spec's variables; the server's side is left out (`server` is 0)."""
    found: dict[str, dict[str, Any]] = {name: {} for name in (
        "stage", "left", "offered", "acts", "patience", "mine")}
    for name, at in world.names.items():
        if not name.startswith(FAMILY):
            continue
        local: State = world[name]
        now = world.now + world.slots[at].skew
        record = local.view.record
        if local.at == WRITING:
            found["stage"][name] = "sent"
            found["left"][name] = max(0, local.sent + local.terms.deadline_s * 1000 - now)
            found["offered"][name] = local.terms.lease_s * 1000
        found["acts"][name] = time_left(local, now)
        if record is not None and record.spec is not None:
            found["patience"][name] = max(0, local.view.since + duration_ms(record) - now)
            found["mine"][name] = record.spec.holder_identity == name_in_lease(name, local)
    maps = {key: FrozenMap(value.items()) for key, value in found.items()}
    return {"holder": None, "promised": 0, "fresh": EMPTY, "calm": False, "terms": EMPTY, **maps}


def labels(step: Transition) -> tuple[Label, ...]:
    """What a step of a candidate is in the words of the spec."""
    name = step.action.actor
    if step.action.verb == "restart":
        return (Label("crash", (name,)),)
    if step.message is None or step.message.lane != "election":
        return ()
    old, new, body = step.before[name], step.after[name], step.message.body
    if old.at == WRITING:
        if body == CUT or body.code >= 400:
            return (Label("refuse", (name,)),)
        return (Label("answer", (name, new.terms.lease_s * 1000)),)
    return tuple(looked(name, old, new, body))


def looked(name: str, old: State, new: State, body: Any) -> Iterator[Label]:
    """The record was read; it may have changed, and it may be taken."""
    code = 500 if body == CUT else body.code
    before = old.view.record
    if code == 404 and before is not None:
        yield Label("look", (name, 0, False))
    elif code < 400 and (before is None or before.spec != body.body.spec):
        mine = body.body.spec.holder_identity == name_in_lease(name, new)
        yield Label("look", (name, duration_ms(body.body), mine))
    if new.at == WRITING:
        terms = new.terms
        yield Label("send", (name, terms.lease_s * 1000, terms.deadline_s * 1000))


REFINEMENT = refinement(
    "candidates_wait_as_long_as_the_holder_promised", SPEC, reads=(ALL,), state=state,
    labels=labels, constants={"server": 0},
    why="whoever takes a lease too early leads beside its holder")

PROPERTIES: tuple[Property, ...] = (
    at_most_one_candidate_may_act, only_the_holder_of_the_lease_works, somebody_holds_the_lease,
    the_lease_changes_hands, REFINEMENT)


# ---- seeded bugs -------------------------------------------------------------------------------


def as_long_as_the_own_lease(view: View, own: Terms) -> int:
    """The onlooker waits as long as its own lease would last."""
    return view.since + own.lease_s * 1000


def goes_on_after_failed_renewals(self: Candidate, local: State, now: int) -> bool:
    """Whoever led goes on until somebody stops it."""
    return local.led_from >= 0


MUTANTS = (
    Mutant("leader-election-own-lease-duration", "leader-election-own-lease-duration",
           "at_most_one_candidate_may_act",
           (("reference_impl.lib.leader_lease:runs_out_at", as_long_as_the_own_lease),),
           scenario="two-candidates"),
    Mutant("leader-election-acts-after-failed-renew", "leader-election-acts-after-failed-renew",
           "only_the_holder_of_the_lease_works",
           (("reference_impl.controllers.leader:Candidate.may_act",
             goes_on_after_failed_renewals),), scenario="cut-off-leader", faults="isolate"),
)
