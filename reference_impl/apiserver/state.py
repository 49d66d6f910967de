"""The local state of the API server: caches, watchers and the requests in flight, all values.

A request in flight is a `Pending`: a program point (`stage`) with what the next step needs. It
waits on its own connection to etcd, so requests of different clients interleave between any two
transactions, as they do between the goroutines of a real server.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from model.api.requests import Reply, Request
from model.kernel.values import EMPTY, FrozenMap

Channel = tuple[str, str]
NO_CLIENT: Channel = ("", "")


class User(NamedTuple):
    """Who asks. `groups` as authenticators report them, in order; `extra` is what else they tell,
    by key."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Pending(NamedTuple):
    """A request that waits for etcd.

    `client` is the connection that gets the reply, NO_CLIENT when it broke meanwhile. `base` is the
    stored object on which the decision stands (None: it must be absent), `fresh` whether that came
    from etcd rather than from the watch cache, `candidate` what is being stored. `work` are writes
    to other objects that come before (allocations, quota charges), `undo` what to give back should
    the request fail, `after` what to give back once it has succeeded; `target` is the object of
    the piece of work in flight. `outcome` is the reply, once known. `queue` (what is still
    to go) and `listed` (the reply) belong to the deletion of a collection.
    """

    client: Channel
    request: Request
    user: User
    stage: str
    base: Any = None
    fresh: bool = False
    candidate: Any = None
    work: tuple[Any, ...] = ()
    undo: tuple[Any, ...] = ()
    after: tuple[Any, ...] = ()
    target: Any = None
    outcome: Reply | None = None
    queue: tuple[str, ...] = ()
    listed: Reply | None = None
    done: tuple[Any, ...] = ()
    tries: int = 0


class Parked(NamedTuple):
    """A request that waits for the server itself: for its first list, for the cache to reach
    `revision`, or for a service account (`account`: the key that must appear; `user` has been
    authenticated then)."""

    request: Request
    revision: int = 0
    account: str = ""
    user: User = User("")


class Watcher(NamedTuple):
    """An open watch for changes after the revision `since`. Selectors are the text of the request;
    matching caches their parsed form."""

    client: str
    lane: str
    resource: str
    namespace: str = ""
    labels: str = ""
    fields: str = ""
    since: int = 0
    bookmarks: bool = False


class Change(NamedTuple):
    """One change of one object as the watch cache remembers it (`old` None: created; `new` None:
    deleted, and then `old` carries the revision of the deletion)."""

    revision: int
    key: str
    old: Any
    new: Any


class Window(NamedTuple):
    """The recent changes of one resource by their position; a watch may start from `oldest` on."""

    oldest: int
    first: int = 0
    next: int = 0
    changes: FrozenMap[int, Change] = EMPTY


class State(NamedTuple):
    """Everything the API server knows. A crash loses all but `incarnation`, which counts starts
    (it stands for the entropy that a new process draws); what lasts is in etcd.

    `cache`: resource -> key ("namespace/name" or "name") -> object with its resource version.
    `revision`: the store revision that the cache shows; `listed_at`: that of its last full list.
    `listeners` and `node_listeners` index the `watchers`: by resource, and watchers of one node's
    pods by that node. `pending`: connection to etcd -> request in flight. `suspects`: addresses and
    ports without a holder, with how often the repair loop saw them so. `refusal`: to whom the last
    refusal of a write went and its code, so that a refusal is a change that properties can see.
    `care`: definitions of custom resources, and aggregated roles (`role:NAME`), that may call for a
    write of the server's own.
    """

    incarnation: int = 0
    ordinal: int = 0
    ready: bool = False
    revision: int = 0
    listed_at: int = 0
    cache: FrozenMap[str, FrozenMap[str, Any]] = EMPTY
    windows: FrozenMap[str, Window] = EMPTY
    watchers: FrozenMap[Channel, Watcher] = EMPTY
    listeners: FrozenMap[str, tuple[Watcher, ...]] = EMPTY
    node_listeners: FrozenMap[str, tuple[Watcher, ...]] = EMPTY
    pending: FrozenMap[str, Pending] = EMPTY
    parked: FrozenMap[Channel, Parked] = EMPTY
    suspects: FrozenMap[tuple[str, str], int] = EMPTY
    refusal: tuple[str, str, int] = ("", "", 0)
    care: tuple[str, ...] = ()


_FIELD = {name: at for at, name in enumerate(State._fields)}
_PENDING_AT = _FIELD["pending"]


def with_pending(local: State, lane: str, pending: Pending | None) -> State:
    """The state with a request in flight on a connection to etcd, or none (None)."""
    table = local.pending.drop(lane) if pending is None else local.pending.set(lane, pending)
    made: State = tuple.__new__(State, (*local[:_PENDING_AT], table, *local[_PENDING_AT + 1:]))
    return made
