"""Z3 at a finite scope: inductive proofs action by action, bounded checking, k-induction.

What is proved here is proved for the given scope (so many pods, so many nodes) and for ALL states
of it that satisfy the rules, reachable or not. Proofs for any number of members are in `smt_open`.

Truth values are Z3 booleans, integers are mathematical integers, words and members are short bit
vectors (only compared). A symmetric index set makes argument tuples that are permutations of each
other equivalent: one of each kind is checked, which is sound because no rule can tell them apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from model.kernel.spec import ir
from model.kernel.spec.ground import (
    TRUE,
    Cell,
    Count,
    Grounded,
    GroundState,
    Instance,
    Undefined,
    after_step,
    weakest,
)

Outcome = Literal["proved", "failed", "unknown"]


class Counterexample(NamedTuple):
    """A step from a state that satisfies all rules to one that breaks `broken`.

    `arguments` are as people read them; the states are values by cell.
    """

    action: str
    arguments: tuple[Any, ...]
    before: GroundState
    after: GroundState
    broken: tuple[str, ...]


class ActionProof(NamedTuple):
    """Whether an action preserves the rules. The initial state counts as the action `init`."""

    action: str
    outcome: Outcome
    counterexample: Counterexample | None
    cpu_seconds: float


class BoundedResult(NamedTuple):
    """What bounded checking found: the shortest failing run, if there is one up to `depth`.

    `outcome` is proved (no failing run of at most `depth` steps; with k-induction: none at all),
    failed or unknown.
    """

    outcome: Outcome
    depth: int
    rule: str
    labels: tuple[str, ...]
    states: tuple[GroundState, ...]
    cpu_seconds: float


class Encoder:
    """Ground expressions as Z3 terms over the constants of one state."""

    def __init__(self, grounded: Grounded) -> None:
        import z3

        self.z3: Any = z3
        self.grounded = grounded
        self.sizes = grounded.scope.sizes
        self.fresh = 0

    def state(self, tag: str) -> list[Any]:
        """Constants for every cell."""
        return [self._constant(cell.type, f"{cell}{tag}") for cell in self.grounded.cells]

    def _constant(self, value_type: ir.Type, name: str) -> Any:
        match value_type:
            case ir.BoolType():
                return self.z3.Bool(name)
            case ir.IntType():
                return self.z3.Int(name)
        return self.z3.BitVec(name, self._bits(value_type))

    def _bits(self, value_type: ir.Type) -> int:
        if isinstance(value_type, ir.EnumType):
            return max(1, (len(value_type.values) - 1).bit_length())
        assert isinstance(value_type, ir.MemberType)
        return max(1, self.sizes[value_type.index].bit_length())

    def domains(self, state: Sequence[Any]) -> list[Any]:
        """That every cell has a value of its type."""
        z3, facts = self.z3, []
        for cell, constant in zip(self.grounded.cells, state, strict=True):
            match cell.type:
                case ir.IntType() if cell.domain is not None:
                    facts += [constant >= cell.domain[0], constant <= cell.domain[-1]]
                case ir.EnumType(values=values):
                    facts.append(z3.ULE(constant, len(values) - 1))
                case ir.MemberType(index=index, optional=optional):
                    facts.append(z3.ULE(constant, self.sizes[index] - (not optional)))
        return facts

    def value(self, value_type: ir.Type, value: ir.Value) -> Any:
        """A literal."""
        match value_type:
            case ir.BoolType():
                return self.z3.BoolVal(value)
            case ir.IntType():
                return self.z3.IntVal(value)
            case ir.EnumType(values=values):
                number = values.index(str(value))
            case ir.MemberType(index=index):
                number = self.sizes[index] if value is None else int(value)
        return self.z3.BitVecVal(number, self._bits(value_type))

    def read(self, value_type: ir.Type, term: Any) -> ir.Value:
        """The value that a term of a model stands for."""
        match value_type:
            case ir.BoolType():
                return bool(self.z3.is_true(term))
            case ir.IntType():
                return int(term.as_long())
            case ir.EnumType(values=values):
                return values[min(int(term.as_long()), len(values) - 1)]
            case ir.MemberType(index=index):
                number = int(term.as_long())
                return None if number == self.sizes[index] else number

    def read_state(self, model: Any, state: Sequence[Any]) -> GroundState:
        """The state that a model gives."""
        return tuple(self.read(cell.type, model.eval(term, model_completion=True))
                     for cell, term in zip(self.grounded.cells, state, strict=True))

    def term(self, expression: ir.Expr, state: Sequence[Any]) -> Any:
        """The expression over the constants of a state."""
        z3 = self.z3
        match expression:
            case Cell(position=position):
                return state[position]
            case ir.Constant(value=value):
                return self.value(expression.type, value)
            case Count(operands=operands):
                return z3.Sum([z3.If(self.term(each, state), 1, 0) for each in operands])
            case Undefined():
                self.fresh += 1
                return self._constant(expression.type, f"undefined{self.fresh}")
            case ir.Not(operand=operand):
                return z3.Not(self.term(operand, state))
            case ir.Boolean(operator=operator, operands=operands):
                return (z3.And if operator == "and" else z3.Or)(
                    [self.term(each, state) for each in operands])
            case ir.Among(operand=operand, values=values):
                inner = self.term(operand, state)
                return z3.Or([inner == self.value(operand.type, each) for each in values])
            case ir.Compare(operator=operator, left=left, right=right):
                return self._compare(operator, left, right, state)
            case ir.Arithmetic(operator=operator, left=left, right=right):
                return integer_operation(z3, operator, self.term(left, state),
                                         self.term(right, state))
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                return z3.If(self.term(test, state), self.term(then, state),
                             self.term(otherwise, state))
        raise AssertionError(f"{type(expression).__name__} is no ground expression")

    def _compare(self, operator: str, left: ir.Expr, right: ir.Expr, state: Sequence[Any]) -> Any:
        z3 = self.z3
        if isinstance(left, Count) and isinstance(right, ir.Constant) \
                and isinstance(right.value, int):
            counted = self._cardinality(operator, left, right.value, state)
            if counted is not None:
                return counted
        a, b = self.term(left, state), self.term(right, state)
        if isinstance(left.type, ir.MemberType) and operator not in ("==", "!="):
            return {"<": z3.ULT, "<=": z3.ULE, ">": z3.UGT, ">=": z3.UGE}[operator](a, b)
        return comparison(operator, a, b)

    def _cardinality(self, operator: str, counted: Count, bound: int, state: Sequence[Any]) -> Any:
        """A count against a number as a cardinality constraint, which needs no arithmetic."""
        z3 = self.z3
        low, high = {"<": (None, bound - 1), "<=": (None, bound), ">": (bound + 1, None),
                     ">=": (bound, None), "==": (bound, bound)}.get(operator, (None, None))
        if low is None and high is None:
            return None
        operands = [self.term(each, state) for each in counted.operands]
        parts = []
        if high is not None:
            if high < 0:
                return z3.BoolVal(False)
            parts.append(z3.AtMost(*operands, high))
        if low is not None and low > 0:
            if low > len(operands):
                return z3.BoolVal(False)
            parts.append(z3.AtLeast(*operands, low))
        return z3.And(parts) if parts else z3.BoolVal(True)


def comparison(operator: str, left: Any, right: Any) -> Any:
    """A Z3 comparison by its symbol."""
    match operator:
        case "==":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
    return left >= right


def integer_operation(z3: Any, operator: str, left: Any, right: Any) -> Any:
    """A Z3 integer operation by its symbol."""
    match operator:
        case "+":
            return left + right
        case "-":
            return left - right
        case "*":
            return left * right
        case "%":
            return left % right
        case "min":
            return z3.If(left <= right, left, right)
    return z3.If(left >= right, left, right)


def representatives(grounded: Grounded) -> Iterator[Instance]:
    """Instances up to permutation of symmetric members: each argument of a symmetric set is at
    most one above those before it."""
    for instance in grounded.instances:
        highest: dict[str, int] = {}
        for binder, value in zip(grounded.module.action(instance.action).parameters,
                                 instance.arguments, strict=True):
            if isinstance(binder.type, ir.MemberType) and isinstance(value, int) \
                    and grounded.module.index(binder.type.index).symmetric:
                seen = highest.get(binder.type.index, -1)
                if value > seen + 1:
                    break
                highest[binder.type.index] = max(seen, value)
        else:
            yield instance


def prove_inductive(grounded: Grounded, *, timeout_ms: int = 10_000,
                    only: str | None = None) -> tuple[ActionProof, ...]:
    """Whether the initial state satisfies all invariants and lemmas, and every action (or `only`
    that one) preserves them, stays in its domains and keeps the step rules."""
    encoder = Encoder(grounded)
    z3 = encoder.z3
    state = encoder.state("")
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(encoder.domains(state))
    for rule in grounded.invariants:
        solver.add(encoder.term(rule.condition, state))
    proofs = [] if only is not None else [_initial(grounded)]
    by_action: dict[str, list[Instance]] = {each.name: [] for each in grounded.module.actions}
    for instance in representatives(grounded):
        by_action[instance.action].append(instance)
    for action, instances in by_action.items():
        if only is None or action == only:
            proofs.append(_action(encoder, solver, state, action, instances))
    return tuple(proofs)


def _initial(grounded: Grounded) -> ActionProof:
    from model.kernel.spec.interpret import Program

    began = time.process_time()
    program = Program(grounded)
    broken = tuple(rule.name for rule in grounded.invariants
                   if not program.predicate(rule.condition)(grounded.initial))
    found = Counterexample("init", (), grounded.initial, grounded.initial, broken)
    return ActionProof("init", "failed" if broken else "proved", found if broken else None,
                       time.process_time() - began)


def _obligations(grounded: Grounded, instance: Instance) -> list[tuple[str, ir.Expr]]:
    """What must hold in the state before the instance, by the name of the rule."""
    needed = []
    for rule in grounded.invariants:
        condition = weakest(rule.condition, instance)
        if condition != rule.condition:  # else assumed already
            needed.append((rule.name, condition))
    needed += [(rule.name, after_step(rule.condition, instance)) for rule in grounded.step_rules]
    needed += [(f"{check.text} (line {check.line})", check.condition)
               for check in instance.checks]
    return [(name, condition) for name, condition in needed if condition != TRUE]


def _action(encoder: Encoder, solver: Any, state: list[Any], action: str,
            instances: list[Instance]) -> ActionProof:
    z3, grounded = encoder.z3, encoder.grounded
    began, outcome = time.process_time(), "proved"
    for instance in instances:
        needed = _obligations(grounded, instance)
        if not needed:
            continue
        terms = [encoder.term(condition, state) for _, condition in needed]
        solver.push()
        solver.add([encoder.term(each, state) for each in instance.guards])
        solver.add(z3.Not(z3.And(terms)))
        answer = solver.check()
        model = solver.model() if answer == z3.sat else None
        solver.pop()
        if model is not None:
            broken = tuple(name for (name, _), term in zip(needed, terms, strict=True)
                           if z3.is_false(model.eval(term, model_completion=True)))
            after = [encoder.term(dict(instance.updates)[position], state)
                     if position in dict(instance.updates) else state[position]
                     for position in range(len(state))]
            return ActionProof(action, "failed", Counterexample(
                action, grounded.show_arguments(instance), encoder.read_state(model, state),
                encoder.read_state(model, after), broken), time.process_time() - began)
        if answer == z3.unknown:
            outcome = "unknown"
    return ActionProof(action, "unknown" if outcome == "unknown" else "proved", None,
                       time.process_time() - began)


# ------------------------------------------------------------------- bounded and k-induction


class _Unrolled:
    """States 0, 1, 2 … joined by the transition relation, added to a solver as they are needed."""

    def __init__(self, grounded: Grounded, timeout_ms: int) -> None:
        self.grounded = grounded
        self.encoder = Encoder(grounded)
        self.z3 = self.encoder.z3
        self.solver = self.z3.Solver()
        self.solver.set("timeout", timeout_ms)
        self.states: list[list[Any]] = []
        self.chosen: list[Any] = []
        self.extend()

    def extend(self) -> None:
        """Add one more state, and the step that leads to it."""
        z3, number = self.z3, len(self.states)
        state = self.encoder.state(f"@{number}")
        self.solver.add(self.encoder.domains(state))
        self.states.append(state)
        if number == 0:
            return
        old = self.states[-2]
        choice = z3.Int(f"step@{number}")
        self.chosen.append(choice)
        self.solver.add(choice >= 0, choice < len(self.grounded.instances))
        for position, instance in enumerate(self.grounded.instances):
            new = dict(instance.updates)
            facts = [self.encoder.term(each, old) for each in instance.guards]
            facts += [cell == (self.encoder.term(new[at], old) if at in new else old[at])
                      for at, cell in enumerate(state)]
            self.solver.add(z3.Implies(choice == position, z3.And(facts)))

    def rules(self, number: int) -> Any:
        """All invariants of the state with that number."""
        return self.z3.And([self.encoder.term(rule.condition, self.states[number])
                            for rule in self.grounded.invariants])

    def initial(self) -> Any:
        """That state 0 is the initial one."""
        return self.z3.And([
            term == self.encoder.value(cell.type, value) for term, cell, value
            in zip(self.states[0], self.grounded.cells, self.grounded.initial, strict=True)])

    def result(self, began: float) -> BoundedResult:
        """The run that the solver's model shows."""
        model = self.solver.model()
        states = tuple(self.encoder.read_state(model, each) for each in self.states)
        labels = []
        for choice in self.chosen:
            instance = self.grounded.instances[model.eval(choice, True).as_long()]
            shown = ", ".join(map(str, self.grounded.show_arguments(instance)))
            labels.append(f"{instance.action}({shown})")
        last = self.states[-1]
        broken = next((rule.name for rule in self.grounded.invariants if self.z3.is_false(
            model.eval(self.encoder.term(rule.condition, last), True))), "")
        return BoundedResult("failed", len(labels), broken, tuple(labels), states,
                             time.process_time() - began)


def check_bounded(grounded: Grounded, depth: int, *, timeout_ms: int = 60_000,
                  progress: Callable[[int], None] | None = None) -> BoundedResult:
    """Whether some run of at most `depth` steps breaks an invariant; the shortest if so.

    Only runs whose values stay in their domains are looked at; that they do is for the search and
    the induction to say.
    """
    began = time.process_time()
    unrolled = _Unrolled(grounded, timeout_ms)
    unrolled.solver.add(unrolled.initial())
    for number in range(depth + 1):
        if number:
            unrolled.extend()
        unrolled.solver.push()
        unrolled.solver.add(unrolled.z3.Not(unrolled.rules(number)))
        answer = unrolled.solver.check()
        if answer == unrolled.z3.sat:
            return unrolled.result(began)
        unrolled.solver.pop()
        if answer == unrolled.z3.unknown:
            return BoundedResult("unknown", number, "", (), (), time.process_time() - began)
        unrolled.solver.add(unrolled.rules(number))
        if progress is not None:
            progress(number)
    return BoundedResult("proved", depth, "", (), (), time.process_time() - began)


def prove_by_k_induction(grounded: Grounded, k: int, *,
                         timeout_ms: int = 60_000) -> BoundedResult:
    """Whether the invariants hold in all reachable states of the scope: no run of fewer than `k`
    steps breaks them, and no `k` good states in a row lead to a bad one."""
    began = time.process_time()
    base = check_bounded(grounded, k - 1, timeout_ms=timeout_ms)
    if base.outcome != "proved":
        return base
    unrolled = _Unrolled(grounded, timeout_ms)
    for number in range(k):
        unrolled.solver.add(unrolled.rules(number))
        unrolled.extend()
    unrolled.solver.add(unrolled.z3.Not(unrolled.rules(k)))
    answer = unrolled.solver.check()
    if answer == unrolled.z3.sat:
        return unrolled.result(began)._replace(outcome="unknown")
    outcome: Outcome = "proved" if answer == unrolled.z3.unsat else "unknown"
    return BoundedResult(outcome, k, "", (), (), time.process_time() - began)
