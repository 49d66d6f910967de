"""How a state is packed: one mixed-radix number, a digit for each record of an index member.

All variables over the same index form a record (a pod's phase and node), and a record is a digit
whose values are only the combinations that can come up. Which ones can is found beforehand by an
abstract search that follows one record exactly and knows of everything else only its domain. It
finds too many, never too few; the engines check every record that they write against the table.
A number up to 2**62 is one word; beyond that, digits are spread over several.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import NamedTuple

from model.kernel.engines.lower import Program, Rule, Unpackable, code, compare, span
from model.kernel.spec import ir
from model.kernel.spec.ir import Expr

WORD = 1 << 62
WORDS_MAX = 16  # a step costs an addition for each word; more have not been needed
JOINT_MAX = 1 << 16  # larger products of a record's domains keep one digit for each variable
SET_MAX = 16  # the abstract search forgets a set of more values than this
CLASSES_MAX = 4  # an action that writes at more different keys: every record may come up
BINDINGS_MAX = 64  # arguments of an action are enumerated up to so many tuples

Values = frozenset[int] | None  # None: any


class Field(NamedTuple):
    """A variable and the bounds of its codes."""

    name: str
    type: ir.Type
    low: int
    high: int

    @property
    def size(self) -> int:
        """How many codes there are."""
        return self.high - self.low + 1


class Group(NamedTuple):
    """Variables with the same keys that share a digit for each entry.

    `records` holds the code tuples that a digit stands for, in order.
    """

    keys: tuple[str, ...]
    fields: tuple[Field, ...]
    records: tuple[tuple[int, ...], ...]

    @property
    def plain(self) -> bool:
        """One variable whose digit is its code less a constant: no table is needed."""
        codes = [record[0] for record in self.records]
        return len(self.fields) == 1 and codes == list(range(codes[0], codes[0] + len(codes)))

    def slot(self, record: tuple[int, ...]) -> int:
        """Where a record stands in the table from records to digits; -1 outside the domains."""
        at = 0
        for each, value in zip(self.fields, record, strict=True):
            if not each.low <= value <= each.high:
                return -1
            at = at * each.size + value - each.low
        return at

    @property
    def table(self) -> list[int]:
        """From the slot of a record to its digit, -1 where a record cannot come up."""
        found = [-1] * prod(each.size for each in self.fields)
        for digit, record in enumerate(self.records):
            found[self.slot(record)] = digit
        return found


class Part(NamedTuple):
    """Entries of a block that stand in one word: entry first + i weighs weight * radix ** i."""

    word: int
    first: int
    entries: int
    weight: int


class Block(NamedTuple):
    """The digits of one group in the words; a block may begin in one word and end in the next."""

    group: Group
    entries: int
    radix: int
    parts: tuple[Part, ...]

    def powers(self, word: int) -> tuple[int, ...]:
        """What a digit of each entry weighs in a word: 0 for an entry that stands in another."""
        found = [0] * self.entries
        for part in self.parts:
            if part.word == word:
                for at in range(part.entries):
                    found[part.first + at] = part.weight * self.radix**at
        return tuple(found)


class Layout(NamedTuple):
    """Where every variable sits. `ranks` has the number of values of each word."""

    program: Program
    blocks: tuple[Block, ...]
    ranks: tuple[int, ...]

    def block_of(self, variable: str) -> tuple[int, int]:
        """Number of the block and place in its record of a variable."""
        for number, block in enumerate(self.blocks):
            for place, each in enumerate(block.group.fields):
                if each.name == variable:
                    return number, place
        raise KeyError(variable)

    def pack(self, state: Mapping[str, list[int]]) -> tuple[int, ...]:
        """The words of a state given as the codes of each variable's entries."""
        words = [0] * len(self.ranks)
        for block in self.blocks:
            digits = {record: digit for digit, record in enumerate(block.group.records)}
            columns = [state[each.name] for each in block.group.fields]
            found = [digits[record] for record in zip(*columns, strict=True)]
            for part in block.parts:
                for digit, power in zip(found, block.powers(part.word), strict=True):
                    words[part.word] += digit * power
        return tuple(words)

    def unpack(self, words: Iterable[int]) -> dict[str, list[int]]:
        """The codes of each variable's entries."""
        rest = list(words)
        state: dict[str, list[int]] = {}
        for block in self.blocks:
            columns: list[list[int]] = [[] for _ in block.group.fields]
            for part in block.parts:
                for _ in range(part.entries):
                    rest[part.word], digit = divmod(rest[part.word], block.radix)
                    for column, value in zip(columns, block.group.records[digit], strict=True):
                        column.append(value)
            state.update(zip((each.name for each in block.group.fields), columns, strict=True))
        return state

    def initial(self) -> tuple[int, ...]:
        """The words of the initial state."""
        state = {}
        for block in self.blocks:
            for each in block.group.fields:
                state[each.name] = [initial_code(self.program, each.name)] * block.entries
        return self.pack(state)


def initial_code(program: Program, variable: str) -> int:
    """The code that every entry of a variable starts from."""
    declared = program.module.variable(variable)
    initial = declared.initial
    if isinstance(initial, ir.Constant):
        return code(initial.value, declared.type, program.scope)
    return ir.evaluate_static(initial, program.scope)


def plan(program: Program) -> Layout:
    """The layout of a program. Unpackable where it does not fit in WORDS_MAX words."""
    groups = [_reachable(program, each) for each in _groups(program)]
    blocks: list[Block] = []
    ranks = [1] * WORDS_MAX
    for group in groups:
        entries = prod(program.scope.sizes[key] for key in group.keys)
        radix = len(group.records)
        parts: list[Part] = []
        first = 0
        for word in range(WORDS_MAX):
            count = 0
            while first + count < entries and ranks[word] * radix ** (count + 1) <= WORD:
                count += 1
            if count:
                parts.append(Part(word, first, count, ranks[word]))
                ranks[word] *= radix**count
                first += count
        if first < entries:
            raise Unpackable(f"a state needs {_bits(program, groups)} bits, more than "
                             f"{WORDS_MAX} words hold")
        blocks.append(Block(group, entries, radix, tuple(parts)))
    used = max((part.word + 1 for block in blocks for part in block.parts), default=1)
    return Layout(program, tuple(blocks), tuple(ranks[:used]))


def _bits(program: Program, groups: list[Group]) -> int:
    sizes = (len(group.records) ** prod(program.scope.sizes[key] for key in group.keys)
             for group in groups)
    return int(prod(sizes)).bit_length()


def _groups(program: Program) -> list[Group]:
    """Variables over one index together, all others alone; records are not yet known."""
    joint: dict[tuple[str, ...], list[Field]] = {}
    alone: list[Group] = []
    for variable in program.module.variables:
        each = Field(variable.name, variable.type, *span(variable.type, program.scope))
        if len(variable.keys) == 1:
            joint.setdefault(variable.keys, []).append(each)
        else:
            alone.append(Group(variable.keys, (each,), ()))
    together: list[Group] = []
    for keys, members in joint.items():
        if prod(each.size for each in members) <= JOINT_MAX:
            together.append(Group(keys, tuple(members), ()))
        else:
            together.extend(Group(keys, (each,), ()) for each in members)
    return together + alone


# ---------------------------------------------------- which records can come up (abstract search)


class _Entry(NamedTuple):
    """What is known while one record is followed: where it stands, its codes, bound names."""

    program: Program
    places: tuple[tuple[Expr, ...], ...]
    codes: Mapping[str, int]
    bound: Mapping[str, Values]


def _possible(expression: Expr, entry: _Entry) -> Values:
    """The codes that an expression may have; None for any."""
    scope = entry.program.scope
    match expression:
        case ir.Constant(value=value, type=value_type):
            return frozenset((code(value, value_type, scope),))
        case ir.Local(name=name):
            return entry.bound.get(name)
        case ir.Read(variable=variable, keys=keys):
            if keys in entry.places and variable in entry.codes:
                return frozenset((entry.codes[variable],))
            return _small(*span(expression.type, scope))
        case ir.Not(operand=operand):
            inner = _possible(operand, entry)
            return inner if inner is None else frozenset(1 - each for each in inner)
        case ir.Boolean(operator=operator, operands=operands):
            return _possible_boolean(operator, operands, entry)
        case ir.Compare(operator=operator, left=left, right=right):
            return _pairs(lambda a, b: int(compare(operator, a, b)), left, right, entry)
        case ir.Among(operand=operand, values=values):
            inner = _possible(operand, entry)
            wanted = {code(each, operand.type, scope) for each in values}
            return inner if inner is None else frozenset(int(each in wanted) for each in inner)
        case ir.Conditional(test=test, then=then, otherwise=otherwise):
            tests = _possible(test, entry)
            branches = [] if tests == frozenset((0,)) else [_possible(then, entry)]
            branches += [] if tests == frozenset((1,)) else [_possible(otherwise, entry)]
            return None if None in branches else frozenset().union(
                *(each for each in branches if each is not None))
        case ir.Arithmetic(operator=operator, left=left, right=right):
            return _pairs(lambda a, b: arithmetic(operator, a, b), left, right, entry)
    return None


def arithmetic(operator: str, left: int, right: int) -> int:
    """Integer arithmetic of the language; `%` by nothing positive gives 0 (a guard forbids it)."""
    if operator == "%":
        return left % right if right > 0 else 0
    table = {"+": left + right, "-": left - right, "*": left * right,
             "min": min(left, right), "max": max(left, right)}
    return table[operator]


def _small(low: int, high: int) -> Values:
    return frozenset(range(low, high + 1)) if high - low < SET_MAX else None


def _pairs(apply: Callable[[int, int], int], left: Expr, right: Expr, entry: _Entry) -> Values:
    lefts, rights = _possible(left, entry), _possible(right, entry)
    if lefts is None or rights is None:
        return None
    found = frozenset(apply(a, b) for a in lefts for b in rights)
    return found if len(found) <= SET_MAX else None


def _possible_boolean(operator: str, operands: tuple[Expr, ...], entry: _Entry) -> Values:
    absorbing = int(operator == "or")
    certain = True
    for operand in operands:
        values = _possible(operand, entry)
        if values == frozenset((absorbing,)):
            return values
        certain = certain and values == frozenset((1 - absorbing,))
    return frozenset((1 - absorbing,)) if certain else None


def _bindings(rule: Rule, places: tuple[tuple[Expr, ...], ...],
              program: Program) -> Iterator[dict[str, Values]]:
    """Argument tuples, without the names that say which record is followed."""
    followed = {key.name for keys in places for key in keys if isinstance(key, ir.Local)}
    names: list[str] = []
    ranges: list[range] = []
    for binder in rule.parameters:
        low, high = span(binder.type, program.scope)
        if binder.name not in followed and prod(map(len, ranges)) * (high - low + 1) \
                <= BINDINGS_MAX:
            names.append(binder.name)
            ranges.append(range(low, high + 1))
    for values in product(*ranges):
        yield {name: frozenset((value,)) for name, value in zip(names, values, strict=True)}


def _subsets(classes: list[tuple[Expr, ...]]) -> Iterator[tuple[tuple[Expr, ...], ...]]:
    for mask in range(1, 1 << len(classes)):
        yield tuple(each for at, each in enumerate(classes) if mask >> at & 1)


def _after(rule: Rule, group: Group, places: tuple[tuple[Expr, ...], ...],
           record: tuple[int, ...], program: Program) -> Iterator[tuple[int, ...]]:
    """Records that a step of the rule may make of this one, standing at all of the places."""
    codes = {each.name: value for each, value in zip(group.fields, record, strict=True)}
    for bound in _bindings(rule, places, program):
        entry = _Entry(program, places, codes, bound)
        if any(_possible(guard, entry) == frozenset((0,)) for guard in rule.guards):
            continue
        options = {each.name: {codes[each.name]} for each in group.fields}
        for update in rule.updates:
            if update.keys not in places or update.variable not in codes:
                continue
            taken = frozenset((1,)) if update.condition is None else _possible(
                update.condition, entry)
            if taken == frozenset((0,)):
                continue
            each = next(one for one in group.fields if one.name == update.variable)
            values = _possible(update.value, entry)
            fresh = {value for value in (range(each.low, each.high + 1) if values is None
                                         else values) if each.low <= value <= each.high}
            certain = taken == frozenset((1,)) and not update.over
            options[each.name] = fresh if certain else options[each.name] | fresh
        yield from product(*(sorted(options[each.name]) for each in group.fields))


def _everything(group: Group) -> Group:
    ranges = (range(each.low, each.high + 1) for each in group.fields)
    return group._replace(records=tuple(product(*ranges)))


def _reachable(program: Program, group: Group) -> Group:
    """The group with the records that may come up, in the order of their codes."""
    first = tuple(initial_code(program, each.name) for each in group.fields)
    names = {each.name for each in group.fields}
    seen, waiting = {first}, [first]
    while waiting:
        record = waiting.pop()
        for rule in program.rules:
            classes: list[tuple[Expr, ...]] = []
            for update in rule.updates:
                if update.variable in names and update.keys not in classes:
                    classes.append(update.keys)
            if len(classes) > CLASSES_MAX:
                return _everything(group)
            for places in _subsets(classes):
                for after in _after(rule, group, places, record, program):
                    if after not in seen:
                        seen.add(after)
                        waiting.append(after)
    return group._replace(records=tuple(sorted(seen)))
