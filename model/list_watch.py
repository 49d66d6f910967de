"""List-Watch: a cache is a past state, never goes back, and is current when all is quiet.

The server has a history (`content` by revision); what it serves may lag behind (`served`), may fall
back after a restart, and it forgets the oldest revisions. The client lists, then watches from where
the list stood. What it has read (`known`, at `position`) reaches its `store` through a queue with
one place for each key (`queued`). After a broken stream it resumes; when its position is too old it
lists the newest state; when the server does not know its position yet it does the same.

Not modelled: several clients (one does not see another; each is such a one), selectors (an object
that stops to match is a deletion), paging, bookmarks (they move the position as an event of another
key does), and time: back-off only delays. The implementation's queue is the channel that brings the
events, so its store follows in the step of delivery. Source: client-go, tools/cache; KEP-2340.
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
    limit,
    mutant,
    require,
    step_rule,
    witness,
)

At = Annotated[int, Between(0, "len(Revision) - 1")]
Value = Annotated[int, Between(0, 2)]
Phase = Literal["stopped", "listing", "watching"]
Wanted = Literal["any", "not older", "newest"]


class Revision(Numbered, short="r"):
    """A revision of the server's history; 0 is the empty collection."""


class Key(Index, symmetric=True, short="k"):
    """The name of an object; its value tells one object of that name from the next, 0 is none."""


class ListWatch(Spec):
    """A history, a server that lags, a reflector, a queue, a store."""

    falls = constant(1)
    scopes = {"ci": {"Revision": 4, "Key": 2}, "proof": {"Revision": 3, "Key": 2}}

    content: Map[tuple[Revision, Key], Value] = each(0)
    head: At = 0
    oldest: At = 0
    served: At = 0
    fallen: Annotated[int, Between(0, "falls")] = 0
    calm: bool = False

    phase: Phase = "stopped"
    wanted: Wanted = "any"
    position: At = 0
    known: Map[Key, Value] = each(0)
    queued: Map[Key, bool] = each(False)
    store: Map[Key, Value] = each(0)

    @define
    def current(self) -> bool:
        return all(self.store[k] == self.content[self.head, k] for k in Key)

    @action
    def write(self, k: Key, value: Value) -> None:
        """An object is created, changed, replaced or deleted."""
        limit(not self.calm and self.head < len(Revision) - 1)
        require(value != self.content[self.head, k])
        self.head += 1
        for q in Key:
            self.content[self.head + 1, q] = (value if q == k else self.content[self.head, q])

    @action
    def compact(self, r: Revision) -> None:
        """The server forgets what was before a revision."""
        limit(not self.calm)
        require(self.oldest < r and r <= self.head)
        self.oldest = r

    @action(fair="weak")
    def serve(self) -> None:
        """The server catches up by one revision."""
        require(self.served < self.head)
        self.served += 1

    @action
    def fall_back(self, r: Revision) -> None:
        """Another server answers from now on, or the same one after a restart; it lags."""
        limit(not self.calm)
        require(self.fallen < self.falls and r < self.served)
        self.fallen += 1
        self.served = r

    @action(fair="weak")
    def start(self) -> None:
        """The reflector asks for a list; at first any state will do."""
        require(self.phase == "stopped")
        self.phase = "listing"
        self.wanted = "any"

    @action(fair="weak")
    def list_cached(self) -> None:
        """The server lists what it serves, if that is not older than what is wanted."""
        require(self.phase == "listing" and self.wanted != "newest")
        require(self.wanted == "any" or self.position <= self.served)
        self.phase = "watching"
        self.position = self.served
        for k in Key:
            if self.content[self.served, k] != self.known[k]:
                self.known[k] = self.content[self.served, k]
                self.queued[k] = True

    @action(fair="weak")
    def list_newest(self) -> None:
        """The server lists the newest state, whatever it takes."""
        require(self.phase == "listing" and self.wanted == "newest")
        self.phase = "watching"
        self.position = self.head
        for k in Key:
            if self.content[self.head, k] != self.known[k]:
                self.known[k] = self.content[self.head, k]
                self.queued[k] = True

    @action(fair="weak")
    def too_large(self) -> None:
        """The server does not know the wanted version yet: ask for the newest state."""
        require(self.phase == "listing" and self.wanted == "not older")
        require(self.position > self.served)
        self.wanted = "newest"

    @action(fair="weak")
    def event(self) -> None:
        """The next event of the stream."""
        require(self.phase == "watching")
        require(self.position < self.served and self.position >= self.oldest)
        self.position += 1
        for k in Key:
            if self.content[self.position + 1, k] != self.known[k]:
                self.known[k] = self.content[self.position + 1, k]
                self.queued[k] = True

    @action(fair="weak")
    def gone(self) -> None:
        """The position is too old (410): list the newest state."""
        require(self.phase == "watching" and self.position < self.oldest)
        self.phase = "listing"
        self.wanted = "newest"

    @action
    def fail(self) -> None:
        """The stream ends with an error: list what is not older than what was seen."""
        limit(not self.calm)
        require(self.phase == "watching")
        self.phase = "listing"
        self.wanted = "not older"

    @action(fair="weak")
    def deliver(self, k: Key) -> None:
        """The queue hands what is known of a key to the store and to handlers."""
        require(self.queued[k])
        self.store[k] = self.known[k]
        self.queued[k] = False

    @action
    def crash(self) -> None:
        """The client dies and forgets everything."""
        limit(not self.calm and self.phase != "stopped")
        self.phase = "stopped"
        self.position = 0
        for k in Key:
            self.known[k] = 0
            self.queued[k] = False
            self.store[k] = 0

    @action(fair="weak")
    def calm_down(self) -> None:
        """From now on nothing is written and nothing fails."""
        require(not self.calm)
        self.calm = True

    @invariant
    def what_is_known_is_a_past_state(self) -> bool:
        return implies(self.phase != "stopped" and self.position >= self.oldest,
                       all(self.known[k] == self.content[self.position, k] for k in Key))

    @invariant
    def the_store_lacks_only_what_is_queued(self) -> bool:
        return all(self.queued[k] or self.store[k] == self.known[k] for k in Key)

    @lemma
    def nobody_is_ahead_of_the_history(self) -> bool:
        return max(max(self.position, self.served), self.oldest) <= self.head

    @lemma
    def the_history_begins_empty(self) -> bool:
        return all(self.content[0, k] == 0 for k in Key)

    @lemma
    def who_takes_any_state_has_seen_none(self) -> bool:
        return implies(self.phase == "stopped"
                       or (self.phase == "listing" and self.wanted == "any"),
                       self.position == 0 and all(self.known[k] == 0 for k in Key))

    @step_rule
    def a_cache_never_goes_back(self, after: ListWatch) -> bool:
        return after.position >= self.position or after.phase == "stopped"

    @leads_to
    def the_cache_becomes_current(self) -> tuple[bool, bool]:
        return self.calm, self.calm and self.current()

    @witness
    def an_object_is_seen_and_its_successor_too(self) -> bool:
        return any(self.store[k] == 2 and self.content[self.oldest, k] == 1 for k in Key)

    @mutant(replaces="list_newest", breaks="what_is_known_is_a_past_state")
    def a_relist_overlooks_what_is_only_queued(self) -> None:
        require(self.phase == "listing" and self.wanted == "newest")
        self.phase = "watching"
        self.position = self.head
        for k in Key:
            if self.content[self.head, k] != self.known[k] and not (
                    self.content[self.head, k] == 0 and self.store[k] == 0):
                self.known[k] = self.content[self.head, k]
                self.queued[k] = True

    @mutant(replaces="list_newest", breaks="what_is_known_is_a_past_state")
    def a_relist_after_a_queued_deletion_is_dropped(self) -> None:
        require(self.phase == "listing" and self.wanted == "newest")
        self.phase = "watching"
        self.position = self.head
        for k in Key:
            if self.content[self.head, k] != self.known[k] and not (
                    self.queued[k] and self.known[k] == 0):
                self.known[k] = self.content[self.head, k]
                self.queued[k] = True

    @mutant(replaces="list_cached", breaks="a_cache_never_goes_back")
    def a_relist_takes_any_state(self) -> None:
        require(self.phase == "listing" and self.wanted != "newest")
        self.phase = "watching"
        self.position = self.served
        for k in Key:
            if self.content[self.served, k] != self.known[k]:
                self.known[k] = self.content[self.served, k]
                self.queued[k] = True


SPEC = ListWatch
