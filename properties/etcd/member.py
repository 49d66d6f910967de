"""What the etcd member promises: revisions, history, leases; and the bugs that this catches.

Sources: etcd.io/docs, "KV API guarantees" and "Lease API"; the catalogue of etcd's own bugs.
"""

from __future__ import annotations

from typing import Any

from model.api.storage import Event, KeyValue, LeaseRevoke
from model.etcd.member import SPEC
from model.kernel.action import Action
from model.kernel.component import Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, each, leads_to, sometimes, step_rule
from model.kernel.refine import Derived, refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import UP, World
from reference_impl.etcd.log import NO_EVENTS, EventLog
from reference_impl.etcd.member import Etcd, Member
from reference_impl.etcd.store import Store

KV = Part("etcd", "kv")
LOG = Part("etcd", "log")
REVISION = Part("etcd", "revision")
LEASES = Part("etcd", "leases")
STORE = Part("etcd", "store")


# -- revisions and history -----------------------------------------------------------------------


@step_rule(reads=(STORE,), why="clients compare revisions, and resume from the last one they saw")
def the_revision_of_the_store_never_decreases(before: World, action: Action,
                                              after: World) -> str | None:
    """Not by a crash, a compaction or a restore either."""
    old, new = before["etcd"].revision, after["etcd"].revision
    return f"the revision went from {old} to {new} ({action})" if new < old else None


@each(of=KV, why="an object's resource version is the revision that wrote it")
def a_key_carries_the_revisions_of_its_writes(world: World, key: str, old: KeyValue | None,
                                              new: KeyValue | None) -> str | None:
    """Created, modified and version fit each other and the store."""
    if new is None:
        return None
    revision = world["etcd"].revision
    if not 1 < new.create_revision <= new.mod_revision <= revision:
        return (f"{key} was created at {new.create_revision} and modified at {new.mod_revision}, "
                f"the store is at {revision}")
    if not 1 <= new.version <= new.mod_revision - new.create_revision + 1:
        return f"{key} has version {new.version} from {new.create_revision} to {new.mod_revision}"
    return None


@step_rule(reads=(LOG, KV), why="watches and old reads are answered from the log")
def the_log_holds_every_event_since_the_compaction(before: World, action: Action,
                                                   after: World) -> str | None:
    """It grows by what changed and shrinks by what was compacted, by nothing else."""
    old: Store = before["etcd"].store
    new: Store = after["etcd"].store
    if took_a_snapshot(before, action, after):
        return None
    if new.compacted != old.compacted:
        kept = NO_EVENTS if action.verb == "restore" else EventLog(old.log.since(new.compacted))
        if kept != new.log:
            return (f"compacted at {new.compacted}, the log holds {len(new.log)} events, "
                    f"{len(kept)} happened since")
        return None
    added = new.log.since(old.revision + 1)
    if len(new.log) != len(old.log) + len(added):
        return f"the log had {len(old.log)} events, got {len(added)}, and has {len(new.log)}"
    return _unexplained(old.kv, added, new)


def _unexplained(kv: FrozenMap[str, KeyValue], events: tuple[Event, ...],
                 new: Store) -> str | None:
    """What of the difference the events do not tell; the new store is `kv` with them applied."""
    told: dict[str, KeyValue | None] = {}
    for event in events:
        key = event.kv.key
        if event.kv.mod_revision != new.revision:
            return f"{key} changed at {event.kv.mod_revision}, the store is at {new.revision}"
        if event.previous != told.get(key, kv.get(key)):
            return f"the event of {key} at {new.revision} names a wrong previous value"
        told[key] = event.kv if event.type == "PUT" else None
    for key, _, value in kv.diff(new.kv):
        if key not in told or told[key] != value:
            return f"{key} changed at {new.revision} without an event"
        del told[key]
    for key, value in told.items():
        if value != new.kv.get(key):
            return f"an event at {new.revision} tells a change of {key} that was none"
    return None


# -- leases --------------------------------------------------------------------------------------


@always(reads=(LEASES,), why="a lease that nobody ends keeps its keys for ever")
def every_lease_has_a_timer_that_ends_it(world: World) -> str | None:
    """The timer stands no later than the first deadline."""
    slot = world.slots[world.names["etcd"]]
    leases = world["etcd"].leases
    if type(world["etcd"]) is not Member:
        return None  # the leader's clocks end the leases of a cluster
    if slot.status != UP or not leases:
        return None
    first = min(lease.deadline_ms for lease in leases.values())
    armed = [due for due, key in slot.timers if key == "idle:leases"]
    # A deadline that has passed is served as soon as the timer can fire.
    if not armed or armed[0] > max(first, world.now + slot.skew):
        late = [str(name) for name, lease in leases.items() if lease.deadline_ms == first]
        return f"lease {', '.join(late)} ends at {first} ms, no timer stands for it"
    return None


@step_rule(reads=(LEASES,), why="what a client keeps alive must not vanish")
def a_lease_ends_when_its_time_is_over_or_it_is_revoked(before: World, action: Action,
                                                        after: World) -> str | None:
    """Its keys go in the same step, and no lease names a key that hangs elsewhere."""
    if action.verb in ("restore", "restart") or type(before["etcd"]) is not Member:
        return None
    slot = before.slots[before.names["etcd"]]
    for name, old, new in before["etcd"].leases.diff(after["etcd"].leases):
        if new is not None or old is None:
            continue
        channel = (str(action.args[0]), str(action.args[-1]))
        body = slot.inbox[channel][0] if action.verb == "deliver" else None
        revoked = type(body) is LeaseRevoke and body.id == name
        if not revoked and old.deadline_ms > before.now + slot.skew:
            return f"lease {name} had time until {old.deadline_ms} ms and ended ({action})"
        left = [key for key in old.keys if key in after["etcd"].kv
                and after["etcd"].kv[key].lease == name]
        if left:
            return f"lease {name} ended, {', '.join(left)} stayed"
    return None


# -- progress and witness ------------------------------------------------------------------------


@leads_to(within_ms=60_000, reads=(Part("etcd", "unsynced"),),
          why="a watch that lags for ever shows its client a stale world")
def a_lagging_watch_catches_up(world: World) -> str | None:
    """Or is told that what it wants is gone."""
    lagging = world["etcd"].unsynced
    return f"lagging: {', '.join(map('/'.join, lagging))}" if lagging else None


@sometimes(reads=(STORE,), why="else versions and watches would be checked on nothing")
def a_watched_store_overwrites_a_key(world: World) -> bool:
    """The newest write replaced something while somebody watched."""
    state: Member = world["etcd"]
    return bool(state.watchers) and any(event.kv.version > 1
                                        for event in state.log.since(state.revision))


# -- refinement ----------------------------------------------------------------------------------


class _Heads:
    """The spec's four maps of the present, adjusted by the difference of two stores."""

    def __init__(self) -> None:
        self.kv: FrozenMap[str, KeyValue] = EMPTY
        self.maps: tuple[FrozenMap[str, Any], ...] = (EMPTY, EMPTY, EMPTY, EMPTY)

    def of(self, kv: FrozenMap[str, KeyValue]) -> tuple[FrozenMap[str, Any], ...]:
        """created, modified, version, lease."""
        if kv is not self.kv:
            created, modified, version, lease = self.maps
            for key, _, new in self.kv.diff(kv):
                if new is None:
                    created, modified = created.drop(key), modified.drop(key)
                    version, lease = version.drop(key), lease.drop(key)
                    continue
                if created.get(key) != new.create_revision:
                    created = created.set(key, new.create_revision)
                modified = modified.set(key, new.mod_revision)
                version = version.set(key, new.version)
                lease = lease.set(key, str(new.lease)) if new.lease else lease.drop(key)
            self.kv, self.maps = kv, (created, modified, version, lease)
        return self.maps


_heads = _Heads()
_granted: Derived[int, Any] = Derived(lambda name, lease: (str(name), True))


def abstract(world: World) -> dict[str, Any]:
    """The store as the spec sees it."""
    store: Store = world["etcd"].store
    created, modified, version, lease = _heads.of(store.kv)
    return {"revision": store.revision, "compacted": store.compacted, "open": False,
            "created": created, "modified": modified, "version": version, "lease": lease,
            "granted": _granted.of(store.leases)}


def labels(step: Transition) -> tuple[Label, ...]:
    """What the spec calls a step of the member: read off the events that it wrote."""
    old: Store = step.before["etcd"].store
    new: Store = step.after["etcd"].store
    if old is new or step.action.verb == "restart":
        return ()
    if step.action.verb == "restore":
        return _restored(new)
    if old.compacted != new.compacted:
        return (Label("compact", (new.compacted,)),)
    if old.leases is not new.leases:
        for name, before, after in old.leases.diff(new.leases):
            if after is None:
                return (Label("end_lease", (str(name),)),)
            if before is None:
                return (Label("grant", (str(name),)),)
    if old.revision == new.revision:
        return ()
    return _written(new.log.since(old.revision + 1))


def _written(events: tuple[Event, ...]) -> tuple[Label, ...]:
    if len(events) == 1:
        return (_write(events[0], ""),)
    writes = tuple([_write(event, "_within") for event in events])
    return (Label("begin"), *writes, Label("commit"))


def _write(event: Event, suffix: str) -> Label:
    kv = event.kv
    if event.type == "DELETE":
        return Label(f"delete{suffix}", (kv.key,))
    if kv.lease:
        return Label(f"put_with_lease{suffix}", (kv.key, str(kv.lease)))
    return Label(f"put{suffix}", (kv.key,))


def _restored(new: Store) -> tuple[Label, ...]:
    found = [Label("restore", (new.revision,))]
    found += [Label("bring_back_lease", (str(name),)) for name in new.leases]
    for key, kv in new.kv.items():
        revisions = (key, kv.create_revision, kv.mod_revision, kv.version)
        found.append(Label("bring_back_with_lease", (*revisions, str(kv.lease))) if kv.lease
                     else Label("bring_back", revisions))
    return (*found, Label("commit"))


def took_a_snapshot(before: World, action: Action, after: World) -> bool:
    """Whether a member of a cluster was sent a store in place of the entries that made it."""
    return (action.verb == "deliver" and type(after["etcd"]) is not Member
            and before["etcd"].store is not after["etcd"].store)


def _a_step_of_the_spec(step: Transition) -> str | None:
    if took_a_snapshot(step.before, step.action, step.after):
        return None  # several steps of the spec at once, each of them judged where it was taken
    found: str | None = _REFINED.check(step)
    return found


_REFINED = refinement(
    "the_store_steps_as_the_spec_of_etcd_allows", SPEC, reads=(STORE,), state=abstract,
    labels=labels, why="everything else stands on what etcd says")
REFINEMENT = _REFINED._replace(check=_a_step_of_the_spec)

PROPERTIES: tuple[Property, ...] = (
    the_revision_of_the_store_never_decreases, a_key_carries_the_revisions_of_its_writes,
    the_log_holds_every_event_since_the_compaction, every_lease_has_a_timer_that_ends_it,
    a_lease_ends_when_its_time_is_over_or_it_is_revoked, a_lagging_watch_catches_up,
    a_watched_store_overwrites_a_key, REFINEMENT)


# -- seeded bugs ---------------------------------------------------------------------------------


def _tombstones_of_the_compacted_revision_go(log: EventLog, revision: int) -> EventLog:
    return EventLog(tuple([event for event in log.since(revision)
                           if event.type == "PUT" or event.kv.mod_revision > revision]))


def _recovered_from_records_alone(store: Store) -> Store:
    """As if compaction had removed the newest tombstone and left no marker."""
    records = [kv.mod_revision for kv in store.kv.values()]
    records += [event.kv.mod_revision for event in store.log.since(store.compacted + 1)]
    return store._replace(revision=max(records, default=1))


def _recovered_with_its_revision_alone(store: Store) -> Store:
    """As if the revision of the last write had been saved before what it wrote."""
    lost = store.log.since(store.revision)
    kv = store.kv
    for event in reversed(lost):
        key = event.kv.key
        kv = kv.drop(key) if event.previous is None else kv.set(key, event.previous)
    log = EventLog(tuple([event for event in store.log.since(0) if event not in lost]))
    return store._replace(kv=kv, log=log) if lost else store


def _recovered_without_the_last_write(store: Store) -> Store:
    """As if the reply had left before the write was on disk."""
    before = _recovered_with_its_revision_alone(store)
    return before if before is store else before._replace(revision=store.revision - 1)


def _restored_as_it_was(saved: Store, revision_max: int) -> Store:
    return saved


def _expired_together_and_one_forgotten(self: Etcd, local: Member, io: Io) -> Member:
    """All that is due leaves the queue, one of it is ended."""
    due = [(lease.deadline_ms, name) for name, lease in local.store.leases.items()
           if lease.deadline_ms <= io.now]
    after = self._ended(local, min(due)[1], io) if due else local
    late = [lease.deadline_ms for lease in after.store.leases.values()
            if lease.deadline_ms > io.now]
    if late:
        io.after(min(late) - io.now, "idle:leases")
    return after


_STORE = "reference_impl.etcd.store"
_ETCD = "reference_impl.etcd.member"
ETCD = "etcd"
BACKUP = "etcd-backup"

MUTANTS = (
    Mutant("watch-delete-lost-at-compact-rev", "etcd-watch-delete-lost-at-compact-rev",
           "the_log_holds_every_event_since_the_compaction",
           ((f"{_STORE}:kept_after_compaction", _tombstones_of_the_compacted_revision_go),),
           scenario=ETCD),
    Mutant("revision-decreases-after-compact-crash", "etcd-revision-decreases-after-compact-crash",
           "the_revision_of_the_store_never_decreases",
           ((f"{_STORE}:recovered", _recovered_from_records_alone),), scenario=ETCD,
           faults="crash"),
    Mutant("ack-before-fsync-single-member", "etcd-ack-before-fsync-single-member",
           "the_revision_of_the_store_never_decreases",
           ((f"{_STORE}:recovered", _recovered_without_the_last_write),), scenario=ETCD,
           faults="crash"),
    Mutant("revision-saved-before-its-changes", "etcd-consistent-index-before-apply",
           REFINEMENT.name, ((f"{_STORE}:recovered", _recovered_with_its_revision_alone),),
           scenario=ETCD, faults="crash"),
    Mutant("restore-rewinds-revision", "etcd-restore-rewinds-revision",
           "the_revision_of_the_store_never_decreases",
           ((f"{_STORE}:restored", _restored_as_it_was),), scenario=BACKUP),
    Mutant("expired-lease-dropped-from-heap", "etcd-expired-lease-dropped-from-heap",
           "every_lease_has_a_timer_that_ends_it",
           ((f"{_ETCD}:Etcd._expire", _expired_together_and_one_forgotten),), scenario=BACKUP),
)
