"""A spec evaluated on one open state: the oracle of the reference implementation.

Index sets are the names that the maps of a state hold, integers have no bounds, and an entry that
a map does not hold has its initial value. Only the guard and the updates of the named action are
evaluated. Counts over an index set are kept from state to state and adjusted by the difference of
the maps, so that a step costs the same at ten pods and at a thousand.

A state is a mapping from each variable to its value, or to a FrozenMap from names (pairs of names
where the map has two keys) to values: words, integers, True and False, names, None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.render import render
from model.kernel.values import EMPTY, FrozenMap

State = Mapping[str, Any]


class Label(NamedTuple):
    """An action of a spec with its arguments: what a step of the implementation amounts to."""

    action: str
    arguments: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.action}({', '.join(map(str, self.arguments))})"


class Refusal(NamedTuple):
    """Why the spec does not allow an action in a state."""

    text: str


Changes = dict[str, dict[Any, Any]]  # variable -> key (() for a plain variable) -> new value


class Oracle:
    """Runs one spec on open states. `constants` replace defaults; limits are ignored."""

    def __init__(self, module: ir.Module, constants: Mapping[str, int] | None = None) -> None:
        self.module = module
        values = {each.name: each.default for each in module.constants}
        for name, value in (constants or {}).items():
            if name not in values:
                raise InputError(f"the spec {module.name} has no constant {name!r}",
                                 fix=f"it has {', '.join(values)}")
            values[name] = value
        printer = _Printer(module, values)
        self._initial = {each.name: printer.initial(each) for each in module.variables}
        self._variables = [(each.name, bool(each.keys)) for each in module.variables]
        self._actions = {each.name: each for each in module.actions}
        self._steps = printer.compile_actions()

    def initial(self) -> dict[str, Any]:
        """The initial state, in which no member has a name yet."""
        return {name: EMPTY if keyed else self._initial[name] for name, keyed in self._variables}

    def step(self, state: State, label: Label) -> Changes | Refusal:
        """What the action assigns (perhaps the old value again), or why it is not allowed."""
        try:
            step = self._steps[label.action]
        except KeyError:
            raise InputError(f"the spec {self.module.name} has no action {label.action!r}",
                             fix=f"it has {', '.join(self._actions)}") from None
        result = step(state, label.arguments)
        return result if isinstance(result, dict) else self._refusal(label, result)

    def _refusal(self, label: Label, number: int) -> Refusal:
        action = self._actions[label.action]
        names = {each.name: str(value)
                 for each, value in zip(action.parameters, label.arguments, strict=True)}
        guard = action.guards[number]
        return Refusal(f"{label} needs {render(guard, names)} "
                       f"({self.module.file}:{guard.line})")

    def after(self, state: State, changes: Changes) -> dict[str, Any]:
        """The state with the changes made."""
        result = dict(state)
        for variable, entries in changes.items():
            for key, value in entries.items():
                result[variable] = value if key == () else result[variable].set(key, value)
        return result

    def check(self, before: State, labels: Sequence[Label], after: State) -> str | None:
        """None if the labels, one after the other, lead from `before` to `after`; else what is
        wrong. No labels: nothing may change."""
        if len(labels) == 1:
            changes = self.step(before, labels[0])
            if isinstance(changes, Refusal):
                return changes.text
        else:
            changes, state = {}, before
            for label in labels:
                step = self.step(state, label)
                if isinstance(step, Refusal):
                    return step.text
                state = self.after(state, step)
                for variable, entries in step.items():
                    changes.setdefault(variable, {}).update(entries)
        for name, keyed in self._variables:
            old, new = before[name], after[name]
            if old is new and name not in changes:
                continue
            text = self._compare(name, keyed, old, new, changes.get(name))
            if text is not None:
                what = ", then ".join(map(str, labels)) or "a step that the spec does not see"
                return f"{what}: {text}"
        return None

    def _compare(self, name: str, keyed: bool, before: Any, after: Any,
                 expected: dict[Any, Any] | None) -> str | None:
        if not keyed:
            wanted = before if not expected else expected[()]
            return None if wanted == after else f"{name} is {after}, the spec says {wanted}"
        initial = self._initial[name]
        seen = 0
        for key, old, new in before.diff(after):
            new = initial if new is None else new
            if expected and key in expected:
                seen += 1
                if expected[key] != new:
                    return f"{name}[{_key(key)}] is {new}, the spec says {expected[key]}"
            elif new != (initial if old is None else old):
                return f"{name}[{_key(key)}] went from {old} to {new}, the spec leaves it"
        if expected and seen < len(expected):
            for key, value in expected.items():
                actual = after.get(key)
                if value != (initial if actual is None else actual):
                    return f"{name}[{_key(key)}] is {actual}, the spec says {value}"
        return None


def _key(key: Any) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)


class _Counter:
    """A count or sum over one index set, by group, adjusted by the difference of the maps read.

    `contribution(values)` gives (group, amount) for the values that one member has in the maps.
    Remembers the last maps only; what it answers depends on nothing but the maps given.
    """

    def __init__(self, variables: tuple[str, ...], initial: tuple[Any, ...],
                 contribution: Callable[..., tuple[Any, int]]) -> None:
        self.variables = variables
        self.initial = initial
        self.contribution = contribution
        self.maps: tuple[FrozenMap[Any, Any], ...] = tuple(EMPTY for _ in variables)
        self.totals: dict[Any, int] = {}

    def __call__(self, state: State, group: Any) -> int:
        maps = tuple(state[name] for name in self.variables)
        for old, new in zip(self.maps, maps, strict=True):
            if old is not new:
                self._move(maps)
                break
        return self.totals.get(group, 0)

    def _move(self, maps: tuple[FrozenMap[Any, Any], ...]) -> None:
        touched: dict[Any, None] = {}
        for old, new in zip(self.maps, maps, strict=True):
            if old is not new:
                for change in old.diff(new):
                    touched[change[0]] = None
        for sign, side in ((-1, self.maps), (1, maps)):
            for key in touched:
                values = [start if (value := each.get(key)) is None else value
                          for each, start in zip(side, self.initial, strict=True)]
                group, amount = self.contribution(*values)
                if amount:
                    self.totals[group] = self.totals.get(group, 0) + sign * amount
        self.maps = maps


class _Printer:
    """Prints actions as Python functions of (state, arguments)."""

    def __init__(self, module: ir.Module, constants: Mapping[str, int]) -> None:
        self.module = module
        self.constants = constants
        self.scope: dict[str, Any] = {"members": self.members}
        self.variables = {each.name: each for each in module.variables}
        self.counters: dict[tuple[Any, ...], str] = {}

    def initial(self, variable: ir.Variable) -> Any:
        return eval(self.text(variable.initial), {})

    def members(self, state: State, index: str) -> Sequence[Any]:
        """The names that an index set has in a state, in order."""
        found: dict[Any, None] = {}
        sources = 0
        keys: Sequence[Any] = ()
        for variable in self.module.variables:
            for position, name in enumerate(variable.keys):
                if name == index:
                    keys = state[variable.name].keys()
                    if len(variable.keys) > 1:
                        keys = tuple(key[position] for key in keys)
                        sources += 1
                    sources += 1
                    found.update(dict.fromkeys(keys))
        return keys if sources == 1 else tuple(sorted(found))

    def compile_actions(self) -> dict[str, Callable[[State, tuple[Any, ...]], Any]]:
        source = "\n".join(self.action(each) for each in self.module.actions)
        exec(compile(source, f"<oracle of {self.module.name}>", "exec"), self.scope)
        return {each.name: self.scope[f"do_{each.name}"] for each in self.module.actions}

    def action(self, action: ir.Action) -> str:
        lines = [f"def do_{action.name}(v, arguments):"]
        names = ", ".join(f"l_{each.name}" for each in action.parameters)
        lines.append(f"    {names}{',' if names else '()'} = arguments")
        for number, guard in enumerate(action.guards):
            lines.append(f"    if not {self.text(guard)}: return {number}")
        lines.append("    changes = {}")
        for update in action.updates:
            lines += ["    " + line for line in self.update(update)]
        lines.append("    return changes")
        return "\n".join(lines)

    def update(self, update: ir.Update) -> list[str]:
        lines, indent = [], ""
        for binder in update.over:
            lines.append(f"{indent}for l_{binder.name} in {self.range(binder)}:")
            indent += "    "
        if update.condition is not None:
            lines.append(f"{indent}if {self.text(update.condition)}:")
            indent += "    "
        entries = f"changes.setdefault({update.variable!r}, {{}})"
        lines.append(f"{indent}{entries}[{self.key(update.keys)}] = {self.text(update.value)}")
        return lines

    def range(self, binder: ir.Binder) -> str:
        match binder.type:
            case ir.MemberType(index=index) | ir.IntType(index=str(index)):
                return f"members(v, {index!r})"
        raise ir.SpecError("a loop ranges over an index set")

    def key(self, keys: tuple[ir.Expr, ...]) -> str:
        texts = [self.text(each) for each in keys]
        return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"

    def text(self, expression: ir.Expr) -> str:
        """The expression as Python."""
        match expression:
            case ir.Constant(value=value):
                return repr(value)
            case ir.Parameter(name=name):
                return repr(self.constants[name])
            case ir.Size(index=index):
                return f"len(members(v, {index!r}))"
            case ir.Local(name=name):
                return f"l_{name}"
            case ir.Read(variable=variable, keys=keys):
                if not keys:
                    return f"v[{variable!r}]"
                initial = self.text(self.variables[variable].initial)
                return f"v[{variable!r}].get({self.key(keys)}, {initial})"
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
            case ir.Quantifier():
                return self.quantifier(expression)
        raise AssertionError(f"no text for {type(expression).__name__}")

    # --------------------------------------------------------------------------- quantifiers

    def quantifier(self, expression: ir.Quantifier) -> str:
        counted = self.counted(expression)
        if counted is not None:
            return counted
        clauses = " ".join(f"for l_{each.name} in {self.range(each)}"
                           for each in expression.binders)
        if expression.condition is not None:
            clauses += f" if {self.text(expression.condition)}"
        body = self.text(expression.body)
        match expression.kind:
            case "count":
                return f"sum(1 {clauses} if {body})"
            case "min" | "max" as kind:
                assert expression.default is not None
                return f"{kind}(({body} {clauses}), default={self.text(expression.default)})"
            case kind:
                return f"{kind}({body} {clauses})"

    def counted(self, expression: ir.Quantifier) -> str | None:
        """A call of a counter that is kept from state to state, where the form allows one.

        The body may read maps at the bound name only, and name other locals only as
        `map[bound] == local`, which then tells the group that a member counts in.
        """
        if len(expression.binders) != 1 or expression.kind in ("min", "max"):
            return None
        bound = expression.binders[0].name
        body, condition = expression.body, expression.condition
        if expression.kind == "all":
            body = ir.Not(ir.BOOL, expression.line, body)
        parts = [] if condition is None else _conjuncts(condition)
        amount: ir.Expr | None = body if expression.kind == "sum" else None
        parts += [] if amount is not None else _conjuncts(body)
        groups: list[tuple[ir.Local, ir.Read]] = []
        kept = []
        for part in parts:
            grouping = _grouping(part, bound)
            if grouping is None:
                kept.append(part)
            else:
                groups.append(grouping)
        reads = self._reads_at(bound, [*kept, *([amount] if amount else []),
                                       *(read for _, read in groups)])
        if reads is None:
            return None
        call = self._counter(bound, reads, kept, amount, groups)
        if call is None:
            return None
        return {"all": f"({call} == 0)", "any": f"({call} > 0)"}.get(expression.kind, call)

    def _reads_at(self, bound: str, parts: Sequence[ir.Expr]) -> tuple[str, ...] | None:
        """The maps that the parts read at the bound name, or None if they read anything else."""
        names: dict[str, None] = {}

        def readable(part: ir.Expr) -> bool:
            match part:
                case ir.Read(variable=variable, keys=(ir.Local(name=name),)) if name == bound:
                    names[variable] = None
                    return True
                case ir.Read() | ir.Quantifier() | ir.Size() | ir.Local():
                    return False
            return all(readable(each) for each in ir.children(part))

        return tuple(names) if all(readable(part) for part in parts) and names else None

    def _counter(self, bound: str, reads: tuple[str, ...], kept: Sequence[ir.Expr],
                 amount: ir.Expr | None, groups: Sequence[tuple[ir.Local, ir.Read]]) -> str | None:
        arguments = ", ".join(f"e_{name}" for name in reads)
        entry = _EntryPrinter(self.module, self.constants)
        test = " and ".join(map(entry.text, kept)) or "True"
        what = entry.text(amount) if amount is not None else "1"
        group = "(" + "".join(entry.text(read) + ", " for _, read in groups) + ")"
        source = f"lambda {arguments}: ({group}, ({what}) if {test} else 0)"
        contribution = eval(source, {})
        initial = tuple(self.initial(self.variables[name]) for name in reads)
        where, count_at_start = contribution(*initial)
        if count_at_start and None not in where:
            return None  # every name that does not exist yet would count
        name = self.counters.setdefault((reads, source), f"counter_{len(self.counters)}")
        if name not in self.scope:
            self.scope[name] = _Counter(reads, initial, contribution)
        wanted = "(" + "".join(f"l_{local.name}, " for local, _ in groups) + ")"
        return f"{name}(v, {wanted})"


class _EntryPrinter(_Printer):
    """Prints an expression of one member's entries, `e_phase` for `phase[p]`."""

    def text(self, expression: ir.Expr) -> str:
        if isinstance(expression, ir.Read):
            return f"e_{expression.variable}"
        return super().text(expression)


def _conjuncts(condition: ir.Expr) -> list[ir.Expr]:
    if isinstance(condition, ir.Boolean) and condition.operator == "and":
        return list(condition.operands)
    return [condition]


def _grouping(part: ir.Expr, bound: str) -> tuple[ir.Local, ir.Read] | None:
    """`map[bound] == local`, either way round."""
    if isinstance(part, ir.Compare) and part.operator == "==":
        for local, read in ((part.left, part.right), (part.right, part.left)):
            if isinstance(local, ir.Local) and local.name != bound and isinstance(read, ir.Read) \
                    and isinstance(local.type, ir.MemberType) and len(read.keys) == 1 \
                    and isinstance(read.keys[0], ir.Local) and read.keys[0].name == bound:
                return local, read
    return None
