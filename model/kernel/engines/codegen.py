"""Prints a program as the source of one numba function: a breadth-first search that runs in chunks.

The printed module holds every constant of its scope, so a file named by the hash of its text may
be cached; nothing else may (numba's cache does not notice a changed global). All working numbers
of a search live in one array `s` (the status words, counters, the decoded state, the successors),
because each array argument costs compile time; `Map` says where each part begins.

The body for one state: decode the digits, check the invariants, write every successor into a
buffer as the state's number plus what the updated digits add to it, then look each one up.
Expressions that read a quantifier depending on at most one bound name are evaluated once a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

from model.kernel.engines.layout import Block, Field, Layout
from model.kernel.engines.lower import TRUE, Rule, Unpackable, code, span
from model.kernel.spec import ir
from model.kernel.spec.ir import Expr

# Words of the status, at the front of `s`.
HEAD, TAIL, LEVEL_END, DEPTH, TRANSITIONS, FAULT = range(6)
STATUS_WORDS = 16
# What FAULT holds: nothing, or one of these plus a number. The largest of a state is kept: a value
# outside its domain may look like a record that never comes up, or break a rule.
BROKEN_INVARIANT, BROKEN_STEP, OUT_OF_TABLE, OUT_OF_DOMAIN, OUT_OF_KEYS = (
    10_000, 20_000, 30_000, 40_000, 50_000)
AGGREGATE_MAX = 64  # a quantifier of one bound name with more values is not kept in a table


Texts = list[tuple[int, str]]  # a word and what is added to it


class Printed(NamedTuple):
    """The text of a search and what its caller must know to run it."""

    source: str
    words: int
    instances: int
    names: dict[str, int]
    tables: tuple[tuple[int, tuple[int, ...]], ...]
    writes: tuple[ir.Update, ...]
    steps: tuple[str, ...]


class Map:
    """Hands out places in `s`, and remembers what has to be written there before the search."""

    def __init__(self) -> None:
        self.end = STATUS_WORDS
        self.names: dict[str, int] = {}
        self.tables: list[tuple[int, tuple[int, ...]]] = []

    def take(self, name: str, words: int) -> int:
        """The first of so many words, under a name."""
        self.names[name] = self.end
        self.end += words
        return self.names[name]

    def table(self, name: str, values: tuple[int, ...]) -> int:
        """The first word of a table with these values."""
        at = self.take(name, len(values))
        self.tables.append((at, values))
        return at


def free_names(expression: Expr) -> tuple[str, ...]:
    """Names that the expression reads and does not bind, in order of appearance."""
    bound = {binder.name for part in ir.walk(expression) if isinstance(part, ir.Quantifier)
             for binder in part.binders}
    names = [part.name for part in ir.walk(expression) if isinstance(part, ir.Local)]
    return tuple(dict.fromkeys(name for name in names if name not in bound))


def risky(expression: Expr) -> bool:
    """Whether evaluating it where a guard would have prevented it could read outside a map."""
    return any(isinstance(part, ir.Read) and any(
        isinstance(key.type, ir.IntType) and key.type.index is None
        for key in part.keys) for part in ir.walk(expression))


def normal(expression: Expr, names: dict[str, str] | None = None) -> Expr:
    """The expression with bound and free names numbered by appearance, to compare two of them."""
    from dataclasses import replace

    from model.kernel.engines.lower import rebuild

    names = {} if names is None else names
    if isinstance(expression, ir.Local):
        return replace(expression, name=names.setdefault(expression.name, f"${len(names)}"))
    if isinstance(expression, ir.Quantifier):
        binders = tuple(binder._replace(name=names.setdefault(binder.name, f"${len(names)}"))
                        for binder in expression.binders)
        expression = replace(expression, binders=binders)
    return rebuild(expression, lambda part: normal(part, names))


class Printer:
    """Prints expressions; statements that they need first go to `lines`."""

    def __init__(self, layout: Layout, places: Map) -> None:
        self.layout, self.places = layout, places
        self.scope = layout.program.scope
        self.lines: list[str] = []
        self.prelude: list[str] = []
        self.depth = 2
        self.fresh = 0
        self.kept: dict[Expr, str] = {}
        self.types: dict[str, tuple[int, int]] = {}
        self.uses_keys = False
        self.keep_closed = True

    # -------------------------------------------------------------------------- statements

    def say(self, line: str) -> None:
        """One statement at the current depth."""
        self.lines.append("    " * self.depth + line)

    @contextmanager
    def inside(self, head: str) -> Iterator[None]:
        """A compound statement; what is said meanwhile is its body."""
        self.say(head)
        self.depth += 1
        yield
        self.depth -= 1

    def name(self, stem: str) -> str:
        """A name that nothing else has."""
        self.fresh += 1
        return f"{stem}{self.fresh}"

    @contextmanager
    def bind(self, binder: ir.Binder) -> Iterator[None]:
        """A loop over all values of a bound name."""
        low, high = self.range_of(binder)
        with self.inside(f"for l_{binder.name} in range({low}, {high + 1}):"):
            yield

    def range_of(self, binder: ir.Binder) -> tuple[int, int]:
        """Smallest and largest code of a bound name."""
        self.types[binder.name] = span(binder.type, self.scope)
        return self.types[binder.name]

    # ------------------------------------------------------------------------- expressions

    def text(self, expression: Expr) -> str:
        """A Python expression of the same value: a boolean, or the code of any other value."""
        match expression:
            case ir.Constant(value=bool() as value):
                return str(value)
            case ir.Constant(value=value, type=value_type):
                return str(code(value, value_type, self.scope))
            case ir.Local(name=name):
                truth = isinstance(expression.type, ir.BoolType)
                return f"(l_{name} != 0)" if truth else f"l_{name}"
            case ir.Read():
                place = self.place(expression)
                return f"({place} != 0)" if isinstance(expression.type, ir.BoolType) else place
            case ir.Not(operand=operand):
                return f"(not {self.text(operand)})"
            case ir.Boolean(operator=operator, operands=operands):
                return self.boolean(operator, operands)
            case ir.Compare(operator=operator, left=left, right=right):
                return f"({self.text(left)} {operator} {self.text(right)})"
            case ir.Among(operand=operand, values=values):
                return self.among(operand, values)
            case ir.Arithmetic(operator=operator, left=left, right=right):
                if operator in ("min", "max"):
                    return f"{operator}({self.text(left)}, {self.text(right)})"
                return f"({self.text(left)} {operator} {self.text(right)})"
            case ir.Conditional():
                return self.conditional(expression)
            case ir.Quantifier():
                return self.quantifier(expression)
        raise Unpackable(f"line {expression.line}: no packed form of {type(expression).__name__}")

    def place(self, read: ir.Read) -> str:
        """Where a variable or an entry of the decoded state stands."""
        if not read.keys:
            return f"v_{read.variable}"
        return f"s[{self.places.names[read.variable]} + {self.entry(read.variable, read.keys)}]"

    def entry(self, variable: str, keys: tuple[Expr, ...]) -> str:
        """The number of an entry; None and numbers outside lead to the spare word at the end."""
        indexes = self.layout.program.module.variable(variable).keys
        texts = [self.key(key, self.scope.sizes[index])
                 for key, index in zip(keys, indexes, strict=True)]
        if len(texts) == 1:
            return texts[0]
        return f"{texts[0]} * {self.scope.sizes[indexes[1]]} + {texts[1]}"

    def key(self, key: Expr, size: int) -> str:
        """A key that is sure to lie within 0..size."""
        text = self.text(key)
        if isinstance(key.type, ir.MemberType) or (
                isinstance(key.type, ir.IntType) and key.type.index is not None):
            return text
        self.uses_keys = True
        return f"key({text}, {size}, s)"

    def among(self, operand: Expr, values: tuple[ir.Value, ...]) -> str:
        text = self.text(operand)
        if not text.isidentifier():
            kept = self.name("t")
            self.say(f"{kept} = {text}")
            text = kept
        codes = sorted(code(value, operand.type, self.scope) for value in values)
        if isinstance(operand.type, ir.BoolType):
            return f"({' or '.join(f'{text} == {bool(each)}' for each in codes)})"
        if len(codes) > 1 and codes == list(range(codes[0], codes[-1] + 1)):
            return f"({codes[0]} <= {text} <= {codes[-1]})"
        return "(" + (" or ".join(f"{text} == {each}" for each in codes) or "False") + ")"

    def aside(self, expression: Expr) -> tuple[str, list[str]]:
        """The text of an expression and the statements it needs, one level deeper, not yet said."""
        outer, self.lines = self.lines, []
        self.depth += 1
        text = self.text(expression)
        self.depth -= 1
        inner, self.lines = self.lines, outer
        return text, inner

    def boolean(self, operator: str, operands: tuple[Expr, ...]) -> str:
        """Evaluated from the left and only as far as needed, also where statements are needed."""
        result = self.text(operands[0])
        for operand in operands[1:]:
            text, statements = self.aside(operand)
            if not statements:
                result = f"{result} {operator} {text}"
                continue
            kept = self.name("t")
            self.say(f"{kept} = {result}")
            self.say(f"if {kept}:" if operator == "and" else f"if not {kept}:")
            self.lines += statements
            self.lines.append("    " * (self.depth + 1) + f"{kept} = {text}")
            result = kept
        return f"({result})"

    def conditional(self, expression: ir.Conditional) -> str:
        test = self.text(expression.test)
        then, first = self.aside(expression.then)
        otherwise, second = self.aside(expression.otherwise)
        if not first and not second:
            return f"({then} if {test} else {otherwise})"
        kept = self.name("t")
        self.say(f"if {test}:")
        self.lines += [*first, "    " * (self.depth + 1) + f"{kept} = {then}"]
        self.say("else:")
        self.lines += [*second, "    " * (self.depth + 1) + f"{kept} = {otherwise}"]
        return kept

    def quantifier(self, expression: ir.Quantifier) -> str:
        """Evaluated once a state where it depends on at most one bound name, else in place."""
        free = free_names(expression)
        if risky(expression) or len(free) > 1 or any(name not in self.types for name in free):
            return self.loop(expression)
        low, high = self.types[free[0]] if free else (0, 0)
        pattern = normal(expression)
        if high - low >= AGGREGATE_MAX or not (free or self.keep_closed or pattern in self.kept):
            return self.loop(expression)
        truth = isinstance(expression.type, ir.BoolType)
        if pattern not in self.kept:
            self.kept[pattern] = self.keep(expression, free, low, high, truth)
        kept = self.kept[pattern]
        if not free:
            return kept
        shift = f" - {low}" if low else ""
        return f"(s[{kept} + l_{free[0]}{shift}] != 0)" if truth else (
            f"s[{kept} + l_{free[0]}{shift}]")

    def keep(self, expression: ir.Quantifier, free: tuple[str, ...], low: int, high: int,
             truth: bool) -> str:
        """Print the evaluation into the prelude; the name, or the first word, of its values."""
        outer, depth = self.lines, self.depth
        self.lines, self.depth = [], 2
        if free:
            kept = str(self.places.take(self.name("aggregate_"), high - low + 1))
            with self.inside(f"for l_{free[0]} in range({low}, {high + 1}):"):
                value = self.loop(expression)
                shift = f" - {low}" if low else ""
                self.say(f"s[{kept} + l_{free[0]}{shift}] = " +
                         (f"1 if {value} else 0" if truth else value))
        else:
            kept = self.name("a")
            self.say(f"{kept} = {self.loop(expression)}")
        self.prelude += self.lines
        self.lines, self.depth = outer, depth
        return kept

    def loop(self, expression: ir.Quantifier) -> str:
        """The quantifier as loops; its value is left in a fresh name."""
        result, kind = self.name("q"), expression.kind
        start = {"all": "True", "any": "False", "count": "0", "sum": "0", "min": "0", "max": "0"}
        self.say(f"{result} = {start[kind]}")
        seen = self.name("seen")
        if kind in ("min", "max"):
            self.say(f"{seen} = False")
        for binder in expression.binders:
            low, high = self.range_of(binder)
            self.say(f"for l_{binder.name} in range({low}, {high + 1}):")
            self.depth += 1
        inner = 0
        if expression.condition is not None and expression.condition != TRUE:
            self.say(f"if {self.text(expression.condition)}:")
            self.depth, inner = self.depth + 1, 1
        body = self.text(expression.body)
        for line in self.fold_lines(kind, result, seen, body, len(expression.binders) == 1):
            self.say(line)
        self.depth -= len(expression.binders) + inner
        if kind in ("min", "max") and expression.default is not None:
            default, statements = self.aside(expression.default)
            self.say(f"if not {seen}:")
            self.lines += [*statements, "    " * (self.depth + 1) + f"{result} = {default}"]
        return result

    def fold_lines(self, kind: str, result: str, seen: str, body: str,
                   single: bool) -> list[str]:
        stop = ["    break"] if single else []
        match kind:
            case "all":
                return [f"if not {body}:", f"    {result} = False", *stop]
            case "any":
                return [f"if {body}:", f"    {result} = True", *stop]
            case "count":
                return [f"if {body}:", f"    {result} += 1"]
            case "sum":
                return [f"{result} += {body}"]
        kept = self.name("t")
        order = "<" if kind == "min" else ">"
        return [f"{kept} = {body}", f"if not {seen} or {kept} {order} {result}:",
                f"    {result} = {kept}", f"{seen} = True"]


# -------------------------------------------------------------------------------------- actions


class Search:
    """Prints the whole module for a layout. `canonical`: the text of a function `canonical`."""

    def __init__(self, layout: Layout, *, dense: bool, canonical: Callable[[Map], str] | None,
                 edges: bool = False) -> None:
        self.layout, self.program = layout, layout.program
        self.dense, self.edges = dense, edges
        self.words = len(layout.ranks)
        self.places = Map()
        self.printer = Printer(layout, self.places)
        self.writes: list[ir.Update] = []
        self.steps: list[str] = []
        self.say, self.inside = self.printer.say, self.printer.inside
        self._place_state()
        self.canonical = "" if canonical is None else canonical(self.places)

    def _place_state(self) -> None:
        places = self.places
        places.take("counts", len(self.program.rules))
        places.take("witnessed", max(1, len(self.program.witnesses)))
        for number, block in enumerate(self.layout.blocks):
            places.take(f"hit_{number}", block.radix)
            for each in block.group.fields:
                if block.group.keys:
                    spare = self.program.scope.sizes[block.group.keys[-1]] + 1
                    places.take(each.name, block.entries + spare)
            if block.group.keys:
                places.take(f"digit_{number}", block.entries + 1)
                for part in block.parts:
                    places.table(f"power_{number}_{part.word}", block.powers(part.word))
            if not block.group.plain:
                for at, each in enumerate(block.group.fields):
                    places.table(f"of_{number}_{each.name}",
                                 tuple(record[at] for record in block.group.records))
                places.table(f"digits_{number}", tuple(block.group.table))
            if len(block.group.fields) > 1:
                for each in block.group.fields:
                    places.take(f"new_{each.name}", block.entries + 1)
                places.take(f"new_digit_{number}", block.entries + 1)

    # --------------------------------------------------------------------------- one state

    def decode(self) -> None:
        """The digits of the state `x0`, `x1` and so on, and the codes of its variables."""
        names = self.places.names
        for word in range(self.words):
            self.say(f"r{word} = x{word}")
        for number, block in enumerate(self.layout.blocks):
            fields = block.group.fields
            if not block.group.keys:
                rest = f"r{block.parts[0].word}"
                self.say(f"d = {rest} % {block.radix}")
                self.say(f"{rest} //= {block.radix}")
                self.say(f"d_{number} = d")
                self.say(f"v_{fields[0].name} = {self.code_of(number, block, 0)}")
                self.say(f"s[{names[f'hit_{number}']} + d] = 1")
                continue
            for part in block.parts:
                head = f"for i in range({part.first}, {part.first + part.entries}):"
                with self.inside(head):
                    self.decode_entry(number, block, f"r{part.word}")

    def decode_entry(self, number: int, block: Block, rest: str) -> None:
        """Entry `i` of a block."""
        names, fields = self.places.names, block.group.fields
        self.say(f"d = {rest} % {block.radix}")
        self.say(f"{rest} //= {block.radix}")
        self.say(f"s[{names[f'digit_{number}']} + i] = d")
        self.say(f"s[{names[f'hit_{number}']} + d] = 1")
        for at, each in enumerate(fields):
            value = self.code_of(number, block, at)
            self.say(f"s[{names[each.name]} + i] = {value}")
            if self.aliased(number):
                self.say(f"s[{names[f'new_{each.name}']} + i] = {value}")
        if self.aliased(number):
            self.say(f"s[{names[f'new_digit_{number}']} + i] = d")

    def code_of(self, number: int, block: Block, at: int) -> str:
        if block.group.plain:
            low = block.group.records[0][0]
            return f"d + {low}" if low else "d"
        name = block.group.fields[at].name
        return f"s[{self.places.names[f'of_{number}_{name}']} + d]"

    def aliased(self, number: int) -> bool:
        """Whether some action writes a record of several variables at more than one key."""
        names = {each.name for each in self.layout.blocks[number].group.fields}
        return len(names) > 1 and any(
            len({update.keys for update in rule.updates if update.variable in names}) > 1
            for rule in self.program.rules)

    def claims(self) -> None:
        """Invariants of the state; the first that fails ends the search. Then the witnesses."""
        for number, claim in reversed(tuple(enumerate(self.program.invariants))):
            text = self.printer.text(claim.condition)
            if text != "True":
                self.say(f"if not {text}:")
                self.say(f"    fault = {BROKEN_INVARIANT + number}")
        self.leave_on_fault()
        at = self.places.names["witnessed"]
        self.printer.keep_closed = False
        for number, claim in enumerate(self.program.witnesses):
            with self.inside(f"if s[{at + number}] == 0:"):
                self.say(f"if {self.printer.text(claim.condition)}:")
                self.say(f"    s[{at + number}] = 1")
        self.printer.keep_closed = True

    def leave_on_fault(self) -> None:
        """End the search at this state, which stays at the head of the queue."""
        if self.printer.uses_keys:
            self.say(f"fault = max(fault, s[{FAULT}])")
        with self.inside("if fault != 0:"):
            self.say(f"s[{FAULT}] = fault")
            self.say("break")

    # ----------------------------------------------------------------------------- actions

    def rule(self, number: int, rule: Rule, first: int) -> int:
        """One action: loops over its arguments, guards as early as their names allow."""
        levels = self.levels(rule)
        depth = self.printer.depth
        self.say("done = k")
        self.guards(levels[0])
        label, stride = str(first), 1
        for level, binder in enumerate(rule.parameters, start=1):
            low, high = self.printer.range_of(binder)
            rest = self.enter(binder, levels[level])
            if self.edges:
                label += f" + (l_{binder.name} - {low}) * {stride}"
            stride *= high - low + 1
            self.guards(rest)
        self.successor(rule, label)
        self.printer.depth = depth
        self.say(f"s[{self.places.names['counts'] + number}] += k - done")
        return first + stride

    def levels(self, rule: Rule) -> list[list[Expr]]:
        """Guards by the number of arguments that must be known; a risky one stays in its place."""
        order = [binder.name for binder in rule.parameters]
        levels: list[list[Expr]] = [[] for _ in range(len(order) + 1)]
        reached = 0
        for guard in rule.guards:
            level = max((order.index(name) + 1 for name in free_names(guard)), default=0)
            level = max(level, reached) if risky(guard) else level
            reached = max(reached, level)
            levels[level].append(guard)
        return levels

    def enter(self, binder: ir.Binder, guards: list[Expr]) -> list[Expr]:
        """The loop over an argument, or its only value where a guard says which; other guards."""
        low, high = self.printer.types[binder.name]
        for guard in guards:
            if risky(guard) or not isinstance(guard, ir.Compare) or guard.operator != "==":
                continue
            for one, other in ((guard.left, guard.right), (guard.right, guard.left)):
                known = free_names(other)
                if isinstance(one, ir.Local) and one.name == binder.name \
                        and binder.name not in known \
                        and not isinstance(one.type, ir.BoolType):
                    self.say(f"l_{binder.name} = {self.printer.text(other)}")
                    self.say(f"if {low} <= l_{binder.name} <= {high}:")
                    self.printer.depth += 1
                    return [each for each in guards if each is not guard]
        self.say(f"for l_{binder.name} in range({low}, {high + 1}):")
        self.printer.depth += 1
        return guards

    def guards(self, guards: list[Expr]) -> None:
        for guard in guards:
            self.say(f"if {self.printer.text(guard)}:")
            self.printer.depth += 1

    def successor(self, rule: Rule, label: str) -> None:
        """The number of the state after the step goes to the buffer."""
        added: list[list[str]] = [[] for _ in range(self.words)]
        for at, block in enumerate(self.layout.blocks):
            fields = {each.name for each in block.group.fields}
            updates = tuple(update for update in rule.updates if update.variable in fields)
            classes = dict.fromkeys(update.keys for update in updates)
            if len(classes) > 1 and len(fields) > 1:
                texts = self.write_aliased(at, block, updates)
            else:
                texts = [text for keys in classes for text in self.write(
                    at, block, [each for each in updates if each.keys == keys])]
            for word, text in texts:
                added[word].append(text)
        for check in rule.checks:
            self.steps.append(check.name)
            self.say(f"if not {self.printer.text(check.condition)}:")
            self.fault(BROKEN_STEP + len(self.steps) - 1)
        for word, terms in enumerate(added):
            self.say(f"s[BUFFER + {self.place_of('k', word)}] = "
                     f"{' + '.join([f'x{word}', *terms])}")
        if self.edges:
            self.say(f"s[LABELS + k] = {label}")
        self.say("k += 1")

    def fault(self, what: int) -> None:
        """The statement under a condition that was just said."""
        self.say(f"    fault = max(fault, {what})")

    def fresh_values(self, block: Block, updates: list[ir.Update], entry: str,
                     old: str) -> dict[str, str]:
        """The code of every variable of a record after the updates, in fresh names."""
        values = {}
        for each in block.group.fields:
            own = [update for update in updates if update.variable == each.name]
            place = f"s[{self.places.names[old + each.name]} + {entry}]" \
                if block.group.keys else f"v_{each.name}"
            if not own:
                values[each.name] = place
                continue
            if len(own) == 1 and own[0].condition is None and self.safe(own[0], each):
                values[each.name] = self.number(own[0].value)
                continue
            kept = self.printer.name("w")
            if own[0].condition is not None:
                self.say(f"{kept} = {place}")
            for update in own:
                depth = self.printer.depth
                if update.condition is not None:
                    self.say(f"if {self.printer.text(update.condition)}:")
                    self.printer.depth += 1
                self.say(f"{kept} = {self.number(update.value)}")
                if not self.safe(update, each):
                    self.writes.append(update)
                    self.say(f"if {kept} < {each.low} or {kept} > {each.high}:")
                    self.fault(OUT_OF_DOMAIN + len(self.writes) - 1)
                    self.say(f"    {kept} = {each.low}")
                self.printer.depth = depth
            values[each.name] = kept
        return values

    def safe(self, update: ir.Update, field: Field) -> bool:
        """Whether the value is sure to stay in the domain of its variable."""
        return within(update.value, field.low, field.high, self.program.scope)

    def number(self, value: Expr) -> str:
        """The text of a value as its code."""
        if isinstance(value, ir.Constant):
            return str(code(value.value, value.type, self.program.scope))
        text = self.printer.text(value)
        return f"(1 if {text} else 0)" if isinstance(value.type, ir.BoolType) else text

    def digit(self, number: int, block: Block, values: dict[str, str]) -> str:
        """The digit of a record; the table must know it."""
        fields = block.group.fields
        if block.group.plain:
            low = block.group.records[0][0]
            text = values[fields[0].name]
            if (low, low + block.radix - 1) == (fields[0].low, fields[0].high):
                return f"({text} - {low})" if low else text
            kept = self.printer.name("e")
            self.say(f"{kept} = {text} - {low}" if low else f"{kept} = {text}")
            self.say(f"if {kept} < 0 or {kept} >= {block.radix}:")
            self.fault(OUT_OF_TABLE + number)
            return kept
        kept = self.printer.name("e")
        self.say(f"{kept} = s[{self.places.names[f'digits_{number}']} + {slot(block, values)}]")
        if block.radix < prod(each.size for each in fields):
            self.say(f"if {kept} < 0:")
            self.fault(OUT_OF_TABLE + number)
        return kept

    def write(self, number: int, block: Block, updates: list[ir.Update]) -> Texts:
        """Updates at one key, which may be a bound name: what they add to each word."""
        names, depth = self.places.names, self.printer.depth
        if not block.group.keys:
            values = self.fresh_values(block, updates, "", "")
            digit = self.digit(number, block, values)
            part = block.parts[0]
            return [(part.word, f"({digit} - d_{number}) * {part.weight}")]
        bulk = updates[0].over
        totals = self.totals(block) if bulk else []
        for binder in updates[0].over:
            low, high = self.printer.range_of(binder)
            self.say(f"for l_{binder.name} in range({low}, {high + 1}):")
            self.printer.depth += 1
        entry = self.checked_entry(updates[0])
        values = self.fresh_values(block, updates, entry, "")
        digit = self.digit(number, block, values)
        texts = [(part.word, f"({digit} - s[{names[f'digit_{number}']} + {entry}])"
                  f" * s[{names[f'power_{number}_{part.word}']} + {entry}]")
                 for part in block.parts]
        if not bulk:
            return texts
        for (_, total), (_, text) in zip(totals, texts, strict=True):
            self.say(f"{total} += {text}")
        self.printer.depth = depth
        return totals

    def totals(self, block: Block) -> Texts:
        """A fresh sum, 0 so far, for each word that a block stands in."""
        names = [(part.word, self.printer.name("y")) for part in block.parts]
        for _, name in names:
            self.say(f"{name} = 0")
        return names

    def checked_entry(self, update: ir.Update) -> str:
        """The entry that an update writes; None or a number outside is a fault of the spec."""
        if all(isinstance(key, ir.Local) and not (
                isinstance(key.type, ir.IntType) and key.type.index is None)
                for key in update.keys):
            return self.printer.entry(update.variable, update.keys)
        indexes = self.program.module.variable(update.variable).keys
        parts = []
        self.writes.append(update)
        for key, index in zip(update.keys, indexes, strict=True):
            kept = self.printer.name("k")
            self.say(f"{kept} = {self.printer.text(key)}")
            self.say(f"if {kept} < 0 or {kept} >= {self.program.scope.sizes[index]}:")
            self.fault(OUT_OF_DOMAIN + len(self.writes) - 1)
            self.say(f"    {kept} = 0")
            parts.append(kept)
        if len(parts) == 1:
            return parts[0]
        return f"({parts[0]} * {self.program.scope.sizes[indexes[1]]} + {parts[1]})"

    def write_aliased(self, number: int, block: Block, updates: tuple[ir.Update, ...]) -> Texts:
        """Updates of one kind of record at several keys that may be the same: on a copy."""
        names = self.places.names
        totals = self.totals(block)
        digit_at = names[f"new_digit_{number}"]
        for task in ("write", "check", "restore"):
            for update in updates:
                depth = self.printer.depth
                for binder in update.over:
                    low, high = self.printer.range_of(binder)
                    self.say(f"for l_{binder.name} in range({low}, {high + 1}):")
                    self.printer.depth += 1
                entry = self.checked_entry(update)
                if task == "check":
                    self.say(f"if s[{digit_at} + {entry}] < 0:")
                    self.fault(OUT_OF_TABLE + number)
                elif task == "restore":
                    old, new = names[update.variable], names[f"new_{update.variable}"]
                    self.say(f"s[{new} + {entry}] = s[{old} + {entry}]")
                    self.say(f"s[{digit_at} + {entry}] = "
                             f"s[{names[f'digit_{number}']} + {entry}]")
                else:
                    self.write_copy(number, block, update, entry, totals)
                self.printer.depth = depth
        return totals

    def write_copy(self, number: int, block: Block, update: ir.Update, entry: str,
                   totals: Texts) -> None:
        names = self.places.names
        digit_at = names[f"new_digit_{number}"]
        values = self.fresh_values(block, [update], entry, "new_")
        self.say(f"s[{names[f'new_{update.variable}']} + {entry}] = {values[update.variable]}")
        # Until the last update of this step a record may be one that never comes up.
        kept = self.printer.name("e")
        self.say(f"{kept} = s[{names[f'digits_{number}']} + {slot(block, values)}]")
        for word, total in totals:
            self.say(f"{total} += ({kept} - s[{digit_at} + {entry}])"
                     f" * s[{names[f'power_{number}_{word}']} + {entry}]")
        self.say(f"s[{digit_at} + {entry}] = {kept}")


    # ---------------------------------------------------------------------------- the module

    def place_of(self, number: str, word: int) -> str:
        """Where a word of a state stands in an array that holds states one after another."""
        text = number if self.words == 1 else f"{number} * {self.words}"
        return f"{text} + {word}" if word else text

    def look_up(self) -> None:
        """Each successor: new ones join the queue. Or, for the graph, each is written down."""
        with self.inside("for i in range(k):"):
            names = ", ".join(f"y{word}" for word in range(self.words))
            for word in range(self.words):
                self.say(f"y{word} = s[BUFFER + {self.place_of('i', word)}]")
            if self.canonical:
                self.say(f"{names} = canonical({names}, s)")
            if self.edges:
                for line in ("parents[tail] = head", "labels[tail] = s[LABELS + i]",
                             "found[tail] = y0", "tail += 1"):
                    self.say(line)
                return
            if self.dense:
                self.say("at = y0 >> 6")
                self.say("bit = np.uint64(1) << np.uint64(y0 & 63)")
                self.say("if seen[at] & bit == np.uint64(0):")
                self.say("    seen[at] |= bit")
            else:
                kept = "seen, queue, tail" if self.words > 2 else "seen"
                self.say(f"if insert({kept}, {names}):")
            for word in range(self.words):
                self.say(f"    queue[{self.place_of('tail', word)}] = y{word}")
            self.say("    parents[tail] = head")
            self.say("    tail += 1")

    def printed(self) -> Printed:
        """The module. Its function runs until the queue is done, a limit is met or a claim fails.

        `search(s, seen, queue, parents, head_stop, tail_stop, check_only)`; for edges, of states
        of one word, `search(s, queue, parents, labels, found, head_stop, tail_stop)`, which
        treats TAIL as the number of edges written.
        """
        if not self.edges:
            self.say("fault = 0")
            self.claims()
        else:
            self.say("fault = 0")
        claims, self.printer.lines = self.printer.lines, []
        first = 0
        for number, rule in enumerate(self.program.rules):
            first = self.rule(number, rule, first)
        self.leave_on_fault()
        rules, self.printer.lines = self.printer.lines, []
        self.decode()
        decode, self.printer.lines = self.printer.lines, []
        self.look_up()
        look_up, self.printer.lines = self.printer.lines, []
        count = instances(self.layout)
        text = self._module(decode, claims, rules, look_up)
        for name, each in (("BUFFER", self.words), ("LABELS", 1)):
            text = text.replace(name, str(self.places.take(name, (count + 1) * each)))
        return Printed(text, self.places.end, count, self.places.names,
                       tuple(self.places.tables), tuple(self.writes), tuple(self.steps))

    def _module(self, decode: list[str], claims: list[str], rules: list[str],
                look_up: list[str]) -> str:
        state = [f"        x{word} = np.int64(queue[{self.place_of('head', word)}])"
                 for word in range(self.words)]
        if self.edges:
            head = ["def search(s, queue, parents, labels, found, head_stop, tail_stop):"]
            skip, level = [], []
        else:
            head = ["def search(s, seen, queue, parents, head_stop, tail_stop, check_only):"]
            skip = ["        if check_only:", "            head += 1", "            continue"]
            level = ["        if head == level_end:", f"            s[{DEPTH}] += 1",
                     "            level_end = tail"]
        loop = "head < head_stop and tail <= tail_stop" + ("" if self.edges else " and head < tail")
        lines = [
            "import numpy as np", "from numba import njit", "",
            *(KEY_LINES if self.printer.uses_keys else []),
            *([] if self.dense or self.edges else insert_lines(self.words)),
            self.canonical, "@njit(error_model='numpy')", *head,
            f"    head, tail, level_end = s[{HEAD}], s[{TAIL}], s[{LEVEL_END}]",
            f"    while {loop}:", *level, *state, *decode,
            *self.printer.prelude, *claims, *skip, "        k = 0", *rules,
            f"        s[{TRANSITIONS}] += k", *look_up, "        head += 1",
            f"    s[{HEAD}], s[{TAIL}], s[{LEVEL_END}] = head, tail, level_end", ""]
        return "\n".join(lines)


KEY_LINES = [
    "@njit(error_model='numpy')", "def key(at, size, s):", "    if 0 <= at < size:",
    "        return at", f"    if s[{FAULT}] == 0:", f"        s[{FAULT}] = {OUT_OF_KEYS}",
    "    return size", "",
]
INSERT_LINES = [
    "@njit(error_model='numpy')", "def insert(seen, y0):", "    mask = seen.shape[0] - 1",
    "    h = np.uint64(y0) * np.uint64(0x9E3779B97F4A7C15)",
    "    at = np.int64((h ^ (h >> np.uint64(29))) >> np.uint64(20)) & mask",
    "    while seen[at] != -1:", "        if seen[at] == y0:", "            return False",
    "        at = (at + 1) & mask", "    seen[at] = y0", "    return True", "",
    "@njit(error_model='numpy')", "def refill(seen, queue, tail):",
    "    for i in range(tail):", "        insert(seen, np.int64(queue[i]))", "",
]
INSERT2_LINES = [
    "@njit(error_model='numpy')", "def insert(seen, y0, y1):",
    "    mask = seen.shape[0] // 2 - 1",
    "    h = np.uint64(y0) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(y1)",
    "    h = (h ^ (h >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)",
    "    at = np.int64(h >> np.uint64(20)) & mask",
    "    while seen[2 * at] != -1:",
    "        if seen[2 * at] == y0 and seen[2 * at + 1] == y1:", "            return False",
    "        at = (at + 1) & mask", "    seen[2 * at] = y0", "    seen[2 * at + 1] = y1",
    "    return True", "",
    "@njit(error_model='numpy')", "def refill(seen, queue, tail):",
    "    for i in range(tail):", "        insert(seen, queue[i * 2], queue[i * 2 + 1])", "",
]


def insert_lines(words: int) -> list[str]:
    """The hash table. One or two words stand in the table themselves; of a wider state it holds
    the position in the queue and one more, so that 0 is an empty place: a state is kept once."""
    if words <= 2:
        return INSERT_LINES if words == 1 else INSERT2_LINES
    names = [f"y{word}" for word in range(words)]
    same = " and ".join(f"queue[one + {word}] == {name}" for word, name in enumerate(names))
    kept = ", ".join(f"queue[i * {words} + {word}]" for word in range(words))
    return [
        "@njit(error_model='numpy')", f"def insert(seen, queue, tail, {', '.join(names)}):",
        "    mask = seen.shape[0] - 1", "    h = np.uint64(0)",
        *(f"    h = (h ^ (h >> np.uint64(31)) ^ np.uint64({name}))"
          " * np.uint64(0x9E3779B97F4A7C15)" for name in names),
        "    h = (h ^ (h >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)",
        "    at = np.int64(h >> np.uint64(20)) & mask", "    while seen[at] != 0:",
        f"        one = (np.int64(seen[at]) - 1) * {words}", f"        if {same}:",
        "            return False", "        at = (at + 1) & mask",
        "    seen[at] = tail + 1", "    return True", "",
        "@njit(error_model='numpy')", "def refill(seen, queue, tail):",
        "    for i in range(tail):", f"        insert(seen, queue, i, {kept})", "",
    ]



def slot(block: Block, values: dict[str, str]) -> str:
    """Where a record stands in the table of digits."""
    at = ""
    for each in block.group.fields:
        value = f"{values[each.name]} - {each.low}" if each.low else values[each.name]
        at = f"({at}) * {each.size} + {value}" if at else value
    return at


def within(value: Expr, low: int, high: int, scope: ir.Scope) -> bool:
    """Whether a value is sure to lie between two codes, by its type alone."""
    match value:
        case ir.Constant(value=given, type=value_type):
            return low <= code(given, value_type, scope) <= high
        case ir.Conditional(then=then, otherwise=otherwise):
            return within(then, low, high, scope) and within(otherwise, low, high, scope)
        case ir.Arithmetic() | ir.Quantifier() if isinstance(value.type, ir.IntType):
            return False
    first, last = span(value.type, scope)
    return low <= first and last <= high


def instances(layout: Layout) -> int:
    """The number of (action, arguments) tuples: no state has more successors."""
    scope = layout.program.scope
    return sum(prod(high - low + 1 for low, high in (
        span(binder.type, scope) for binder in rule.parameters))
        for rule in layout.program.rules)
