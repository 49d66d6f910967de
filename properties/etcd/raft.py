"""What a cluster of etcd members promises: one leader a term, nothing committed is lost, one story.

Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", figure 3 (the
five properties of Raft); etcd.io/docs, "KV API guarantees"; the catalogue of etcd's own bugs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from model.api.storage import Range
from model.kernel.action import Action
from model.kernel.property import Part, Property, always, leads_to, sometimes, step_rule
from model.kernel.world import UP, World
from reference_impl.etcd.cluster import Node
from reference_impl.etcd.raft import Log, Raft, voters_of

# A system with a second member is a cluster; others have none of these parts.
SECOND = "etcd/2"


def parts(path: str) -> tuple[Part, ...]:
    """That part of every member."""
    return (Part(SECOND, path), Part("etcd", path), Part("etcd/*", path))


def members(world: World) -> Iterator[tuple[str, Node]]:
    """(name, state) of each member."""
    for name in world.names:
        if name == "etcd" or name.startswith("etcd/"):
            yield name, world[name]


def pairs(world: World) -> Iterator[tuple[str, Node, str, Node]]:
    """Each two members, once."""
    every = list(members(world))
    for at, (name, node) in enumerate(every):
        for other, second in every[at + 1:]:
            yield name, node, other, second


# -- Raft ----------------------------------------------------------------------------------------


@always(reads=parts("raft"), why="two leaders of a term would give one place to two commands")
def no_two_members_lead_in_one_term(world: World) -> str | None:
    """Election safety."""
    leads: dict[int, str] = {}
    for name, node in members(world):
        raft: Raft = node.raft
        if raft.role == "leader" and world.status(name) == UP:
            other = leads.setdefault(raft.term, name)
            if other != name:
                return f"{other} and {name} lead in term {raft.term}"
    return None


@step_rule(reads=parts("raft"), why="two votes in one term may make two leaders")
def a_vote_is_kept_for_its_term(before: World, action: Action, after: World) -> str | None:
    """Through crashes and power failures too, once it is on the disk and may have left."""
    name = action.actor
    if name not in after.names or type(after[name]) is not Node:
        return None
    old: Raft = before[name].raft
    new: Raft = after[name].raft
    term, vote = old.disk[:2] if action.verb == "restart" else (old.term, old.vote)
    if new.term < term:
        return f"{name} was in term {term} and is in {new.term}"
    if vote and new.term == term and new.vote != vote:
        return f"{name} has voted for {vote} in term {term}, and now for {new.vote or 'nobody'}"
    return None


@always(reads=parts("raft.log"), why="a leader tells from one entry that all before it agree")
def logs_that_agree_on_an_entry_agree_on_all_before_it(world: World) -> str | None:
    """Log matching: the same place and term is the same entry, and so is what precedes it."""
    for name, node, other, second in pairs(world):
        one: Log = node.raft.log
        two: Log = second.raft.log
        low, high = max(one.base, two.base) + 1, min(one.last, two.last)
        if one is two or high < low:
            continue
        same = [one.at(place) == two.at(place) for place in range(low, high + 1)]
        for place in range(high, low - 1, -1):
            if one.term_at(place) == two.term_at(place):
                if not all(same[:place - low + 1]):
                    wrong = low + same.index(False)
                    return (f"{name} and {other} agree on the term of entry {place} and differ at "
                            f"entry {wrong}")
                break
    return None


@always(reads=(*parts("raft.log"), *parts("raft.commit")),
        why="a client was told that its write is done")
def members_agree_on_what_is_committed(world: World) -> str | None:
    """State machine safety: no two members hold different entries at a place both know of."""
    for name, node, other, second in pairs(world):
        one: Log = node.raft.log
        two: Log = second.raft.log
        both = min(node.raft.commit, second.raft.commit)
        for place in range(max(one.base, two.base) + 1, both + 1):
            if one.at(place) != two.at(place):
                return f"entry {place} is committed at {name} and at {other}, and differs"
    return None


@step_rule(reads=(*parts("raft.log"), *parts("raft.commit")),
           why="a client was told that its write is done")
def no_committed_entry_is_lost(before: World, action: Action, after: World) -> str | None:
    """What a member knew as committed stays in its log, or in the state it has applied."""
    name = action.actor
    if name not in after.names or type(after[name]) is not Node:
        return None
    old: Raft = before[name].raft
    new: Raft = after[name].raft
    known = old.commit
    if action.verb == "restart":
        # What it was told of before its own disk had it is safe with the others.
        known = min(known, old.disk.log.last)
    if known > new.log.last:
        return f"{name} knew {known} entries as committed and has {new.log.last}"
    for place in range(max(old.log.base, new.log.base) + 1, known + 1):
        if old.log.at(place) != new.log.at(place):
            return f"{name} knew entry {place} as committed and replaced it"
    return None


@always(reads=(*parts("raft.role"), *parts("raft.commit")),
        why="what a leader lacks it takes from its followers")
def a_leader_has_every_committed_entry(world: World) -> str | None:
    """Leader completeness: of all terms before its own."""
    for name, node in members(world):
        leader: Raft = node.raft
        if leader.role != "leader" or world.status(name) != UP:
            continue
        for other, second in members(world):
            raft: Raft = second.raft
            known = raft.commit
            if raft.term > leader.term or known <= leader.log.base:
                continue
            if leader.log.last < known:
                return (f"{name} leads in term {leader.term} with {leader.log.last} entries, "
                        f"{other} knows {known} as committed")
            for place in range(max(leader.log.base, raft.log.base) + 1, known + 1):
                if leader.log.at(place) != raft.log.at(place):
                    return (f"{name} leads in term {leader.term}, and differs from what {other} "
                            f"knows as committed at entry {place}")
    return None


@always(reads=parts("raft.commit"), why="a power failure may hit a minority at any time")
def a_committed_entry_is_on_the_disks_of_a_majority(world: World) -> str | None:
    """Each of them may lose all that is not on its disk. The majority is one of the voters now, or
    of those at the time when a change of voters came after the entry."""
    for name, node in members(world):
        raft: Raft = node.raft
        if raft.role != "leader" or world.status(name) != UP or raft.commit <= raft.log.base:
            continue
        term = raft.log.term_at(raft.commit)
        holders = [other for other, second in members(world)
                   if _holds(second.raft.disk.log, raft.commit, term)]
        then = voters_of(raft.log.until(raft.commit))
        if not any(2 * sum(voter in holders for voter in voters) > len(voters)
                   for voters in (raft.voters, then)):
            return (f"{name} knows entry {raft.commit} as committed, it is durable at "
                    f"{', '.join(holders) or 'no member'} of {', '.join(raft.voters)}")
    return None


def _holds(log: Log, place: int, term: int) -> bool:
    return place <= log.base or (place <= log.last and log.term_at(place) == term)


# -- the stores ----------------------------------------------------------------------------------


@always(reads=(*parts("applied"), *parts("store")),
        why="which member answers must make no difference")
def members_that_applied_the_same_have_the_same_store(world: World) -> str | None:
    """Whether an entry is accepted, and what it does, depends on the log before it alone."""
    for name, node, other, second in pairs(world):
        if node.applied == second.applied and node.store is not second.store and (
                node.store != second.store):
            return (f"{name} and {other} have applied {node.applied} entries and differ in "
                    f"{', '.join(_differences(node, second))}")
    return None


def _differences(node: Node, second: Node) -> list[str]:
    fields = zip(node.store._fields, node.store, second.store, strict=True)
    return [field for field, one, two in fields if one != two]


# -- what clients see ----------------------------------------------------------------------------


@always(reads=(Part("etcdctl", "connections"),),
        why="a client acts on what it has read as if it were the present")
def a_linearizable_read_shows_all_that_was_known_before_it(world: World) -> str | None:
    """Of any member: its revision is at least the newest that the client knew when it asked."""
    for lane, connection in world["etcdctl"].connections.items():
        asked: Any = connection.asked
        if type(asked) is Range and not asked.serializable and (
                0 < connection.told < connection.known):
            return (f"the read of {asked.key} on {lane} shows revision {connection.told}, "
                    f"{connection.known} was known when it began")
    return None


@step_rule(reads=parts("leases"), why="what a client keeps alive must not vanish")
def a_lease_lives_as_long_as_its_client_was_told(before: World, action: Action,
                                                 after: World) -> str | None:
    """Unless somebody asked for its end. Clocks that jump make no promises."""
    name = action.actor
    if "etcdctl" not in after.names or any(slot.skew for slot in after.slots):
        return None
    for lease, old, new in before[name].leases.diff(after[name].leases):
        until = after["etcdctl"].promised.get(lease, -1)
        if new is None and old is not None and until > after.now:
            return f"{name} has ended lease {lease} at {after.now} ms, promised until {until} ms"
    return None


# -- progress and witnesses ----------------------------------------------------------------------


@leads_to(within_ms=300_000, reads=parts("waiting"),
          why="a cluster with a majority that answers serves its clients")
def every_request_is_answered_or_cut(world: World) -> str | None:
    """No client of a member that is up waits for ever."""
    waiting = [f"{name}: {each.body.kind} of {'/'.join(each.lane)}" for name, node in members(world)
               if world.status(name) == UP for each in node.waiting.values()]
    return ", ".join(waiting) or None


@leads_to(within_ms=300_000, reads=parts("applied"),
          why="a member that lags for ever is none in the next failure")
def all_voters_apply_what_is_committed(world: World) -> str | None:
    """Those that are up, once nothing fails any more."""
    leaders = [node for name, node in members(world)
               if node.raft.role == "leader" and world.status(name) == UP]
    if not leaders:
        return "nobody leads" if _majority_up(world) else None
    leader = max(leaders, key=lambda node: node.raft.term)
    late = [f"{name} at {node.applied}" for name, node in members(world)
            if name in leader.raft.voters and world.status(name) == UP
            and node.applied < leader.raft.commit]
    return f"of {leader.raft.commit} entries: {', '.join(late)}" if late else None


def _majority_up(world: World) -> bool:
    """Whether each member that is up finds a majority of those whom it takes for voters. A change
    of voters that is not committed yet may leave nobody with one when a machine dies."""
    return all(2 * sum(world.status(voter) == UP for voter in node.raft.voters)
               > len(node.raft.voters) for name, node in members(world)
               if world.status(name) == UP)


@sometimes(reads=parts("raft"), why="else elections would be checked on one leader for ever")
def a_second_term_commits_an_entry(world: World) -> bool:
    """A later leader has got an entry committed."""
    return any(node.raft.commit > node.raft.log.base
               and node.raft.log.term_at(node.raft.commit) > 1 for _, node in members(world))


@sometimes(reads=parts("raft"), why="else snapshots would be checked on nothing")
def a_member_goes_on_from_a_snapshot(world: World) -> bool:
    """Its log begins where a leader's state ended."""
    return any(node.raft.log.base == node.applied > 0 for _, node in members(world))


PROPERTIES: tuple[Property, ...] = (
    no_two_members_lead_in_one_term, a_vote_is_kept_for_its_term,
    logs_that_agree_on_an_entry_agree_on_all_before_it,
    members_agree_on_what_is_committed, no_committed_entry_is_lost,
    a_leader_has_every_committed_entry, a_committed_entry_is_on_the_disks_of_a_majority,
    members_that_applied_the_same_have_the_same_store,
    a_linearizable_read_shows_all_that_was_known_before_it,
    a_lease_lives_as_long_as_its_client_was_told, every_request_is_answered_or_cut,
    all_voters_apply_what_is_committed, a_second_term_commits_an_entry,
    a_member_goes_on_from_a_snapshot)
