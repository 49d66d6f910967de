"""Quotas: what is stored is charged, charges stay within the limit and are given back.

The server charges a creation before it stores the object, and only within the limit. The controller
counts what its caches show and writes the number it finds, on top of the version of the quota that
it has seen. It may write a smaller number only for a quota that has `settled`: nothing is under way
that was charged in the version it has seen, and its caches show everything that was stored then.
Time brings that about, here an action that waits for it.

The server side is there when `server` is 1; the refinement of the implementation sets it to 0 and
checks what the controller writes against what it knows. An entry is one limit of one quota.

Not modelled: scopes and kinds of limits (an object is charged one unit; the refinement deals in
billionths of what the limit counts), and lowering a limit below what is used. Source: Kubernetes
documentation, "Resource Quotas"; kubernetes issues 24494, 70563, 123434.
"""

from __future__ import annotations

from typing import Annotated, Literal

from model.kernel.spec.language import (
    Between,
    Index,
    Map,
    Spec,
    action,
    constant,
    count,
    define,
    each,
    invariant,
    leads_to,
    lemma,
    limit,
    mutant,
    require,
    witness,
)

Stage = Literal["absent", "charged", "stored"]
Amount = Annotated[int, Between(0, "hard")]


class Entry(Index, symmetric=True, short="e"):
    """One limit of one quota."""


class Thing(Index, symmetric=True, short="o"):
    """An object that counts."""


class ResourceQuota(Spec):
    """Charges, counts and a controller that gives back."""

    hard = constant(2, short="h")
    server = constant(1)
    scopes = {"ci": {"Entry": 1, "Thing": 3, "hard": 2},
              "proof": {"Entry": 1, "Thing": 3, "hard": 2}}

    stage: Map[Thing, Stage] = each("absent")
    charged: Map[Entry, Amount] = each(0)
    current: Map[Entry, bool] = each(False)
    calm: bool = False

    synced: Map[Entry, bool] = each(False)
    used: Map[Entry, Amount] = each(0)
    counted: Map[Entry, Amount] = each(0)
    settled: Map[Entry, bool] = each(False)

    @define
    def there(self) -> int:
        return count(self.stage[o] == "stored" for o in Thing)

    @define
    def claimed(self) -> int:
        return count(self.stage[o] != "absent" for o in Thing)

    @action
    def charge(self, o: Thing) -> None:
        """Admission takes a creation, if every limit has room for it."""
        limit(self.server == 1 and not self.calm)
        require(self.stage[o] == "absent")
        require(all(self.charged[e] < self.hard for e in Entry))
        self.stage[o] = "charged"
        for e in Entry:
            self.charged[e] += 1
            self.current[e] = False

    @action(fair="weak")
    def store(self, o: Thing) -> None:
        require(self.stage[o] == "charged")
        self.stage[o] = "stored"

    @action
    def fail(self, o: Thing) -> None:
        """The creation fails after it was charged; the charge stays."""
        limit(not self.calm)
        require(self.stage[o] == "charged")
        self.stage[o] = "absent"

    @action
    def remove(self, o: Thing) -> None:
        limit(not self.calm)
        require(self.stage[o] == "stored")
        self.stage[o] = "absent"

    @action(fair="weak")
    def learn(self, e: Entry, amount: Amount) -> None:
        """The cache shows another version of the quota."""
        limit(not self.current[e] and amount == self.charged[e] and self.synced[e])
        self.used[e] = amount
        self.settled[e] = False
        self.current[e] = self.server == 1

    @action(fair="weak")
    def count_anew(self, e: Entry, amount: Amount) -> None:
        """The caches show more or fewer objects."""
        require(amount != self.counted[e])
        limit(amount == self.there() and self.synced[e])
        self.counted[e] = amount

    @action(fair="weak")
    def settle(self, e: Entry) -> None:
        """Nothing has happened to the quota for so long that all it charged is stored and seen."""
        require(not self.settled[e])
        limit(self.synced[e] and self.current[e] and self.claimed() == self.there())
        limit(self.counted[e] == self.there())
        self.settled[e] = True

    @action(fair="weak")
    def write(self, e: Entry, amount: Amount) -> None:
        """The controller writes a number; the server takes it if nobody wrote meanwhile."""
        require(self.synced[e] and amount != self.used[e])
        require(amount == self.counted[e])
        require(amount > self.used[e] or self.settled[e])
        limit(self.server == 1)
        if self.server == 1 and self.current[e]:
            self.charged[e] = amount
            self.current[e] = False

    @action(fair="weak")
    def sync(self, e: Entry) -> None:
        """Every cache that the entry needs has its first list."""
        require(not self.synced[e])
        limit(self.counted[e] == 0 and self.used[e] == 0)
        self.synced[e] = True

    @action
    def forget(self, e: Entry) -> None:
        """The quota is gone from the cache."""
        limit(not self.calm)
        self.synced[e] = False
        self.used[e] = 0
        self.counted[e] = 0
        self.settled[e] = False
        self.current[e] = False

    @action
    def crash(self) -> None:
        """The controller starts anew."""
        limit(not self.calm)
        for e in Entry:
            self.synced[e] = False
            self.used[e] = 0
            self.counted[e] = 0
            self.settled[e] = False
            self.current[e] = False

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing is created or removed, and nothing fails."""
        limit(self.server == 1)
        require(not self.calm)
        self.calm = True

    @invariant
    def what_is_stored_or_under_way_is_charged(self) -> bool:
        return all(self.claimed() <= self.charged[e] for e in Entry)

    @invariant
    def no_more_is_stored_than_the_limit(self) -> bool:
        return self.there() <= self.hard

    @lemma
    def a_settled_quota_has_nothing_under_way_that_is_not_in_a_newer_version(self) -> bool:
        return all(not (self.settled[e] and self.current[e])
                   or (self.claimed() == self.there() and self.there() <= self.counted[e])
                   for e in Entry)

    @lemma
    def the_current_version_is_the_one_that_is_seen(self) -> bool:
        return all(not self.current[e] or self.used[e] == self.charged[e] for e in Entry)

    @leads_to
    def what_is_used_is_what_is_there(self, e: Entry) -> tuple[bool, bool]:
        return self.calm, self.charged[e] == self.there() and self.claimed() == self.there()

    @witness
    def a_failed_creation_is_given_back_and_the_limit_reached(self) -> bool:
        return (self.calm and self.there() == self.hard
                and all(self.charged[e] == self.hard for e in Entry))

    @mutant(replaces="write", breaks="what_is_stored_or_under_way_is_charged")
    def write_what_the_cache_shows_at_once(self, e: Entry, amount: Amount) -> None:
        require(self.synced[e] and amount != self.used[e])
        require(amount == self.counted[e])
        if self.current[e]:
            self.charged[e] = amount
            self.current[e] = False

    @mutant(replaces="write", breaks="what_is_stored_or_under_way_is_charged")
    def write_over_any_version(self, e: Entry, amount: Amount) -> None:
        require(self.synced[e] and amount != self.used[e])
        require(amount == self.counted[e] and self.settled[e])
        self.charged[e] = amount
        self.current[e] = False

    @mutant(replaces="write", breaks="what_is_used_is_what_is_there")
    def write_only_what_is_more(self, e: Entry, amount: Amount) -> None:
        require(self.synced[e] and amount == self.counted[e] and amount > self.used[e])
        if self.current[e]:
            self.charged[e] = amount
            self.current[e] = False


SPEC = ResourceQuota
