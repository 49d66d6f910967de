"""What the API server promises: writes, deletions, addresses, caches and watches; seeded bugs.

Sources: Kubernetes API conventions, Kubernetes documentation ("Kubernetes API Concepts",
"Finalizers", "Service"); the catalogue of the server's own bugs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.requests import Reply, Request, Status, WatchEvent
from model.api.storage import Delete, Event, KeyValue, Range, Txn, WatchReply
from model.apiserver.component import SPEC
from model.kernel.action import Action
from model.kernel.component import CUT, Io, Message
from model.kernel.mutant import Mutant
from model.kernel.property import Part, Property, each, leads_to, sometimes, step_rule
from model.kernel.refine import refinement
from model.kernel.spec.oracle import Label
from model.kernel.system import Transition
from model.kernel.values import EMPTY, FrozenMap
from model.kernel.world import UP, World
from reference_impl.apiserver import storage
from reference_impl.apiserver.component import ApiServer
from reference_impl.apiserver.registry import allocators, repair, transforms
from reference_impl.apiserver.registry.allocators import RangeAllocation
from reference_impl.apiserver.registry.deletion import LAST, REMOVE
from reference_impl.apiserver.registry.store import Store
from reference_impl.apiserver.state import Pending, State

NAME = "apiserver"
KV = Part("etcd", "kv")
PENDING = Part(NAME, "pending")
CACHE = Part(NAME, "cache")
WATCHERS = Part(NAME, "watchers")
REGISTRY = "/registry/"
SERVICES = "/registry/services/"
RANGES = "/registry/ranges/"


# -- stored objects ------------------------------------------------------------------------------


@each(of=KV, prefix=REGISTRY,
      why="an object that waits for nothing and stays blocks its name for ever")
def an_object_being_deleted_waits_for_something(world: World, key: str, old: KeyValue | None,
                                                new: KeyValue | None) -> str | None:
    """A finalizer, its grace period, or a namespace's own finalizers."""
    if new is None or key.startswith(RANGES):
        return None
    metadata = new.value.metadata
    if metadata.deletion_timestamp is None or metadata.finalizers:
        return None
    if metadata.deletion_grace_period_seconds:
        return None
    if new.value.kind == "Namespace" and new.value.spec.finalizers:
        return None
    if is_going(world, key):
        return None
    return f"{key} is being deleted, has no finalizer and no grace period left, and is still there"


def is_going(world: World, key: str) -> bool:
    """Whether the server has the removal of an object in hand: where ends are written down first,
    it removes what it has marked in its next write."""
    return any(item.verb == LAST and storage.storage_key(item.resource, item.key) == key
               for pending in world[NAME].pending.values() for item in pending.work)


@each(of=KV, prefix=REGISTRY, why="traffic for one service would reach another")
def no_two_services_share_an_address_or_a_port(world: World, key: str, old: KeyValue | None,
                                               new: KeyValue | None) -> str | None:
    """Cluster addresses and node ports belong to one stored service, and are marked as used."""
    if new is None or not key.startswith(SERVICES):
        return None
    mine = places(new.value)
    for other, entry in world["etcd"].kv.items():
        if other.startswith(SERVICES) and other != key:
            shared = mine & places(entry.value)
            if shared:
                return f"{key} and {other} share {', '.join(sorted(shared))}"
    return None


def places(service: Any) -> frozenset[str]:
    """The addresses and node ports of a service, by the range and the number."""
    spec = service.spec
    if spec is None:
        return frozenset()
    held = {f"{allocators.PORTS}/{port.node_port}" for port in spec.ports or () if port.node_port}
    if spec.health_check_node_port:
        held.add(f"{allocators.PORTS}/{spec.health_check_node_port}")
    if spec.cluster_ip and spec.cluster_ip != "None" and spec.type != "ExternalName":
        held.add(f"{allocators.ADDRESSES}/{spec.cluster_ip}")
    return frozenset(held)


@step_rule(reads=(KV,), why="a change that was acknowledged must not vanish in an older copy")
def an_update_replaces_only_the_version_that_its_client_read(before: World, action: Action,
                                                             after: World) -> str | None:
    """A write whose object carries a resource version replaces exactly that version."""
    done = carried_out(before, action, after)
    if done is None or done.source != NAME:
        return None
    pending = before[NAME].pending.get(done.lane)
    if pending is None or pending.stage != "write" or pending.request.verb != "update":
        return None
    wanted = pending.request.body.metadata.resource_version
    if not wanted:
        return None
    key = _key_of(pending)
    old, new = before["etcd"].kv.get(key), after["etcd"].kv.get(key)
    if old is new or old is None or str(old.mod_revision) == wanted:
        return None
    return f"{key} was read at {wanted} by {pending.client[0]}, and replaced at {old.mod_revision}"


class Done(NamedTuple):
    """A request that etcd carried out in a step, and the connection that it had come on.

    `waits` False: whoever sent it has died since, or has been told that its fate is unknown. The
    store carries it out all the same, with nobody left who has anything in hand.
    """

    source: str
    lane: str
    body: Any
    waits: bool


def carried_out(before: World, action: Action, after: World) -> Done | None:
    """What the member of etcd that the API server talks to carried out in this step.

    A single member does so when a request arrives, one of a cluster when it applies an entry.
    """
    if action.actor != "etcd":
        return None
    etcd = before.slots[before.names["etcd"]]
    if action.verb == "deliver":
        source, lane = str(action.args[0]), str(action.args[1])
        body = etcd.inbox[source, lane][0]
        return Done(source, lane, body, not _is_orphan(before, (source, lane)))
    newest = after["etcd"].newest if action.verb == "apply" else None
    if newest is None:
        return None
    source, lane = newest.command.lane
    waits = newest.waits and not _is_orphan(before, (source, lane))
    return Done(source, lane, newest.command.body, waits)


def _is_orphan(before: World, channel: tuple[str, str]) -> bool:
    """Whether the sender of a transaction has died since: its connection is cut behind it."""
    return CUT in before.slots[before.names["etcd"]].inbox.get(channel, ())


def _key_of(pending: Pending) -> str:
    request = pending.request
    return storage.storage_key(request.resource,
                               storage.cache_key(request.namespace, request.name))


# -- answers -------------------------------------------------------------------------------------


def _answers(step: Transition) -> list[tuple[str, str, Any]]:
    return [sent for sent in step.sent if type(sent[2]) is Reply]


def _no_conflict_without_reason(step: Transition) -> str | None:
    """A deletion by uid, or an update of one version, is refused with a conflict only if that uid
    or that version is not the stored one."""
    if step.action.actor != NAME or not step.sent:
        return None
    for client, lane, reply in _answers(step):
        if reply.code != 409 or type(reply.body) is not Status:
            continue
        request = _request_of(step, client, lane)
        if request is None:
            continue
        key = storage.storage_key(request.resource,
                                  storage.cache_key(request.namespace, request.name))
        stored = step.after["etcd"].kv.get(key)
        if stored is not None and _condition_holds(request, reply.body, stored):
            return (f"{client} asked to {request.verb} {key} on a condition that holds for what is "
                    f"stored, version {stored.mod_revision}, and was answered 409")
    return None


def _condition_holds(request: Request, status: Status, stored: KeyValue) -> bool:
    """Whether the only condition of a request is true of the stored object."""
    options = request.options
    if request.verb == "delete" and options.precondition_resource_version is None:
        return bool(options.precondition_uid == stored.value.metadata.uid)
    return bool(request.verb == "update" and status.reason == "Conflict"
                and request.body.metadata.resource_version == str(stored.mod_revision))


def _request_of(step: Transition, client: str, lane: str) -> Request | None:
    if step.message is not None and step.message.source == client:
        body = step.message.body
        return body if type(body) is Request else None
    for pending in step.before[NAME].pending.values():
        if pending.client == (client, lane):
            found: Request = pending.request
            return found
    return None


NO_CONFLICT_WITHOUT_REASON = Property(
    "a_conditional_write_conflicts_only_when_its_condition_is_false", "refines",
    _no_conflict_without_reason, (Part(NAME, "refusal"),),
    "a controller that is told of a conflict acts on a picture that is wrong")


# -- caches and watches --------------------------------------------------------------------------


@step_rule(reads=(CACHE,), why="lists, admission and first attempts stand on the cache")
def the_cache_shows_what_was_stored(before: World, action: Action, after: World) -> str | None:
    """Each entry is as etcd had it at the entry's revision; the newest is compared."""
    kv = after["etcd"].kv
    old, new = before[NAME].cache, after[NAME].cache
    for resource, was, now in old.diff(new):
        for key, _, obj in (was or EMPTY).diff(now or EMPTY):
            stored = kv.get(storage.storage_key(resource, key))
            if obj is None or stored is None:
                continue
            version = obj.metadata.resource_version
            if version == str(stored.mod_revision) and obj != storage.decoded(stored):
                return f"{resource} {key} at {version} differs from what is stored"
            if int(version) > stored.mod_revision:
                return f"{resource} {key} is cached at {version}, stored at {stored.mod_revision}"
    return None


@leads_to(within_ms=60_000, reads=(Part(NAME, "revision"), Part("etcd", "revision")),
          why="clients that wait for their own writes would wait for ever")
def the_cache_catches_up_with_the_store(world: World) -> str | None:
    """When nothing is under way the cache shows the store's newest revision."""
    shown, newest = world[NAME].revision, world["etcd"].revision
    if world.status(NAME) != UP or shown >= newest:
        return None
    return f"the cache shows revision {shown}, the store is at {newest}"


def _watch_events(step: Transition) -> str | None:
    """Events carry the revision of their change; a resumed watch misses nothing."""
    if step.action.actor != NAME or step.message is None:
        return None
    message = step.message
    if message.source == "etcd":
        if type(message.body) is WatchReply:
            return _fresh_events(step, message.body)
        return _relisted(step) if message.lane == "cache" else None
    if type(message.body) is Request and message.body.verb == "watch":
        return _resumed(step, message.source, message.lane, message.body)
    return None


def _fresh_events(step: Transition, reply: WatchReply) -> str | None:
    revisions = {str(event.kv.mod_revision) for event in reply.events}
    for client, lane, body in step.sent:
        if type(body) is WatchEvent and body.type in ("ADDED", "MODIFIED", "DELETED"):
            version = body.object.metadata.resource_version
            if version not in revisions:
                return (f"{client} was told on {lane} that {body.object.metadata.name} is "
                        f"{body.type} at {version}; the change happened at "
                        f"{', '.join(sorted(revisions))}")
    return None


def _resumed(step: Transition, client: str, lane: str, request: Request) -> str | None:
    local: State = step.after[NAME]
    watcher = local.watchers.get((client, lane))
    version = request.options.resource_version
    if watcher is None or version in (None, "", "0") or request.options.send_initial_events:
        return None
    told = [int(body.object.metadata.resource_version) for to, on, body in step.sent
            if (to, on) == (client, lane) and body.type in ("ADDED", "MODIFIED", "DELETED")]
    if told != sorted(told):
        return f"{client} on {lane} was told changes out of order: {told}"
    prefix = f"{storage.PREFIX}{request.resource}/{request.namespace}"
    if watcher.labels or watcher.fields:
        return None
    missed = [event.kv.mod_revision for event in _history(step.after, int(version), local.revision)
              if event.kv.key.startswith(prefix) and event.kv.mod_revision not in told]
    if missed:
        return (f"{client} resumed {request.resource} from {version} and never hears of the "
                f"changes at {', '.join(map(str, missed))}")
    return None


def _relisted(step: Transition) -> str | None:
    """A watch that stays open while the cache is filled anew has been told what came between."""
    old: State = step.before[NAME]
    new: State = step.after[NAME]
    if new.listed_at == old.listed_at:
        return None
    for (client, lane), watcher in new.watchers.items():
        was, now = (each.cache.get(watcher.resource, EMPTY) for each in (old, new))
        missed = [key for key, *_ in was.diff(now)
                  if not watcher.namespace or key.startswith(f"{watcher.namespace}/")]
        if missed and not (watcher.labels or watcher.fields):
            return (f"{client} watches {watcher.resource} on {lane} while the cache is listed "
                    f"anew, and never hears of what has become of {', '.join(missed)}")
    return None


def _history(world: World, after: int, until: int) -> list[Event]:
    return [event for event in world["etcd"].log.since(after + 1)
            if event.kv.mod_revision <= until]


WATCHES = Property(
    "a_watch_tells_each_change_at_its_revision_and_misses_none", "refines", _watch_events,
    (Part(NAME, "revision"), WATCHERS),
    "a client that resumes from a wrong revision repeats or misses changes")


# -- witness -------------------------------------------------------------------------------------


@sometimes(reads=(PENDING,), why="else no two writes would ever meet")
def two_writes_are_in_flight_at_once(world: World) -> bool:
    """Two requests wait for etcd, each with a transaction under way."""
    writes = [each for each in world[NAME].pending.values() if each.stage == "write"]
    return len(writes) > 1


# -- refinement ----------------------------------------------------------------------------------


class _Heads:
    """The spec's maps of stored objects, adjusted by the difference of two stores."""

    def __init__(self) -> None:
        self.kv: FrozenMap[str, KeyValue] = EMPTY
        self.version: FrozenMap[str, int] = EMPTY
        self.held: FrozenMap[str, bool] = EMPTY
        self.leaving: FrozenMap[str, bool] = EMPTY
        self.holds: FrozenMap[tuple[str, str], bool] = EMPTY
        self.used: FrozenMap[str, bool] = EMPTY

    def of(self, kv: FrozenMap[str, KeyValue]) -> _Heads:
        """Brought to the store `kv`."""
        if kv is self.kv:
            return self
        for key, old, new in self.kv.diff(kv):
            if key.startswith(RANGES):
                self._range(key, old, new)
                continue
            if not key.startswith(REGISTRY):
                continue  # an operator's own keys, written past the server
            self.version = self.version.drop(key) if new is None else self.version.set(
                key, new.mod_revision)
            self.held = _flag(self.held, key, new is not None and is_held(new.value))
            self.leaving = _flag(self.leaving, key, new is not None
                                 and new.value.metadata.deletion_timestamp is not None)
            if key.startswith(SERVICES):
                for place in places_of(old) - places_of(new):
                    self.holds = self.holds.drop((key, place))
                for place in sorted(places_of(new) - places_of(old)):
                    self.holds = self.holds.set((key, place), True)
        self.kv = kv
        return self

    def _range(self, key: str, old: KeyValue | None, new: KeyValue | None) -> None:
        for place, was, now in range_changes(key, old, new):
            self.used = self.used.set(place, True) if now else self.used.drop(place)
            assert was != now, "a difference lists only what changed"


def _flag(table: FrozenMap[str, bool], key: str, value: bool) -> FrozenMap[str, bool]:
    if value:
        return table if key in table else table.set(key, True)
    return table.drop(key)


def is_held(obj: Any) -> bool:
    """Whether finalizers keep an object."""
    if obj.metadata.finalizers:
        return True
    is_namespace: bool = obj.kind == "Namespace"
    return is_namespace and bool(obj.spec is not None and obj.spec.finalizers)


def places_of(entry: KeyValue | None) -> frozenset[str]:
    """The places of a stored service."""
    return frozenset() if entry is None else places(entry.value)


def range_changes(key: str, old: KeyValue | None,
                  new: KeyValue | None) -> list[tuple[str, bool, bool]]:
    """(place, used before, used after) for what differs between two states of a range."""
    name = key[len(RANGES):]
    was: FrozenMap[str, int] = EMPTY if old is None else old.value.used
    now: FrozenMap[str, int] = EMPTY if new is None else new.value.used
    return [(f"{name}/{entry}", before is not None, after is not None)
            for entry, before, after in was.diff(now)]


_heads = _Heads()


def hands(pending: Pending) -> frozenset[str]:
    """The places that a request has in hand: taken, about to be taken, or about to be freed."""
    work = (*pending.undo, *pending.after, *getattr(pending.target, "undo", ()))
    return frozenset(f"{item.key}/{entry}" for item in work if item.verb == "release"
                     for entry in item.detail)


class _Hands:
    """The spec's map of hands, adjusted by the difference of two tables of requests."""

    def __init__(self) -> None:
        self.pending: FrozenMap[str, Pending] = EMPTY
        self.table: FrozenMap[tuple[str, str], bool] = EMPTY

    def of(self, pending: FrozenMap[str, Pending]) -> FrozenMap[tuple[str, str], bool]:
        """Brought to the table `pending`."""
        if pending is not self.pending:
            for lane, place, _, now in hand_changes(self.pending, pending):
                key = (lane, place)
                self.table = self.table.set(key, True) if now else self.table.drop(key)
            self.pending = pending
        return self.table


def hand_changes(before: FrozenMap[str, Pending], after: FrozenMap[str, Pending]
                 ) -> list[tuple[str, str, bool, bool]]:
    """(request, place, had it, has it) for every hand that changed."""
    changes = []
    for lane, old, new in before.diff(after):
        had = hands(old) if old is not None else frozenset()
        has = hands(new) if new is not None else frozenset()
        changes += [(lane, place, place in had, place in has) for place in sorted(had ^ has)]
    return changes


_hands = _Hands()


def abstract(world: World) -> dict[str, Any]:
    """The store and the requests in flight as the spec sees them."""
    heads = _heads.of(world["etcd"].kv)
    return {"revision": 0, "version": heads.version, "held": heads.held,
            "leaving": heads.leaving, "holds": heads.holds, "used": heads.used,
            "hand": _hands.of(world[NAME].pending), "about": EMPTY, "base": EMPTY, "lost": False,
            "mine": EMPTY}


def labels(step: Transition) -> tuple[Label, ...]:
    """What the spec calls a step of the server or of its store."""
    before, after = step.before, step.after
    found = [Label("reach" if has else "let_go", (lane, place))
             for lane, place, _, has in hand_changes(before[NAME].pending, after[NAME].pending)]
    done = carried_out(before, step.action, after)
    if done is None:
        return tuple(found)
    lane, body = done.lane, done.body
    writes: list[Label] = []
    for key, old, new in before["etcd"].kv.diff(after["etcd"].kv):
        if key.startswith(RANGES):
            # A new range is laid out by the transaction that writes what a cluster begins with.
            for place, _, now in range_changes(key, old, new):
                # One that does not know its fate yet has the place in hand until it does.
                holds = (lane, place) in _hands.of(before[NAME].pending)
                found += _range_labels(lane, place, now,
                                       old is None or not (done.waits or holds))
        elif key.startswith(REGISTRY):
            writes += _write_labels(before, lane, body, key, old, new)
    return (*found, *writes)




def _range_labels(lane: str, place: str, used: bool, alone: bool) -> tuple[Label, ...]:
    """`alone`: no request of the server that runs now has the place in hand."""
    hand = (lane, place)
    if not used and lane == repair.LANE:
        return (Label("repair", (place,)),)
    done = Label("take" if used else "give_back", hand)
    return (Label("reach", hand), done, Label("let_go", hand)) if alone else (done,)


def _write_labels(before: World, lane: str, body: Any, key: str, old: KeyValue | None,
                  new: KeyValue | None) -> list[Label]:
    """What one transaction did to one object: its places, then itself (or the other way round)."""
    is_service = key.startswith(SERVICES)
    had = places_of(old) if is_service else frozenset()
    has = places_of(new) if is_service else frozenset()
    gone = [Label("detach", (lane, key, place)) for place in sorted(had - has)]
    come = [Label("attach", (key, place)) for place in sorted(has - had)]
    if new is None:
        return [*gone, Label("remove", (key, _seen(body, key), _drops(before, lane)))]
    metadata = new.value.metadata
    keeps = is_held(new.value)
    if old is None:
        return [Label("create", (key, new.mod_revision, keeps)), *come]
    goes = metadata.deletion_timestamp is not None
    replaced = Label("replace", (key, _seen(body, key), new.mod_revision, keeps, goes,
                                 bool(metadata.deletion_grace_period_seconds)
                                 or (goes and is_going(before, key))))
    return [*gone, replaced, *come]


def _seen(body: Any, key: str) -> int:
    """The version of an object that a transaction insists on, 0 when it insists on none."""
    for compare in body.compares if type(body) is Txn else ():
        if compare.key == key and compare.target == "mod" and compare.relation == "=":
            return int(compare.operand)
    return 0


def _drops(before: World, lane: str) -> bool:
    """Whether the write is an update, which may take the last finalizer away."""
    pending = before[NAME].pending.get(lane)
    return pending is not None and pending.request.verb in ("update", "patch")


REFINEMENT = refinement(
    "writes_step_as_the_spec_of_the_api_server_allows", SPEC, reads=(KV, PENDING),
    state=abstract, labels=labels, constants={"server": 0},
    why="every other component relies on versions, finalizers and addresses")

PROPERTIES: tuple[Property, ...] = (
    an_object_being_deleted_waits_for_something, no_two_services_share_an_address_or_a_port,
    an_update_replaces_only_the_version_that_its_client_read, NO_CONFLICT_WITHOUT_REASON,
    the_cache_shows_what_was_stored, the_cache_catches_up_with_the_store, WATCHES,
    two_writes_are_in_flight_at_once, REFINEMENT)


# -- seeded bugs ---------------------------------------------------------------------------------


def _removing_whatever_is_there(key: str, base: Any) -> Txn:
    return Txn((), (Delete(key),), (Range(key),))


def _no_version_is_compared(write: transforms.Write, body: Any, old: Any) -> Status | None:
    return None


def _never_finished(obj: Any) -> bool:
    return False


def _oldest_one_too_low(local: State, resource: str) -> int:
    window = local.windows.get(resource)
    return local.listed_at - 1 if window is None else window.oldest


def _last_state_as_it_was(obj: Any, revision: int) -> Any:
    return obj


def _released_whoever_holds(range_: RangeAllocation, entries: tuple[str, ...],
                            holders: frozenset[str]) -> RangeAllocation:
    used = range_.used
    for entry in entries:
        used = used.drop(entry)
    return range_ if used is range_.used else range_._replace(used=used)


def _due_at_first_sight(suspects: FrozenMap[tuple[str, str], int], key: str) -> tuple[str, ...]:
    return tuple(entry for (range_key, entry), _ in suspects.items() if range_key == key)


_honest_update = Store._update


def _refused_on_the_word_of_the_cache(self: Store, local: State, lane: str, pending: Pending,
                                      io: Io) -> State:
    """A condition that fails on the cached object is answered at once."""
    cached = local.cache.get(pending.request.resource, EMPTY).get(self._key(pending))
    if not pending.fresh and cached is not None and pending.request.verb in ("delete", "update"):
        return _honest_update(self, local, lane, pending._replace(base=cached, fresh=True), io)
    return _honest_update(self, local, lane, pending, io)


_honest_releases = allocators.releases


def _released_with_the_request(self: Store, local: State, lane: str, pending: Pending,
                               io: Io) -> State:
    """A delete frees the addresses of a service though its finalizers keep it."""
    base, new = pending.base, pending.candidate
    if pending.request.verb == "delete" and base is not None and base.kind == "Service" \
            and new is not REMOVE and not pending.after:
        return _honest_next(self, local, lane, pending._replace(
            after=_honest_releases(base, None)), io)
    return _honest_next(self, local, lane, pending, io)


_honest_next = Store._next
_STORAGE = "reference_impl.apiserver.storage"
_STORE = "reference_impl.apiserver.registry.store"
_REGISTRY = "reference_impl.apiserver.registry"
_SPEC = REFINEMENT.name


_honest_fail = Store._fail


def _released_with_the_refusal(self: Store, local: State, lane: str, pending: Pending,
                               status: Status, io: Io) -> State:
    """A creation that is refused frees the ports that it asked for, whoever holds them."""
    asked = pending.candidate
    if asked is not REMOVE and asked.kind == "Service" and pending.base is None:
        wanted = tuple(work for work in _honest_releases(asked, None)
                       if work.key == allocators.PORTS)
        pending = pending._replace(undo=(*pending.undo, *wanted))
    return _honest_fail(self, local, lane, pending, status, io)


_honest_receive = ApiServer.receive
_honest_listed = storage.listed


def _admits_while_it_lists(self: ApiServer, local: State, message: Message, io: Io) -> State:
    """Watches end when the stream from etcd does, not at the list that follows; and one that
    arrives between the two has passed the check of readiness."""
    body = message.body
    if message.source == "etcd" and type(body) is WatchReply and body.cancelled:
        for channel in local.watchers:
            io.reply(*channel, CUT)
        local = local._replace(watchers=EMPTY, listeners=EMPTY, node_listeners=EMPTY)
    elif type(body) is Request and body.verb == "watch" and local.revision and not local.ready:
        return _honest_receive(self, local._replace(ready=True), message, io)._replace(ready=False)
    return _honest_receive(self, local, message, io)


def _listed_under_open_watches(local: State, revision: int, kvs: tuple[KeyValue, ...],
                               io: Io) -> State:
    none = local._replace(watchers=EMPTY)
    return _honest_listed(none, revision, kvs, io)._replace(
        watchers=local.watchers, listeners=local.listeners, node_listeners=local.node_listeners)


KEPT = "kept-service"

MUTANTS: tuple[Mutant, ...] = (
    Mutant("watch-cache-reinit-race", "watch-cache-reinit-race", WATCHES.name,
           (("reference_impl.apiserver.component:ApiServer.receive", _admits_while_it_lists),
            (f"{_STORAGE}:listed", _listed_under_open_watches)),
           scenario="restored-store", faults="crash"),
    Mutant("delete_does_not_compare_versions", "delete-ignores-finalizer-added-concurrently",
           _SPEC, ((f"{_STORAGE}:removing", _removing_whatever_is_there),)),
    Mutant("update_does_not_compare_versions", "unconditional-update-lost-write",
           an_update_replaces_only_the_version_that_its_client_read.name,
           ((f"{_REGISTRY}.transforms:version_fault", _no_version_is_compared),)),
    Mutant("update_never_removes", "last-finalizer-removed-object-stays",
           an_object_being_deleted_waits_for_something.name,
           ((f"{_REGISTRY}.deletion:is_finished", _never_finished),), scenario=KEPT),
    Mutant("fresh_window_starts_one_too_low", "watch-cache-off-by-one-on-fresh-cache",
           WATCHES.name, ((f"{_STORAGE}:oldest_known", _oldest_one_too_low),),
           scenario="recreated-pod", faults="crash"),
    Mutant("deleted_event_has_the_old_version", "deleted-event-carries-old-rv",
           WATCHES.name, ((f"{_STORAGE}:last_state", _last_state_as_it_was),)),
    Mutant("conflict_from_the_cache", "guaranteed-update-precondition-on-stale",
           NO_CONFLICT_WITHOUT_REASON.name,
           ((f"{_STORE}:Store._update", _refused_on_the_word_of_the_cache),)),
    Mutant("released_by_the_delete_request", "allocation-leak-with-finalizer-delete",
           _SPEC, ((f"{_STORE}:Store._next", _released_with_the_request),
                   (f"{_REGISTRY}.allocators:release", _released_whoever_holds)), scenario=KEPT),
    Mutant("repair_at_first_sight", "repair-loop-releases-inflight-allocation",
           _SPEC, ((f"{_REGISTRY}.repair:due", _due_at_first_sight),),
           scenario="many-services"),
    Mutant("released_though_another_holds", "shared-nodeport-released-by-first-delete",
           _SPEC, ((f"{_REGISTRY}.allocators:release", _released_whoever_holds),
                   (f"{_STORE}:Store._fail", _released_with_the_refusal)), scenario=KEPT),
)
