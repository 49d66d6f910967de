"""The tuple search: breadth-first over the states of a grounded spec, in plain Python.

The first tier of every search (no compiler, a start of a few milliseconds) and the reference for
the packed engines. The successors of all instances are printed as one Python function, in which
guards that neighbouring instances share are tested once and shared counts are computed once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from model.kernel.spec import ir
from model.kernel.spec.ground import (
    Cell,
    Count,
    Grounded,
    GroundState,
    Instance,
    Undefined,
    after_step,
)

_CHUNK = 2000  # states between two looks at the bounds, at most


class SpecFaultError(ir.SpecError):
    """The spec left its own domain while it ran: an update or a read out of range."""

    def __init__(self, text: str, line: int, instance: int, state: GroundState) -> None:
        super().__init__(text, where=f"line {abs(line)}")
        self.text, self.line, self.instance, self.state = text, line, instance, state


class Failure(NamedTuple):
    """What went wrong first. `path` holds the instances from the initial state on; for a fault
    and a step rule the last of them is the step that fails."""

    kind: Literal["invariant", "step rule", "fault"]
    name: str
    line: int
    path: tuple[int, ...]
    states: tuple[GroundState, ...]


class Found(NamedTuple):
    """The outcome of a tuple search. `complete`: every reachable state was expanded.

    `depth` counts levels, the initial state's among them.
    """

    states: int
    transitions: int
    depth: int
    complete: bool
    failure: Failure | None
    taken: tuple[int, ...]  # transitions by action, in the order of the spec
    witnessed: tuple[int, ...]  # by witness: steps to the first state, or -1
    cpu_seconds: float
    parents: dict[GroundState, tuple[GroundState | None, int]]


class _Python:
    """Prints ground expressions as Python; counts that occur twice get a name."""

    def __init__(self) -> None:
        self.uses: dict[str, int] = {}
        self.names: dict[str, str] = {}

    def text(self, expression: ir.Expr) -> str:
        match expression:
            case Cell(position=position):
                return f"s{position}"
            case ir.Constant(value=value):
                return repr(value)
            case Count(operands=operands):
                text = "(" + "+".join(f"({self.text(each)})" for each in operands) + ")"
                if "undefined(" not in text:
                    self.uses[text] = self.uses.get(text, 0) + 1
                    return self.names.get(text, text)
                return text
            case Undefined(line=line):
                return f"undefined({line})"
            case ir.Not(operand=operand):
                return f"(not {self.text(operand)})"
            case ir.Boolean(operator=operator, operands=operands):
                return "(" + f" {operator} ".join(map(self.text, operands)) + ")"
            case ir.Compare(operator=operator, left=left, right=right):
                return f"({self.text(left)} {operator} {self.text(right)})"
            case ir.Among(operand=operand, values=values):
                return f"({self.text(operand)} in {values!r})"
            case ir.Arithmetic(operator="min" | "max" as operator, left=left, right=right):
                return f"{operator}({self.text(left)}, {self.text(right)})"
            case ir.Arithmetic(operator=operator, left=left, right=right):
                return f"({self.text(left)} {operator} {self.text(right)})"
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                return f"({self.text(then)} if {self.text(test)} else {self.text(otherwise)})"
        raise AssertionError(f"{type(expression).__name__} is no ground expression")

    def share(self, printed: Callable[[], Any]) -> list[str]:
        """Definitions of the counts that `printed` uses more than once; later texts use them."""
        printed()
        shared = [text for text, uses in self.uses.items() if uses > 1]
        lines = []
        for number, text in enumerate(sorted(shared, key=len)):
            lines.append(f"q{number} = {text}")
            self.names[text] = f"q{number}"
        return lines


class Program:
    """The printed functions of one grounded spec."""

    def __init__(self, grounded: Grounded) -> None:
        self.grounded = grounded
        self.actions = [each.name for each in grounded.module.actions]
        width = len(grounded.cells)
        self._unpack = ", ".join(f"s{position}" for position in range(width)) + ","
        scope: dict[str, Any] = {"undefined": _undefined, "SpecFaultError": SpecFaultError}
        source = "\n".join((self._successors(), self._conditions()))
        exec(compile(source, f"<search of {grounded.module.name}>", "exec"), scope)
        self.level: Callable[..., tuple[int, ...]] = scope["level"]
        self.violated: Callable[[Sequence[GroundState]], tuple[GroundState, int] | None] = \
            scope["violated"]

    def predicate(self, condition: ir.Expr) -> Callable[[GroundState], bool]:
        """A condition as a function of a state."""
        scope: dict[str, Any] = {"undefined": _undefined}
        text = _Python().text(condition)
        source = f"def holds(s):\n    {self._unpack} = s\n    return {text}"
        exec(compile(source, "<condition>", "exec"), scope)
        return scope["holds"]  # type: ignore[no-any-return]  # just defined

    def _successors(self) -> str:
        python = _Python()
        shared = python.share(lambda: self._trie(python, self.grounded.instances))
        counters = " = ".join(f"a{number}" for number in range(len(self.actions)))
        lines = ["def level(frontier, parent, found, edges=None):"]
        lines.append(f"    {counters} = 0" if counters else "    pass")
        lines.append("    for s in frontier:")
        lines.append(f"        {self._unpack} = s")
        lines += ["        " + line for line in shared]
        lines += ["        " + line for line in self._trie(python, self.grounded.instances)]
        result = "".join(f"a{number}, " for number in range(len(self.actions)))
        lines.append(f"    return ({result})")
        return "\n".join(lines)

    def _trie(self, python: _Python, instances: Sequence[Instance]) -> list[str]:
        numbered = [(number, instance, [python.text(each) for each in instance.guards])
                    for number, instance in enumerate(instances)]
        return self._nest(python, numbered, 0)

    def _nest(self, python: _Python, rows: list[tuple[int, Instance, list[str]]],
              level: int) -> list[str]:
        """Nested ifs: neighbours that share a guard at this level stand under one test of it."""
        lines: list[str] = []
        position = 0
        while position < len(rows):
            number, instance, guards = rows[position]
            if len(guards) == level:
                lines += self._taken(python, number, instance)
                position += 1
                continue
            group = position
            while group < len(rows) and rows[group][2][level:level + 1] == [guards[level]]:
                group += 1
            lines.append(f"if {guards[level]}:")
            lines += ["  " + line for line in self._nest(python, rows[position:group], level + 1)]
            position = group
        return lines

    def _taken(self, python: _Python, number: int, instance: Instance) -> list[str]:
        new = {position: python.text(value) for position, value in instance.updates}
        lines = [f"a{self.actions.index(instance.action)} += 1"]
        for check in instance.checks:
            lines.append(f"if not {python.text(check.condition)}: raise SpecFaultError("
                         f"{check.text!r}, {check.line}, {number}, s)")
        cells = ", ".join(new.get(position, f"s{position}")
                          for position in range(len(self.grounded.cells)))
        lines.append(f"t = ({cells},)")
        for rule in self.grounded.step_rules:
            condition = after_step(rule.condition, instance)
            if not (isinstance(condition, ir.Constant) and condition.value):
                lines.append(f"if not {python.text(condition)}: raise SpecFaultError("
                             f"{rule.name!r}, {-rule.line}, {number}, s)")
        lines.append("if t not in parent:")
        lines.append(f"  parent[t] = (s, {number})")
        lines.append("  found.append(t)")
        lines.append(f"if edges is not None: edges.append((s, {number}, t))")
        return lines

    def _conditions(self) -> str:
        python = _Python()
        rules = [each.condition for each in self.grounded.invariants]
        shared = python.share(lambda: [python.text(each) for each in rules])
        lines = ["def violated(states):", "    for s in states:", f"        {self._unpack} = s"]
        lines += ["        " + line for line in shared]
        for number, rule in enumerate(rules):
            lines.append(f"        if not {python.text(rule)}: return s, {number}")
        lines.append("    return None")
        return "\n".join(lines)


def _undefined(line: int) -> Any:
    raise SpecFaultError("a numbered index is read outside its values", line, -1, ())


class _Search:
    def __init__(self, program: Program, states_max: int, seconds_max: float,
                 progress: Callable[[int, int, int], None] | None, edges: list[Any] | None) -> None:
        self.program = program
        self.grounded = program.grounded
        self.states_max = states_max
        self.progress, self.edges = progress, edges
        self.began, self.until = time.process_time(), time.monotonic() + seconds_max
        self.parents: dict[GroundState, tuple[GroundState | None, int]] = {
            self.grounded.initial: (None, -1)}
        self.taken = [0] * len(program.actions)
        self.witnesses = [program.predicate(each.condition) for each in self.grounded.witnesses]
        self.witnessed = [-1] * len(self.witnesses)
        self.depth = 1

    def run(self) -> Found:
        frontier: list[GroundState] = [self.grounded.initial]
        failure = self._look(frontier)
        complete = True
        while frontier and failure is None and complete:
            found: list[GroundState] = []
            start = 0
            while start < len(frontier) and failure is None:
                fresh, chunk = len(found), self._chunk()
                failure = self._expand(frontier[start:start + chunk], found)
                if failure is None:
                    failure = self._look(found[fresh:], self.depth)
                start += chunk
                if failure is None and self._out_of_bounds() and (found or start < len(frontier)):
                    complete = False
                    break
            frontier = found
            self.depth += bool(found)
            if self.progress is not None:
                self.progress(len(self.parents), sum(self.taken), self.depth)
        return Found(len(self.parents), sum(self.taken), self.depth,
                     complete and failure is None, failure, tuple(self.taken),
                     tuple(self.witnessed), time.process_time() - self.began, self.parents)

    def _chunk(self) -> int:
        """How many states to expand before the next look at the bounds: fewer near their end."""
        left = (self.states_max - len(self.parents)) // max(1, len(self.grounded.instances))
        return max(1, min(_CHUNK, left))

    def _out_of_bounds(self) -> bool:
        return len(self.parents) >= self.states_max or time.monotonic() > self.until

    def _expand(self, frontier: list[GroundState], found: list[GroundState]) -> Failure | None:
        try:
            taken = self.program.level(frontier, self.parents, found, self.edges)
        except SpecFaultError as fault:
            return self._fault(fault, frontier)
        self.taken = [a + b for a, b in zip(self.taken, taken, strict=True)]
        return None

    def _fault(self, fault: SpecFaultError, frontier: list[GroundState]) -> Failure:
        if not fault.state:  # an undefined read knows neither state nor instance: look for it
            for state in frontier:
                try:
                    self.program.level([state], dict(self.parents), [])
                except SpecFaultError:
                    fault.state = state
                    break
        path, states = self._path(fault.state)
        if fault.instance >= 0:
            path = (*path, fault.instance)
        kind: Literal["step rule", "fault"] = "step rule" if fault.line < 0 else "fault"
        return Failure(kind, fault.text, abs(fault.line), path, states)

    def _look(self, states: list[GroundState], depth: int = 0) -> Failure | None:
        """Invariants and witnesses in new states."""
        try:
            return self._judge(states, depth)
        except SpecFaultError as fault:
            if len(states) > 1:  # which one it was: the first that fails alone
                return next(filter(None, (self._look([state], depth) for state in states)))
            path, trace = self._path(states[0])
            return Failure("fault", fault.text, abs(fault.line), path, trace)

    def _judge(self, states: list[GroundState], depth: int) -> Failure | None:
        for number, holds in enumerate(self.witnesses):
            if self.witnessed[number] < 0 and any(map(holds, states)):
                self.witnessed[number] = depth
        bad = self.program.violated(states)
        if bad is None:
            return None
        rule = self.grounded.invariants[bad[1]]
        path, trace = self._path(bad[0])
        return Failure("invariant", rule.name, rule.line, path, trace)

    def _path(self, state: GroundState) -> tuple[tuple[int, ...], tuple[GroundState, ...]]:
        path: list[int] = []
        states = [state]
        while (parent := self.parents[states[-1]])[0] is not None:
            path.append(parent[1])
            states.append(parent[0])
        return tuple(reversed(path)), tuple(reversed(states))


def search(grounded: Grounded, *, states_max: int = 50_000, seconds_max: float = 60.0,
           progress: Callable[[int, int, int], None] | None = None,
           edges: list[Any] | None = None) -> Found:
    """Breadth-first from the initial state until a rule fails, all is seen, or a bound is met.

    `edges`, if given, receives every transition (state, instance, state). `progress` is called
    after each level with states, transitions and depth.
    """
    return _Search(Program(grounded), states_max, seconds_max, progress, edges).run()
