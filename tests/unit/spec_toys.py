"""Small specs for the tests of the engines."""

from __future__ import annotations

import textwrap

from model.kernel.spec import ir
from model.kernel.spec.parse import parse_text

LOCK = '''
from __future__ import annotations

class Job(Index, symmetric=True):
    """A job."""

class Lock(Spec):
    """Jobs want a lock that a user takes now and then."""
    at: Map[Job, Literal["idle", "waits", "holds"]] = each("idle")
    user: bool = False

    @action
    def ask(self, j: Job) -> None:
        require(self.at[j] == "idle")
        self.at[j] = "waits"

    @action(fair="FAIR")
    def take(self, j: Job) -> None:
        require(self.at[j] == "waits" and not self.user)
        require(all(self.at[k] != "holds" for k in Job))
        self.at[j] = "holds"

    @action(fair="weak")
    def free(self, j: Job) -> None:
        require(self.at[j] == "holds")
        self.at[j] = "idle"

    @action
    def come(self) -> None:
        require(not self.user)
        self.user = True

    @action(fair="weak")
    def go(self) -> None:
        require(self.user)
        self.user = False

    @invariant
    def one_job_holds_the_lock(self) -> bool:
        return count(self.at[j] == "holds" for j in Job) <= 1

    @leads_to
    def who_waits_gets_the_lock(self, j: Job) -> tuple[bool, bool]:
        return self.at[j] == "waits", self.at[j] == "holds"

    @witness
    def all_wait(self) -> bool:
        return all(self.at[j] == "waits" for j in Job)
'''

HEAD = '''
from __future__ import annotations
Small = Annotated[int, Between(0, "top")]

class Pod(Index, symmetric=True):
    """A pod."""

class Slot(Numbered):
    """A place in a row."""

class Toy(Spec):
    """A toy."""
    top = constant(3)
'''


def lock(fair: str = "strong") -> ir.Module:
    """Jobs that want a lock; `fair` is the fairness of taking it."""
    return parse_text(LOCK.replace("FAIR", fair), "Lock", file="lock.py")


def toy(body: str) -> ir.Module:
    """A spec with pods, slots and the constant `top`."""
    return parse_text(HEAD + textwrap.indent(textwrap.dedent(body), "    "), "Toy", file="toy.py")
