"""The vocabulary of specs: names that give a spec its shape in front of editors and type checkers.

A spec is a class whose source is parsed (`model.kernel.spec.parse`) and never run: the decorators
return what they were given, and the functions below say so when somebody calls them. The language
is described in docs/reference/spec-language.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, overload

from model.kernel.spec.ir import Fairness, Module

F = TypeVar("F", bound=Callable[..., Any])
K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


def _never_run(name: str) -> NoReturn:
    raise AssertionError(f"{name} belongs to a spec, which is parsed and never run")


class _IndexMeta(type):
    def __iter__(cls: type[T]) -> Iterator[T]:
        _never_run(f"for ... in {cls.__name__}")

    def __len__(cls) -> int:
        _never_run(f"len({cls.__name__})")


class Index(metaclass=_IndexMeta):
    """A finite set of anonymous members; the scope sizes it.

    `symmetric=True` promises that members can be exchanged (no order among them); `short` is a
    second name for the command line.
    """

    def __init_subclass__(cls, symmetric: bool = False, short: str = "") -> None:
        super().__init_subclass__()


class Numbered(int, metaclass=_IndexMeta):
    """An index set whose members are the integers 0 .. size-1; they may be computed with."""

    def __init_subclass__(cls, short: str = "") -> None:
        super().__init_subclass__()

    def __add__(self, other: int) -> Any:
        _never_run("+")

    def __sub__(self, other: int) -> Any:
        _never_run("-")


class Between:
    """The bounds of an integer: `Annotated[int, Between(0, "ceiling")]`, both inclusive.

    A bound is an integer or the text of an expression over constants, `len(Index)`, + - *, min
    and max.
    """

    def __init__(self, low: int | str, high: int | str) -> None:
        self.low, self.high = low, high


class Map(Generic[K, V]):
    """A variable with an entry for each member of an index, or each pair: `Map[tuple[A, B], V]`."""

    # Keys are typed loosely: an integer may be computed where the index is numbered. The parser
    # checks them.

    def __getitem__(self, key: Any) -> V:
        _never_run("a map")

    def __setitem__(self, key: Any, value: V) -> None:
        _never_run("a map")


class Spec:
    """The base of every spec. `scopes` names default scopes: "ci" is what CI searches."""

    scopes: ClassVar[Mapping[str, Mapping[str, int]]] = {}

    @classmethod
    def module(cls) -> Module:
        """The parsed spec. SpecError, with file and line, where it breaks the language."""
        from model.kernel.spec.parse import parse

        return parse(cls)


def constant(default: int, short: str = "", least: int | None = None) -> int:
    """A constant of the spec, an integer; the scope may give another value.

    With `least`, the proof for any size is for every value from there on; without, for the value
    of the scope.
    """
    return default


def each(value: Any) -> Any:
    """The initial value of every entry of a map."""
    return value


def require(condition: bool) -> None:
    """A conjunct of the guard of an action; several are joined by and."""
    _never_run("require")


def limit(condition: bool) -> None:
    """A bound on the exploration, not part of the rule: search and proof treat it as a guard,
    the refinement oracle ignores it."""
    _never_run("limit")


def count(conditions: Iterable[bool]) -> int:
    """How many of the conditions hold."""
    _never_run("count")


def implies(condition: bool, consequence: bool) -> bool:
    """False only when the condition holds and the consequence does not."""
    _never_run("implies")


@overload
def action(function: F) -> F: ...
@overload
def action(*, fair: Fairness = "none") -> Callable[[F], F]: ...
def action(function: F | None = None, *, fair: Fairness = "none") -> F | Callable[[F], F]:
    """A guarded, simultaneous update: right sides and conditions read the old state.

    Fairness is that of every instance (argument tuple): weak, if it stays enabled it is taken;
    strong, if it is enabled again and again it is taken.
    """
    return function if function is not None else lambda given: given


def define(function: F) -> F:
    """A named expression, expanded where it is called."""
    return function


def invariant(function: F) -> F:
    """Holds in every reachable state; proved together with the lemmas."""
    return function


def lemma(function: F) -> F:
    """An invariant that is there to make the others inductive."""
    return function


def step_rule(function: F) -> F:
    """Holds for every step; the second parameter is the state after it."""
    return function


def leads_to(function: F) -> F:
    """Returns a pair: whenever the first holds, the second holds then or later."""
    return function


def witness(function: F) -> F:
    """Holds in some reachable state, or the spec is vacuous."""
    return function


def mutant(*, replaces: str, breaks: str = "") -> Callable[[F], F]:
    """A seeded mistake in place of an action, which makes the rule `breaks` fail."""
    return lambda given: given
