"""A spec at one scope, with every index set written out: cells instead of maps, no bound names.

The tuple search, Z3 at a finite scope, Promela and the liveness check print this form. A state is
a tuple with one value a cell; members of index sets are numbers from 0. Constants are folded, so
what a scope makes trivial is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, cast

from model.kernel.spec import ir

GroundState = tuple[ir.Value, ...]


@dataclass(frozen=True)
class Cell(ir.Expr):
    """The value of one cell; `primed`: in the state after the step."""

    position: int
    primed: bool = False


@dataclass(frozen=True)
class Count(ir.Expr):
    """How many of the operands hold."""

    operands: tuple[ir.Expr, ...]


@dataclass(frozen=True)
class Undefined(ir.Expr):
    """A read outside a numbered index: an error of the spec, if it is ever evaluated."""


class CellInfo(NamedTuple):
    """Which entry of which variable a cell is, and its values (None: an unbounded integer)."""

    variable: str
    keys: tuple[int, ...]
    type: ir.Type
    domain: tuple[ir.Value, ...] | None

    def __str__(self) -> str:
        return self.variable + (f"[{', '.join(map(str, self.keys))}]" if self.keys else "")


class Check(NamedTuple):
    """What must hold when an instance is taken, or the spec is in error at `line`."""

    condition: ir.Expr
    text: str
    line: int


class Instance(NamedTuple):
    """An action with its arguments filled in. `updates` gives changed cells their new values."""

    action: str
    arguments: tuple[ir.Value, ...]
    guards: tuple[ir.Expr, ...]
    updates: tuple[tuple[int, ir.Expr], ...]
    checks: tuple[Check, ...]

    def label(self, names: Callable[[ir.Type, ir.Value], str] | None = None) -> str:
        """The instance as text, `bind(0, 1)`."""
        return f"{self.action}({', '.join(map(str, self.arguments))})"


class Condition(NamedTuple):
    """A named rule, written out."""

    name: str
    condition: ir.Expr
    line: int


class Obligation(NamedTuple):
    """A leads-to for one tuple of its parameters."""

    name: str
    arguments: tuple[ir.Value, ...]
    cause: ir.Expr
    effect: ir.Expr


@dataclass(frozen=True)
class Grounded:
    """The whole spec at one scope."""

    module: ir.Module
    scope: ir.Scope
    cells: tuple[CellInfo, ...]
    initial: GroundState
    instances: tuple[Instance, ...]
    invariants: tuple[Condition, ...]
    witnesses: tuple[Condition, ...]
    step_rules: tuple[Condition, ...]
    obligations: tuple[Obligation, ...]

    def show(self, state: Sequence[ir.Value]) -> dict[str, Any]:
        """The state as a person reads it: {variable: value or {member: value}}."""
        result: dict[str, Any] = {}
        for cell, value in zip(self.cells, state, strict=True):
            shown = name_value(cell.type, value)
            if not cell.keys:
                result[cell.variable] = shown
            else:
                keys = self.module.variable(cell.variable).keys
                key = ", ".join(name_member(self.module.index(index), number)
                                for index, number in zip(keys, cell.keys, strict=True))
                result.setdefault(cell.variable, {})[key] = shown
        return result

    def show_arguments(self, instance: Instance) -> tuple[Any, ...]:
        """The arguments as a person reads them."""
        parameters = self.module.action(instance.action).parameters
        return tuple(name_value(each.type, value)
                     for each, value in zip(parameters, instance.arguments, strict=True))


def name_member(index: ir.Index, number: int) -> str:
    """The member of that number: `pod-0`, or `0` for a numbered index."""
    return str(number) if index.numbered else f"{index.name.lower()}-{number}"


def name_value(value_type: ir.Type, value: ir.Value) -> Any:
    """A value as a person reads it; members get names."""
    if isinstance(value_type, ir.MemberType) and value is not None:
        return f"{value_type.index.lower()}-{value}"
    return value


def ground(module: ir.Module, scope: ir.Scope) -> Grounded:
    """The spec at the scope. SpecError where a type has no finite domain but ranges."""
    return _Grounder(module, scope).result()


def ground_guards(module: ir.Module, scope: ir.Scope,
                  action: ir.Action) -> tuple[tuple[ir.Expr, ...], ...]:
    """For each guard and limit of an action, what it says for each tuple of arguments."""
    grounder = _Grounder(module, scope)
    environments = [env for _, env in grounder.bindings(action.parameters, {})]
    return tuple(tuple(grounder.on(guard, env) for env in environments)
                 for guard in (*action.guards, *action.limits))


# -------------------------------------------------------------------------------------- folding

TRUE = ir.Constant(ir.BOOL, 0, True)
FALSE = ir.Constant(ir.BOOL, 0, False)


def conjunction(parts: Sequence[ir.Expr]) -> ir.Expr:
    """The parts joined by and, folded."""
    return _boolean("and", parts)


def negation(operand: ir.Expr) -> ir.Expr:
    """The opposite, folded."""
    if isinstance(operand, ir.Constant):
        return FALSE if operand.value else TRUE
    if isinstance(operand, ir.Not):
        return operand.operand
    return ir.Not(ir.BOOL, operand.line, operand)


def _boolean(operator: str, parts: Sequence[ir.Expr]) -> ir.Expr:
    neutral = operator == "and"
    kept: list[ir.Expr] = []
    for part in parts:
        if isinstance(part, ir.Constant):
            if bool(part.value) is neutral:
                continue
            return FALSE if neutral else TRUE
        if isinstance(part, ir.Boolean) and part.operator == operator:
            kept.extend(part.operands)
        else:
            kept.append(part)
    if not kept:
        return TRUE if neutral else FALSE
    if len(kept) == 1:
        return kept[0]
    return ir.Boolean(ir.BOOL, kept[0].line, operator, tuple(kept))  # type: ignore[arg-type]  # and/or


_FOLD: dict[str, Callable[[Any, Any], ir.Value]] = {
    "==": lambda a, b: bool(a == b), "!=": lambda a, b: bool(a != b), "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b), ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b), "+": lambda a, b: a + b, "-": lambda a, b: a - b,
    "*": lambda a, b: a * b, "%": lambda a, b: a % b, "min": min, "max": max,
}


def compare(operator: str, left: ir.Expr, right: ir.Expr, line: int) -> ir.Expr:
    """A comparison, folded where both sides are known or the same."""
    if isinstance(left, ir.Constant) and isinstance(right, ir.Constant):
        return ir.Constant(ir.BOOL, line, _FOLD[operator](left.value, right.value))
    if isinstance(left, Cell) and left == right:
        return TRUE if operator in ("==", "<=", ">=") else FALSE
    if isinstance(left.type, ir.BoolType) and operator in ("==", "!="):
        for known, other in ((left, right), (right, left)):
            if isinstance(known, ir.Constant):
                return other if bool(known.value) is (operator == "==") else negation(other)
    return ir.Compare(ir.BOOL, line, operator, left, right)  # type: ignore[arg-type]  # a comparison


def arithmetic(operator: str, left: ir.Expr, right: ir.Expr, line: int) -> ir.Expr:
    """An integer operation, folded where both sides are known or one is neutral."""
    if isinstance(left, ir.Constant) and isinstance(right, ir.Constant):
        return ir.Constant(ir.INT, line, _FOLD[operator](left.value, right.value))
    if operator in "+-" and isinstance(right, ir.Constant) and right.value == 0:
        return left
    if operator == "+" and isinstance(left, ir.Constant) and left.value == 0:
        return right
    return ir.Arithmetic(ir.INT, line, operator, left, right)  # type: ignore[arg-type]  # + - * % min max


def conditional(test: ir.Expr, then: ir.Expr, otherwise: ir.Expr) -> ir.Expr:
    """`then if test else otherwise`, folded."""
    if isinstance(test, ir.Constant):
        return then if test.value else otherwise
    if then == otherwise:
        return then
    if isinstance(then.type, ir.BoolType) and isinstance(then, ir.Constant):
        rest = test if then.value else negation(test)
        return _boolean("or" if then.value else "and", (rest, otherwise))
    return ir.Conditional(then.type, test.line, test, then, otherwise)


def count(operands: Sequence[ir.Expr], line: int) -> ir.Expr:
    """How many hold, folded."""
    known = sum(bool(each.value) for each in operands if isinstance(each, ir.Constant))
    open_ones = tuple(each for each in operands if not isinstance(each, ir.Constant))
    base = ir.Constant(ir.INT, line, known)
    return arithmetic("+", Count(ir.INT, line, open_ones), base, line) if open_ones else base


# ------------------------------------------------------------------------------------ grounding

Env = dict[str, ir.Expr]


class _Grounder:
    def __init__(self, module: ir.Module, scope: ir.Scope) -> None:
        self.module = module
        self.scope = scope
        self.variables = {each.name: each for each in module.variables}
        self.sizes = scope.sizes
        self.cells: list[CellInfo] = []
        self.base: dict[str, int] = {}
        self.initial: list[ir.Value] = []
        self.primed: dict[int, ir.Expr] | None = None
        for variable in module.variables:
            self._add_cells(variable)
        self.by_type: dict[type[ir.Expr], Callable[[Any, Env], ir.Expr]] = {
            ir.Constant: lambda e, env: e, ir.Parameter: self._parameter, ir.Size: self._size,
            ir.Local: lambda e, env: env[e.name], ir.Read: self._read,
            ir.Not: lambda e, env: negation(self.on(e.operand, env)),
            ir.Boolean: self._junction,
            ir.Compare: lambda e, env: compare(e.operator, self.on(e.left, env),
                                               self.on(e.right, env), e.line),
            ir.Among: self._among,
            ir.Arithmetic: lambda e, env: arithmetic(e.operator, self.on(e.left, env),
                                                     self.on(e.right, env), e.line),
            ir.Conditional: self._conditional, ir.Quantifier: self._quantifier,
        }

    def _add_cells(self, variable: ir.Variable) -> None:
        try:
            values: tuple[ir.Value, ...] | None = ir.domain(variable.type, self.scope)
        except ir.SpecError:
            values = None
        self.base[variable.name] = len(self.cells)
        start = self.on_static(variable.initial)
        if values is not None and start not in values:
            raise ir.SpecError(f"{variable.name} starts at {start}, outside its values",
                               where=f"{self.module.file}:{variable.line}")
        for keys in product(*(range(self.sizes[name]) for name in variable.keys)):
            self.cells.append(CellInfo(variable.name, keys, variable.type, values))
            self.initial.append(start)

    def on_static(self, expression: ir.Expr) -> ir.Value:
        """The value of an expression over constants."""
        if isinstance(expression, ir.Constant):
            return expression.value
        return ir.evaluate_static(expression, self.scope)

    def on(self, expression: ir.Expr, env: Env) -> ir.Expr:
        """The expression with bound names replaced and maps read as cells."""
        return self.by_type[type(expression)](expression, env)

    def result(self) -> Grounded:
        module = self.module
        instances = [instance for action in module.actions for instance in self._instances(action)]
        return Grounded(
            module, self.scope, tuple(self.cells), tuple(self.initial), tuple(instances),
            tuple(Condition(each.name, self.on(each.condition, {}), each.line)
                  for each in module.invariants),
            tuple(Condition(each.name, self.on(each.condition, {}), each.line)
                  for each in module.witnesses),
            tuple(Condition(each.name, self.on(each.condition, {}), each.line)
                  for each in module.step_rules),
            tuple(Obligation(each.name, arguments, self.on(each.cause, env),
                             self.on(each.effect, env))
                  for each in module.leads_tos
                  for arguments, env in self.bindings(each.parameters, {})))

    def bindings(self, binders: Sequence[ir.Binder],
                  env: Env) -> Iterator[tuple[tuple[ir.Value, ...], Env]]:
        try:
            domains = [ir.domain(each.type, self.scope) for each in binders]
        except ir.SpecError as error:
            raise ir.SpecError(f"a parameter ranges over all integers: {error.what}",
                               where=self.module.file) from error
        for values in product(*domains):
            inner = dict(env)
            for binder, value in zip(binders, values, strict=True):
                inner[binder.name] = ir.Constant(binder.type, 0, value)
            yield values, inner

    # ------------------------------------------------------------------------------ expressions

    def _parameter(self, expression: ir.Parameter, env: Env) -> ir.Expr:
        return ir.Constant(ir.INT, expression.line, self.scope.constants[expression.name])

    def _size(self, expression: ir.Size, env: Env) -> ir.Expr:
        return ir.Constant(ir.INT, expression.line, self.sizes[expression.index])

    def _junction(self, expression: ir.Boolean, env: Env) -> ir.Expr:
        neutral = expression.operator == "and"
        parts: list[ir.Expr] = []
        for operand in expression.operands:
            part = self.on(operand, env)
            if isinstance(part, ir.Constant) and bool(part.value) is not neutral:
                return part if not parts else _boolean(expression.operator, (*parts, part))
            parts.append(part)
        return _boolean(expression.operator, parts)

    def _among(self, expression: ir.Among, env: Env) -> ir.Expr:
        operand = self.on(expression.operand, env)
        if isinstance(operand, ir.Constant):
            return TRUE if operand.value in expression.values else FALSE
        return ir.Among(ir.BOOL, expression.line, operand, expression.values)

    def _conditional(self, expression: ir.Conditional, env: Env) -> ir.Expr:
        test = self.on(expression.test, env)
        if isinstance(test, ir.Constant):
            return self.on(expression.then if test.value else expression.otherwise, env)
        return conditional(test, self.on(expression.then, env), self.on(expression.otherwise, env))

    def _read(self, expression: ir.Read, env: Env) -> ir.Expr:
        variable = self.variables[expression.variable]
        return self._entry(expression, variable, [self.on(each, env) for each in expression.keys],
                           self.base[variable.name], 0)

    def _entry(self, expression: ir.Read, variable: ir.Variable, keys: list[ir.Expr],
               offset: int, position: int) -> ir.Expr:
        """The cell at constant keys; a choice between cells where a key is computed."""
        if position == len(keys):
            return Cell(variable.type, expression.line, offset, expression.primed)
        size = self.sizes[variable.keys[position]]
        stride = 1
        for name in variable.keys[position + 1:]:
            stride *= self.sizes[name]
        key = keys[position]
        if isinstance(key, ir.Constant):
            if not isinstance(key.value, int) or not 0 <= key.value < size:
                return Undefined(variable.type, expression.line)
            return self._entry(expression, variable, keys, offset + key.value * stride,
                               position + 1)
        result: ir.Expr = Undefined(variable.type, expression.line)
        if within(key, self.cells, 0, size - 1):
            result = self._entry(expression, variable, keys, offset + (size - 1) * stride,
                                 position + 1)
            size -= 1
        for number in reversed(range(size)):
            test = compare("==", key, ir.Constant(key.type, expression.line, number),
                           expression.line)
            result = conditional(test, self._entry(expression, variable, keys,
                                                   offset + number * stride, position + 1), result)
        return result

    def _quantifier(self, expression: ir.Quantifier, env: Env) -> ir.Expr:
        bodies = []
        for _, inner in self.bindings(expression.binders, env):
            condition = TRUE if expression.condition is None else self.on(expression.condition,
                                                                          inner)
            if isinstance(condition, ir.Constant) and not condition.value:
                continue
            bodies.append((condition, self.on(expression.body, inner)))
        match expression.kind:
            case "all":
                return _boolean("and", [_boolean("or", (negation(condition), body))
                                        for condition, body in bodies])
            case "any":
                return _boolean("or", [_boolean("and", pair) for pair in bodies])
            case "count":
                return count([_boolean("and", pair) for pair in bodies], expression.line)
        return self._fold_integers(expression, bodies, env)

    def _fold_integers(self, expression: ir.Quantifier,
                       bodies: list[tuple[ir.Expr, ir.Expr]], env: Env) -> ir.Expr:
        line = expression.line
        if expression.kind == "sum":
            total: ir.Expr = ir.Constant(ir.INT, line, 0)
            for condition, body in bodies:
                part = conditional(condition, body, ir.Constant(ir.INT, line, 0))
                total = arithmetic("+", total, part, line)
            return total
        assert expression.default is not None
        # The default counts only where no member qualifies; so the best so far is carried along
        # with whether there is one.
        best, some = self.on(expression.default, env), cast(ir.Expr, FALSE)
        for condition, body in bodies:
            better = conditional(some, arithmetic(expression.kind, best, body, line), body)
            best = conditional(condition, better, best)
            some = _boolean("or", (some, condition))
        return best

    # ---------------------------------------------------------------------------------- actions

    def _instances(self, action: ir.Action) -> Iterator[Instance]:
        for arguments, env in self.bindings(action.parameters, {}):
            guards: list[ir.Expr] = []
            for guard in (*action.guards, *action.limits):
                part = self.on(guard, env)
                if isinstance(part, ir.Constant):
                    if part.value:
                        continue
                    break
                guards.append(part)
            else:
                yield self._instance(action, arguments, tuple(guards), env)

    def _instance(self, action: ir.Action, arguments: tuple[ir.Value, ...],
                  guards: tuple[ir.Expr, ...], env: Env) -> Instance:
        updates: dict[int, ir.Expr] = {}
        checks: list[Check] = []
        for update in action.updates:
            for _, inner in self.bindings(update.over, env):
                self._update(update, inner, updates, checks)
        for position, value in updates.items():
            check = self._domain_check(position, value)
            if check is not None:
                checks.append(check)
        return Instance(action.name, arguments, guards, tuple(sorted(updates.items(),
                        key=lambda item: item[0])), tuple(checks))

    def _update(self, update: ir.Update, env: Env, updates: dict[int, ir.Expr],
                checks: list[Check]) -> None:
        when = TRUE if update.condition is None else self.on(update.condition, env)
        if isinstance(when, ir.Constant) and not when.value:
            return
        value = self.on(update.value, env)
        variable = self.variables[update.variable]
        keys = [self.on(each, env) for each in update.keys]
        sizes = [self.sizes[name] for name in variable.keys]
        for key, size in zip(keys, sizes, strict=True):
            if not within(key, self.cells, 0, size - 1):
                inside = conjunction((
                    compare(">=", key, ir.Constant(ir.INT, update.line, 0), update.line),
                    compare("<", key, ir.Constant(ir.INT, update.line, size), update.line)))
                checks.append(Check(_boolean("or", (negation(when), inside)),
                                    f"a key of {variable.name} is outside 0..{size - 1}",
                                    update.line))
        for offset, chosen in enumerate(product(*map(range, sizes))):
            hit = conjunction((when, *(
                compare("==", key, ir.Constant(key.type, update.line, number), update.line)
                for key, number in zip(keys, chosen, strict=True))))
            if isinstance(hit, ir.Constant) and not hit.value:
                continue
            position = self.base[variable.name] + offset
            old = updates.get(position, Cell(variable.type, update.line, position))
            updates[position] = conditional(hit, value, old)

    def _domain_check(self, position: int, value: ir.Expr) -> Check | None:
        cell = self.cells[position]
        if not isinstance(cell.type, ir.IntType) or cell.domain is None:
            return None
        low, high = cell.domain[0], cell.domain[-1]
        if not isinstance(low, int) or not isinstance(high, int):
            return None
        if within(value, self.cells, low, high):
            return None
        line = value.line or 0
        inside = conjunction((compare(">=", value, ir.Constant(ir.INT, line, low), line),
                              compare("<=", value, ir.Constant(ir.INT, line, high), line)))
        return Check(inside, f"{cell.variable} leaves its values {low}..{high}", line)


def within(expression: ir.Expr, cells: Sequence[CellInfo], low: int, high: int) -> bool:
    """Whether the value is surely between the two, by interval arithmetic."""
    if not isinstance(expression.type, ir.IntType):
        return True
    found = _interval(expression, cells)
    return found is not None and low <= found[0] and found[1] <= high


def _interval(expression: ir.Expr, cells: Sequence[CellInfo]) -> tuple[int, int] | None:
    match expression:
        case ir.Constant(value=int(value)):
            return value, value
        case Cell(position=position):
            values = cells[position].domain
            if not values or not isinstance(values[0], int) or not isinstance(values[-1], int):
                return None
            return values[0], values[-1]
        case Count(operands=operands):
            return 0, len(operands)
        case ir.Conditional(then=then, otherwise=otherwise):
            a, b = _interval(then, cells), _interval(otherwise, cells)
            return None if a is None or b is None else (min(a[0], b[0]), max(a[1], b[1]))
        case ir.Arithmetic(operator=operator, left=left, right=right):
            a, b = _interval(left, cells), _interval(right, cells)
            if a is None or b is None:
                return None
            match operator:
                case "+":
                    return a[0] + b[0], a[1] + b[1]
                case "-":
                    return a[0] - b[1], a[1] - b[0]
                case "*":
                    ends = [x * y for x in a for y in b]
                    return min(ends), max(ends)
                case "%":
                    return (0, b[1] - 1) if b[0] > 0 else None
                case "min":
                    return min(a[0], b[0]), min(a[1], b[1])
                case "max":
                    return max(a[0], b[0]), max(a[1], b[1])
    return None


def after_step(rule: ir.Expr, instance: Instance) -> ir.Expr:
    """A step rule for one instance: primed cells become the values that it assigns."""
    new = dict(instance.updates)

    def replaced(cell: Cell) -> ir.Expr:
        if not cell.primed:
            return cell
        return new.get(cell.position) or Cell(cell.type, cell.line, cell.position)

    return substitute(rule, replaced)


def weakest(rule: ir.Expr, instance: Instance) -> ir.Expr:
    """What must hold before the instance is taken for `rule`, a state rule, to hold after it."""
    new = dict(instance.updates)
    return substitute(rule, lambda cell: new.get(cell.position, cell))


def substitute(expression: ir.Expr, new: Callable[[Cell], ir.Expr]) -> ir.Expr:
    """The expression with every cell replaced, folded again."""
    match expression:
        case Cell():
            return new(expression)
        case ir.Constant() | Undefined():
            return expression
        case ir.Not(operand=operand):
            return negation(substitute(operand, new))
        case ir.Boolean(operator=operator, operands=operands):
            return _boolean(operator, [substitute(each, new) for each in operands])
        case ir.Compare(operator=operator, left=left, right=right, line=line):
            return compare(operator, substitute(left, new), substitute(right, new), line)
        case ir.Among(operand=operand, values=values, line=line):
            inner = substitute(operand, new)
            if isinstance(inner, ir.Constant):
                return TRUE if inner.value in values else FALSE
            return ir.Among(ir.BOOL, line, inner, values)
        case ir.Arithmetic(operator=operator, left=left, right=right, line=line):
            return arithmetic(operator, substitute(left, new), substitute(right, new), line)
        case ir.Conditional(test=test, then=then, otherwise=otherwise):
            return conditional(substitute(test, new), substitute(then, new),
                               substitute(otherwise, new))
        case Count(operands=operands, line=line):
            return count([substitute(each, new) for each in operands], line)
    raise AssertionError(f"{type(expression).__name__} is no ground expression")
