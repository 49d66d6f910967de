"""A spec made ready for packed search: constants bound, expressions folded, step rules rewritten.

In: a module (`model.kernel.spec.ir`) and a scope. Out: a `Program` whose expressions hold neither
constants of the spec nor sizes, and in which every step rule is a condition on the state before
the step, one for each action that could break it: a primed read is replaced by what the action
writes there, which is the weakest precondition of the assignment.

Values are integers here (`code`): booleans 0 and 1, a word its position, an integer itself, a
member its number, None the size of its index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.ir import Expr

TRUE = ir.Constant(ir.BOOL, 0, True)
FALSE = ir.Constant(ir.BOOL, 0, False)


class Unpackable(InputError):  # noqa: N818 - an answer (use another engine), not a mistake
    """The packed engines cannot hold this spec at this scope; the text says why."""


class StepCheck(NamedTuple):
    """The step rule `name` holds for a step of the action exactly when `condition` holds before."""

    name: str
    condition: Expr


class Rule(NamedTuple):
    """An action with bound constants; `guards` include the exploration limits."""

    name: str
    parameters: tuple[ir.Binder, ...]
    guards: tuple[Expr, ...]
    updates: tuple[ir.Update, ...]
    checks: tuple[StepCheck, ...]
    line: int


class Claim(NamedTuple):
    """An invariant or a witness by name."""

    name: str
    condition: Expr


class Program(NamedTuple):
    """What the packed engines search. Rules that can never fire are kept: coverage names them."""

    module: ir.Module
    scope: ir.Scope
    rules: tuple[Rule, ...]
    invariants: tuple[Claim, ...]
    witnesses: tuple[Claim, ...]


def span(value_type: ir.Type, scope: ir.Scope) -> tuple[int, int]:
    """Smallest and largest code of a type. Unpackable for an integer without bounds."""
    match value_type:
        case ir.BoolType():
            return 0, 1
        case ir.EnumType(values=values):
            return 0, len(values) - 1
        case ir.MemberType(index=index, optional=optional):
            return 0, scope.sizes[index] - (0 if optional else 1)
        case ir.IntType(index=str() as index, low=None):
            return 0, scope.sizes[index] - 1
        case ir.IntType(low=Expr() as low, high=Expr() as high):
            return ir.evaluate_static(low, scope), ir.evaluate_static(high, scope)
    raise Unpackable("it has an integer without bounds")


def code(value: ir.Value, value_type: ir.Type, scope: ir.Scope) -> int:
    """The code of a value of a type."""
    match value_type:
        case ir.EnumType(values=values):
            return values.index(str(value))
        case ir.MemberType(index=index):
            return scope.sizes[index] if value is None else int(value)
    if value is None or isinstance(value, str):
        raise Unpackable(f"the value {value!r} has no number")
    return int(value)


def decode(number: int, value_type: ir.Type, scope: ir.Scope) -> ir.Value:
    """The value that a code of a type stands for."""
    match value_type:
        case ir.BoolType():
            return bool(number)
        case ir.EnumType(values=values):
            return values[number]
        case ir.MemberType(index=index):
            return None if number == scope.sizes[index] else number
    return number


def rebuild(expression: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """The expression with `change` applied to each direct subexpression."""
    match expression:
        case ir.Read(keys=keys) if keys:
            return replace(expression, keys=tuple(map(change, keys)))
        case ir.Not(operand=operand) | ir.Among(operand=operand):
            return replace(expression, operand=change(operand))
        case ir.Boolean(operands=operands):
            return replace(expression, operands=tuple(map(change, operands)))
        case ir.Compare(left=left, right=right) | ir.Arithmetic(left=left, right=right):
            return replace(expression, left=change(left), right=change(right))
        case ir.Conditional(test=test, then=then, otherwise=otherwise):
            return replace(expression, test=change(test), then=change(then),
                           otherwise=change(otherwise))
        case ir.Quantifier(condition=condition, body=body, default=default):
            return replace(expression, body=change(body),
                           condition=None if condition is None else change(condition),
                           default=None if default is None else change(default))
    return expression


def substitute(expression: Expr, bindings: dict[str, Expr]) -> Expr:
    """Bound names replaced; names are unique within a spec, so nothing is captured."""
    if isinstance(expression, ir.Local):
        return bindings.get(expression.name, expression)
    return rebuild(expression, lambda part: substitute(part, bindings))


def conjunction(parts: Iterable[Expr]) -> Expr:
    """All of the parts, folded."""
    return _fold_boolean(ir.Boolean(ir.BOOL, 0, "and", tuple(parts)))


def fold(expression: Expr, scope: ir.Scope) -> Expr:
    """Bind constants and sizes and evaluate what is then known."""
    match expression:
        case ir.Parameter(name=name):
            return ir.Constant(ir.INT, expression.line, scope.constants[name])
        case ir.Size(index=index):
            return ir.Constant(ir.INT, expression.line, scope.sizes[index])
    return _simplify(rebuild(expression, lambda part: fold(part, scope)))


def _simplify(expression: Expr) -> Expr:
    match expression:
        case ir.Not(operand=ir.Constant(value=value)):
            return FALSE if value else TRUE
        case ir.Boolean():
            return _fold_boolean(expression)
        case ir.Compare():
            return _fold_compare(expression)
        case ir.Among(operand=ir.Constant(value=value), values=values):
            return TRUE if value in values else FALSE
        case ir.Arithmetic(operator=operator, left=ir.Constant(value=int() as left),
                           right=ir.Constant(value=int() as right)):
            if operator == "%" and right <= 0:
                return expression
            table = {"+": left + right, "-": left - right, "*": left * right,
                     "min": min(left, right), "max": max(left, right)}
            value = left % right if operator == "%" else table[operator]
            return ir.Constant(expression.type, expression.line, value)
        case ir.Conditional(test=ir.Constant(value=value), then=then, otherwise=otherwise):
            return then if value else otherwise
        case ir.Conditional(then=then, otherwise=otherwise) if then == otherwise:
            return then
        case ir.Quantifier(kind="all", body=ir.Constant(value=True)):
            return TRUE
        case ir.Quantifier(kind="any", body=ir.Constant(value=False)):
            return FALSE
        case ir.Quantifier(kind="count", body=ir.Constant(value=False)):
            return ir.Constant(ir.INT, expression.line, 0)
    return expression


def _fold_boolean(expression: ir.Boolean) -> Expr:
    neutral = expression.operator == "and"
    kept: list[Expr] = []
    for operand in expression.operands:
        if isinstance(operand, ir.Constant):
            if bool(operand.value) is not neutral:
                return FALSE if neutral else TRUE
        elif isinstance(operand, ir.Boolean) and operand.operator == expression.operator:
            kept.extend(part for part in operand.operands if part not in kept)
        elif operand not in kept:
            kept.append(operand)
    if not kept:
        return TRUE if neutral else FALSE
    return kept[0] if len(kept) == 1 else replace(expression, operands=tuple(kept))


_ORDERS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}


def compare(operator: str, left: int, right: int) -> bool:
    """The comparison of two codes."""
    return _ORDERS[operator](left, right)


def _fold_compare(expression: ir.Compare) -> Expr:
    left, right = expression.left, expression.right
    if left == right:
        return TRUE if expression.operator in ("==", "<=", ">=") else FALSE
    if isinstance(left, ir.Constant) and isinstance(right, ir.Constant):
        if expression.operator in ("==", "!="):
            return TRUE if (left.value == right.value) is (expression.operator == "==") else FALSE
        if isinstance(left.value, int) and isinstance(right.value, int):
            return TRUE if compare(expression.operator, left.value, right.value) else FALSE
    return expression


# --------------------------------------------------------------------------------- step rules


def _equal(left: Expr, right: Expr) -> Expr:
    return _fold_compare(ir.Compare(ir.BOOL, left.line, "==", left, right))


def _written(read: ir.Read, updates: tuple[ir.Update, ...], scope: ir.Scope) -> Expr:
    """What the action leaves at an entry, as an expression over the state before it."""
    result: Expr = replace(read, primed=False)
    for update in updates:
        if update.variable != read.variable:
            continue
        names = {binder.name for binder in update.over}
        bindings = {key.name: at for key, at in zip(update.keys, read.keys, strict=True)
                    if isinstance(key, ir.Local) and key.name in names}
        if set(bindings) != names:
            raise Unpackable(f"line {update.line}: a bulk update whose keys are not its own "
                             "bound names cannot be put into a step rule")
        tests = [_equal(at, substitute(key, bindings))
                 for key, at in zip(update.keys, read.keys, strict=True)]
        if update.condition is not None:
            tests.append(substitute(update.condition, bindings))
        value = substitute(update.value, bindings)
        result = fold(ir.Conditional(read.type, read.line, conjunction(tests), value, result),
                      scope)
    return result


def _before(expression: Expr, updates: tuple[ir.Update, ...], scope: ir.Scope) -> Expr:
    """The condition, true before the step exactly when `expression` is true of the step."""
    changed = rebuild(expression, lambda part: _before(part, updates, scope))
    if isinstance(changed, ir.Read) and changed.primed:
        return _written(changed, updates, scope)
    return _simplify(changed)


def _touched_entry(rule: Expr, updates: tuple[ir.Update, ...], scope: ir.Scope) -> Expr:
    """A rule about all members needs a look only at the member that the action writes.

    Holds when the rule is true of an entry that stays as it is, and the action writes the entries
    that the rule compares at one key only. Otherwise the rule comes back unchanged.
    """
    if not (isinstance(rule, ir.Quantifier) and rule.kind == "all" and len(rule.binders) == 1):
        return rule
    name = rule.binders[0].name
    body = rule.body if rule.condition is None else ir.Boolean(
        ir.BOOL, rule.line, "or", (_simplify(ir.Not(ir.BOOL, rule.line, rule.condition)),
                                   rule.body))
    primed = {part.variable: part for part in ir.walk(body)
              if isinstance(part, ir.Read) and part.primed}
    if _before(body, (), scope) != TRUE:
        return rule
    keys: list[Expr] = []
    for update in updates:
        read = primed.get(update.variable)
        if read is None:
            continue
        own = [at for at, key in enumerate(read.keys)
               if isinstance(key, ir.Local) and key.name == name]
        others = [part for part in ir.walk(body) if isinstance(part, ir.Read) and part.primed
                  and part.variable == update.variable and part.keys != read.keys]
        if len(own) != 1 or others or update.over:
            return rule
        if update.keys[own[0]] not in keys:
            keys.append(update.keys[own[0]])
    if len(keys) != 1:
        return rule
    return substitute(body, {name: keys[0]})


def _renamed(expression: Expr, names: dict[str, Expr]) -> Expr:
    """Bound names made different from those of every action: a rule is put into actions."""
    if isinstance(expression, ir.Local):
        return names.get(expression.name, expression)
    if isinstance(expression, ir.Quantifier):
        binders = []
        inner = dict(names)
        for binder in expression.binders:
            fresh = f"{binder.name}_of_rule"
            inner[binder.name] = ir.Local(binder.type, expression.line, fresh)
            binders.append(binder._replace(name=fresh))
        return rebuild(replace(expression, binders=tuple(binders)),
                       lambda part: _renamed(part, inner))
    return rebuild(expression, lambda part: _renamed(part, names))


def _checks(module: ir.Module, updates: tuple[ir.Update, ...],
            scope: ir.Scope) -> tuple[StepCheck, ...]:
    found = []
    for rule in module.step_rules:
        condition = _renamed(fold(rule.condition, scope), {})
        whole = _before(condition, updates, scope)
        if whole != TRUE:
            whole = _before(_touched_entry(condition, updates, scope), updates, scope)
        if whole != TRUE:
            found.append(StepCheck(rule.name, whole))
    return tuple(found)


# ------------------------------------------------------------------------------------ programs


def _lower_update(update: ir.Update, scope: ir.Scope) -> ir.Update | None:
    condition = None if update.condition is None else fold(update.condition, scope)
    if condition == FALSE:
        return None
    return update._replace(
        keys=tuple(fold(key, scope) for key in update.keys),
        value=fold(update.value, scope), condition=None if condition == TRUE else condition)


def _lower_action(module: ir.Module, action: ir.Action, scope: ir.Scope) -> Rule:
    guard = conjunction(fold(each, scope) for each in (*action.guards, *action.limits))
    guards = guard.operands if isinstance(guard, ir.Boolean) and guard.operator == "and" else (
        () if guard == TRUE else (guard,))
    lowered = (_lower_update(update, scope) for update in action.updates)
    updates = tuple(update for update in lowered if update is not None)
    return Rule(action.name, action.parameters, guards, updates,
                _checks(module, updates, scope), action.line)


def lower(module: ir.Module, scope: ir.Scope) -> Program:
    """The program of a spec at a scope. Unpackable where a step rule cannot be rewritten."""
    return Program(
        module, scope,
        tuple(_lower_action(module, action, scope) for action in module.actions),
        tuple(Claim(each.name, fold(each.condition, scope)) for each in module.invariants),
        tuple(Claim(each.name, fold(each.condition, scope)) for each in module.witnesses))
