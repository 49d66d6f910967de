"""The past of an etcd store, and one watch on it: reads never change, the watch misses nothing.

The store keeps a record of each write under its revision; compaction drops those that no read or
watch it still allows can need; a read at a revision takes the newest record up to it; after a
crash the revision is found from the records and the compaction. Beside that stands what really
`happened`, which nobody forgets; the invariants compare the two.

Not modelled: values and versions (`model/etcd/member.py`), leases (a lease that ends is a
deletion), several writes under one revision (the watch is sent all records of a revision in one
step, whatever their number), and more watches (one does not see another; each is such a one).
Loss and delay of what was sent belong to the channel: to the client a break looks like `cut`, after
which it asks again from where it stands. Sources: etcd.io/docs, "Watch API" and the guarantees
listed there; etcd issues 15220, 17529, 17780, 18089.
"""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Numbered,
    Spec,
    action,
    constant,
    define,
    each,
    implies,
    invariant,
    leads_to,
    lemma,
    mutant,
    require,
    step_rule,
    witness,
)

Record = Literal["none", "put", "gone"]
Phase = Literal["closed", "behind", "synced", "ended"]
At = Annotated[int, Between(0, "len(Revision) - 1")]
Next = Annotated[int, Between(0, "len(Revision)")]


class Revision(Numbered, short="r"):
    """A revision; 0 is that of the empty store."""


class Key(Index, symmetric=True, short="k"):
    """A key in the watched range."""


class History(Spec):
    """Records, compaction, recovery and a watch that follows."""

    crashes = constant(1)
    scopes = {"ci": {"Revision": 5, "Key": 2}, "proof": {"Revision": 4, "Key": 2}}

    revision: At = 0
    compacted: At = 0
    record: Map[tuple[Revision, Key], Record] = each("none")
    happened: Map[tuple[Revision, Key], Record] = each("none")
    crashed: Annotated[int, Between(0, "crashes")] = 0
    phase: Phase = "closed"
    start: Next = 0
    position: Next = 0
    got: Map[tuple[Revision, Key], Record] = each("none")
    repeated: bool = False
    noticed: At = 0

    @define
    def newest(self, q: Revision, k: Key) -> int:
        """The revision of the record that a read of k at q takes; 0 when there is none."""
        return max((p for p in Revision if p <= q and self.record[p, k] != "none"), default=0)

    @define
    def truly_newest(self, q: Revision, k: Key) -> int:
        return max((p for p in Revision if p <= q and self.happened[p, k] != "none"), default=0)

    @define
    def exists(self, k: Key) -> bool:
        return any(self.record[p, k] == "put"
                   and not any(s > p and self.record[s, k] != "none" for s in Revision)
                   for p in Revision)

    @define
    def watching(self) -> bool:
        return self.phase in ("behind", "synced")

    @action
    def put(self, r: Revision, k: Key) -> None:
        require(r == self.revision + 1)
        self.revision = r
        self.record[r, k] = "put"
        self.happened[r, k] = "put"
        if self.phase == "synced" and self.position == r:
            self.got[r, k] = "put"
            self.position += 1

    @action
    def delete(self, r: Revision, k: Key) -> None:
        require(r == self.revision + 1 and self.exists(k))
        self.revision = r
        self.record[r, k] = "gone"
        self.happened[r, k] = "gone"
        if self.phase == "synced" and self.position == r:
            self.got[r, k] = "gone"
            self.position += 1

    @action
    def compact(self, to: Revision) -> None:
        """Records that a newer one up to `to` replaced go, and deletions before `to`."""
        require(self.compacted < to and to <= self.revision)
        self.compacted = to
        for p in Revision:
            for k in Key:
                if p < to and (self.record[p, k] == "gone"
                               or any(p < s and s <= to and self.record[s, k] != "none"
                                      for s in Revision)):
                    self.record[p, k] = "none"

    @action
    def crash(self) -> None:
        """The member restarts from its records; connections are gone."""
        require(self.crashed < self.crashes)
        self.crashed += 1
        self.revision = max(self.compacted, max((p for p in Revision
                                                 if any(self.record[p, k] != "none"
                                                        for k in Key)), default=0))
        self.phase = "closed" if self.watching() else self.phase

    @action
    def open(self, at: Revision) -> None:
        require(self.phase == "closed" and self.start == 0 and at > 0)
        self.start = at
        self.position = at
        self.phase = "synced" if at > self.revision else "behind"

    @action(fair="weak")
    def resume(self) -> None:
        """The client asks again from the revision after the last one that it has seen."""
        require(self.phase == "closed" and self.start > 0)
        self.phase = "synced" if self.position > self.revision else "behind"

    @action
    def cut(self) -> None:
        require(self.watching())
        self.phase = "closed"

    @action(fair="strong")
    def catch_up(self) -> None:
        """The server sends the next revision to a watch that lags."""
        require(self.phase == "behind" and self.position >= self.compacted)
        require(self.position < len(Revision))
        for p in Revision:
            for k in Key:
                if p == self.position and self.record[p, k] != "none":
                    self.got[p, k] = self.record[p, k]
        self.repeated = self.repeated or any(p == self.position and self.got[p, k] != "none"
                                             for p in Revision for k in Key)
        self.position += 1
        self.phase = "synced" if self.position + 1 > self.revision else "behind"

    @action(fair="weak")
    def expire(self) -> None:
        """What the watch wants next has been compacted away: it ends, and the client is told."""
        require(self.phase == "behind" and self.position < self.compacted)
        self.phase = "ended"

    @action
    def notice(self) -> None:
        """The client is told: you have all up to here."""
        require(self.phase == "synced" and self.position == self.revision + 1)
        self.noticed = self.revision

    @invariant
    def reads_at_a_revision_never_change(self) -> bool:
        return all(implies(self.compacted <= q and q <= self.revision
                           and self.happened[p, k] == "put" and self.truly_newest(q, k) == p,
                           self.newest(q, k) == p and self.record[p, k] == "put")
                   for q in Revision for p in Revision for k in Key)

    @invariant
    def a_deleted_key_stays_deleted_in_old_reads(self) -> bool:
        return all(implies(self.compacted <= q and q <= self.revision
                           and self.record[p, k] == "put" and self.newest(q, k) == p,
                           self.truly_newest(q, k) == p)
                   for q in Revision for p in Revision for k in Key)

    @invariant
    def a_watch_has_got_all_that_happened_and_nothing_else(self) -> bool:
        return all(self.got[q, k] == (self.happened[q, k]
                                      if self.start > 0 and self.start <= q and q < self.position
                                      else "none")
                   for q in Revision for k in Key)

    @invariant
    def nothing_comes_twice(self) -> bool:
        return not self.repeated

    @invariant
    def a_synced_watch_waits_for_the_next_revision(self) -> bool:
        return implies(self.phase == "synced", self.position > self.revision)

    @invariant
    def after_a_notice_nothing_older_comes(self) -> bool:
        return self.noticed == 0 or self.noticed < self.position

    @invariant
    def every_revision_up_to_the_present_happened_once(self) -> bool:
        return all(any(self.happened[q, k] != "none" for k in Key)
                   == (q > 0 and q <= self.revision) for q in Revision)

    @lemma
    def nothing_is_compacted_before_it_happened(self) -> bool:
        return self.compacted <= self.revision

    @lemma
    def a_record_is_of_what_happened_and_stays_from_the_compaction_on(self) -> bool:
        return all(self.record[q, k] == self.happened[q, k]
                   or (self.record[q, k] == "none" and q < self.compacted)
                   for q in Revision for k in Key)

    @lemma
    def a_watch_has_no_position_before_it_is_opened(self) -> bool:
        return (self.position >= self.start
                and implies(self.start == 0, self.position == 0 and self.noticed == 0
                            and self.phase == "closed"))

    @lemma
    def a_watch_is_ahead_only_until_what_it_waits_for_has_happened(self) -> bool:
        return (implies(self.phase == "behind", self.position <= self.revision)
                and (self.position <= self.revision + 1 or self.position == self.start))

    @step_rule
    def the_revision_never_decreases(self, after: History) -> bool:
        return self.revision <= after.revision

    @leads_to
    def a_lagging_watch_catches_up_or_is_told(self) -> tuple[bool, bool]:
        return self.phase == "behind", self.phase in ("synced", "ended", "closed")

    @witness
    def a_watch_lived_through_a_compaction_and_a_cut(self) -> bool:
        return (self.phase == "synced" and self.compacted > self.start and self.start > 0
                and self.crashed > 0)

    @witness
    def a_watch_was_told_that_it_came_too_late(self) -> bool:
        return self.phase == "ended"

    @mutant(replaces="compact", breaks="a_watch_has_got_all_that_happened_and_nothing_else")
    def compact_drops_deletions_at_its_own_revision(self, to: Revision) -> None:
        require(self.compacted < to and to <= self.revision)
        self.compacted = to
        for p in Revision:
            for k in Key:
                if p <= to and (self.record[p, k] == "gone"
                                or any(p < s and s <= to and self.record[s, k] != "none"
                                       for s in Revision)):
                    self.record[p, k] = "none"

    @mutant(replaces="crash", breaks="the_revision_never_decreases")
    def crash_finds_the_revision_in_puts_alone(self) -> None:
        require(self.crashed < self.crashes)
        self.crashed += 1
        self.revision = max((p for p in Revision
                             if any(self.record[p, k] == "put" for k in Key)), default=0)
        self.phase = "closed" if self.watching() else self.phase

    @mutant(replaces="expire", breaks="a_watch_has_got_all_that_happened_and_nothing_else")
    def expire_skips_what_was_compacted(self) -> None:
        require(self.phase == "behind" and self.position < self.compacted)
        self.position = self.revision + 1
        self.phase = "synced"

    @mutant(replaces="notice", breaks="after_a_notice_nothing_older_comes")
    def notice_runs_ahead_of_events(self) -> None:
        require(self.watching())
        self.noticed = self.revision

    @mutant(replaces="resume", breaks="a_watch_has_got_all_that_happened_and_nothing_else")
    def resume_starts_from_the_beginning(self) -> None:
        require(self.phase == "closed" and self.start > 0)
        self.position = self.start
        self.phase = "synced" if self.start > self.revision else "behind"


SPEC = History
