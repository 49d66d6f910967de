"""The nouns between the API server and etcd: requests, replies, key-values and events.

They carry what etcd's v3 API carries (etcd.io/docs, "API reference"), with these differences:
keys are text and values are opaque immutable objects, in place of bytes; one watch lives on one
lane, so there are no watch ids: its `WatchReply`s stream back on the lane that carried `Watch`.
Any later request on that lane, `CancelWatch` too, ends the watch; `ProgressRequest` goes out on
another lane and names it. Every reply has the store's `revision` at the moment it was made (the
header of etcd's replies). Not carried: nested
transactions, sort orders and most maintenance calls, none of which an API server uses. Users,
roles and members are changed by an operator; a single member serves none of these calls.

Every noun ends with `kind`, so that tuples of different types never compare equal.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

Target = Literal["version", "create", "mod", "value", "lease"]
Relation = Literal["=", "!=", "<", ">"]
Access = Literal["read", "write", "readwrite"]

FROM_KEY = "\0"  # as range_end: all keys from `key` on
OPERATIONS_MAX = 128  # operations and comparisons that one transaction may hold

# Failure codes, and etcd's own texts for them.
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE_REVISION = "etcdserver: mvcc: required revision is a future revision"
LEASE_NOT_FOUND = "etcdserver: requested lease not found"
LEASE_EXISTS = "etcdserver: lease already exists"
DUPLICATE_KEY = "etcdserver: duplicate key given in txn request"
EMPTY_KEY = "etcdserver: key is not provided"
TOO_MANY_OPERATIONS = "etcdserver: too many operations in txn request"
PERMISSION_DENIED = "etcdserver: permission denied"
USER_EMPTY = "etcdserver: user name is empty"
USER_EXISTS = "etcdserver: user name already exists"
USER_NOT_FOUND = "etcdserver: user name not found"
ROLE_EXISTS = "etcdserver: role name already exists"
ROLE_NOT_FOUND = "etcdserver: role name not found"
ROOT_MISSING = "etcdserver: root user does not exist"
ROOT_ROLE_MISSING = "etcdserver: root user does not have root role"
AUTH_NOT_ENABLED = "etcdserver: authentication is not enabled"
AUTH_FAILED = "etcdserver: authentication failed, invalid user ID or password"
AUTH_OLD_REVISION = "etcdserver: revision of auth store is old"
MEMBER_EXISTS = "etcdserver: peerURLs already exists"
MEMBER_NOT_FOUND = "etcdserver: member not found"


def prefix_end(prefix: str) -> str:
    """The `range_end` that makes [prefix, end) all keys that start with `prefix`.

    The empty prefix gives FROM_KEY; ask for `Range(FROM_KEY, FROM_KEY)` then, since etcd refuses
    an empty key.
    """
    if not prefix:
        return FROM_KEY
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class KeyValue(NamedTuple):
    """A key as it stood at a revision. In a DELETE event only key and mod_revision are set."""

    key: str
    value: Any
    create_revision: int
    mod_revision: int
    version: int  # writes since it was created; 1 for a new key
    lease: int = 0
    kind: str = "KeyValue"


class Event(NamedTuple):
    """One change of one key. `previous` is the key before it (None: absent, or not asked for)."""

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    previous: KeyValue | None = None
    kind: str = "Event"


class Compare(NamedTuple):
    """A condition of a transaction on one key; an absent key has 0 (value: None) everywhere.

    Values are compared with "=" and "!=" only, since they are opaque; "value" on an absent key
    is always false, as in etcd.
    """

    key: str
    target: Target
    relation: Relation
    operand: Any
    kind: str = "Compare"


class Range(NamedTuple):
    """Read `key`, or all keys in [key, range_end), at `revision` (0: now), at most `limit`.

    `serializable`: the member that is asked answers from what it has, which may be old.
    """

    key: str
    range_end: str = ""
    revision: int = 0
    limit: int = 0
    count_only: bool = False
    keys_only: bool = False
    serializable: bool = False
    kind: str = "Range"


class Put(NamedTuple):
    """Write one key. `previous` asks for what stood there before."""

    key: str
    value: Any
    lease: int = 0
    previous: bool = False
    kind: str = "Put"


class Delete(NamedTuple):
    """Delete `key`, or all keys in [key, range_end)."""

    key: str
    range_end: str = ""
    previous: bool = False
    kind: str = "Delete"


Operation = Range | Put | Delete


class Txn(NamedTuple):
    """If all `compares` hold do `success`, else `failure`, in order, under one revision."""

    compares: tuple[Compare, ...]
    success: tuple[Operation, ...]
    failure: tuple[Operation, ...] = ()
    kind: str = "Txn"


class Watch(NamedTuple):
    """Stream the events of `key` or [key, range_end) from `start_revision` on (0: from now on).

    `previous` puts the value before each change into its event, `progress` asks for a notice now
    and then when nothing happens, `filters` names event types to leave out.
    """

    key: str
    range_end: str = ""
    start_revision: int = 0
    previous: bool = False
    progress: bool = False
    filters: tuple[Literal["PUT", "DELETE"], ...] = ()
    kind: str = "Watch"


class CancelWatch(NamedTuple):
    """End the watch of this lane; answered by a WatchReply with `cancelled`."""

    kind: str = "CancelWatch"


class ProgressRequest(NamedTuple):
    """Ask for a WatchReply without events on the client's `lane`, once its watch has caught up."""

    lane: str
    kind: str = "ProgressRequest"


class LeaseGrant(NamedTuple):
    """Ask for a lease of at least `ttl_s` seconds; id 0 lets etcd choose one."""

    ttl_s: int
    id: int = 0
    kind: str = "LeaseGrant"


class LeaseRevoke(NamedTuple):
    """End a lease and delete its keys."""

    id: int
    kind: str = "LeaseRevoke"


class LeaseKeepAlive(NamedTuple):
    """Renew a lease; a reply with ttl_s 0 says that there is none such."""

    id: int
    kind: str = "LeaseKeepAlive"


class LeaseTimeToLive(NamedTuple):
    """Ask what is left of a lease, and for its keys."""

    id: int
    kind: str = "LeaseTimeToLive"


class Compact(NamedTuple):
    """Forget all history before `revision`."""

    revision: int
    kind: str = "Compact"


class Snapshot(NamedTuple):
    """Ask for the whole store as a value."""

    kind: str = "Snapshot"


class AuthEnable(NamedTuple):
    """From now on only users with a token, and a role that allows it, may do anything."""

    kind: str = "AuthEnable"


class AuthDisable(NamedTuple):
    """From now on everybody may do everything."""

    kind: str = "AuthDisable"


class UserAdd(NamedTuple):
    """Add a user."""

    name: str
    password: str
    kind: str = "UserAdd"


class UserGrantRole(NamedTuple):
    """Give a user a role; the role `root` need not be added."""

    name: str
    role: str
    kind: str = "UserGrantRole"


class RoleAdd(NamedTuple):
    """Add a role without permissions."""

    name: str
    kind: str = "RoleAdd"


class RoleGrant(NamedTuple):
    """Let a role access `key`, or all keys in [key, range_end)."""

    name: str
    access: Access
    key: str
    range_end: str = ""
    kind: str = "RoleGrant"


class Authenticate(NamedTuple):
    """Ask for a token."""

    name: str
    password: str
    kind: str = "Authenticate"


class MemberChange(NamedTuple):
    """Make `name` a voter of the cluster, or (`add` False) let it be one no more."""

    name: str
    add: bool = True
    kind: str = "MemberChange"


class Signed(NamedTuple):
    """A request that shows a token."""

    token: str
    request: Any
    kind: str = "Signed"


AuthChange = AuthEnable | AuthDisable | UserAdd | UserGrantRole | RoleAdd | RoleGrant
Request = (Range | Put | Delete | Txn | Watch | CancelWatch | ProgressRequest | LeaseGrant
           | LeaseRevoke | LeaseKeepAlive | LeaseTimeToLive | Compact | Snapshot | AuthChange
           | Authenticate | MemberChange | Signed)


class RangeReply(NamedTuple):
    """`total` is the number of keys in the range whatever the limit; `more`: the limit cut."""

    revision: int
    kvs: tuple[KeyValue, ...]
    total: int
    more: bool = False
    kind: str = "RangeReply"


class PutReply(NamedTuple):
    revision: int
    previous: KeyValue | None = None
    kind: str = "PutReply"


class DeleteReply(NamedTuple):
    revision: int
    deleted: int
    previous: tuple[KeyValue, ...] = ()
    kind: str = "DeleteReply"


class TxnReply(NamedTuple):
    """`replies` answers the operations of the branch that was taken, in order."""

    revision: int
    succeeded: bool
    replies: tuple[RangeReply | PutReply | DeleteReply, ...]
    kind: str = "TxnReply"


class WatchReply(NamedTuple):
    """A step of a watch's stream: the acknowledgement (`created`), events, a notice, or the end.

    Without any of them it is a progress notice: all events up to `revision` have been sent.
    Events of one revision are never split. `cancelled` ends the stream; then `compact_revision`
    other than 0 says that the next revision wanted has been compacted away, up to there.
    """

    revision: int
    events: tuple[Event, ...] = ()
    created: bool = False
    cancelled: bool = False
    compact_revision: int = 0
    kind: str = "WatchReply"


class ProgressReply(NamedTuple):
    """Acknowledges a ProgressRequest; the notice itself comes on the lane of the watch."""

    revision: int
    kind: str = "ProgressReply"


class LeaseReply(NamedTuple):
    """Answers LeaseGrant, LeaseRevoke, LeaseKeepAlive and LeaseTimeToLive.

    `ttl_s` is what the lease has left, `granted_ttl_s` what it was given (LeaseTimeToLive only).
    """

    revision: int
    id: int
    ttl_s: int = 0
    granted_ttl_s: int = 0
    keys: tuple[str, ...] = ()
    kind: str = "LeaseReply"


class CompactReply(NamedTuple):
    revision: int
    kind: str = "CompactReply"


class SnapshotReply(NamedTuple):
    """`snapshot` is opaque; only etcd's restore reads it."""

    revision: int
    snapshot: Any
    kind: str = "SnapshotReply"


class AuthReply(NamedTuple):
    """Answers a change of users, roles or members, and `Authenticate` with a token."""

    revision: int
    token: str = ""
    kind: str = "AuthReply"


class Failure(NamedTuple):
    """The request changed nothing; `error` is one of the texts above."""

    revision: int
    error: str
    kind: str = "Failure"


Reply = (RangeReply | PutReply | DeleteReply | TxnReply | WatchReply | ProgressReply | LeaseReply
         | CompactReply | SnapshotReply | AuthReply | Failure)
