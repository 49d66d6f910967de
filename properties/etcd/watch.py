"""What etcd promises to those who watch it: nothing missed, nothing twice, nothing out of order.

Source: etcd.io/docs, "Watch API" and its guarantees. The server's side is judged at every step, on
what it puts on a watch's connection; the client's side on what the `etcdctl` of a scenario has seen
through cuts, crashes, compactions and restores. `properties/histories.py` holds the guarantees one
by one, for recorded histories.
"""

from __future__ import annotations

from typing import Any

from model.api.storage import FROM_KEY, Event, ProgressReply, ProgressRequest, WatchReply
from model.kernel.action import Action
from model.kernel.component import CUT, Io
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, always, sometimes, step_rule
from model.kernel.world import UP, World
from reference_impl.etcd import member, watch
from reference_impl.etcd.ctl import Connection
from reference_impl.etcd.member import Etcd, Member
from reference_impl.etcd.store import Store
from reference_impl.etcd.watch import Watcher

LOG = Part("etcd", "log")
WATCHERS = Part("etcd", "watchers")
CONNECTIONS = Part("etcdctl", "connections")


def concerns(event: Event, key: str, range_end: str) -> bool:
    """Whether a watch of [key, range_end) asked for this event."""
    name = event.kv.key
    if range_end == "":
        return name == key
    return key <= name and (range_end == FROM_KEY or name < range_end)


def newest_store(world: World) -> Store:
    """What happened: the store, or that of the member of a cluster that has applied the most."""
    stores: list[Store] = [world[name].store for name in world.names
                           if name == "etcd" or name.startswith("etcd/")]
    return max(stores, key=lambda store: store.revision)


def pushed(before: World, after: World, lane: tuple[str, str]) -> tuple[Any, ...] | None:
    """What a step put on a connection; None when nothing can be put there (broken, or down)."""
    source, name = lane
    at = after.names[source]
    old = before.slots[at].inbox.get(("etcd", name), ())
    new = after.slots[at].inbox.get(("etcd", name), ())
    if CUT in new or after.slots[after.names["etcd"]].inbox.get(lane) != ():
        return None
    return new[len(old):]


@step_rule(reads=(LOG, WATCHERS), why="caches are built from what watches bring")
def each_watch_is_sent_exactly_the_events_it_asked_for(before: World, action: Action,
                                                       after: World) -> str | None:
    """In the step that makes them, or, while it lags, revision by revision."""
    old: Member = before["etcd"]
    new: Member = after["etcd"]
    if action.verb in ("restart", "restore"):
        return None
    if action.verb == "sync-watch":
        return _caught_up(before, after, (str(action.args[0]), str(action.args[1])))
    if new.log is old.log:
        return None
    fresh = new.log.since(old.revision + 1)
    for lane, watcher in old.watchers.items():
        if lane in old.unsynced or lane in new.unsynced or lane not in new.watchers:
            continue  # it lags, from this step on where a snapshot has just been taken
        text = _compared(before, after, lane, watcher, fresh)
        if text is not None:
            return text
    return None


def _compared(before: World, after: World, lane: tuple[str, str], watcher: Watcher,
              events: tuple[Event, ...]) -> str | None:
    bodies = pushed(before, after, lane)
    if bodies is None or after.slots[after.names[lane[0]]].status != UP:
        return None
    sent = [(event.type, event.kv) for body in bodies if type(body) is WatchReply
            for event in body.events]
    wanted = [(event.type, event.kv) for event in events
              if event.kv.mod_revision >= watcher.next_revision
              and event.type not in watcher.filters
              and concerns(event, watcher.key, watcher.range_end)]
    if sent == wanted:
        return None
    return (f"the watch {'/'.join(lane)} was sent {_listed(sent)}, "
            f"it asked for {_listed(wanted)}")


def _listed(events: list[Any]) -> str:
    return ", ".join(f"{kind} {kv.key}@{kv.mod_revision}" for kind, kv in events) or "nothing"


def _caught_up(before: World, after: World, lane: tuple[str, str]) -> str | None:
    store: Store = before["etcd"].store
    watcher: Watcher = before["etcd"].watchers[lane]
    now: Watcher | None = after["etcd"].watchers.get(lane)
    name = "/".join(lane)
    if watcher.next_revision < store.compacted:
        if now is not None:
            return (f"the watch {name} wants revision {watcher.next_revision}, compacted up to "
                    f"{store.compacted}, and goes on")
        bodies = pushed(before, after, lane) or ()
        told = [body.compact_revision for body in bodies if body.cancelled]
        return None if told == [store.compacted] or not bodies else (
            f"the watch {name} ended and was told {told}, compacted is {store.compacted}")
    if now is None:
        return f"the watch {name} ended, though revision {watcher.next_revision} is there"
    if lane not in after["etcd"].unsynced and now.next_revision <= store.revision:
        return f"the watch {name} counts as synced at {now.next_revision} of {store.revision}"
    noticed = _noticed(before, lane)
    events = [event for event in store.log.since(watcher.next_revision)
              if event.kv.mod_revision < now.next_revision]
    if noticed and any(event.kv.mod_revision <= noticed for event in events):
        return f"the watch {name} was told it has all up to {noticed}, and gets older events"
    return _compared(before, after, lane, watcher, tuple(events))


def _noticed(world: World, lane: tuple[str, str]) -> int:
    """The highest revision that a notice still under way names; 0 without one."""
    queue = world.slots[world.names[lane[0]]].inbox.get(("etcd", lane[1]), ())
    return max((body.revision for body in queue if type(body) is WatchReply
                and not (body.events or body.created or body.cancelled)), default=0)


@always(reads=(CONNECTIONS,), why="what a client has seen must be what happened")
def what_a_client_has_watched_is_what_happened(world: World) -> str | None:
    """From its first revision to its last: each event once, in order, none missing."""
    store = newest_store(world)
    for lane, connection in world["etcdctl"].connections.items():
        if connection.watch is not None:
            text = _misled(connection, store)
            if text is not None:
                return f"the watch on {lane} {text}"
    return None


def _misled(connection: Connection, store: Store) -> str | None:
    asked = connection.watch
    assert asked is not None, "only watches are judged"
    if connection.late_events:
        return f"got {connection.late_events} events that a notice said were there already"
    revisions = [event.kv.mod_revision for event in connection.events]
    if revisions != sorted(revisions):
        return f"got its events in the order {revisions}"
    first = max(connection.first_revision, store.compacted)
    happened = [(event.type, event.kv) for event in store.log.since(first)
                if event.kv.mod_revision < connection.next_revision
                and concerns(event, asked.key, asked.range_end)]
    seen = [(event.type, event.kv) for event in connection.events
            if event.kv.mod_revision >= first]
    if seen != happened:
        return f"has seen {_listed(seen)}, what happened is {_listed(happened)}"
    return None


@always(reads=(Part("etcdctl", "revision"),),
        why="a client that has seen a revision must find it again")
def no_client_knows_a_revision_above_the_stores(world: World) -> str | None:
    """Whatever was told in a reply is at most where the store is."""
    told, present = world["etcdctl"].revision, newest_store(world).revision
    return f"a client was told revision {told}, the store is at {present}" if told > present \
        else None


@sometimes(reads=(WATCHERS,), why="else catching up would be checked on nothing")
def a_watch_lags_behind_the_store(world: World) -> bool:
    """Some watch starts in the past."""
    return bool(world["etcd"].unsynced)


PROPERTIES: tuple[Property, ...] = (
    each_watch_is_sent_exactly_the_events_it_asked_for, what_a_client_has_watched_is_what_happened,
    no_client_knows_a_revision_above_the_stores, a_watch_lags_behind_the_store)


# -- seeded bugs ---------------------------------------------------------------------------------


def _skips_what_was_compacted(store: Store, watcher: Watcher) -> tuple[Any, Any, bool]:
    """The notice that a slow watch came too late is lost, its position moves on."""
    if watcher.next_revision < store.compacted:
        return watcher._replace(next_revision=store.revision + 1), None, True
    return watch_caught_up(store, watcher)


def _notices_at_once(self: Etcd, local: Member, lane: tuple[str, str], request: Any,
                     io: Io) -> Member:
    """The notice does not wait for the events that come before it."""
    io.reply(*lane, ProgressReply(local.store.revision))
    target = (lane[0], request.lane)
    if target in local.watchers:
        io.reply(*target, WatchReply(local.store.revision))
    return local


def _synced_one_too_late(store: Store, request: Any) -> tuple[Watcher, bool]:
    """A watch from the present revision counts as synced: its first event is never sent."""
    watcher, synced = watch_opened(store, request)
    return watcher, synced or watcher.next_revision == store.revision


watch_caught_up = watch.caught_up
watch_opened = watch.opened
_WATCH = "reference_impl.etcd.watch"

MUTANTS = (
    Mutant("slow-watcher-skips-compacted", "etcd-slow-watcher-skips-compacted",
           "each_watch_is_sent_exactly_the_events_it_asked_for",
           ((f"{_WATCH}:caught_up", _skips_what_was_compacted),), scenario="etcd"),
    Mutant("progress-notify-ahead-of-events", "etcd-progress-notify-ahead-of-events",
           "each_watch_is_sent_exactly_the_events_it_asked_for",
           (("reference_impl.etcd.member:_HANDLERS",
             {**member._HANDLERS, ProgressRequest: _notices_at_once}),),
           scenario="etcd"),
    Mutant("watch-from-the-present-misses-it", "a watch from the current revision counts as synced",
           "what_a_client_has_watched_is_what_happened",
           ((f"{_WATCH}:opened", _synced_one_too_late),), scenario="etcd"),
)
