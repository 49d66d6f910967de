"""The component `apiserver`: receives requests, runs them through the four stages, feeds watches.

Each client connection carries one request, or one watch. A request that needs etcd waits on a
connection to etcd of its own (`txn/CLIENT/LANE`), so that requests interleave between any two
transactions; the watch cache has one more (`cache`), the repair loop another (`repair`).

Not modelled: several API servers (one with a lagging cache shows the same staleness), priority and
fairness, encryption at rest, conversion between versions of one kind.
"""

from __future__ import annotations

from typing import Any

from model.api.requests import (
    Request,
    Status,
    WatchEvent,
    lookup,
    refused,
    timed_out,
    too_large,
    too_old,
    unauthorized,
)
from model.api.resources import Resource
from model.api.scenario import Scenario
from model.api.storage import (
    COMPACTED,
    Compare,
    Failure,
    Put,
    Range,
    RangeReply,
    Txn,
    Watch,
    WatchReply,
    prefix_end,
)
from model.kernel.action import Scalar
from model.kernel.component import CUT, NO_STEPS, Cause, Component, Io, Message, Step
from model.kernel.values import EMPTY, FrozenMap
from reference_impl.apiserver import rest, storage
from reference_impl.apiserver.access import (
    admission,
    authentication,
    authorization,
    bootstrap,
    impersonation,
    reviews,
    role_upkeep,
)
from reference_impl.apiserver.access.known import Known, LookUp
from reference_impl.apiserver.access.rbac import Attributes
from reference_impl.apiserver.registry import custom, field_management, repair
from reference_impl.apiserver.registry.allocators import Limits
from reference_impl.apiserver.registry.names import entropy, uid_from
from reference_impl.apiserver.registry.store import Config, Store
from reference_impl.apiserver.state import (
    NO_CLIENT,
    Channel,
    Parked,
    Pending,
    State,
    User,
    with_pending,
)

CACHE = "cache"
TOO_LARGE_WAIT_MS = 3_000
BOOKMARK_EVERY_MS = 300_000
BOOKMARKS = "idle:bookmarks"
REPAIR = "idle:repair"
REPAIR_EVERY_MS = 180_000
NOBODY = User("")
SELF = User("system:apiserver", "", ("system:masters",))
TENDING = "txn/definitions"


class ApiServer(Component[State]):
    """See the head of this file. `tokens` are the ids that the front door gave to bearer tokens."""

    name = "apiserver"
    servers = ("etcd",)

    def __init__(self, config: Config, tokens: FrozenMap[str, User] = EMPTY,
                 anonymous: bool = True) -> None:
        self.config = config
        self.store = Store(config)
        self.tokens = tokens
        self.anonymous = anonymous

    # -- life -----------------------------------------------------------------------------------

    def init(self, io: Io) -> State:
        self._list(io)
        return State()

    def restart(self, local: State, cause: Cause, io: Io) -> State:
        self._list(io)
        return State(local.incarnation + 1)

    def _list(self, io: Io) -> None:
        io.request("etcd", CACHE, Range(storage.PREFIX, prefix_end(storage.PREFIX)))

    def steps(self, local: State) -> tuple[Step, ...]:
        if not local.ready or not (local.parked or local.care):
            return NO_STEPS
        own = (("tend", (local.care[0],)),) if local.care and TENDING not in local.pending else ()
        return own + tuple(("serve", channel) for channel, parked in local.parked.items()
                     if self._may_go_on(local, parked))

    def _may_go_on(self, local: State, parked: Parked) -> bool:
        if parked.account:
            return parked.account in local.cache.get("serviceaccounts", EMPTY)
        return parked.revision <= local.revision

    def step(self, local: State, verb: str, args: tuple[Scalar, ...], io: Io) -> State:
        if verb == "tend":
            return self._tend(local, str(args[0]), io)
        channel = (str(args[0]), str(args[1]))
        parked = local.parked[channel]
        self._cancel_waits(parked, channel, io)
        local = local._replace(parked=local.parked.drop(channel))
        return self._handle(local, channel, parked.request, io, caught_up=parked.revision > 0)

    def timer(self, local: State, key: str, io: Io) -> State:
        if key == BOOKMARKS:
            return self._send_bookmarks(local, io)
        if key == REPAIR:
            return repair.begin(local, io)
        why, _, connection = key.partition("/")
        client, lane = _split(connection, local)
        return self._give_up(local, why, (client, lane), io)

    def describe(self, verb: str, args: tuple[Scalar, ...]) -> str:
        if verb == "tend":
            return f"looks after {args[0]}"
        if verb == "serve":
            return f"goes on with the request of {args[0]} on {args[1]}"
        return super().describe(verb, args)

    def _tend(self, local: State, name: str, io: Io) -> State:
        """Make the next write that a definition or an aggregated role calls for; its event calls
        again."""
        local = local._replace(care=tuple(each for each in local.care if each != name))
        request = (role_upkeep.tended(local.cache, name) if name.startswith(role_upkeep.CARE)
                   else custom.tended(local.cache, name, io.now))
        if request is None:
            return local
        return self.store.begin(local, TENDING, Pending(NO_CLIENT, request, SELF, ""), io)

    # -- messages -------------------------------------------------------------------------------

    def receive(self, local: State, message: Message, io: Io) -> State:
        source, lane, body = message
        if source == "etcd":
            if lane == CACHE:
                return self._from_stream(local, body, io)
            if lane == repair.LANE:
                return repair.continued(local, body, io)
            pending = local.pending.get(lane)
            if pending is None:
                return local
            if body is CUT or body == CUT:
                return self._lost(local, lane, pending, io)
            return self._continued(local, lane, pending, body, io)
        channel = (source, lane)
        if channel in local.watchers or channel in local.parked:
            local = self._forget(local, channel, io)
        if body is CUT or body == CUT:
            return self._disconnected(local, channel)
        if not local.ready:
            return local._replace(parked=local.parked.set(channel, Parked(body)))
        return self._handle(local, channel, body, io)

    def _forget(self, local: State, channel: Channel, io: Io) -> State:
        """The connection is used anew, or broke: its watch or its waiting request is over."""
        parked = local.parked.get(channel)
        if parked is not None:
            self._cancel_waits(parked, channel, io)
            local = local._replace(parked=local.parked.drop(channel))
        return storage.unwatched(local, channel)

    def _cancel_waits(self, parked: Parked, channel: Channel, io: Io) -> None:
        if parked.account:
            io.cancel(f"account/{'/'.join(channel)}")
        elif parked.revision:
            io.cancel(f"future/{'/'.join(channel)}")

    def _disconnected(self, local: State, channel: Channel) -> State:
        """Nobody waits for the reply any more; what etcd was asked to do happens all the same."""
        for lane, pending in local.pending.items():
            if pending.client == channel:
                return with_pending(local, lane, pending._replace(client=NO_CLIENT))
        return local

    def _lost(self, local: State, lane: str, pending: Pending, io: Io) -> State:
        """The connection to etcd broke: the outcome of the transaction is unknown."""
        return self.store.finish(local, lane, pending, refused(Status(
            code=500, message="etcdserver: request timed out")), io)

    # -- requests -------------------------------------------------------------------------------

    def _handle(self, local: State, channel: Channel, request: Request, io: Io,
                caught_up: bool = False, found: tuple[Any, ...] = ()) -> State:
        """Stage one and two, then the read or the write. `found`: what was looked up in etcd."""
        resource = custom.resource_in(local.cache, request.resource)
        user = self._identity(local, channel, request, io, found)
        if type(user) is LookUp:
            return self._look_up(local, channel, request, user, found, caught_up, io)
        if type(user) is Status:
            io.reply(*channel, refused(user))
            return local
        fault = self._refusal(local, request, resource, user)
        if fault is not None or resource is None:
            io.reply(*channel, refused(fault or unauthorized()))
            return local
        if request.verb == "create" and reviews.is_answered(request):
            return self._reviewed(local, channel, request, user, found, io)
        if request.verb in rest.WRITES:
            if request.verb == "create":
                request = request._replace(body=field_management.unowned(request.body))
            pending = Pending(channel, rest.routed(request), user, "")
            return self.store.begin(local, _lane_for(local, channel), pending, io)
        if request.verb == "get":
            return self._get(local, channel, request, user, io)
        if request.verb == "list":
            return self._list_for(local, channel, request, resource, user, io, caught_up)
        return self._watch(local, channel, request, resource, io)

    def _identity(self, local: State, channel: Channel, request: Request, io: Io,
                  found: tuple[Any, ...]) -> Any:
        """The user that a request is judged as, an object to look up first, or a refusal."""
        if not request.token and request.impersonate is None \
                and channel[0] != authentication.OUTSIDE:
            return authentication.component(channel[0], request.verb)
        known = Known(local.cache, io.now, found)
        user = authentication.asker(channel[0], request, self.tokens, self.anonymous, known)
        if type(user) is not User or request.impersonate is None:
            return user
        return impersonation.acting_as(user, request.impersonate, known)

    def _look_up(self, local: State, channel: Channel, request: Request, wanted: LookUp,
                 found: tuple[Any, ...], caught_up: bool, io: Io) -> State:
        """Read an object that access control asks for and the cache lacks."""
        lane = _lane_for(local, channel)
        io.request("etcd", lane, Range(storage.storage_key(*wanted)))
        return with_pending(local, lane, Pending(
            channel, request, NOBODY, "identity", fresh=caught_up, target=wanted, done=found))

    def _reviewed(self, local: State, channel: Channel, request: Request, user: User,
                  found: tuple[Any, ...], io: Io) -> State:
        """A review, answered from what is known; nothing is stored."""
        local = local._replace(ordinal=local.ordinal + 1)
        token_id = uid_from(entropy(self.config.seed, local.incarnation, local.ordinal, "token"))
        answer = reviews.answer(request, user, self.tokens, Known(local.cache, io.now, found),
                                token_id)
        if type(answer) is LookUp:
            return self._look_up(local, channel, request, answer, found, False, io)
        io.reply(*channel, answer)
        return local

    def _refusal(self, local: State, request: Request, resource: Resource | None,
                 user: User) -> Status | None:
        asked = attributes_of(request, resource)
        decision = authorization.decide(user, asked, local.cache)
        if not decision.allowed:
            return authorization.refusal(user, asked, decision.reason)
        fault = rest.refused_path(request, resource, self.config.release)
        if fault is None and resource is not None:
            fault = rest.refused_body(request, resource)
            if fault is None and request.verb not in ("create", "update", "patch"):
                fault = rest.refused_options(request, resource)
        return fault

    # -- reads ----------------------------------------------------------------------------------

    def _get(self, local: State, channel: Channel, request: Request, user: User,
             io: Io) -> State:
        version = request.options.resource_version
        if version:
            if int(version) > local.revision:
                return self._wait_for(local, channel, request, int(version), io)
            io.reply(*channel, rest.cached_get(local, request))
            return local
        lane = _lane_for(local, channel)
        io.request("etcd", lane, rest.live_get(request))
        return with_pending(local, lane, Pending(channel, request, user, "get"))

    def _list_for(self, local: State, channel: Channel, request: Request, resource: Resource,
                  user: User, io: Io, caught_up: bool) -> State:
        options = request.options
        version = options.resource_version
        if rest.is_paged(options) and version != "0":
            body = rest.page_request(request)
            if type(body) is Status:
                io.reply(*channel, refused(body))
                return local
        elif caught_up or version == "0" or (version and int(version) <= local.revision):
            io.reply(*channel, rest.cached_list(local, request, resource))
            return local
        elif version:
            return self._wait_for(local, channel, request, int(version), io)
        else:
            body = Range(rest.prefix_of(request), "", 0, 1, True)
        lane = _lane_for(local, channel)
        io.request("etcd", lane, body)
        stage = "page" if rest.is_paged(options) and version != "0" else "list"
        return with_pending(local, lane, Pending(channel, request, user, stage))

    def _wait_for(self, local: State, channel: Channel, request: Request, revision: int,
                  io: Io) -> State:
        """The cache has not seen that revision: wait a little for it."""
        io.after(TOO_LARGE_WAIT_MS, f"future/{'/'.join(channel)}")
        return local._replace(parked=local.parked.set(channel, Parked(request, revision)))

    def _give_up(self, local: State, why: str, channel: Channel, io: Io) -> State:
        parked = local.parked.get(channel)
        if parked is None:
            return local
        local = local._replace(parked=local.parked.drop(channel))
        if why == "future":
            io.reply(*channel, refused(too_large(parked.revision, local.revision)))
            return local
        pending = Pending(channel, parked.request, parked.user, "",
                          target=("serviceaccounts", parked.account, None))
        return self.store.begin(local, _lane_for(local, channel), pending, io)

    def _watch(self, local: State, channel: Channel, request: Request, resource: Resource,
               io: Io) -> State:
        options = request.options
        version = options.resource_version
        initial = rest.wants_initial_events(options)
        since = local.revision if initial else int(version or "0")
        watcher = rest.watcher_of(request, *channel, since)
        if channel[0] == authentication.OUTSIDE:
            # From here on its front door reads the watch cache: many clients, one rendering.
            oldest = storage.oldest_known(local, request.resource)
            io.reply(*channel, watcher if initial or since >= oldest
                     else WatchEvent("ERROR", too_old(since, oldest)))
            return local
        if initial:
            for obj in local.cache.get(request.resource, EMPTY).values():
                if storage.selected(watcher, obj):
                    io.reply(*channel, WatchEvent("ADDED", obj))
            if options.send_initial_events and options.allow_bookmarks:
                io.reply(*channel, storage.bookmark(resource, local.revision, True))
        opened = storage.resume(local, watcher, io)
        if type(opened) is Status:
            io.reply(*channel, WatchEvent("ERROR", opened))
            return local
        if options.allow_bookmarks and not any(w.bookmarks for w in local.watchers.values()):
            io.after(BOOKMARK_EVERY_MS, BOOKMARKS)
        return opened

    def _send_bookmarks(self, local: State, io: Io) -> State:
        """Tell idle watchers how far the cache is, so that they may resume from there."""
        any_left = False
        for watcher in local.watchers.values():
            if watcher.bookmarks:
                any_left = True
                resource = custom.resource_in(local.cache, watcher.resource)
                if resource is not None:
                    io.reply(watcher.client, watcher.lane,
                             storage.bookmark(resource, local.revision))
        if any_left:
            io.after(BOOKMARK_EVERY_MS, BOOKMARKS)
        return local

    # -- answers of etcd ------------------------------------------------------------------------

    def _continued(self, local: State, lane: str, pending: Pending, answer: Any,
                   io: Io) -> State:
        stage, request = pending.stage, pending.request
        if stage == "identity" and type(answer) is RangeReply:
            local = with_pending(local, lane, None)
            if pending.client == NO_CLIENT:
                return local
            read = (*pending.target, storage.decoded(answer.kvs[0]) if answer.kvs else None)
            return self._handle(local, pending.client, request, io, pending.fresh,
                                (*pending.done, read))
        if stage not in ("identity", "get", "list", "page"):
            return self.store.continued(local, lane, pending, answer, io)
        resource = custom.resource_in(local.cache, request.resource) or lookup(request.resource)
        if type(answer) is not RangeReply:
            error = answer.error if type(answer) is Failure else "etcdserver: unknown"
            status = rest.compacted(request) if error == COMPACTED else timed_out(error)
            return self.store.finish(local, lane, pending, refused(status), io)
        if stage == "get":
            found = storage.decoded(answer.kvs[0]) if answer.kvs else None
            reply = rest.shown(found, request)
        elif stage == "page":
            asked = rest.page_request(request)
            at = asked.revision if type(asked) is Range and asked.revision else answer.revision
            reply = rest.page(request, resource, answer.kvs, answer.total, at)
        elif answer.revision <= local.revision:
            reply = rest.cached_list(local, request, resource)
        else:
            local = with_pending(local, lane, None)
            if pending.client == NO_CLIENT:
                return local
            return local._replace(parked=local.parked.set(
                pending.client, Parked(request, answer.revision)))
        return self.store.finish(local, lane, pending, reply, io)

    # -- the stream that feeds the cache --------------------------------------------------------

    def _from_stream(self, local: State, body: Any, io: Io) -> State:
        kind = type(body)
        if kind is WatchReply:
            if body.cancelled:
                self._list(io)
                return local._replace(ready=False)
            local = storage.absorb(local, body.events, body.revision if body.events else 0,
                                   self.config.window, io)
            return self._cared(local, [event.kv.key for event in body.events])
        if kind is RangeReply:
            if not body.kvs:
                self._write_first_objects(io)
                return local
            self._follow(body.revision, io)
            io.after(REPAIR_EVERY_MS, REPAIR)
            local = storage.listed(local, body.revision, body.kvs, io)
            return self._cared(local, [kv.key for kv in body.kvs])
        if body == CUT and local.ready:
            self._follow(local.revision, io)
            return local
        self._list(io)
        return local

    def _cared(self, local: State, keys: list[str]) -> State:
        names = role_upkeep.in_need(local.cache, keys)
        if custom.DEFINITIONS in local.cache:
            names = (*names, *custom.in_need(local.cache, keys))
        if not names:
            return local
        return local._replace(care=tuple(dict.fromkeys((*local.care, *names))))

    def _follow(self, revision: int, io: Io) -> None:
        io.request("etcd", CACHE, Watch(storage.PREFIX, prefix_end(storage.PREFIX), revision + 1,
                                        progress=True))

    def _write_first_objects(self, io: Io) -> None:
        """An empty store: one transaction writes what every cluster starts with."""
        config = self.config
        made = bootstrap.objects(config.seed, io.now, config.limits, config.advertised)
        first = storage.storage_key("namespaces", bootstrap.NAMESPACES[0])
        io.request("etcd", CACHE, Txn((Compare(first, "mod", "=", 0),),
                                      tuple(Put(key, obj) for key, obj in made)))


def attributes_of(request: Request, resource: Resource | None) -> Attributes:
    """What a request asks to be allowed."""
    name = request.resource if resource is None else resource.name
    group = "" if resource is None else resource.group
    what = f"{name}/{request.subresource}" if request.subresource else name
    # A namespace is within itself, so that its own roles speak of it.
    namespace = request.name if name == "namespaces" else request.namespace
    return Attributes(request.verb, group, what, namespace, request.name, "",
                      request.options.field_selector)


def _lane_for(local: State, channel: Channel) -> str:
    """A free connection to etcd for a request of this client. A request whose client went away may
    still occupy the usual one."""
    lane = f"txn/{channel[0]}/{channel[1]}"
    if lane not in local.pending:
        return lane
    number = 2
    while f"{lane}/{number}" in local.pending:
        number += 1
    return f"{lane}/{number}"


def _split(connection: str, local: State) -> Channel:
    """The parked client connection that a timer's key names."""
    for channel in local.parked:
        if "/".join(channel) == connection:
            return channel
    return NO_CLIENT


def config_of(scenario: Scenario) -> Config:
    """The configuration that a scenario implies."""
    off = frozenset(scenario.setting("disable-admission-plugins", "").split(","))
    on = frozenset(scenario.setting("enable-admission-plugins", "").split(","))
    plugins = (frozenset(admission.NAMES) - (admission.OFF_BY_DEFAULT - on)) - off
    return Config(scenario.seed, scenario.version,
                  Limits(scenario.service_range, scenario.node_ports), plugins,
                  scenario.number("watch-cache-size", 100),
                  scenario.setting("advertise-address", ""),
                  scenario.setting("field-management", "no") == "yes",
                  scenario.setting("pod-removal", "at-once") == "marked")


def components(scenario: Scenario) -> tuple[Component[Any], ...]:
    """The API server of a scenario."""
    return (ApiServer(config_of(scenario)),)

