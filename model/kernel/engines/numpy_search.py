"""Packed search in NumPy, level by level: for where no compiler is wanted.

A block of states is decoded into columns; every instance of every action is a mask over the block
and an array of successors, looked up in a bitmap over all numbers where that fits, else in the
sorted numbers seen so far. One word a state: wider states are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from model.kernel.engines.codegen import free_names, risky, within
from model.kernel.engines.layout import Layout
from model.kernel.engines.lower import TRUE, Rule, Unpackable, span
from model.kernel.engines.packed import DENSE_RANKS_MAX, Limits, Progress, Raw
from model.kernel.engines.vector import Block, Evaluate, Evaluator, Names
from model.kernel.spec import ir
from model.kernel.spec.interpret import Failure

BLOCK = 1 << 16
BYTES_RANKS_MAX = 1 << 28  # up to here a byte for each number: faster than a bit


class _Write(NamedTuple):
    """An update, ready to be evaluated: bound names of a bulk update and their ranges last."""

    update: ir.Update
    block: int
    place: int
    keys: tuple[Evaluate, ...]
    value: Evaluate
    condition: Evaluate | None
    undefined: tuple[Evaluate, ...]  # of the condition, then of the value and the keys
    bounds: tuple[int, int] | None  # None: the value is sure to be in its domain
    over: tuple[tuple[str, range], ...]


class _Found(Exception):  # noqa: N818 - carries the failure out of nested loops
    def __init__(self, failure: Failure, row: int) -> None:
        super().__init__(failure.name)
        self.failure, self.row = failure, row


class _Seen:
    """The numbers met so far."""

    def __init__(self, np: Any, ranks: int, memory_bytes: int) -> None:
        self.np = np
        self.kind = "sorted numbers"
        self.table: Any = np.zeros(0, np.int64)
        if ranks <= min(BYTES_RANKS_MAX, memory_bytes // 2):
            self.kind, self.table = "dense bytes", np.zeros(ranks, bool)
        elif ranks <= DENSE_RANKS_MAX and ranks // 8 <= memory_bytes // 2:
            self.kind, self.table = "dense bitset", np.zeros((ranks >> 3) + 1, np.uint8)

    def fresh(self, words: Any) -> tuple[Any, Any]:
        """The words not met before, each once, and where each stands; now they are met."""
        np, table = self.np, self.table
        if self.kind == "dense bytes":
            new = np.flatnonzero(~table[words])
        elif self.kind == "dense bitset":
            new = np.flatnonzero(table[words >> 3] >> (words & 7).astype(np.uint8) & 1 == 0)
        else:
            at = np.minimum(np.searchsorted(table, words), max(0, len(table) - 1))
            new = np.flatnonzero(table[at] != words) if len(table) else np.arange(len(words))
        if not len(new):
            return new, new
        kept, first = np.unique(words[new], return_index=True)
        self._add(kept)
        return kept, new[first]

    def _add(self, kept: Any) -> None:
        np = self.np
        if self.kind == "dense bytes":
            self.table[kept] = True
        elif self.kind == "dense bitset":
            cells, starts = np.unique(kept >> 3, return_index=True)
            bits = np.left_shift(np.uint8(1), (kept & 7).astype(np.uint8))
            self.table[cells] |= np.bitwise_or.reduceat(bits, starts)
        else:
            self.table = np.insert(self.table, np.searchsorted(self.table, kept), kept)


class _Search:
    """One search. Levels are kept whole, with the position of each state's parent."""

    def __init__(self, layout: Layout, limits: Limits, canonical: Callable[[Any], Any] | None,
                 initial: int) -> None:
        import numpy as np

        self.np: Any = np
        self.layout, self.limits, self.canonical = layout, limits, canonical
        self.scope = layout.program.scope
        self.evaluator = Evaluator(layout)
        program = layout.program
        self.rules = [self._prepare(rule) for rule in program.rules]
        self.invariants = [self.evaluator.value(each.condition) for each in program.invariants]
        self.doubtful = [self.evaluator.undefined(each.condition)
                         for each in (*program.invariants, *program.witnesses)
                         if risky(each.condition)]
        self.witnesses = [self.evaluator.value(each.condition) for each in program.witnesses]
        self.witnessed = [False] * len(self.witnesses)
        self.counts = [0] * len(program.rules)
        self.hits: list[Any] = [np.zeros(block.radix, bool) for block in layout.blocks]
        self.tables = [np.array(block.group.table, np.int64) for block in layout.blocks]
        self.seen = _Seen(np, layout.ranks[0], limits.memory_bytes)
        first = np.array([initial], np.int64)
        self.seen.fresh(first)
        self.word = np.uint32 if layout.ranks[0] <= 1 << 32 else np.int64
        self.levels: list[Any] = [first.astype(self.word)]
        self.parents: list[Any] = [np.zeros(1, np.int64)]
        self.states, self.transitions = 1, 0
        self.level = self.position = 0

    # ----------------------------------------------------------------------------- actions

    def _prepare(self, rule: Rule) -> tuple[Rule, list[list[tuple[Evaluate, Evaluate]]],
                                            list[_Write], list[tuple[str, Evaluate]]]:
        order = [binder.name for binder in rule.parameters]
        levels: list[list[tuple[Evaluate, Evaluate]]] = [[] for _ in range(len(order) + 1)]
        reached = 0
        for guard in rule.guards:
            # Guards keep their order, so that a later one may rely on an earlier.
            known = [order.index(name) + 1 for name in free_names(guard)]
            reached = max([reached, *known])
            levels[reached].append((self.evaluator.value(guard), self.evaluator.undefined(guard)))
        writes = [self._write(update) for update in rule.updates]
        checks = [(check.name, self.evaluator.value(check.condition)) for check in rule.checks]
        return rule, levels, writes, checks

    def _write(self, update: ir.Update) -> _Write:
        value = self.evaluator.value
        number, place = self.layout.block_of(update.variable)
        field = self.layout.blocks[number].group.fields[place]
        safe = within(update.value, field.low, field.high, self.scope)
        over = []
        for binder in update.over:
            low, high = span(binder.type, self.scope)
            over.append((binder.name, range(low, high + 1)))
        undefined = tuple(map(self.evaluator.undefined,
                              (update.condition or TRUE, update.value, *update.keys)))
        return _Write(update, number, place, tuple(map(value, update.keys)), value(update.value),
                      None if update.condition is None else value(update.condition), undefined,
                      None if safe else (field.low, field.high), tuple(over))

    def _instances(self, rule: Rule, levels: list[list[tuple[Evaluate, Evaluate]]]) -> Iterator[
            tuple[dict[str, int], Any]]:
        """Argument tuples and the rows of the block in which all guards hold."""
        np = self.np
        size = self.evaluator.block.size if self.evaluator.block else 0

        def descend(level: int, names: dict[str, int], mask: Any) -> Iterator[
                tuple[dict[str, int], Any]]:
            for value, undefined in levels[level]:
                self._complain(np.logical_and(mask, undefined(names)))
                mask = np.logical_and(mask, value(names))
                if not np.any(mask):
                    return
            if level == len(rule.parameters):
                yield names, np.flatnonzero(np.broadcast_to(mask, (size,)))
                return
            binder = rule.parameters[level]
            low, high = span(binder.type, self.scope)
            for member in range(low, high + 1):
                yield from descend(level + 1, {**names, binder.name: member}, mask)

        yield from descend(0, {}, True)

    def _complain(self, undefined: Any, rows: Any = None) -> None:
        """Stop where a key lies outside its index; `rows`: the states that were looked at."""
        if self.np.any(undefined):
            row = int(self.np.argmax(undefined)) if self.np.ndim(undefined) else 0
            raise _Found(Failure("fault", "a key outside its index", 0, (), ()),
                         row if rows is None else int(rows[row]))

    def _successors(self, writes: list[_Write], names: Names, rows: Any) -> Any:
        """The numbers of the states after the step, for these rows."""
        block = self.evaluator.block
        assert block is not None
        fresh: dict[tuple[int, int], dict[int, Any]] = {}
        for write in writes:
            for bound in _bindings(write.over, dict(names)):
                self._apply(write, bound, rows, fresh)
        words = block.words[rows].astype(self.np.int64)
        for (number, entry), values in fresh.items():
            words = words + self._difference(number, entry, values, rows)
        return words

    def _apply(self, write: _Write, names: Names, rows: Any,
               fresh: dict[tuple[int, int], dict[int, Any]]) -> None:
        np, block = self.np, self.evaluator.block
        assert block is not None
        first, *later = (_at(np, undefined(names), rows) for undefined in write.undefined)
        self._complain(first, rows)
        condition: Any = True if write.condition is None else _at(np, write.condition(names), rows)
        if not np.any(condition):
            return
        for undefined in later:
            self._complain(np.logical_and(condition, undefined), rows)
        value = _at(np, write.value(names), rows)
        if write.bounds is not None:
            low, high = write.bounds
            bad = np.broadcast_to(((value < low) | (value > high)) & condition, rows.shape)
            if bad.any():
                raise _Found(Failure("fault", write.update.variable, write.update.line, (), ()),
                             int(rows[np.argmax(bad)]))
        columns = block.columns[write.update.variable]
        for entry, here in self._entries(write, names, rows, len(columns)):
            test = np.logical_and(condition, here)
            if not np.any(test):
                continue
            record = fresh.setdefault((write.block, entry), {})
            old = record.get(write.place, columns[entry][rows])
            record[write.place] = value if test is True or np.all(test) else np.where(
                test, value, old)

    def _entries(self, write: _Write, names: Names, rows: Any,
                 count: int) -> Iterator[tuple[int, Any]]:
        """The entries that an update may write, and in which rows it does."""
        np = self.np
        sizes = [self.scope.sizes[index]
                 for index in self.layout.program.module.variable(write.update.variable).keys]
        at: Any = 0
        for key, size in zip(write.keys, sizes, strict=True):
            member = _at(np, key(names), rows)
            bad = np.broadcast_to((member < 0) | (member >= size), rows.shape)
            if bad.any():
                raise _Found(Failure("fault", write.update.variable, write.update.line, (), ()),
                             int(rows[np.argmax(bad)]))
            at = at * size + (member.astype(np.int64) if np.ndim(member) else int(member))
        if np.ndim(at) == 0:
            yield int(at), True
            return
        for entry in range(count):
            yield entry, at == entry

    def _difference(self, number: int, entry: int, values: dict[int, Any], rows: Any) -> Any:
        """What changing one record adds to the number of the state."""
        np, block = self.np, self.evaluator.block
        assert block is not None
        home = self.layout.blocks[number]
        slot: Any = 0
        for place, field in enumerate(home.group.fields):
            value = values.get(place)
            if value is None:
                value = block.columns[field.name][entry][rows]
            slot = slot * field.size + (np.asarray(value).astype(np.int64) - field.low)
        digit = self.tables[number][slot]
        if np.any(digit < 0):
            missed = ", ".join(each.name for each in home.group.fields)
            raise AssertionError(f"the abstract search missed a record of {missed}")
        return (digit - block.digits[number][entry][rows]) * home.powers(0)[entry]

    # ------------------------------------------------------------------------------ search

    def judge(self, words: Any) -> None:
        """Enter a block of states: coverage, invariants, witnesses."""
        np = self.np
        block = Block(self.layout, words)
        self.evaluator.enter(block)
        for hit, digits in zip(self.hits, block.digits, strict=True):
            for digit in digits:
                hit[digit] = True
        for undefined in self.doubtful:
            self._complain(undefined({}))
        rules = self.layout.program.module.invariants
        for rule, holds in zip(rules, self.invariants, strict=True):
            broken = np.broadcast_to(np.logical_not(holds({})), (block.size,))
            if broken.any():
                raise _Found(Failure("invariant", rule.name, rule.line, (), ()),
                             int(np.argmax(broken)))
        for number, holds in enumerate(self.witnesses):
            if not self.witnessed[number]:
                self.witnessed[number] = bool(np.any(holds({})))

    def expand(self, offset: int, fresh: list[Any], parents: list[Any]) -> None:
        """The new successors of the block, with the position of their parents in the level."""
        np = self.np
        for number, (rule, levels, writes, checks) in enumerate(self.rules):
            for names, rows in self._instances(rule, levels):
                if not len(rows):
                    continue
                words = self._successors(writes, names, rows)
                for name, holds in checks:
                    broken = np.broadcast_to(
                        np.logical_not(_at(np, holds(names), rows)), rows.shape)
                    if broken.any():
                        raise _Found(Failure("step rule", name, 0, (), ()),
                                     int(rows[np.argmax(broken)]))
                self.counts[number] += len(rows)
                self.transitions += len(rows)
                if self.canonical is not None:
                    words = self.canonical(words)
                kept, first = self.seen.fresh(words)
                if len(kept):
                    fresh.append(kept.astype(self.word))
                    parents.append(rows[first] + offset)
                    self.states += len(kept)

    def walk(self, progress: Callable[[Progress], None] | None) -> str:
        """All levels; what stopped the search, or nothing. _Found where something is wrong."""
        started = time.monotonic()
        while self.level < len(self.levels):
            words = self.levels[self.level]
            fresh: list[Any] = []
            parents: list[Any] = []
            stopped, self.position = "", 0
            while self.position < len(words) and not stopped:
                stopped = self._stopped(started, fresh, parents)
                if stopped:
                    break
                size = min(BLOCK, max(64, self.limits.states - self.states))
                self.judge(words[self.position : self.position + size])
                self.expand(self.position, fresh, parents)
                self.position += size
                if progress is not None:
                    progress(Progress(self.states, self.states - len(words) + self.position,
                                      self.transitions, len(self.levels)))
            if fresh:
                self.levels.append(self.np.concatenate(fresh))
                self.parents.append(self.np.concatenate(parents))
            if stopped:
                self._judge_rest()
                return stopped
            self.level += 1
        return ""

    def _stopped(self, started: float, fresh: list[Any], parents: list[Any]) -> str:
        waiting = sum(each.nbytes for each in fresh) + sum(each.nbytes for each in parents)
        if self.states >= self.limits.states:
            return "states"
        if time.monotonic() - started > self.limits.seconds:
            return "seconds"
        # Joining a level copies it; half as much again for the block at work.
        if self.bytes_used() + 2 * waiting + waiting // 2 > self.limits.memory_bytes:
            return "memory"
        return ""

    def _judge_rest(self) -> None:
        """Check the states that nobody expanded."""
        while self.level < len(self.levels):
            words = self.levels[self.level]
            while self.position < len(words):
                self.judge(words[self.position : self.position + BLOCK])
                self.position += BLOCK
            self.level, self.position = self.level + 1, 0

    def path(self, level: int, position: int) -> list[tuple[int, ...]]:
        """The states that lead to this one."""
        words: list[tuple[int, ...]] = []
        for at in range(level, -1, -1):
            words.append((int(self.levels[at][position]),))
            position = int(self.parents[at][position])
        words.reverse()
        return words

    def bytes_used(self) -> int:
        """Bytes of what is kept."""
        return int(self.seen.table.nbytes + sum(each.nbytes for each in self.levels)
                   + sum(each.nbytes for each in self.parents))


def _bindings(over: tuple[tuple[str, range], ...], names: dict[str, int]) -> Iterator[Names]:
    if not over:
        yield names
        return
    (name, members), rest = over[0], over[1:]
    for member in members:
        yield from _bindings(rest, {**names, name: member})


def _at(np: Any, value: Any, rows: Any) -> Any:
    """The value in these rows; what is the same in all states stays a scalar."""
    return value[rows] if np.ndim(value) else value


def run(layout: Layout, *, symmetry: bool, limits: Limits,
        progress: Callable[[Progress], None] | None) -> Raw:
    """Search with NumPy; see `packed.search`."""
    if len(layout.ranks) > 1:
        raise Unpackable("a state needs two words or more; the NumPy engine holds one")
    began = time.process_time()
    canonical, initial = None, layout.initial()
    if symmetry:
        from model.kernel.engines.symmetry import evaluator, vectorised

        canonical, initial = vectorised(layout), evaluator(layout)(initial)
    search = _Search(layout, limits, canonical, initial[0])
    prepared = time.process_time()
    stopped, failure, path = "", None, []
    try:
        stopped = search.walk(progress)
    except _Found as found:
        failure, path = found.failure, search.path(search.level, search.position + found.row)
    return Raw(search.states, search.transitions, len(search.levels),
               not stopped and failure is None, stopped, time.process_time() - prepared,
               prepared - began, search.bytes_used(), search.seen.kind, failure, path,
               search.counts, [hit.tolist() for hit in search.hits], search.witnessed)
