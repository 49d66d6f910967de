"""Symmetry reduction: one state stands for all that differ by renaming members of symmetric sets.

The representative is found without trying all renamings. One set (the largest whose members do
not refer to one another) is *sorted*: once all other members have their names, its members differ
by their records and by who points at them, so their names are the order of that. The members of
every other set are first ordered by a signature that no renaming changes (the own record, the
records that point there); where signatures are equal, all orders of the equal ones are tried and
the smallest number wins. The trying is left out where equal signatures mean that two members can
be exchanged (`twins`): one such set, to which one variable of the sorted set points.

Signatures are sums of 40-bit hashes. A collision costs reduction, never soundness: what comes
out is always the state itself under some renaming. Refused, with the reason: more than
ORDERS_MAX orders to try in the worst case, and records too wide to compare as one number.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from itertools import permutations, product
from math import factorial, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from model.kernel.engines.layout import Block, Layout
from model.kernel.engines.lower import Unpackable
from model.kernel.spec import ir

if TYPE_CHECKING:
    from model.kernel.engines.codegen import Map

ORDERS_MAX = 5_040
KEY_MAX = 1 << 62


class Sets(NamedTuple):
    """The symmetric sets with more than one member: the one that is sorted, the others."""

    sorted: str | None
    ordered: tuple[str, ...]
    twins: bool


def member_of(value_type: ir.Type, names: tuple[str, ...] | set[str]) -> str | None:
    """The index that a type's values are members of, if it is one of these."""
    if isinstance(value_type, ir.MemberType) and value_type.index in names:
        return value_type.index
    return None


def sets_of(layout: Layout) -> Sets:
    """How each symmetric set is treated. Unpackable where that would try too many orders."""
    module, scope = layout.program.module, layout.program.scope
    symmetric = [index.name for index in module.indexes
                 if index.symmetric and scope.sizes[index.name] > 1]
    related = {name for name in symmetric for each in module.variables
               if each.keys.count(name) + (member_of(each.type, {name}) == name) > 1}
    free = [name for name in symmetric if name not in related]
    best = max(free, key=lambda name: scope.sizes[name], default=None)
    ordered = tuple(name for name in symmetric if name != best)
    twins = len(ordered) <= 1 and not any(_entangled(each, best, ordered)
                                          for each in module.variables)
    twins = twins and sum(member_of(each.type, ordered) is not None and bool(each.keys)
                          for each in module.variables) <= 1
    orders = 1 if twins else prod(factorial(scope.sizes[name]) for name in ordered)
    if orders > ORDERS_MAX:
        raise Unpackable(f"symmetry of {', '.join(ordered)} together would try {orders} orders "
                         "of members for a state")
    return Sets(best, ordered, twins)


def _entangled(variable: ir.Variable, best: str | None, ordered: tuple[str, ...]) -> bool:
    """Whether equal signatures of an ordered set need not mean that members can be exchanged."""
    pair = len(variable.keys) == 2 and any(name in variable.keys for name in ordered)
    to_best = best is not None and member_of(variable.type, {best}) is not None
    to_ordered = member_of(variable.type, ordered) is not None
    return pair or to_best or (to_ordered and variable.keys not in ((), (best,)))


def mix(*parts: Any) -> int:
    """A 40-bit hash, the same everywhere."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=5).digest(), "big")


def signature_table(layout: Layout, number: int, role: str, names: tuple[str, ...]) -> tuple[
        int, ...]:
    """For each digit of a block, a hash of what no renaming changes about its record."""
    block = layout.blocks[number]
    sizes = layout.program.scope.sizes
    values = []
    for record in block.group.records:
        kept = tuple(
            (value == sizes[index]) if (index := member_of(each.type, names)) else value
            for each, value in zip(block.group.fields, record, strict=True))
        values.append(mix(role, number, kept))
    return tuple(values)


class _Canonical:
    """Prints `canonical`, which takes the words of a state and returns its representative's."""

    def __init__(self, layout: Layout, places: Map) -> None:
        self.layout, self.places = layout, places
        self.scope = layout.program.scope
        self.sets = sets_of(layout)
        self.named = tuple(name for name in (*self.sets.ordered, self.sets.sorted) if name)
        self.words = len(layout.ranks)
        self.lines: list[str] = []
        self.depth = 1

    def say(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]

    def of(self, name: str) -> int:
        return self.places.names[name]

    def printed(self) -> str:
        """The text of the function."""
        if not self.named:
            words = self.listed("y")
            return f"@njit(error_model='numpy')\ndef canonical({words}, s):\n    return {words}\n"
        self.place()
        self.decode()
        for name in self.sets.ordered:
            self.signature(name)
        self.say(*(f"b{word} = -1" for word in range(self.words)))
        depth = self.depth
        for name in self.sets.ordered:
            self.order(name)
        if self.sets.sorted:
            self.sort(self.sets.sorted)
        self.renumber()
        self.depth = depth
        self.say(f"return {self.listed('b')}")
        return "\n".join(["@njit(error_model='numpy')", f"def canonical({self.listed('y')}, s):",
                          *self.lines, ""])

    def listed(self, stem: str) -> str:
        """The names of the words of a state."""
        return ", ".join(f"{stem}{word}" for word in range(self.words))

    def place(self) -> None:
        for name in self.named:
            size = self.scope.sizes[name]
            self.places.take(f"label_{name}", size + 1)
            self.places.take(f"key_{name}", size)
            self.places.take(f"first_{name}", size)
            self.places.take(f"signature_{name}", size)
            orders = [*permutations(range(size))] if not self.sets.twins \
                and name in self.sets.ordered else []
            self.places.table(f"orders_{name}", tuple(each for order in orders for each in order))
            self.places.tables.append((self.of(f"label_{name}") + size, (size,)))
        for number, block in enumerate(self.layout.blocks):
            self.places.take(f"c_digit_{number}", block.entries)
            for each in block.group.fields:
                self.places.take(f"c_{each.name}", block.entries)
            if not block.group.keys:
                for part in block.parts:
                    self.places.table(f"power_{number}_{part.word}", block.powers(part.word))

    def decode(self) -> None:
        """Digits and codes of all entries."""
        self.say(*(f"r{word} = y{word}" for word in range(self.words)))
        for number, block in enumerate(self.layout.blocks):
            for part in block.parts:
                self.say(f"for i in range({part.first}, {part.first + part.entries}):",
                         f"    d = r{part.word} % {block.radix}",
                         f"    r{part.word} //= {block.radix}",
                         f"    s[{self.of(f'c_digit_{number}')} + i] = d")
                for each in block.group.fields:
                    value = f"d + {block.group.records[0][0]}" if block.group.plain else \
                        f"s[{self.of(f'of_{number}_{each.name}')} + d]"
                    self.say(f"    s[{self.of(f'c_{each.name}')} + i] = {value}")

    # -------------------------------------------------------------- signatures and orders

    def signature(self, name: str) -> None:
        """For each member a sum of hashes that no renaming changes, then its place in order."""
        size, at = self.scope.sizes[name], self.of(f"signature_{name}")
        self.say(f"for i in range({size}):", f"    s[{at} + i] = 0")
        for number, block in enumerate(self.layout.blocks):
            for position, key in enumerate(block.group.keys):
                if key == name:
                    self.own_record(number, block, position, at)
            for each in block.group.fields:
                if member_of(each.type, {name}):
                    self.pointers(number, block, each.name, at, size)
        self.by_counting(name, at, f"label_{name}")
        first, label = self.of(f"first_{name}"), self.of(f"label_{name}")
        self.say(f"for i in range({size}):",
                 f"    s[{first} + i] = s[{label} + i]")
        sorted_at = self.of(f"key_{name}")
        self.say(f"for i in range({size}):",
                 f"    s[{sorted_at} + s[{label} + i]] = s[{at} + i]")

    def own_record(self, number: int, block: Block, position: int, at: int) -> None:
        role = f"key {position}"
        table = self.places.table(f"mix_{number}_{position}",
                                  signature_table(self.layout, number, role, self.named))
        width = self.scope.sizes[block.group.keys[1]] if len(block.group.keys) == 2 else 1
        member = f"i // {width}" if position == 0 else f"i % {width}"
        self.say(f"for i in range({block.entries}):",
                 f"    s[{at} + {member}] += s[{table} + s[{self.of(f'c_digit_{number}')} + i]]")

    def pointers(self, number: int, block: Block, variable: str, at: int, size: int) -> None:
        table = self.places.table(f"mix_{number}_{variable}", signature_table(
            self.layout, number, f"points {variable}", self.named))
        self.say(f"for i in range({block.entries}):",
                 f"    p = s[{self.of(f'c_{variable}')} + i]",
                 f"    if p < {size}:",
                 f"        s[{at} + p] += s[{table} + s[{self.of(f'c_digit_{number}')} + i]]")

    def by_counting(self, name: str, keys: int, label: str) -> None:
        """Labels in the order of the keys, equal ones as they stand."""
        size = self.scope.sizes[name]
        self.say(f"for i in range({size}):", "    n = 0", f"    v = s[{keys} + i]",
                 f"    for j in range({size}):",
                 f"        if s[{keys} + j] < v or (s[{keys} + j] == v and j < i):",
                 "            n += 1", f"    s[{self.of(label)} + i] = n")

    def order(self, name: str) -> None:
        """A loop over the orders of members with equal signatures."""
        if self.sets.twins:
            return
        size = self.scope.sizes[name]
        orders, key = self.of(f"orders_{name}"), self.of(f"key_{name}")
        at = f"o_{name}"
        self.say(f"last_{name} = 1", f"for i in range({size - 1}):",
                 f"    if s[{key} + i] == s[{key} + i + 1]:",
                 f"        last_{name} = {factorial(size)}",
                 f"for {at} in range(last_{name}):")
        self.depth += 1
        self.say(f"f_{name} = True", f"for i in range({size}):",
                 f"    if s[{key} + s[{orders} + {at} * {size} + i]] != s[{key} + i]:",
                 f"        f_{name} = False", f"if f_{name}:")
        self.depth += 1
        self.say(f"for i in range({size}):",
                 f"    s[{self.of(f'label_{name}')} + i] = "
                 f"s[{orders} + {at} * {size} + s[{self.of(f'first_{name}')} + i]]")

    # ------------------------------------------------------------- sorting and numbering

    def sort(self, name: str) -> None:
        """Label the members of the sorted set by what they are, now that the others have names."""
        size, key = self.scope.sizes[name], self.of(f"key_{name}")
        self.say(f"for i in range({size}):", f"    s[{key} + i] = 0")
        total = 1
        for number, block in enumerate(self.layout.blocks):
            if name in block.group.keys:
                total = self.sort_block(number, block, name, key, total)
            for each in block.group.fields:
                if member_of(each.type, {name}):
                    total = self.sort_pointers(block, each.name, key, size, total)
        if total > KEY_MAX:
            raise Unpackable(f"what is known of a member of {name} takes "
                             f"{total.bit_length()} bits, too many to sort by")
        self.by_counting(name, key, f"label_{name}")

    def sort_block(self, number: int, block: Block, name: str, key: int, total: int) -> int:
        keys = block.group.keys
        width = self.scope.sizes[keys[1]] if len(keys) == 2 else 1
        self.say(f"for i in range({block.entries}):")
        self.depth += 1
        digit = self.digit(number, block, skip=name)
        if len(keys) == 1:
            self.say(f"s[{key} + i] += {digit} * {total}")
            count = 1
        else:
            other = keys[1] if keys[0] == name else keys[0]
            own, rest = (f"i // {width}", f"i % {width}") if keys[0] == name else (
                f"i % {width}", f"i // {width}")
            count = self.scope.sizes[other]
            powers = self.places.table(f"sort_{number}", tuple(
                min(KEY_MAX, total * block.radix**at) for at in range(count)))
            self.say(f"s[{key} + {own}] += {digit} * s[{powers} + {self.label(other, rest)}]")
        self.depth -= 1
        return int(total * block.radix**count)

    def sort_pointers(self, block: Block, variable: str, key: int, size: int, total: int) -> int:
        powers = self.places.table(f"sort_{variable}", tuple(
            min(KEY_MAX, total * 2**at) for at in range(block.entries)))
        self.say(f"for i in range({block.entries}):",
                 f"    p = s[{self.of(f'c_{variable}')} + i]", f"    if p < {size}:",
                 f"        s[{key} + p] += s[{powers} + {self.entry(block)}]")
        return int(total * 2**block.entries)

    def label(self, index: str, member: str) -> str:
        """The new name of a member."""
        return f"s[{self.of(f'label_{index}')} + {member}]" if index in self.named else member

    def entry(self, block: Block) -> str:
        """Where entry `i` of a block goes."""
        keys = block.group.keys
        if len(keys) < 2:
            return self.label(keys[0], "i") if keys else "i"
        width = self.scope.sizes[keys[1]]
        return f"{self.label(keys[0], f'i // {width}')} * {width} + " \
               f"{self.label(keys[1], f'i % {width}')}"

    def digit(self, number: int, block: Block, skip: str | None = None) -> str:
        """The digit of entry `i` with its members renamed. `skip`: a set that has no names yet."""
        names = [name for name in self.named if name != skip]
        if not any(member_of(each.type, tuple(names)) for each in block.group.fields):
            return f"s[{self.of(f'c_digit_{number}')} + i]"
        at = ""
        for each in block.group.fields:
            value = f"s[{self.of(f'c_{each.name}')} + i]"
            index = member_of(each.type, tuple(names))
            if index:
                value = self.label(index, value)
            value = f"{value} - {each.low}" if each.low else value
            at = f"({at}) * {each.size} + {value}" if at else value
        if block.group.plain:
            low = block.group.records[0][0] - block.group.fields[0].low
            return f"({at} - {low})" if low else f"({at})"
        return f"s[{self.of(f'digits_{number}')} + {at}]"

    def renumber(self) -> None:
        """The words of the renamed state; the smallest so far is kept."""
        self.say(*(f"z{word} = 0" for word in range(self.words)))
        for number, block in enumerate(self.layout.blocks):
            self.say(f"for i in range({block.entries}):")
            self.depth += 1
            for part in block.parts:
                self.say(f"z{part.word} += {self.digit(number, block)} * s["
                         f"{self.of(f'power_{number}_{part.word}')} + {self.entry(block)}]")
            self.depth -= 1
        smaller = "z0 < b0"
        for word in range(1, self.words):
            smaller = f"z{word} < b{word} or (z{word} == b{word} and ({smaller}))"
        self.say(f"if b0 < 0 or {smaller}:",
                 *(f"    b{word} = z{word}" for word in range(self.words)))


def printer(layout: Layout) -> Callable[[Map], str]:
    """What `codegen.Search` calls to print `canonical`."""
    return lambda places: _Canonical(layout, places).printed()


def evaluator(layout: Layout) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    """The same function in plain Python, for the few states of a trace."""
    from model.kernel.engines.codegen import Search

    search = Search(layout, dense=True, canonical=printer(layout))
    words = [0] * search.places.end
    for at, values in search.places.tables:
        words[at : at + len(values)] = values
    space: dict[str, Any] = {"njit": lambda **_: lambda function: function}
    exec(compile(search.canonical, "<canonical>", "exec"), space)  # our own printed source
    canonical = space["canonical"]

    def apply(state: tuple[int, ...]) -> tuple[int, ...]:
        found = canonical(*state, words)
        return tuple(found) if len(state) > 1 else (found,)

    return apply


def vectorised(layout: Layout) -> Callable[[Any], Any]:
    """The same function on an array of one-word states, for the NumPy engine."""
    return _Vectorised(layout).apply


class _Vectorised:
    """Follows `_Canonical` step by step with one column for each word it computes."""

    def __init__(self, layout: Layout) -> None:
        import numpy as np

        self.np: Any = np
        self.layout, self.scope = layout, layout.program.scope
        evaluator(layout)  # refuses what is too wide
        self.sets = sets_of(layout)
        self.named = tuple(name for name in (*self.sets.ordered, self.sets.sorted) if name)
        self.tables = [np.array(block.group.table, np.int64) for block in layout.blocks]
        self.mixed: dict[tuple[int, str], Any] = {}
        self.digits: list[list[Any]] = []
        self.codes: dict[str, list[Any]] = {}
        self.labels: dict[str, Any] = {}
        self.rows: Any = None

    def apply(self, words: Any) -> Any:
        """The representatives of the states."""
        np = self.np
        if not self.named:
            return words
        self.rows = np.arange(len(words))
        self._decode(words)
        base = {name: self._by_counting(keys) for name in self.sets.ordered
                for keys in [self._signature(name)]}
        if self.sets.twins:
            self.labels.update({name: self._with_none(label) for name, label in base.items()})
            return self._numbered()
        best = np.full(len(words), np.iinfo(np.int64).max)
        keys = {name: np.sort(self._signature(name), axis=0) for name in self.sets.ordered}
        for orders in product(*(permutations(range(self.scope.sizes[name]))
                                for name in self.sets.ordered)):
            fits = np.ones(len(words), bool)
            for name, order in zip(self.sets.ordered, orders, strict=True):
                fits &= (keys[name][list(order)] == keys[name]).all(axis=0)
                self.labels[name] = self._with_none(np.array(order)[base[name]])
            if fits.any():
                best = np.where(fits, np.minimum(best, self._numbered()), best)
        return best

    def _decode(self, words: Any) -> None:
        np = self.np
        rest = words.astype(np.int64)
        self.digits = []
        for block in self.layout.blocks:
            digits = []
            for _ in range(block.entries):
                digits.append(rest % block.radix)
                rest //= block.radix
            self.digits.append(digits)
            for at, each in enumerate(block.group.fields):
                table = np.array([record[at] for record in block.group.records])
                self.codes[each.name] = [table[digit] for digit in digits]

    def _with_none(self, label: Any) -> Any:
        np = self.np
        return np.vstack([label, np.full((1, label.shape[1]), len(label))])

    def _by_counting(self, keys: Any) -> Any:
        np = self.np
        label = np.zeros(keys.shape, np.int64)
        for i in range(len(keys)):
            for j in range(len(keys)):
                if i != j:
                    label[i] += keys[j] <= keys[i] if j < i else keys[j] < keys[i]
        return label

    def _mixed(self, number: int, role: str) -> Any:
        if (number, role) not in self.mixed:
            self.mixed[number, role] = self.np.array(
                signature_table(self.layout, number, role, self.named))
        return self.mixed[number, role]

    def _signature(self, name: str) -> Any:
        np, size = self.np, self.scope.sizes[name]
        found = np.zeros((size, len(self.rows)), np.int64)
        for number, block in enumerate(self.layout.blocks):
            for position, key in enumerate(block.group.keys):
                if key == name:
                    table = self._mixed(number, f"key {position}")
                    for entry in range(block.entries):
                        member = self._members(block, entry)[position]
                        found[member] += table[self.digits[number][entry]]
            for each in block.group.fields:
                if member_of(each.type, {name}):
                    table = self._mixed(number, f"points {each.name}")
                    for entry in range(block.entries):
                        points = self.codes[each.name][entry]
                        weight = table[self.digits[number][entry]]
                        for member in range(size):
                            found[member] += np.where(points == member, weight, 0)
        return found

    def _members(self, block: Block, entry: int) -> tuple[int, ...]:
        if len(block.group.keys) < 2:
            return (entry,)
        return divmod(entry, self.scope.sizes[block.group.keys[1]])

    def _numbered(self) -> Any:
        """Sort the sorted set; the numbers of the renamed states."""
        if self.sets.sorted:
            self.labels.pop(self.sets.sorted, None)
            label = self._by_counting(self._sort_keys(self.sets.sorted))
            self.labels[self.sets.sorted] = self._with_none(label)
        words = self.np.zeros(len(self.rows), self.np.int64)
        for number, block in enumerate(self.layout.blocks):
            powers = self.np.array(block.powers(0))
            for entry in range(block.entries):
                place: Any = 0
                for key, member in zip(block.group.keys, self._members(block, entry),
                                       strict=False):
                    place = place * self.scope.sizes[key] + self._label(key, member)
                words += self._digit(number, block, entry) * powers[place]
        return words

    def _label(self, index: str, member: int) -> Any:
        return self.labels[index][member] if index in self.labels else member

    def _digit(self, number: int, block: Block, entry: int) -> Any:
        renamed = [member_of(each.type, tuple(self.labels)) for each in block.group.fields]
        if not any(renamed):
            return self.digits[number][entry]
        slot: Any = 0
        for each, index in zip(block.group.fields, renamed, strict=True):
            value = self.codes[each.name][entry]
            if index:
                value = self.labels[index][value, self.rows]
            slot = slot * each.size + value - each.low
        return self.tables[number][slot]

    def _sort_keys(self, name: str) -> Any:
        np, size = self.np, self.scope.sizes[name]
        keys = np.zeros((size, len(self.rows)), np.int64)
        total = 1
        for number, block in enumerate(self.layout.blocks):
            if name in block.group.keys:
                own = block.group.keys.index(name)
                others = [key for key in block.group.keys if key != name]
                count = self.scope.sizes[others[0]] if others else 1
                powers = np.array([total * block.radix**at for at in range(count)])
                for entry in range(block.entries):
                    members = self._members(block, entry)
                    place = self._label(others[0], members[1 - own]) if others else 0
                    keys[members[own]] += self._digit(number, block, entry) * powers[place]
                total *= block.radix**count
            for each in block.group.fields:
                if member_of(each.type, {name}):
                    total = self._pointed(block, each.name, keys, total)
        return keys

    def _pointed(self, block: Block, variable: str, keys: Any, total: int) -> int:
        powers = self.np.array([total * 2**at for at in range(block.entries)])
        for entry in range(block.entries):
            place: Any = 0
            for key, member in zip(block.group.keys, self._members(block, entry), strict=False):
                place = place * self.scope.sizes[key] + self._label(key, member)
            points = self.codes[variable][entry]
            for member in range(len(keys)):
                keys[member] += self.np.where(points == member, powers[place], 0)
        return int(total * 2**block.entries)
