"""Z3 for any number of members: index sets are uninterpreted sorts, counts are ghost counters.

A state is a function for each map. The state after an action is the same function with the updates
in front, so there are no frame axioms. A `count` or `sum` over one index set becomes a ghost
function of the other names in it. How an action moves the ghost follows from the updates:

- an update of single entries moves it by what those members contribute now, less what they
  contributed before; this is exact, because all other members contribute as before;
- after a bulk update, or an update of something that all contributions read, only an order is
  known: if no other member contributes more than before, the ghost grows by at most the part of the
  single entries; and the other way round.

Both are facts of finite sets, and so are the axioms on ghosts (never negative, one as soon as one
member contributes, two for two). So what is proved holds for every number of members. What is not
proved may still be true: a count then needs a lemma. A `min` or `max` is a ghost that is described
whole, before and after: no member is beyond it, and some member has it (or it is the default).
Counts over two index sets at once are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import combinations
from typing import Any, NamedTuple

from model.kernel.engines.smt import Outcome, comparison, integer_operation
from model.kernel.spec import ir

# Work that Z3 may spend on a question, by how many axioms are given (fewer first), and on a whole
# spec. Counted in Z3's own units, some two million a second, so that every run ends alike.
_WORK = (400_000, 1_200_000, 3_000_000, 3_000_000)
_WORK_ALL = 16_000_000


class RefusedError(Exception):
    """The spec cannot be put for any size; the text says why."""


class OpenProof(NamedTuple):
    """The outcome for any number of members. `unproved` names (action, rule) pairs that Z3 could
    not prove; `refused` says why nothing was tried. `sizes` and `fixed` say what is arbitrary (with
    the least value of constants) and what has the value of the scope."""

    outcome: Outcome
    unproved: tuple[tuple[str, str], ...]
    refused: str
    sizes: tuple[str, ...]
    fixed: tuple[str, ...]
    cpu_seconds: float


class Optional(NamedTuple):
    """A member or None, as two terms."""

    none: Any
    member: Any


Read = Callable[[str, tuple[Any, ...]], Any]
Env = dict[str, Any]


class Counter(NamedTuple):
    """A count or sum: its quantifier, and the free names that its ghost is a function of."""

    quantifier: ir.Quantifier
    parameters: tuple[ir.Local, ...]
    number: int


class State(NamedTuple):
    """How variables and ghosts are read in one state."""

    read: Read
    ghost: Callable[[Counter, tuple[Any, ...]], Any]


def prove_any_size(module: ir.Module, scope: ir.Scope, *, only: str | None = None) -> OpenProof:
    """Whether all invariants, lemmas and bounds are inductive, and all step rules kept, for any
    number of members."""
    began = time.process_time()
    sizes = tuple([f"any number of {each.name}" for each in module.indexes]
                  + [f"every {each.name} >= {each.least}" for each in module.constants
                     if each.least is not None])
    fixed = tuple(f"{each.name} = {scope.constants[each.name]}" for each in module.constants
                  if each.least is None)
    try:
        unproved = tuple(_Prover(module, scope).unproved(only))
    except RefusedError as reason:
        return OpenProof("unknown", (), str(reason), sizes, fixed, time.process_time() - began)
    return OpenProof("unknown" if unproved else "proved", unproved, "", sizes, fixed,
                     time.process_time() - began)


class _Question(NamedTuple):
    """Whether `goal` follows from `facts` (None for a step: in the initial state)."""

    action: str
    rule: str
    facts: Sequence[Any]
    goal: Any
    step: _Step | None


class _Prover:
    def __init__(self, module: ir.Module, scope: ir.Scope) -> None:
        import z3

        self.z3: Any = z3
        self.module, self.scope = module, scope
        self.variables = {each.name: each for each in module.variables}
        self.numbered = {each.name for each in module.indexes if each.numbered}
        self.sorts = {each.name: z3.IntSort() if each.numbered else z3.DeclareSort(each.name)
                      for each in module.indexes}
        self.sizes = {each.name: z3.Int(f"size of {each.name}") for each in module.indexes}
        self.constants = {
            each.name: z3.IntVal(scope.constants[each.name]) if each.least is None
            else z3.Int(each.name) for each in module.constants}
        self.fresh = 0
        self.spent = 0
        idle = z3.Solver()
        idle.check()
        self.began = self._units(idle)
        self.counters: dict[ir.Quantifier, Counter] = {}
        self.functions: dict[str, Any] = {}
        for variable in module.variables:
            self._declare(variable, "")
        self.before = State(self._read_before, self._ghost_before)
        self.after = self.before  # what primed reads mean; set while a step rule is put

    def _units(self, solver: Any) -> int:
        """The work that Z3 has done so far in this process."""
        return int(solver.statistics().get_key_value("rlimit count"))

    # ------------------------------------------------------------------------------ declarations

    def _sort(self, value_type: ir.Type) -> Any:
        match value_type:
            case ir.BoolType():
                return self.z3.BoolSort()
            case ir.IntType():
                return self.z3.IntSort()
            case ir.EnumType(values=values):
                return self.z3.BitVecSort(max(1, (len(values) - 1).bit_length()))
            case ir.MemberType(index=index):
                return self.sorts[index]

    def _declare(self, variable: ir.Variable, tag: str) -> None:
        keys = [self.sorts[name] for name in variable.keys]
        name = variable.name + tag
        self.functions[name] = self.z3.Function(name, *keys, self._sort(variable.type))
        if isinstance(variable.type, ir.MemberType) and variable.type.optional:
            self.functions[f"{name} is none"] = self.z3.Function(f"{name} is none", *keys,
                                                                 self.z3.BoolSort())

    def _read_before(self, name: str, keys: tuple[Any, ...]) -> Any:
        value = self.functions[name](*keys)
        none = self.functions.get(f"{name} is none")
        return value if none is None else Optional(none(*keys), value)

    def _const(self, value_type: ir.Type, name: str) -> Any:
        self.fresh += 1
        return self.z3.Const(f"{name}!{self.fresh}", self._sort(value_type))

    def _inside(self, value_type: ir.Type, term: Any) -> Any:
        """That a term is a value of the type."""
        z3 = self.z3
        match value_type:
            case ir.IntType(index=str(index)):
                return z3.And(term >= 0, term < self.sizes[index])
            case ir.IntType(low=ir.Expr() as low, high=ir.Expr() as high):
                return z3.And(term >= self.term(low, {}, self.before),
                              term <= self.term(high, {}, self.before))
            case ir.EnumType(values=values):
                return z3.ULE(term, len(values) - 1)
            case ir.MemberType(optional=True) if isinstance(term, Optional):
                return z3.BoolVal(True)
        return z3.BoolVal(True)

    # ------------------------------------------------------------------------------- expressions

    def term(self, expression: ir.Expr, env: Env, state: State) -> Any:
        """The expression as a Z3 term."""
        z3 = self.z3
        match expression:
            case ir.Constant(value=value):
                return self._literal(expression.type, value)
            case ir.Parameter(name=name):
                return self.constants[name]
            case ir.Size(index=index):
                return self.sizes[index]
            case ir.Local(name=name):
                return env[name]
            case ir.Read(variable=variable, keys=keys, primed=primed):
                values = tuple(self.term(each, env, state) for each in keys)
                return (self.after if primed else state).read(variable, values)
            case ir.Not(operand=operand):
                return z3.Not(self.term(operand, env, state))
            case ir.Boolean(operator=operator, operands=operands):
                return (z3.And if operator == "and" else z3.Or)(
                    [self.term(each, env, state) for each in operands])
            case ir.Compare(operator="==" | "!=" as operator, left=left, right=right):
                same = self._same(self.term(left, env, state), self.term(right, env, state))
                return same if operator == "==" else z3.Not(same)
            case ir.Compare(operator=operator, left=left, right=right):
                if isinstance(left.type, ir.MemberType):
                    raise RefusedError(f"line {expression.line} orders members of "
                                       f"{left.type.index}")
                return comparison(operator, self.term(left, env, state),
                                  self.term(right, env, state))
            case ir.Among(operand=operand, values=values):
                inner = self.term(operand, env, state)
                return z3.Or([self._same(inner, self._literal(operand.type, each))
                              for each in values])
            case ir.Arithmetic(operator=operator, left=left, right=right):
                return integer_operation(z3, operator, self.term(left, env, state),
                                         self.term(right, env, state))
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                return self._choice(self.term(test, env, state), self.term(then, env, state),
                                    self.term(otherwise, env, state))
            case ir.Quantifier():
                return self._quantifier(expression, env, state)
        raise AssertionError(f"no term for {type(expression).__name__}")

    def _literal(self, value_type: ir.Type, value: ir.Value) -> Any:
        match value_type:
            case ir.BoolType():
                return self.z3.BoolVal(value)
            case ir.IntType():
                return self.z3.IntVal(value)
            case ir.EnumType(values=values):
                return self.z3.BitVecVal(values.index(str(value)), self._sort(value_type))
            case ir.MemberType(index=index):
                return Optional(self.z3.BoolVal(True), self.z3.Const(f"no {index}",
                                                                     self.sorts[index]))

    def _same(self, left: Any, right: Any) -> Any:
        z3 = self.z3
        if not isinstance(left, Optional) and not isinstance(right, Optional):
            return left == right
        a, b = self._lifted(left), self._lifted(right)
        return z3.Or(z3.And(a.none, b.none),
                     z3.And(z3.Not(a.none), z3.Not(b.none), a.member == b.member))

    def _lifted(self, value: Any) -> Optional:
        return value if isinstance(value, Optional) else Optional(self.z3.BoolVal(False), value)

    def _choice(self, test: Any, then: Any, otherwise: Any) -> Any:
        if isinstance(then, Optional) or isinstance(otherwise, Optional):
            a, b = self._lifted(then), self._lifted(otherwise)
            return Optional(self.z3.If(test, a.none, b.none), self.z3.If(test, a.member, b.member))
        return self.z3.If(test, then, otherwise)

    def _bound(self, binders: Sequence[ir.Binder], env: Env) -> tuple[Env, list[Any], list[Any]]:
        """The context inside binders, their constants, and the ranges of those that have one."""
        inner, constants, ranges = dict(env), [], []
        for binder in binders:
            constant = self._const(binder.type, binder.name)
            inner[binder.name] = constant
            constants.append(constant)
            if isinstance(binder.type, (ir.IntType, ir.EnumType)):
                ranges.append(self._inside(binder.type, constant))
        return inner, constants, ranges

    def _quantifier(self, expression: ir.Quantifier, env: Env, state: State) -> Any:
        z3 = self.z3
        if expression.kind in ("all", "any"):
            inner, constants, given = self._bound(expression.binders, env)
            if expression.condition is not None:
                given.append(self.term(expression.condition, inner, state))
            body = self.term(expression.body, inner, state)
            if expression.kind == "all":
                return z3.ForAll(constants, z3.Implies(z3.And(given), body) if given else body)
            return z3.Exists(constants, z3.And([*given, body]))
        if len(expression.binders) != 1:
            raise RefusedError(f"line {expression.line} counts over two index sets at once")
        reads = [part for part in ir.walk(expression) if isinstance(part, ir.Read)]
        if any(read.primed for read in reads):
            if not all(read.primed for read in reads):
                raise RefusedError(f"line {expression.line} counts over two states at once")
            expression, state = _unprimed(expression), self.after
        counter, arguments = self._counter(expression, env)
        return state.ghost(counter, arguments)

    def _counter(self, expression: ir.Quantifier, env: Env) -> tuple[Counter, tuple[Any, ...]]:
        """The ghost for a quantifier (the same up to names of free locals), and its arguments."""
        bound = expression.binders[0].name
        free: dict[str, ir.Local] = {}
        inner = {bound}
        for part in ir.walk(expression):
            if isinstance(part, ir.Quantifier) and part is not expression:
                if part.kind not in ("all", "any"):
                    raise RefusedError(f"line {expression.line} counts by a count")
                inner.update(binder.name for binder in part.binders)
            if isinstance(part, ir.Local) and part.name not in inner:
                free.setdefault(part.name, part)
        names = {name: f"free{position}" for position, name in enumerate(free)}
        canonical = _renamed(expression, {**names, bound: "member"})
        assert isinstance(canonical, ir.Quantifier)
        counter = self.counters.get(canonical)
        if counter is None:
            parameters = tuple(ir.Local(each.type, each.line, names[each.name])
                               for each in free.values())
            counter = Counter(canonical, parameters, len(self.counters))
            self.counters[canonical] = counter
        return counter, tuple(env[name] for name in free)

    def _ghost_before(self, counter: Counter, arguments: tuple[Any, ...]) -> Any:
        name = f"ghost{counter.number}"
        if name not in self.functions:
            sorts = [self._sort(each.type) for each in counter.parameters]
            self.functions[name] = self.z3.Function(name, *sorts, self.z3.IntSort())
        return self.functions[name](*arguments)

    def candidate(self, counter: Counter, member: Any, arguments: Sequence[Any],
                   state: State) -> tuple[Any, Any, Any]:
        """Of a `min` or `max`: whether a member takes part, its value, and the default."""
        quantifier = counter.quantifier
        env = {each.name: value for each, value in zip(counter.parameters, arguments, strict=True)}
        inner = {**env, "member": member}
        given = [self._inside(quantifier.binders[0].type, member)]
        if quantifier.condition is not None:
            given.append(self.term(quantifier.condition, inner, state))
        assert quantifier.default is not None
        return (self.z3.And(given), self.term(quantifier.body, inner, state),
                self.term(quantifier.default, env, state))

    def alike(self, counter: Counter, member: Any, arguments: Sequence[Any],
              state: State) -> Any:
        """That a member takes part in a `min` or `max` as it did before."""
        z3 = self.z3
        old = self.candidate(counter, member, arguments, self.before)
        new = self.candidate(counter, member, arguments, state)
        return z3.And(old[0] == new[0], z3.Implies(old[0], old[1] == new[1]), old[2] == new[2])

    def extreme(self, counter: Counter, arguments: Sequence[Any], state: State) -> Any:
        """What a `min` or `max` is: the value of some member, or the default; none is beyond."""
        z3 = self.z3
        member = self._const(counter.quantifier.binders[0].type, "member")
        among, body, default = self.candidate(counter, member, arguments, state)
        total = state.ghost(counter, tuple(arguments))
        order = "<=" if counter.quantifier.kind == "max" else ">="
        return z3.And(
            z3.ForAll([member], z3.Implies(among, comparison(order, body, total))),
            z3.Or(z3.Exists([member], z3.And(among, body == total)),
                  z3.And(z3.ForAll([member], z3.Not(among)),
                         total == default)))

    def contribution(self, counter: Counter, member: Any, arguments: Sequence[Any],
                     state: State) -> Any:
        """What one member adds to a ghost."""
        z3, quantifier = self.z3, counter.quantifier
        env = {each.name: value for each, value in zip(counter.parameters, arguments, strict=True)}
        env["member"] = member
        member_type = quantifier.binders[0].type
        parts = [] if isinstance(member_type, ir.MemberType) else [
            self._inside(member_type, member)]
        if quantifier.condition is not None:
            parts.append(self.term(quantifier.condition, env, state))
        body = self.term(quantifier.body, env, state)
        if quantifier.kind == "count":
            parts.append(body)
            body = z3.IntVal(1)
        return z3.If(z3.And(parts), body, 0) if parts else body

    # ------------------------------------------------------------------------------------- steps

    def unproved(self, only: str | None) -> Iterator[tuple[str, str]]:
        """The (action, rule) pairs that cannot be proved, the initial state among them."""
        goals = [(each.name, self._condition(each.condition)) for each in self.module.invariants]
        for _, goal in goals:
            goal(self.before)  # meets every counter, so that its axioms are there
        questions: list[_Question] = []
        if only is None:
            initial = _Initial(self)
            questions += [_Question("init", name, initial.facts(), goal(initial.state), None)
                          for name, goal in goals]
        for action in self.module.actions:
            if only is None or action.name == only:
                questions += self._action(action, goals)
        counted = any(each.quantifier.kind in ("count", "sum") for each in self.counters.values())
        # The easy ones first, so that no hard one uses up their work; more axioms only for counts.
        for level, work in enumerate(_WORK if counted else _WORK[:2]):
            questions = [each for each in questions if not self._proved(each, level, work)]
        for each in questions:
            yield each.action, each.rule

    def _condition(self, condition: ir.Expr) -> Callable[[State], Any]:
        return lambda state: self.term(condition, {}, state)

    def _action(self, action: ir.Action,
                goals: Sequence[tuple[str, Callable[[State], Any]]]) -> Iterator[_Question]:
        env: Env = {}
        facts = []
        for binder in action.parameters:
            env[binder.name] = self._const(binder.type, binder.name)
            facts.append(self._inside(binder.type, env[binder.name]))
        step = _Step(self, action, env)
        facts += [self.term(each, env, self.before) for each in (*action.guards, *action.limits)]
        facts += [goal(self.before) for _, goal in goals]
        facts += self._domains()
        written = {update.variable for update in action.updates}
        for (name, goal), invariant in zip(goals, self.module.invariants, strict=True):
            read = {part.variable for part in ir.walk(invariant.condition)
                    if isinstance(part, ir.Read)}
            if read & written:
                yield _Question(action.name, name, facts, goal(step.state), step)
        self.after = step.state
        for rule in self.module.step_rules:
            yield _Question(action.name, rule.name, facts,
                            self.term(rule.condition, {}, self.before), step)
        self.after = self.before
        for text, condition in step.checks():
            yield _Question(action.name, text, facts, condition, step)

    def _domains(self) -> list[Any]:
        """That all entries have values of their types, before the step."""
        facts = [size >= 1 for size in self.sizes.values()]
        facts += [self.constants[each.name] >= each.least for each in self.module.constants
                  if each.least is not None]
        for variable in self.module.variables:
            if not isinstance(variable.type, (ir.IntType, ir.EnumType)):
                continue
            binders = [ir.Binder("key", self._member_type(name)) for name in variable.keys]
            _, constants, ranges = self._bound(binders, {})
            inside = self._inside(variable.type, self._read_before(variable.name,
                                                                   tuple(constants)))
            if constants:
                inside = self.z3.ForAll(constants, self.z3.Implies(self.z3.And(ranges), inside)
                                        if ranges else inside)
            facts.append(inside)
        return facts

    def _member_type(self, name: str) -> ir.Type:
        return ir.IntType(index=name) if name in self.numbered else ir.MemberType(name)

    def _proved(self, question: _Question, level: int, work: int) -> bool:
        if self.spent > _WORK_ALL:
            return False
        solver = self.z3.Solver()
        solver.set("rlimit", work)
        solver.set("mbqi", False)  # looks for models, and here only refutations count
        solver.add(*question.facts)
        solver.add(self.z3.Not(question.goal))
        for axiom in self._axioms(level, question.step):
            solver.add(axiom)
        answer = solver.check()
        self.spent += self._units(solver) - self.began
        self.began = self._units(solver)
        return bool(answer == self.z3.unsat)

    def _axioms(self, level: int, step: _Step | None) -> Iterator[Any]:
        z3 = self.z3
        states = [self.before] + ([step.state] if step is not None and level > 1 else [])
        for counter in list(self.counters.values()):
            arguments = tuple(self._const(each.type, each.name) for each in counter.parameters)
            member_type = counter.quantifier.binders[0].type
            if counter.quantifier.kind in ("min", "max"):
                if step is not None:
                    yield from step.orders(counter, arguments)
                for state in [self.before] + ([step.state] if step is not None else []):
                    yield self._for_all(arguments, self.extreme(counter, arguments, state))
                continue
            a, b = (self._const(member_type, "member") for _ in range(2))
            if step is not None:
                yield from step.orders(counter, arguments)
            for state in states:
                total = state.ghost(counter, arguments)
                if counter.quantifier.kind == "count":
                    yield self._for_all(arguments, total >= 0)
                if level == 0:
                    continue
                first = self.contribution(counter, a, arguments, state)
                second = self.contribution(counter, b, arguments, state)
                if counter.quantifier.kind == "count":
                    yield self._for_all((*arguments, a), z3.Implies(first == 1, total >= 1))
                    yield self._for_all(arguments, z3.Implies(
                        total >= 1, z3.Exists([a], z3.And(first == 1, self._inside(member_type,
                                                                                   a)))))
                    yield self._for_all((*arguments, a, b), z3.Implies(
                        z3.And(first == 1, second == 1, a != b), total >= 2))
                if level > 1:
                    yield from self._relations(counter, arguments, a, state,
                                               unions=level > 2)

    def _relations(self, counter: Counter, arguments: tuple[Any, ...], member: Any,
                   state: State, unions: bool) -> Iterator[Any]:
        """A count whose members all count in another is no larger than that; with `unions`, if
        they count in one of two others, no larger than the two together."""
        z3 = self.z3
        kinds = [each.type for each in counter.parameters]
        mine = self.contribution(counter, member, arguments, state)
        others = []
        for other in self.counters.values():
            wanted = [each.type for each in other.parameters]
            if other.number != counter.number and other.quantifier.kind not in ("min", "max") \
                    and other.quantifier.binders[0].type == counter.quantifier.binders[0].type \
                    and wanted in (kinds, []):
                theirs = arguments if wanted else ()
                others.append((self.contribution(other, member, theirs, state),
                               state.ghost(other, theirs)))
        bounds = [(a[0] + b[0], a[1] + b[1]) for a, b in combinations(others, 2)] \
            if unions else others
        for share, total in bounds:
            yield self._for_all(arguments, z3.Implies(
                z3.ForAll([member], mine <= share), state.ghost(counter, arguments) <= total))

    def _for_all(self, constants: Sequence[Any], body: Any) -> Any:
        return self.z3.ForAll(list(constants), body) if constants else body


class _Initial:
    """The initial state: every entry alike, ghosts known where nobody contributes."""

    def __init__(self, prover: _Prover) -> None:
        self.prover = prover
        self.state = State(self._read, self._ghost)

    def _read(self, name: str, keys: tuple[Any, ...]) -> Any:
        prover = self.prover
        return prover.term(prover.variables[name].initial, {}, prover.before)

    def _ghost(self, counter: Counter, arguments: tuple[Any, ...]) -> Any:
        sorts = [self.prover._sort(each.type) for each in counter.parameters]
        return self.prover.z3.Function(f"ghost{counter.number} at first", *sorts,
                                       self.prover.z3.IntSort())(*arguments)

    def facts(self) -> list[Any]:
        """What is known of ghosts and constants at first."""
        prover, z3 = self.prover, self.prover.z3
        facts = [size >= 1 for size in prover.sizes.values()]
        facts += [prover.constants[each.name] >= each.least for each in prover.module.constants
                  if each.least is not None]
        for counter in list(prover.counters.values()):
            arguments = tuple(prover._const(each.type, each.name) for each in counter.parameters)
            if counter.quantifier.kind in ("min", "max"):
                facts.append(prover._for_all(arguments, prover.extreme(counter, arguments,
                                                                       self.state)))
                continue
            binder = counter.quantifier.binders[0]
            member = prover._const(binder.type, "member")
            share = prover.contribution(counter, member, arguments, self.state)
            total = self._ghost(counter, arguments)
            facts.append(prover._for_all(arguments, z3.Implies(
                z3.ForAll([member], share == 0), total == 0)))
            size = prover.sizes[_index_of(binder.type)]
            facts.append(prover._for_all(arguments, z3.Implies(
                z3.ForAll([member], share == 1), total == size)))
        return facts


class _Step:
    """The state after one action, as a function of the state before it."""

    def __init__(self, prover: _Prover, action: ir.Action, env: Env) -> None:
        self.prover, self.action, self.env = prover, action, env
        self.state = State(self._read, self._ghost)
        self.by_variable: dict[str, list[ir.Update]] = {}
        for update in action.updates:
            self.by_variable.setdefault(update.variable, []).append(update)

    def _read(self, name: str, keys: tuple[Any, ...]) -> Any:
        prover, z3 = self.prover, self.prover.z3
        value = prover.before.read(name, keys)
        for update in self.by_variable.get(name, ()):
            env = dict(self.env)
            over = {binder.name for binder in update.over}
            hit = []
            for wanted, key in zip(update.keys, keys, strict=True):
                if isinstance(wanted, ir.Local) and wanted.name in over:
                    env[wanted.name] = key
            for wanted, key in zip(update.keys, keys, strict=True):
                if not (isinstance(wanted, ir.Local) and wanted.name in over):
                    hit.append(prover.term(wanted, env, prover.before) == key)
            if update.condition is not None:
                hit.append(prover.term(update.condition, env, prover.before))
            new = prover.term(update.value, env, prover.before)
            value = new if not hit else prover._choice(z3.And(hit), new, value)
        return value

    def checks(self) -> Iterator[tuple[str, Any]]:
        """That assigned integers and keys are in range, by a text for each."""
        prover, z3 = self.prover, self.prover.z3
        for update in self.action.updates:
            variable = prover.variables[update.variable]
            env, constants, given = prover._bound(update.over, self.env)
            if update.condition is not None:
                given = [*given, prover.term(update.condition, env, prover.before)]
            wanted = []
            if isinstance(variable.type, ir.IntType) and variable.type.low is not None:
                wanted.append((f"{variable.name} leaves its values (line {update.line})",
                               prover._inside(variable.type, prover.term(update.value, env,
                                                                         prover.before))))
            for key, name in zip(update.keys, variable.keys, strict=True):
                if name in prover.numbered:
                    wanted.append((f"a key of {variable.name} is out of range "
                                   f"(line {update.line})",
                                   prover._inside(ir.IntType(index=name), prover.term(
                                       key, env, prover.before))))
            for text, condition in wanted:
                whole = z3.Implies(z3.And(given), condition) if given else condition
                yield text, prover._for_all(constants, whole)

    def _touched(self, counter: Counter, arguments: tuple[Any, ...]) -> tuple[list[Any], bool]:
        """The members whose contribution single updates may change, and whether that of others
        may change too (bulk updates, or something that every contribution reads)."""
        prover = self.prover
        members: list[Any] = []
        others = False
        for part in ir.walk(counter.quantifier):
            if not isinstance(part, ir.Read) or part.variable not in self.by_variable:
                continue
            positions = [at for at, key in enumerate(part.keys)
                         if isinstance(key, ir.Local) and key.name == "member"]
            for update in self.by_variable[part.variable]:
                over = {binder.name for binder in update.over}
                keys = [update.keys[at] for at in positions]
                single = [key for key in keys
                          if not (isinstance(key, ir.Local) and key.name in over)]
                if not single:
                    others = True
                else:
                    member = prover.term(single[0], self.env, prover.before)
                    if not any(member.eq(each) for each in members):
                        members.append(member)
        return members, others

    def _moved(self, counter: Counter, arguments: tuple[Any, ...], members: list[Any]) -> Any:
        """By how much single updates move the ghost."""
        prover, z3 = self.prover, self.prover.z3
        total: Any = z3.IntVal(0)
        for position, member in enumerate(members):
            change = prover.contribution(counter, member, arguments, self.state) \
                - prover.contribution(counter, member, arguments, prover.before)
            new = [member != each for each in members[:position]]
            total = total + (z3.If(z3.And(new), change, 0) if new else change)
        return total

    def _ghost(self, counter: Counter, arguments: tuple[Any, ...]) -> Any:
        prover = self.prover
        members, others = self._touched(counter, arguments)
        if others or (members and counter.quantifier.kind in ("min", "max")):
            sorts = [prover._sort(each.type) for each in counter.parameters]
            return prover.z3.Function(f"ghost{counter.number} after", *sorts,
                                      prover.z3.IntSort())(*arguments)
        before = prover.before.ghost(counter, arguments)
        return before + self._moved(counter, arguments, members) if members else before

    def _unmoved(self, counter: Counter, arguments: tuple[Any, ...], members: list[Any],
                 others: bool) -> Iterator[Any]:
        """A `min` or `max` stays when all that it ranges over stays. This follows from what it is,
        but Z3 finds it only when told."""
        prover, z3 = self.prover, self.prover.z3
        if not members and not others:
            return
        anyone = prover._const(counter.quantifier.binders[0].type, "member")
        alike = [prover.alike(counter, each, arguments, self.state)
                 for each in ([anyone] if others else members)]
        same = z3.ForAll([anyone], alike[0]) if others else z3.And(alike)
        after = self._ghost(counter, arguments)
        yield prover._for_all(arguments, z3.Implies(
            same, after == prover.before.ghost(counter, arguments)))
        order = "<=" if counter.quantifier.kind == "max" else ">="
        for each in members:
            among, body, _ = prover.candidate(counter, each, arguments, self.state)
            yield prover._for_all(arguments, z3.Implies(among, comparison(order, body, after)))
        if not others:
            yield prover._for_all(arguments, self._attained(counter, arguments, members))

    def _attained(self, counter: Counter, arguments: tuple[Any, ...], members: list[Any]) -> Any:
        """A `min` or `max` moves only to a member that was written, or because such a one had it,
        or because the default moves."""
        prover, z3 = self.prover, self.prover.z3
        before, after = prover.before.ghost(counter, arguments), self._ghost(counter, arguments)
        cases = [after == before]
        for member in members:
            old = prover.candidate(counter, member, arguments, prover.before)
            new = prover.candidate(counter, member, arguments, self.state)
            cases += [z3.And(new[0], after == new[1]), z3.And(old[0], before == old[1]),
                      old[2] != new[2]]
        return z3.Or(cases)

    def orders(self, counter: Counter, arguments: tuple[Any, ...]) -> Iterator[Any]:
        """What is known of a ghost after updates that may touch every member."""
        prover, z3 = self.prover, self.prover.z3
        members, others = self._touched(counter, arguments)
        if counter.quantifier.kind in ("min", "max"):
            yield from self._unmoved(counter, arguments, members, others)
            return
        if not others:
            return
        moved = prover.before.ghost(counter, arguments) + self._moved(counter, arguments, members)
        after = self._ghost(counter, arguments)
        member = prover._const(counter.quantifier.binders[0].type, "member")
        new = prover.contribution(counter, member, arguments, self.state)
        old = prover.contribution(counter, member, arguments, prover.before)
        untouched = [member != each for each in members]
        for order in ("<=", ">="):
            alike = comparison(order, new, old)
            everyone = z3.ForAll([member], z3.Implies(z3.And(untouched), alike)
                                 if untouched else alike)
            yield prover._for_all(arguments, z3.Implies(everyone, comparison(order, after, moved)))


def _index_of(value_type: ir.Type) -> str:
    assert isinstance(value_type, (ir.MemberType, ir.IntType))
    assert value_type.index is not None
    return value_type.index


def _unprimed(expression: ir.Quantifier) -> ir.Quantifier:
    """The same of one state."""
    def plain(part: ir.Expr) -> ir.Expr:
        return replace(part, primed=False) if isinstance(part, ir.Read) else part

    result = _mapped(expression, plain)
    assert isinstance(result, ir.Quantifier)
    return result


def _mapped(part: Any, change: Callable[[ir.Expr], ir.Expr]) -> Any:
    """The expression with every part changed, innermost first; binders as they are."""
    if isinstance(part, tuple) and not isinstance(part, ir.Binder):
        return tuple(_mapped(each, change) for each in part)
    if not isinstance(part, ir.Expr):
        return part
    return change(replace(part, **{
        each.name: _mapped(getattr(part, each.name), change) for each in fields(part)
        if each.name not in ("type", "line")}))


def _renamed(expression: Any, names: dict[str, str]) -> Any:
    """The expression with bound and free names replaced."""
    if isinstance(expression, ir.Local):
        return replace(expression, name=names.get(expression.name, expression.name))
    if isinstance(expression, ir.Binder):
        return expression._replace(name=names.get(expression.name, expression.name))
    if isinstance(expression, tuple):
        return tuple(_renamed(each, names) for each in expression)
    if not isinstance(expression, ir.Expr):
        return expression
    return replace(expression, **{
        each.name: _renamed(getattr(expression, each.name), names) for each in fields(expression)
        if each.name not in ("type", "line")})
