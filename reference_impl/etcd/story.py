"""What a member of a cluster has promised and done so far: told for its judges, read by no rule.

Raft's argument is about the past: who was voted for in which term, what a leader had as its log,
how much of it was acknowledged. A member forgets most of that, so it keeps a story beside its state
(auxiliary variables: Abadi and Lamport, "The Existence of Refinement Mappings", 1991), which maps
it to the spec. A promise enters the story when the disk has it.
"""

from __future__ import annotations

from typing import NamedTuple

from model.kernel.values import EMPTY, FrozenMap

Move = tuple[str | int, ...]  # the name of a step of the spec, and its arguments without the member
NO_MOVES: tuple[Move, ...] = ()
MOVES_KEPT = 64  # far more than one step of a member makes


class Ledger(NamedTuple):
    """A leader's log: `length` places of the ledger of term `branch`, then its own up to `size`."""

    branch: int
    length: int
    size: int


class Story(NamedTuple):
    """`branch` and `length`: the term of the last entry on the disk, and how many there are.

    `votes`: term -> whom; `ledgers`: of the terms in which it led; `acked`: term -> how much of the
    leader's log it promised to keep; `done`: term -> how much it committed as leader. `moves` are
    the newest of the steps that it `told` of so far.
    """

    term: int = 0
    branch: int = 0
    length: int = 0
    votes: FrozenMap[int, str] = EMPTY
    ledgers: FrozenMap[int, Ledger] = EMPTY
    acked: FrozenMap[int, int] = EMPTY
    done: FrozenMap[int, int] = EMPTY
    moves: tuple[Move, ...] = NO_MOVES
    told: int = 0


def with_moves(story: Story, moves: tuple[Move, ...]) -> Story:
    """The story with these told."""
    return story._replace(moves=(story.moves + moves)[-MOVES_KEPT:], told=story.told + len(moves))


def promised(story: Story, moves: tuple[Move, ...], branch: int, length: int) -> Story:
    """The story after the disk has what `moves` say; its log now ends so."""
    term, votes, acked = story.term, story.votes, story.acked
    for name, at, *rest in moves:
        assert type(at) is int, "every move names its term"
        if name == "rise":
            term = at
        elif name == "give_vote":
            votes = votes.set(at, str(rest[0]))
        else:
            acked = acked.set(at, max(acked.get(at, 0), int(rest[0])))
    return story._replace(term=term, branch=branch, length=length, votes=votes, acked=acked)
