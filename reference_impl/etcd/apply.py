"""What the entries of a cluster's log do to a member's store: pure, the same at every member.

The result depends on the store and the entry alone: no clock, no question of who asked. The time
of a lease runs at the leader, so the stores of a cluster hold none (`deadline_ms` is 0).
Source: etcd.io/docs, "etcd API"; Ongaro, "Consensus", section 2: replicated state machines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.api import storage
from model.api.storage import AuthReply, Failure, LeaseReply
from reference_impl.etcd import auth
from reference_impl.etcd import store as mvcc
from reference_impl.etcd.store import Lease, Store, Writer

LEASE_TTL_S_MIN = 2  # one and a half election timeouts, rounded up


def performed(store: Store, body: Any) -> tuple[Store, Any]:
    """The store after one request, and the reply to it."""
    return _PERFORM[type(body)](store, body)


def writes(body: Any) -> bool:
    """Whether a transaction may write; one that cannot is a read."""
    return any(type(each) is not storage.Range for each in (*body.success, *body.failure))


def _granted(store: Store, request: storage.LeaseGrant) -> tuple[Store, Any]:
    name = request.id or store.leases_made + 1
    if request.id and name in store.leases:
        return store, Failure(store.revision, storage.LEASE_EXISTS)
    while name in store.leases:
        name += 1
    ttl_s = max(request.ttl_s, LEASE_TTL_S_MIN)
    made = store.leases_made if request.id else name
    after = store._replace(leases=store.leases.set(name, Lease(ttl_s, 0)), leases_made=made)
    return after, LeaseReply(store.revision, name, ttl_s)


def _revoked(store: Store, request: storage.LeaseRevoke) -> tuple[Store, Any]:
    if request.id not in store.leases:
        return store, Failure(store.revision, storage.LEASE_NOT_FOUND)
    writer = Writer(store)
    writer.drop_lease(request.id)
    after = writer.committed()
    return after, LeaseReply(after.revision, request.id)


def _rules(store: Store, request: Any) -> tuple[Store, Any]:
    rules, error = auth.changed(store.auth, request)
    if error:
        return store, Failure(store.revision, error)
    after = store if rules is store.auth else store._replace(auth=rules)
    return after, AuthReply(store.revision)


def _identified(store: Store, request: storage.Authenticate) -> tuple[Store, Any]:
    token, error = auth.identified(store.auth, request)
    return store, Failure(store.revision, error) if error else AuthReply(store.revision, token)


def _not_changed(store: Store, request: storage.MemberChange) -> tuple[Store, Any]:
    """A change of members that can be done is a configuration, and never comes here."""
    error = storage.MEMBER_EXISTS if request.add else storage.MEMBER_NOT_FOUND
    return store, Failure(store.revision, error)


_PERFORM: dict[type, Callable[[Store, Any], tuple[Store, Any]]] = {
    storage.Put: mvcc.put,
    storage.Delete: mvcc.delete,
    storage.Txn: mvcc.transact,
    storage.Compact: mvcc.compact,
    storage.LeaseGrant: _granted,
    storage.LeaseRevoke: _revoked,
    storage.Authenticate: _identified,
    storage.MemberChange: _not_changed,
    **dict.fromkeys(auth.CHANGES, _rules),
}
