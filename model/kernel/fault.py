"""Faults: what harm may still be done, typed by channel, as actions with a budget.

Request and reply: `lose_request`, `lose_reply` (the outcome stays unknown to the client). Watch
stream: `cut` (the client resumes or relists); order holds within a stream, never between streams,
and delay needs no fault: any waiting message may be delivered at any time. Components: `crash`
between any two steps (each step sends at most one request, so every crash point is a state).
Hosts: `crash_machine` and `recover`, `isolate` and `rejoin`, `skew` of the clock. Between peers
(members of an etcd cluster): `drop`, `duplicate` and `reorder` of messages under way, and
`lose_unsynced`, a power failure after which a member comes back without what it had not yet made
durable. A plan for a system without peers holds none of these.

Not modelled: corruption of a stream (it happens only in mutants) and byzantine components; the
transport of Kubernetes is TCP with TLS, which rules both out.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.errors import InputError

PEER_KINDS = ("drop", "duplicate", "reorder", "lose_unsynced")
KINDS = ("lose_request", "lose_reply", "cut", "crash", "crash_machine", "isolate", "skew",
         *PEER_KINDS)
HEALING = ("recover", "rejoin")
SKEWS_MS = (-90_000, 90_000)
Budget = tuple[tuple[str, int], ...]


class FaultPlan(NamedTuple):
    """How many faults of each kind a history may contain, and what they may hit.

    `components` limits `crash`, and `hosts` machine faults, to names that start with one of the
    given prefixes (empty: any).
    """

    budget: Budget = ()
    components: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


def without_peers(plan: FaultPlan) -> FaultPlan:
    """The plan for a system in which nobody has peers."""
    return plan._replace(budget=tuple((kind, left) for kind, left in plan.budget
                                      if kind not in PEER_KINDS))


def budget_of(kinds: str, each: int = 1) -> Budget:
    """The budget for a comma list of kinds, "all" or "none". InputError if one is unknown."""
    if kinds == "none":
        return ()
    names = KINDS if kinds == "all" else tuple(kind.strip() for kind in kinds.split(","))
    for name in names:
        if name not in KINDS:
            raise InputError(f"there is no fault {name!r}", where="--faults",
                             fix="one of " + ", ".join((*KINDS, "all", "none")))
    return tuple((name, each) for name in KINDS if name in names)
