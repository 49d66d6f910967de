"""Evaluates expressions on many states at once: one NumPy array for each value, memoised.

Bound names are ordinary integers here, so a quantifier is a loop over its members and a map read
at a bound name is one column. Every closed-over result is kept until the next block of states;
expressions that differ only by their bound names share it. A read outside a numbered index gives
the smallest code, and `undefined` tells in which states an expression really reads there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any

from model.kernel.engines.codegen import free_names, normal, risky
from model.kernel.engines.layout import Layout
from model.kernel.engines.lower import Unpackable, code, span
from model.kernel.spec import ir
from model.kernel.spec.ir import Expr

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Column = npt.NDArray[np.generic]

Names = Mapping[str, int]
Evaluate = Callable[[Names], Any]  # an array, or a scalar where all states agree


class Block:
    """So many states: the words they came from, their digits and the codes of every entry."""

    def __init__(self, layout: Layout, words: Any) -> None:
        import numpy as np

        self.layout, self.words, self.size = layout, words, len(words)
        self.digits: list[list[Any]] = []
        self.columns: dict[str, list[Any]] = {}
        rest = words.astype(np.int64)
        for block in layout.blocks:
            tables = [np.array([record[at] for record in block.group.records],
                               np.int8 if _narrow(each.type) and each.high < 127 else np.int64)
                      for at, each in enumerate(block.group.fields)]
            digits = []
            for _ in range(block.entries):
                digit = rest % block.radix
                rest //= block.radix
                digits.append(digit.astype(np.int16 if block.radix < 1 << 15 else np.int64))
            self.digits.append(digits)
            for each, table in zip(block.group.fields, tables, strict=True):
                self.columns[each.name] = [table[digit] for digit in digits]


def _narrow(value_type: ir.Type) -> bool:
    """Whether nothing is ever computed with values of the type."""
    return not isinstance(value_type, ir.IntType)


class Evaluator:
    """Turns expressions into functions of bound names, over the current block."""

    def __init__(self, layout: Layout) -> None:
        import numpy as np

        self.np: Any = np
        self.layout, self.scope = layout, layout.program.scope
        self.block: Block | None = None
        self.memo: dict[tuple[Any, ...], Any] = {}
        self.made: dict[Expr, Evaluate] = {}
        self.numbers: dict[Expr, int] = {}

    def enter(self, block: Block) -> None:
        """Evaluate on these states from now on."""
        self.block = block
        self.memo.clear()

    def value(self, expression: Expr) -> Evaluate:
        """The function that evaluates an expression: codes, or truth values."""
        if expression not in self.made:
            self.made[expression] = self._kept(expression)
        return self.made[expression]

    def _kept(self, expression: Expr) -> Evaluate:
        evaluate = self._made(expression)
        if isinstance(expression, ir.Constant | ir.Local):
            return evaluate
        free = free_names(expression)
        number = self.numbers.setdefault(normal(expression), len(self.numbers))
        memo = self.memo

        def look_up(names: Names) -> Any:
            key = (number, *[names[name] for name in free])
            found = memo.get(key)
            if found is None:
                found = memo[key] = evaluate(names)
            return found

        return look_up

    def _made(self, expression: Expr) -> Evaluate:
        np = self.np
        match expression:
            case ir.Constant(value=bool() as value):
                return lambda names: value
            case ir.Constant(value=value, type=value_type):
                number = code(value, value_type, self.scope)
                return lambda names: number
            case ir.Local(name=name, type=ir.BoolType()):
                return lambda names: names[name] != 0
            case ir.Local(name=name):
                return lambda names: names[name]
            case ir.Read():
                return self._read(expression)
            case ir.Not(operand=operand):
                inner = self.value(operand)
                return lambda names: np.logical_not(inner(names))
            case ir.Boolean(operator=operator, operands=operands):
                parts = [self.value(each) for each in operands]
                combine = np.logical_and if operator == "and" else np.logical_or
                return lambda names: _chain(combine, parts, names)
            case ir.Compare(operator=operator, left=left, right=right):
                return self._pair(_COMPARISONS[operator], left, right)
            case ir.Arithmetic(operator=operator, left=left, right=right):
                return self._pair(_ARITHMETIC[operator], left, right)
            case ir.Among(operand=operand, values=values):
                inner = self.value(operand)
                codes = [code(each, operand.type, self.scope) for each in values]
                return lambda names: _among(np, inner(names), codes)
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                a, b, c = self.value(test), self.value(then), self.value(otherwise)
                return lambda names: np.where(a(names), b(names), c(names))
            case ir.Quantifier():
                return self._quantifier(expression)
        raise Unpackable(f"line {expression.line}: no packed form of {type(expression).__name__}")

    def _pair(self, apply: Callable[[Any, Any, Any], Any], left: Expr, right: Expr) -> Evaluate:
        a, b, np = self.value(left), self.value(right), self.np
        return lambda names: apply(np, a(names), b(names))

    def _read(self, read: ir.Read) -> Evaluate:
        keys = [self.value(key) for key in read.keys]
        sizes = [self.scope.sizes[index]
                 for index in self.layout.program.module.variable(read.variable).keys]
        truth = isinstance(read.type, ir.BoolType)

        def evaluate(names: Names) -> Any:
            assert self.block is not None
            columns = self.block.columns[read.variable]
            found = self._entry(columns, [key(names) for key in keys], sizes)
            return found != 0 if truth else found

        return evaluate

    def _entry(self, columns: list[Any], keys: list[Any], sizes: list[int]) -> Any:
        np = self.np
        if not keys:
            return columns[0]
        at: Any = 0
        inside: Any = True
        for key, size in zip(keys, sizes, strict=True):
            inside = (key >= 0) & (key < size) & inside
            at = at * size + (np.clip(key, 0, size - 1).astype(np.int64)
                              if isinstance(key, np.ndarray) else key)
        if not isinstance(at, np.ndarray):
            return columns[int(at)] if inside else columns[0] * 0
        found = np.stack(columns)[at, np.arange(len(at))]
        return np.where(inside, found, 0)

    def _quantifier(self, expression: ir.Quantifier) -> Evaluate:
        np, kind = self.np, expression.kind
        names_of = [binder.name for binder in expression.binders]
        ranges = [range(low, high + 1) for low, high in (
            span(binder.type, self.scope) for binder in expression.binders)]
        body = self.value(expression.body)
        condition = None if expression.condition is None else self.value(expression.condition)
        default = None if expression.default is None else self.value(expression.default)

        def evaluate(names: Names) -> Any:
            bound = dict(names)
            values, tests = [], []
            for members in product(*ranges):
                bound.update(zip(names_of, members, strict=True))
                values.append(body(bound))
                tests.append(True if condition is None else condition(bound))
            return _fold(np, kind, values, tests, None if default is None else default(names))

        return evaluate

    # ------------------------------------------------------------------------- definedness

    def undefined(self, expression: Expr) -> Evaluate:
        """Where the expression, evaluated from the left as far as needed, reads outside a map."""
        np = self.np
        if not risky(expression):
            return lambda names: False
        match expression:
            case ir.Boolean(operator=operator, operands=operands):
                return self._undefined_chain([(self.value(each), self.undefined(each))
                                              for each in operands], operator == "and")
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                value = self.value(test)
                parts = [self.undefined(each) for each in (test, then, otherwise)]
                return lambda names: np.logical_or(parts[0](names), np.where(
                    value(names), parts[1](names), parts[2](names)))
            case ir.Quantifier():
                return self._undefined_quantifier(expression)
            case ir.Read():
                return self._undefined_read(expression)
        inner = [self.undefined(each) for each in ir.children(expression)]
        return lambda names: _chain(np.logical_or, inner, names)

    def _undefined_read(self, read: ir.Read) -> Evaluate:
        np = self.np
        sizes = [self.scope.sizes[index]
                 for index in self.layout.program.module.variable(read.variable).keys]
        inner = [self.undefined(key) for key in read.keys]
        keys = [(self.value(key), size) for key, size in zip(read.keys, sizes, strict=True)
                if isinstance(key.type, ir.IntType)]

        def evaluate(names: Names) -> Any:
            bad: Any = _chain(np.logical_or, inner, names)
            for key, size in keys:
                at = key(names)
                bad = np.logical_or(bad, np.logical_or(at < 0, at >= size))
            return bad

        return evaluate

    def _undefined_chain(self, parts: list[tuple[Evaluate, Evaluate]],
                         conjunction: bool) -> Evaluate:
        np = self.np

        def evaluate(names: Names) -> Any:
            bad: Any = False
            open_: Any = True
            for value, undefined in parts:
                bad = np.logical_or(bad, np.logical_and(open_, undefined(names)))
                found = value(names)
                open_ = np.logical_and(open_, found if conjunction else np.logical_not(found))
            return bad

        return evaluate

    def _undefined_quantifier(self, expression: ir.Quantifier) -> Evaluate:
        np = self.np
        condition = expression.condition or ir.Constant(ir.BOOL, 0, True)
        tests = self.value(condition), self.undefined(condition)
        body = self.value(expression.body), self.undefined(expression.body)
        stops = {"all": True, "any": False}.get(expression.kind)
        ranges = [range(low, high + 1) for low, high in (
            span(binder.type, self.scope) for binder in expression.binders)]

        def evaluate(names: Names) -> Any:
            bound = dict(names)
            bad: Any = False
            open_: Any = True
            for members in product(*ranges):
                bound.update(zip((each.name for each in expression.binders), members,
                                 strict=True))
                bad = np.logical_or(bad, np.logical_and(open_, tests[1](bound)))
                here = np.logical_and(open_, tests[0](bound))
                bad = np.logical_or(bad, np.logical_and(here, body[1](bound)))
                if stops is not None:
                    going = body[0](bound) if stops else np.logical_not(body[0](bound))
                    open_ = np.logical_and(open_, np.logical_or(np.logical_not(here), going))
            return bad

        return evaluate


def _chain(combine: Callable[[Any, Any], Any], parts: list[Evaluate], names: Names) -> Any:
    found = parts[0](names)
    for part in parts[1:]:
        found = combine(found, part(names))
    return found


def _among(np: Any, value: Any, codes: list[int]) -> Any:
    if len(codes) > 1 and codes == list(range(codes[0], codes[0] + len(codes))):
        return (value >= codes[0]) & (value <= codes[-1])
    found: Any = False
    for each in codes:
        found = np.logical_or(found, value == each)
    return found


def _fold(np: Any, kind: str, values: list[Any], tests: list[Any], default: Any) -> Any:
    if kind == "all":
        found: Any = True
        for value, test in zip(values, tests, strict=True):
            kept = value if test is True else np.logical_or(np.logical_not(test), value)
            found = np.logical_and(found, kept)
        return found
    if kind == "any":
        found = False
        for value, test in zip(values, tests, strict=True):
            found = np.logical_or(found, value if test is True else np.logical_and(test, value))
        return found
    if kind in ("count", "sum"):
        found = np.int64(0) if kind == "sum" or len(values) > 100 else np.int8(0)
        for value, test in zip(values, tests, strict=True):
            found = found + (value if test is True else value * test)
        return found
    pick = np.minimum if kind == "min" else np.maximum
    none = np.iinfo(np.int64).max if kind == "min" else np.iinfo(np.int64).min
    found, seen = none, False
    for value, test in zip(values, tests, strict=True):
        found = pick(found, np.where(test, value, none))
        seen = np.logical_or(seen, test)
    return found if default is None else np.where(seen, found, default)


def _remainder(np: Any, a: Any, b: Any) -> Any:
    return np.remainder(a, np.where(b > 0, b, 1))


_COMPARISONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "==": lambda np, a, b: a == b, "!=": lambda np, a, b: a != b, "<": lambda np, a, b: a < b,
    "<=": lambda np, a, b: a <= b, ">": lambda np, a, b: a > b, ">=": lambda np, a, b: a >= b,
}
_ARITHMETIC: dict[str, Callable[[Any, Any, Any], Any]] = {
    "+": lambda np, a, b: np.add(a, b, dtype=np.int64),
    "-": lambda np, a, b: np.subtract(a, b, dtype=np.int64),
    "*": lambda np, a, b: np.multiply(a, b, dtype=np.int64),
    "%": _remainder, "min": lambda np, a, b: np.minimum(a, b),
    "max": lambda np, a, b: np.maximum(a, b),
}
