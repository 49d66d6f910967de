"""The typed form of a spec: what the parser makes of its source and every engine prints.

Nodes are frozen, comparable and hashable (positions in the source do not count), so that an engine
finds common subexpressions by equality. Definitions are expanded and comparison chains are split
before an engine sees them; no bound name hides another, and the expansions of one definition with
the same arguments are equal. Nothing here evaluates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal as OneOf
from typing import NamedTuple

from model.kernel.errors import InputError

Value = bool | int | str | None
Fairness = OneOf["none", "weak", "strong"]
QuantifierKind = OneOf["all", "any", "count", "sum", "min", "max"]


class SpecError(InputError):
    """A mistake in a spec; `where` is file and line."""


# ---------------------------------------------------------------------------------------- types


@dataclass(frozen=True)
class BoolType:
    """True or False."""


@dataclass(frozen=True)
class EnumType:
    """One of a few words, in the order of their declaration."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class IntType:
    """An integer; `low` and `high` (inclusive) are expressions over constants and sizes, or None.

    `index` names the numbered index whose members these integers are, if so declared.
    """

    low: Expr | None = None
    high: Expr | None = None
    index: str | None = None


@dataclass(frozen=True)
class MemberType:
    """A member of an index set, or None where `optional`. Numbered indexes have IntType instead."""

    index: str
    optional: bool = False


Type = BoolType | EnumType | IntType | MemberType

BOOL = BoolType()
INT = IntType()


# ---------------------------------------------------------------------------------- expressions


@dataclass(frozen=True)
class Expr:
    """Common to all expressions: their type and the line that they come from."""

    type: Type
    line: int = field(compare=False)


@dataclass(frozen=True)
class Constant(Expr):
    """A literal: True, 3, "pending" or None (of the type that its surroundings give it)."""

    value: Value


@dataclass(frozen=True)
class Parameter(Expr):
    """A constant of the spec; its value comes with the scope."""

    name: str


@dataclass(frozen=True)
class Size(Expr):
    """The number of members of an index set."""

    index: str


@dataclass(frozen=True)
class Local(Expr):
    """A bound name: an action's argument, or the variable of a quantifier or a bulk update."""

    name: str


@dataclass(frozen=True)
class Read(Expr):
    """A variable (with no keys) or an entry of a map. `primed`: in the state after the step."""

    variable: str
    keys: tuple[Expr, ...]
    primed: bool = False


@dataclass(frozen=True)
class Not(Expr):
    operand: Expr


@dataclass(frozen=True)
class Boolean(Expr):
    """Conjunction or disjunction, evaluated from the left and only as far as needed."""

    operator: OneOf["and", "or"]
    operands: tuple[Expr, ...]


@dataclass(frozen=True)
class Compare(Expr):
    """`==` and `!=` on all types; the orders on integers and on members of an ordered index."""

    operator: OneOf["==", "!=", "<", "<=", ">", ">="]
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Among(Expr):
    """The operand is one of these literals."""

    operand: Expr
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Arithmetic(Expr):
    """Integers only; `%` takes a positive right side and gives 0 <= r < right."""

    operator: OneOf["+", "-", "*", "%", "min", "max"]
    left: Expr
    right: Expr


@dataclass(frozen=True)
class Conditional(Expr):
    test: Expr
    then: Expr
    otherwise: Expr


class Binder(NamedTuple):
    """A name that ranges over all members of a (finite) type."""

    name: str
    type: Type


@dataclass(frozen=True)
class Quantifier(Expr):
    """`all`, `any`, `count` (body is boolean), `sum`, `min`, `max` (body is an integer).

    Ranges over the product of the binders where `condition` (None: always) holds. `min` and `max`
    over nothing give `default`, an integer expression that must be written in the source.
    """

    kind: QuantifierKind
    binders: tuple[Binder, ...]
    condition: Expr | None
    body: Expr
    default: Expr | None = None


# -------------------------------------------------------------------------- variables and rules


class Index(NamedTuple):
    """A finite set that the scope sizes. `numbered`: its members are the integers 0..size-1."""

    name: str
    symmetric: bool
    numbered: bool
    short: str
    doc: str
    line: int


class ConstantDeclaration(NamedTuple):
    """A constant of the spec with the value that it has when the scope does not give another.

    With `least`, proofs for any size hold for every value from there on.
    """

    name: str
    default: int
    short: str
    line: int
    least: int | None = None


class Variable(NamedTuple):
    """A state variable: `keys` are index names (none, one or two), `initial` is a literal that
    every entry starts from or an expression over constants."""

    name: str
    keys: tuple[str, ...]
    type: Type
    initial: Expr
    line: int


class Update(NamedTuple):
    """For every binding of `over` where `condition` (None: always) holds in the old state:
    variable[keys] := value. Condition, keys and value read the OLD state. Of all updates of an
    action at most one hits an entry (the parser has made sure)."""

    variable: str
    over: tuple[Binder, ...]
    keys: tuple[Expr, ...]
    value: Expr
    condition: Expr | None
    line: int


class Action(NamedTuple):
    """A guarded, simultaneous update. `guards` are conjuncts of the rule itself; `limits` bound the
    exploration only: search and proof treat them as guards, the refinement oracle ignores them.
    Every argument tuple for which all guards hold is one enabled instance, also when it changes
    nothing."""

    name: str
    parameters: tuple[Binder, ...]
    guards: tuple[Expr, ...]
    limits: tuple[Expr, ...]
    updates: tuple[Update, ...]
    fairness: Fairness
    doc: str
    line: int


class Invariant(NamedTuple):
    """`lemma`: needed for the induction only, still checked in every state."""

    name: str
    condition: Expr
    lemma: bool
    doc: str
    line: int


class StepRule(NamedTuple):
    """Holds for every step from an old to a new state; the new one is read by primed Reads."""

    name: str
    condition: Expr
    doc: str
    line: int


class LeadsTo(NamedTuple):
    """For all values of the parameters: whenever `cause` holds, `effect` holds then or later."""

    name: str
    parameters: tuple[Binder, ...]
    cause: Expr
    effect: Expr
    doc: str
    line: int


class Witness(NamedTuple):
    """Some reachable state satisfies `condition`; otherwise the spec is vacuous."""

    name: str
    condition: Expr
    doc: str
    line: int


class Mutant(NamedTuple):
    """A seeded mistake: `action` replaces the action of that name. `breaks` names the invariant,
    step rule or leads-to that must fail (empty: any)."""

    name: str
    replaces: str
    action: Action
    breaks: str
    doc: str
    line: int


class Scope(NamedTuple):
    """How big: the number of members of each index set, the value of each constant."""

    sizes: Mapping[str, int]
    constants: Mapping[str, int]

    def __str__(self) -> str:
        pairs = {**self.sizes, **self.constants}
        return ", ".join(f"{name}={value}" for name, value in pairs.items())


@dataclass(frozen=True)
class Module:
    """A whole spec. `scopes` holds the named default scopes, "ci" among them."""

    name: str
    doc: str
    file: str
    indexes: tuple[Index, ...]
    constants: tuple[ConstantDeclaration, ...]
    variables: tuple[Variable, ...]
    actions: tuple[Action, ...]
    invariants: tuple[Invariant, ...]
    step_rules: tuple[StepRule, ...]
    leads_tos: tuple[LeadsTo, ...]
    witnesses: tuple[Witness, ...]
    mutants: tuple[Mutant, ...]
    scopes: Mapping[str, Scope] = field(compare=False)

    def index(self, name: str) -> Index:
        """The index set of that name."""
        return next(index for index in self.indexes if index.name == name)

    def variable(self, name: str) -> Variable:
        """The variable of that name."""
        return next(variable for variable in self.variables if variable.name == name)

    def action(self, name: str) -> Action:
        """The action of that name."""
        return next(action for action in self.actions if action.name == name)


# ------------------------------------------------------------------------------------- walking


def children(expression: Expr) -> Iterator[Expr]:
    """The direct subexpressions, from left to right."""
    for each in fields(expression):
        value = getattr(expression, each.name)
        if isinstance(value, Expr):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Expr))


def walk(expression: Expr) -> Iterator[Expr]:
    """The expression and all its subexpressions, outermost first."""
    yield expression
    for child in children(expression):
        yield from walk(child)


def evaluate_static(expression: Expr, scope: Scope) -> int:
    """An integer expression over literals, constants and sizes, at a scope (for bounds)."""
    match expression:
        case Constant(value=value) if isinstance(value, int):
            return int(value)
        case Parameter(name=name):
            return scope.constants[name]
        case Size(index=index):
            return scope.sizes[index]
        case Arithmetic(operator=operator, left=left, right=right):
            a, b = evaluate_static(left, scope), evaluate_static(right, scope)
            table = {"+": a + b, "-": a - b, "*": a * b, "min": min(a, b), "max": max(a, b)}
            return a % b if operator == "%" else table[operator]
    raise SpecError("a bound is made of integers, constants and sizes only",
                    where=f"line {expression.line}")


def domain(value_type: Type, scope: Scope) -> tuple[Value, ...]:
    """All values of a finite type at a scope: words, integers, or member numbers 0..size-1.

    An optional member's domain begins with None. SpecError where an integer has no bounds.
    """
    match value_type:
        case BoolType():
            return (False, True)
        case EnumType(values=values):
            return values
        case MemberType(index=index, optional=optional):
            return ((None,) if optional else ()) + tuple(range(scope.sizes[index]))
        case IntType(low=Expr() as low, high=Expr() as high):
            return tuple(range(evaluate_static(low, scope), evaluate_static(high, scope) + 1))
    raise SpecError("an integer without bounds has no finite domain")
