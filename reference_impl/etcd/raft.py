"""Raft, as a value and the turns that change it: elections, replication, reads, membership.

Sources: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm" (2014); Ongaro,
"Consensus: Bridging Theory and Practice" (2014), chapters 4 (membership), 6.4 (reads), 9.6
(pre-vote), 10.2.1 (the leader writes its disk while its followers write theirs).

A turn is one step of a member: it is made from a `Raft`, told what happened, and gives the next
`Raft`, the messages that may leave at once and those that must wait until what they promise is
durable. Promises are votes, the sender's own vote among them, and acknowledged entries. Nothing
here reads a clock: the member that owns the value says when a time is over.

Not modelled: learners (a new voter is empty at first and counts all the same, which only costs
availability), transfer of leadership (an election after a crash does the same), flow control (a
message carries at most `ENTRIES_MAX` entries, and what is lost is found at the next heartbeat).
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from model.kernel.values import EMPTY, FrozenMap
from reference_impl.etcd.story import NO_MOVES, Ledger, Move, Story, promised, with_moves

ENTRIES_MAX = 32  # how many entries one message carries
Role = Literal["follower", "pre-candidate", "candidate", "leader"]


class Entry(NamedTuple):
    """One place of the log. `command` None: the empty entry with which a leader's term begins."""

    term: int
    command: Any = None
    kind: str = "Entry"


class Config(NamedTuple):
    """A command that makes these members the voters, from the moment it stands in a log."""

    voters: tuple[str, ...]
    change: Any = None
    kind: str = "Config"


class Log(NamedTuple):
    """The entries after place `base`; what is before them is part of the applied state.

    `voters` are those at `base`.
    """

    voters: tuple[str, ...] = ()
    base: int = 0
    base_term: int = 0
    entries: tuple[Entry, ...] = ()

    @property
    def last(self) -> int:
        """The place of the newest entry."""
        return self.base + len(self.entries)

    @property
    def last_term(self) -> int:
        """The term of the newest entry."""
        return self.entries[-1].term if self.entries else self.base_term

    def term_at(self, place: int) -> int:
        """The term of the entry at `place` (base <= place <= last)."""
        return self.base_term if place == self.base else self.entries[place - self.base - 1].term

    def at(self, place: int) -> Entry:
        """The entry at `place` (base < place <= last)."""
        return self.entries[place - self.base - 1]

    def until(self, place: int) -> Log:
        """The log without the entries after `place`."""
        return self._replace(entries=self.entries[:place - self.base])

    def after(self, place: int) -> Log:
        """The log without the entries up to `place`."""
        if place <= self.base:
            return self
        voters = self.voters
        for entry in self.entries[:place - self.base]:
            if type(entry.command) is Config:
                voters = entry.command.voters
        return Log(voters, place, self.term_at(place), self.entries[place - self.base:])


class Disk(NamedTuple):
    """What a power failure leaves."""

    term: int = 0
    vote: str = ""
    log: Log = Log()

    def has(self, term: int, vote: str, log: Log) -> bool:
        """Whether just this is on it."""
        return (log is self.log or log == self.log) and (term, vote) == (self.term, self.vote)


class Progress(NamedTuple):
    """What a leader knows of a follower: what it has, what to send next, which round it answered.

    `recent`: it was heard of since the leader last counted.
    """

    match: int
    next: int
    round: int = 0
    recent: bool = True


class Read(NamedTuple):
    """A read that waits for a majority to answer `round`; `place` -1: nothing of the term is
    committed yet, so that what is committed is not known."""

    origin: str
    number: tuple[int, int]
    place: int
    round: int


class Raft(NamedTuple):
    """One member's part. `held`: messages that leave when `disk` holds what they promise.

    `story` is what was done, `unsaid` what it will tell beside that once the disk has it.
    """

    name: str
    disk: Disk = Disk()
    term: int = 0
    vote: str = ""
    log: Log = Log()
    commit: int = 0
    role: Role = "follower"
    leader: str = ""
    granted: tuple[str, ...] = ()
    progress: FrozenMap[str, Progress] = EMPTY
    round: int = 0
    reads: tuple[Read, ...] = ()
    held: tuple[tuple[str, Any], ...] = ()
    removed: bool = False
    story: Story = Story()
    unsaid: tuple[Move, ...] = NO_MOVES

    @property
    def synced(self) -> bool:
        """Whether all that was written is durable."""
        return self.disk.has(self.term, self.vote, self.log)

    @property
    def voters(self) -> tuple[str, ...]:
        """The newest configuration in the log, committed or not."""
        return voters_of(self.log)


def voters_of(log: Log) -> tuple[str, ...]:
    """The newest configuration in a log."""
    place = config_place(log)
    voters: tuple[str, ...] = log.voters if place == log.base else log.at(place).command.voters
    return voters


def config_place(log: Log) -> int:
    """The place of the newest configuration; the base when there is none in the entries."""
    for back, entry in enumerate(reversed(log.entries)):
        if type(entry.command) is Config:
            return log.last - back
    return log.base


def fresh(name: str, voters: tuple[str, ...]) -> Raft:
    """A member that starts with an empty log."""
    log = Log(voters)
    return Raft(name, Disk(0, "", log), 0, "", log)


def restarted(raft: Raft, lost: bool, applied: int) -> Raft:
    """The member after a crash: with all that was written, or (`lost`) with what was durable."""
    term, vote, log = raft.disk if lost else (raft.term, raft.vote, raft.log)
    return Raft(raft.name, raft.disk, term, vote, log, max(applied, log.base),
                removed=raft.removed, story=raft.story,
                unsaid=NO_MOVES if lost else raft.unsaid)


# -- messages ------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """A candidate asks for a vote; `pre`: whether it would get it in that term."""

    term: int
    last: int
    last_term: int
    pre: bool
    kind: str = "Ask"


class Answer(NamedTuple):
    """The answer to `Ask`. `removed`: the candidate is no member any more, and may rest."""

    term: int
    granted: bool
    pre: bool
    removed: bool = False
    kind: str = "Answer"


class Append(NamedTuple):
    """A leader's entries after `prev`, its commit place; without entries a heartbeat."""

    term: int
    prev: int
    prev_term: int
    entries: tuple[Entry, ...]
    commit: int
    round: int
    kind: str = "Append"


class Appended(NamedTuple):
    """The answer to `Append` and `Install`: all up to `match` is there; or, not `ok`: nothing after
    `match` can be."""

    term: int
    ok: bool
    match: int
    round: int
    kind: str = "Appended"


class Install(NamedTuple):
    """A leader's applied state, for a follower whose next entry the log does not hold any more."""

    term: int
    place: int
    place_term: int
    voters: tuple[str, ...]
    state: Any
    round: int
    kind: str = "Install"


# -- turns ---------------------------------------------------------------------------------------


class Turn:
    """One step of a member, under way. Afterwards `done()` is its next value.

    `sent`: messages that may leave at once. `confirmed`: reads whose place is now certain, as
    (origin, number, place). `installed`: the snapshot that takes the place of the applied state.
    `heard`: a leader or a candidate was attended to, so the election time begins anew.
    """

    def __init__(self, raft: Raft, snapshot: Any = None, applied: int = 0,
                 loyal: bool = False) -> None:
        """`snapshot`: the state after `applied`, to be sent to those who lag far behind. `loyal`:
        a leader was heard of a short while ago, so that no other is wished for."""
        self.raft = raft
        self.name = raft.name
        self.snapshot, self.applied, self.loyal = snapshot, applied, loyal
        self.disk, self.term, self.vote, self.log = raft.disk, raft.term, raft.vote, raft.log
        self.commit, self.role, self.leader = raft.commit, raft.role, raft.leader
        self.granted, self.progress = raft.granted, raft.progress
        self.round, self.reads, self.held = raft.round, raft.reads, raft.held
        self.removed, self.story, self.unsaid = raft.removed, raft.story, raft.unsaid
        self.moves: list[Move] = []
        self.sent: list[tuple[str, Any]] = []
        self.confirmed: list[tuple[str, tuple[int, int], int]] = []
        self.installed: Install | None = None
        self.heard = False

    def done(self) -> Raft:
        """The value after the turn; messages wait unless all that was written is durable."""
        if self.unsaid and self._synced():
            self._say()
        story = with_moves(self.story, tuple(self.moves)) if self.moves else self.story
        raft = Raft(self.name, self.disk, self.term, self.vote, self.log, self.commit, self.role,
                    self.leader, self.granted, self.progress, self.round, self.reads, self.held,
                    self.removed, story, self.unsaid)
        if not self.held or not self._synced():
            return raft
        self.sent += self.held
        return raft._replace(held=())

    def _synced(self) -> bool:
        return self.disk.has(self.term, self.vote, self.log)

    def _say(self) -> None:
        """What was promised is durable, and enters the story."""
        if not self.unsaid:
            return
        log = self.disk.log
        self.story = promised(self.story, self.unsaid, log.last_term, log.last)
        self.moves += self.unsaid
        self.unsaid = NO_MOVES

    def _promise(self, *move: str | int) -> None:
        self.unsaid = (*self.unsaid, move)

    # -- what happens to a member ---------------------------------------------------------------

    def receive(self, source: str, message: Any) -> None:
        """A message of another member."""
        kind = type(message)
        if kind is Ask:
            self._asked(source, message)
            return
        if message.term > self.term and not (kind is Answer and message.pre and message.granted):
            self._follow(message.term, "")
        if kind is Append:
            self._append(source, message)
        elif kind is Appended:
            self._appended(source, message)
        elif kind is Answer:
            self._answered(source, message)
        else:
            self._install(source, message)

    def campaign(self) -> None:
        """No leader was heard of for long: ask whether an election would be won."""
        if self.role == "leader" or self.removed or self.name not in voters_of(self.log):
            return
        self.role, self.leader = "pre-candidate", ""
        self._stand(True)

    def heartbeat(self) -> None:
        """Time to tell the followers that the leader lives."""
        if self.role == "leader":
            self._broadcast()

    def count(self) -> None:
        """A leader that no majority answers is none: it may have a successor already."""
        if self.role != "leader":
            return
        near = [name for name, each in self.progress.items() if each.recent]
        if not self._majority((self.name, *near)):
            self._follow(self.term, "")
            return
        self.progress = self.progress.update(
            [(name, each._replace(recent=False)) for name, each in self.progress.items()])

    def propose(self, command: Any) -> bool:
        """A command for the log; False when this is no leader, or the command cannot be now."""
        if self.role != "leader":
            return False
        if type(command) is Config:
            unsettled = config_place(self.log) > self.commit or not self._term_begun()
            if unsettled:
                return False
        self._extend(command)
        self._broadcast()
        self._count_copies()
        return True

    def read(self, origin: str, number: tuple[int, int]) -> None:
        """A read of `origin` begins: it may be answered from what is committed now, once a majority
        has said that this is still the leader."""
        if self.role != "leader":
            return
        self.round += 1
        place = self.commit if self._term_begun() else -1
        self.reads = (*self.reads, Read(origin, number, place, self.round))
        self._broadcast()
        self._count_rounds()

    def sync(self) -> None:
        """The disk has what was written."""
        self.disk = Disk(self.term, self.vote, self.log)
        self._say()
        if self.role == "leader":
            self._count_copies()
        elif self.role == "candidate":
            self._elected_if_enough()

    def forget(self, place: int) -> None:
        """The entries up to `place`, all applied, are kept no longer."""
        same = self.disk.log is self.log
        self.log = self.log.after(place)
        self.disk = self.disk._replace(log=self.log if same else self.disk.log.after(place))

    # -- elections ------------------------------------------------------------------------------

    def _stand(self, pre: bool) -> None:
        self.granted = (self.name,)
        ask = Ask(self.term + pre, self.log.last, self.log.last_term, pre)
        others = [name for name in voters_of(self.log) if name != self.name]
        if pre:
            self.sent += [(name, ask) for name in others]
            if self._majority(self.granted):
                self._run()
        else:
            # The vote for itself is a promise too: no second vote in this term after a crash.
            self.held = (*self.held, *((name, ask) for name in others))

    def _run(self) -> None:
        self.term, self.vote, self.role = self.term + 1, self.name, "candidate"
        self.held = ()
        self._promise("rise", self.term)
        self._promise("give_vote", self.term, self.name)
        self._stand(False)

    def _asked(self, source: str, ask: Ask) -> None:
        known = config_place(self.log)
        if source not in voters_of(self.log) and ask.last < known <= self.commit:
            # It was a voter when its log was written, and is none by a later entry.
            self.sent.append((source, Answer(self.term, False, ask.pre, removed=True)))
            return
        newer = (ask.last_term, ask.last) >= (self.log.last_term, self.log.last)
        if ask.pre:
            wished = not self.loyal and self.role != "leader" and ask.term > self.term and newer
            self.sent.append((source, Answer(ask.term if wished else self.term, wished, True)))
            return
        if ask.term > self.term:
            self._follow(ask.term, "")
        granted = ask.term == self.term and self.vote in ("", source) and newer
        if granted:
            if not self.vote:
                self._promise("give_vote", self.term, source)
            self.vote, self.heard = source, True
        self.held = (*self.held, (source, Answer(self.term, granted, False)))

    def _answered(self, source: str, answer: Answer) -> None:
        if answer.removed:
            if source in voters_of(self.log) and self.role != "leader":
                self.removed, self.role = True, "follower"
            return
        wanted = "pre-candidate" if answer.pre else "candidate"
        if self.role != wanted or not answer.granted or answer.term != self.term + answer.pre:
            return
        if source not in self.granted:
            self.granted = (*self.granted, source)
        if answer.pre:
            if self._majority(self.granted):
                self._run()
        else:
            self._elected_if_enough()

    def _elected_if_enough(self) -> None:
        """The own vote counts once it is durable."""
        if (self.disk.term, self.disk.vote) == (self.term, self.name) and self._majority(
                self.granted):
            self._lead()

    def _lead(self) -> None:
        self.role, self.leader, self.granted = "leader", self.name, ()
        log, story = self.log, self.story
        self.story = story._replace(ledgers=story.ledgers.set(
            self.term, Ledger(log.last_term, log.last, log.last)))
        self.moves.append(("lead", self.term))
        self.round, self.reads = 0, ()
        self.progress = FrozenMap((name, Progress(0, self.log.last + 1))
                                  for name in voters_of(self.log) if name != self.name)
        # Entries of earlier terms are not committed by counting copies: this one takes them along.
        self._extend(None)
        self._broadcast()

    def _follow(self, term: int, leader: str) -> None:
        if term > self.term:
            self.term, self.vote, self.held = term, "", ()
            self._promise("rise", term)
        self.role, self.leader = "follower", leader
        self.granted, self.progress, self.reads = (), EMPTY, ()

    def _majority(self, names: tuple[str, ...]) -> bool:
        voters = voters_of(self.log)
        return 2 * sum(name in names for name in voters) > len(voters)

    # -- replication ----------------------------------------------------------------------------

    def _extend(self, command: Any) -> None:
        self.log = self.log._replace(entries=(*self.log.entries, Entry(self.term, command)))
        ledgers, last = self.story.ledgers, self.log.last
        self.story = self.story._replace(
            ledgers=ledgers.set(self.term, ledgers[self.term]._replace(size=last)))
        self.moves.append(("extend", self.term, last))
        self._promise("accept", self.term, last)
        if type(command) is Config:
            known = self.progress
            self.progress = FrozenMap((name, known.get(name, Progress(0, self.log.last)))
                                      for name in command.voters if name != self.name)

    def _broadcast(self) -> None:
        for name in self.progress:
            self._update(name)

    def _update(self, name: str) -> None:
        """Send what the follower lacks, as far as is known; a heartbeat when it lacks nothing."""
        each, log = self.progress[name], self.log
        if each.next <= log.base:
            self.sent.append((name, Install(
                self.term, self.applied, log.term_at(self.applied),
                voters_of(log.until(self.applied)), self.snapshot, self.round)))
            self.progress = self.progress.set(name, each._replace(next=self.applied + 1))
            return
        prev = each.next - 1
        entries = log.entries[prev - log.base:prev - log.base + ENTRIES_MAX]
        self.sent.append((name, Append(self.term, prev, log.term_at(prev), entries, self.commit,
                                       self.round)))
        if entries:
            # What is under way is taken as arrived; a gap is told by the follower.
            self.progress = self.progress.set(name, each._replace(next=each.next + len(entries)))

    def _append(self, source: str, message: Append) -> None:
        if message.term < self.term:
            self.sent.append((source, Appended(self.term, False, 0, message.round)))
            return
        self._follow(message.term, source)
        self.heard = True
        _, prev, prev_term, entries, commit, round_, _ = message
        base = self.log.base
        if prev < base:
            # All up to the base is committed, so it is what the leader has there.
            prev, prev_term, entries = base, self.log.base_term, entries[base - prev:]
        if prev > self.log.last or self.log.term_at(prev) != prev_term:
            self.held = (*self.held, (source, Appended(self.term, False, self._hint(prev), round_)))
            return
        self._merge(prev, entries)
        match = prev + len(entries)
        self.commit = max(self.commit, min(commit, match))
        self._keep(match)
        self.held = (*self.held, (source, Appended(self.term, True, match, round_)))

    def _keep(self, match: int) -> None:
        """The leader's log up to `match` is promised, unless it was already."""
        if match and match > self.story.acked.get(self.term, 0):
            self._promise("accept", self.term, match)

    def _hint(self, prev: int) -> int:
        """The newest place where the logs may agree: before all entries of the term that differs"""
        if prev > self.log.last:
            return self.log.last
        term, place = self.log.term_at(prev), prev
        while place > self.commit and self.log.term_at(place) == term:
            place -= 1
        return place

    def _merge(self, prev: int, entries: tuple[Entry, ...]) -> None:
        for number, entry in enumerate(entries):
            place = prev + 1 + number
            if place > self.log.last or self.log.term_at(place) != entry.term:
                assert place > self.commit, f"{self.name} would lose the committed entry {place}"
                kept = self.log.until(place - 1)
                self.log = kept._replace(entries=kept.entries + entries[number:])
                return

    def _appended(self, source: str, message: Appended) -> None:
        each = self.progress.get(source)
        if self.role != "leader" or message.term != self.term or each is None:
            return
        _, ok, match, round_, _ = message
        each = each._replace(round=max(each.round, round_), recent=True)
        if ok:
            match = max(each.match, match)
            each = each._replace(match=match, next=max(each.next, match + 1))
        else:
            each = each._replace(next=max(each.match + 1, min(each.next - 1, match + 1)))
        self.progress = self.progress.set(source, each)
        if ok:
            self._count_copies()
        if self.role == "leader" and source in self.progress and (
                not ok or self.progress[source].next <= self.log.last):
            self._update(source)
        self._count_rounds()

    def _install(self, source: str, message: Install) -> None:
        if message.term < self.term:
            self.sent.append((source, Appended(self.term, False, 0, message.round)))
            return
        self._follow(message.term, source)
        self.heard = True
        place = message.place
        if place > self.commit:
            # A snapshot is durable before it is acknowledged, in this very step.
            self.installed, self.commit = message, place
            log = self.log
            # Later entries stay where the log agrees with the leader's: they may be acknowledged.
            agrees = (log.base <= place <= log.last
                      and log.term_at(place) == message.place_term)
            self.log = log.after(place) if agrees else Log(message.voters, place,
                                                           message.place_term)
            self.disk = Disk(self.term, self.vote, self.log)
        self._keep(place)
        self.held = (*self.held, (source, Appended(self.term, True, place, message.round)))

    # -- commitment -----------------------------------------------------------------------------

    def _term_begun(self) -> bool:
        return self.log.term_at(max(self.commit, self.log.base)) == self.term

    def _count_copies(self) -> None:
        """Commit what a majority has made durable, if it is of this term (Raft, section 5.4.2)."""
        voters = voters_of(self.log)
        copies = [self.disk.log.last if name == self.name else self.progress[name].match
                  for name in voters]
        place = sorted(copies, reverse=True)[len(voters) // 2]
        if place <= self.commit or self.log.term_at(place) != self.term:
            return
        self.commit = place
        self.story = self.story._replace(done=self.story.done.set(self.term, place))
        self.moves.append(("commit", self.term, place))
        self.reads = tuple([read._replace(place=place) if read.place < 0 else read
                            for read in self.reads])
        self._broadcast()
        self._count_rounds()
        if self.name not in voters and config_place(self.log) <= place:
            self._follow(self.term, "")  # the last it had to do was to commit its own removal

    def _count_rounds(self) -> None:
        """Confirm the reads whose round a majority has answered."""
        if not self.reads:
            return
        rounds = sorted([self.round if name == self.name else self.progress[name].round
                         for name in voters_of(self.log)], reverse=True)
        reached = rounds[len(rounds) // 2]
        for read in self.reads:
            if read.round <= reached and read.place >= 0:
                self.confirmed.append((read.origin, read.number, read.place))
        self.reads = tuple([read for read in self.reads
                            if read.round > reached or read.place < 0])
