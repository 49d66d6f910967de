"""The present of an etcd store: revisions, versions, leases, transactions, compaction, restore.

Every step of the reference implementation that changes these is checked against this spec.

Not modelled here: values (etcd never looks at them, except to compare), the records of the past and
watches (they are `model/etcd/watch.py`), reads (they change nothing), what a request was (the
label of a step is read off the events that it wrote), and the end of a lease in time (a lease may
end at any moment; that it does not end early is a property). Crash and restart change nothing that
is durable, so they are no action: a restart that changed the store would be refused. Compaction
removes no present key. Sources: etcd.io/docs, "Data model", "API reference", "KV API guarantees".
"""

from __future__ import annotations

from typing import Annotated

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    constant,
    define,
    each,
    implies,
    invariant,
    leads_to,
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

Revision = Annotated[int, Between(0, "newest")]
Limit = Annotated[int, Between(-1, "newest")]


class Key(Index, symmetric=True, short="k"):
    """A key."""


class Lease(Index, symmetric=True, short="g"):
    """A lease."""


class Member(Spec):
    """The present of a store. `created` is 0 where a key does not exist."""

    newest = constant(6, short="n")
    scopes = {"ci": {"Key": 2, "Lease": 1, "newest": 5},
              "proof": {"Key": 2, "Lease": 1, "newest": 4}}

    revision: Revision = 1
    compacted: Limit = -1
    open: bool = False
    created: Map[Key, Revision] = each(0)
    modified: Map[Key, Revision] = each(0)
    version: Map[Key, Revision] = each(0)
    lease: Map[Key, Lease | None] = each(None)
    granted: Map[Lease, bool] = each(False)

    @define
    def exists(self, k: Key) -> bool:
        return self.created[k] > 0

    @action
    def put(self, k: Key) -> None:
        """A transaction that writes one key."""
        require(not self.open)
        limit(self.revision < self.newest)
        self.revision += 1
        self.modified[k] = self.revision + 1
        self.created[k] = self.created[k] if self.created[k] > 0 else self.revision + 1
        self.version[k] += 1
        self.lease[k] = None

    @action
    def put_with_lease(self, k: Key, g: Lease) -> None:
        require(not self.open and self.granted[g])
        limit(self.revision < self.newest)
        self.revision += 1
        self.modified[k] = self.revision + 1
        self.created[k] = self.created[k] if self.created[k] > 0 else self.revision + 1
        self.version[k] += 1
        self.lease[k] = g

    @action
    def delete(self, k: Key) -> None:
        """A transaction that deletes one key."""
        require(not self.open and self.exists(k))
        limit(self.revision < self.newest)
        self.revision += 1
        self.created[k] = 0
        self.modified[k] = 0
        self.version[k] = 0
        self.lease[k] = None

    @action
    def begin(self) -> None:
        """A transaction with several writes takes its one revision."""
        require(not self.open)
        limit(self.revision < self.newest)
        self.open = True
        self.revision += 1

    @action(fair="weak")
    def commit(self) -> None:
        require(self.open)
        self.open = False

    @action
    def put_within(self, k: Key) -> None:
        """A write of the open transaction; no key is put twice under one revision."""
        require(self.open and self.modified[k] < self.revision)
        self.modified[k] = self.revision
        self.created[k] = self.created[k] if self.created[k] > 0 else self.revision
        self.version[k] += 1
        self.lease[k] = None

    @action
    def put_with_lease_within(self, k: Key, g: Lease) -> None:
        require(self.open and self.modified[k] < self.revision and self.granted[g])
        self.modified[k] = self.revision
        self.created[k] = self.created[k] if self.created[k] > 0 else self.revision
        self.version[k] += 1
        self.lease[k] = g

    @action
    def delete_within(self, k: Key) -> None:
        require(self.open and self.exists(k))
        self.created[k] = 0
        self.modified[k] = 0
        self.version[k] = 0
        self.lease[k] = None

    @action
    def grant(self, g: Lease) -> None:
        require(not self.open and not self.granted[g])
        self.granted[g] = True

    @action
    def end_lease(self, g: Lease) -> None:
        """Revoked or run out: all its keys go under one revision, if it has any."""
        require(not self.open and self.granted[g])
        limit(self.revision < self.newest)
        self.granted[g] = False
        if any(self.lease[k] == g for k in Key):
            self.revision += 1
        for k in Key:
            if self.lease[k] == g:
                self.created[k] = 0
                self.modified[k] = 0
                self.version[k] = 0
                self.lease[k] = None

    @action
    def compact(self, to: Revision) -> None:
        require(not self.open and self.compacted < to and to <= self.revision)
        self.compacted = to

    @action
    def restore(self, to: Revision) -> None:
        """A backup takes the place of the store; which keys it holds is left open.

        All that was handed out is below its revision, and compacted: nobody resumes unawares. Here
        every key goes; that a backup brings keys back is `bring_back`, before `commit`.
        """
        require(not self.open and to > self.revision + 1)
        self.revision = to
        self.compacted = to
        self.open = True
        for k in Key:
            self.created[k] = 0
            self.modified[k] = 0
            self.version[k] = 0
            self.lease[k] = None
        for g in Lease:
            self.granted[g] = False

    @action
    def bring_back_lease(self, g: Lease) -> None:
        require(self.open and self.compacted == self.revision and not self.granted[g])
        self.granted[g] = True

    @action
    def bring_back(self, k: Key, created: Revision, modified: Revision, version: Revision) -> None:
        require(self.open and self.compacted == self.revision and not self.exists(k))
        require(1 <= created <= modified < self.revision)
        require(1 <= version <= modified - created + 1)
        self.created[k] = created
        self.modified[k] = modified
        self.version[k] = version

    @action
    def bring_back_with_lease(self, k: Key, created: Revision, modified: Revision,
                              version: Revision, g: Lease) -> None:
        require(self.open and self.compacted == self.revision and not self.exists(k))
        require(1 <= created <= modified < self.revision)
        require(1 <= version <= modified - created + 1 and self.granted[g])
        self.created[k] = created
        self.modified[k] = modified
        self.version[k] = version
        self.lease[k] = g

    @invariant
    def no_key_is_newer_than_the_store(self) -> bool:
        return all(self.modified[k] <= self.revision for k in Key)

    @invariant
    def a_key_was_created_before_it_was_modified(self) -> bool:
        return all(self.created[k] <= self.modified[k] for k in Key)

    @invariant
    def a_version_counts_the_revisions_that_wrote_the_key(self) -> bool:
        return all((self.version[k] == 0) == (self.created[k] == 0)
                   and implies(self.exists(k),
                               1 <= self.version[k] <= self.modified[k] - self.created[k] + 1)
                   for k in Key)

    @invariant
    def a_key_hangs_on_a_lease_that_was_granted(self) -> bool:
        return all(implies(self.lease[k] == g, self.granted[g] and self.exists(k))
                   for k in Key for g in Lease)

    @invariant
    def nothing_is_compacted_before_it_happened(self) -> bool:
        return self.compacted <= self.revision

    @step_rule
    def the_revision_never_decreases(self, after: Member) -> bool:
        return self.revision <= after.revision

    @step_rule
    def a_write_has_a_revision_that_nobody_had_before(self, after: Member) -> bool:
        return all(implies(self.modified[k] != after.modified[k] and after.modified[k] > 0
                           and after.compacted < after.revision,
                           after.modified[k] > self.revision
                           or (self.open and after.modified[k] == self.revision))
                   for k in Key)

    @leads_to
    def a_transaction_ends(self) -> tuple[bool, bool]:
        return self.open, not self.open

    @witness
    def two_keys_share_a_revision_and_a_lease_holds_one(self) -> bool:
        return any(self.modified[k] == self.modified[j] and self.exists(k) and k != j
                   and self.lease[k] is not None for k in Key for j in Key)

    @mutant(replaces="put", breaks="a_write_has_a_revision_that_nobody_had_before")
    def put_without_a_revision_of_its_own(self, k: Key) -> None:
        require(not self.open)
        self.modified[k] = self.revision
        self.created[k] = self.created[k] if self.created[k] > 0 else self.revision
        self.version[k] = 1 if self.created[k] == 0 else self.version[k]
        self.lease[k] = None

    @mutant(replaces="restore", breaks="the_revision_never_decreases")
    def restore_rewinds(self, to: Revision) -> None:
        require(not self.open and 1 <= to < self.revision)
        self.revision = to
        self.compacted = -1
        for k in Key:
            self.created[k] = 0
            self.modified[k] = 0
            self.version[k] = 0
            self.lease[k] = None

    @mutant(replaces="end_lease", breaks="a_key_hangs_on_a_lease_that_was_granted")
    def end_lease_forgets_its_keys(self, g: Lease) -> None:
        require(not self.open and self.granted[g])
        self.granted[g] = False


SPEC = Member
