"""Packed search in machine code, from the source that `codegen` prints for a spec at a scope.

Two compilers take the same source: `native` (LLVM, a start in tenths of a second, the one that is
used when nobody asks) and numba (seconds, but a compiler that others wrote and test). For numba the
source is kept as a file named by its hash, in the user's cache directory, so that numba's own
cache, which sits beside it, can be trusted: another constant is another file. Where nothing may be
written, it is compiled in memory.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from model.kernel.engines import codegen
from model.kernel.engines.codegen import Printed
from model.kernel.engines.layout import Layout
from model.kernel.engines.lower import Unpackable
from model.kernel.engines.native import compile_source
from model.kernel.engines.packed import DENSE_RANKS_MAX, Limits, Progress, Raw
from model.kernel.spec.interpret import Failure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.int64]

CHUNK = 1 << 18  # states expanded between two looks at the clock
TABLE_FIRST = 1 << 20
TABLE_LOAD = 0.6


def load(source: str) -> ModuleType:
    """The module of a printed source; numba compiles it when it is first called."""
    name = "kubeproof_search_" + blake2b(source.encode(), digest_size=16).hexdigest()
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kubeproof"
    path = root / f"{name}.py"
    cached = source.replace("error_model='numpy'", "error_model='numpy', cache=True")
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != cached:
            part = path.with_suffix(f".{os.getpid()}")
            part.write_text(cached)
            part.replace(path)
    except OSError:
        module = ModuleType(name)
        exec(compile(source, f"<{name}>", "exec"), module.__dict__)  # our own printed source
        return module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # numba's cache finds the module of a function by its name
    spec.loader.exec_module(module)
    return module


class _Run:
    """One search: its arrays, which grow by doubling while the bound on memory allows."""

    def __init__(self, layout: Layout, printed: Printed, dense: bool, limits: Limits,
                 initial: tuple[int, ...], compiler: str) -> None:
        import numpy as np

        self.initial = initial

        self.np, self.layout, self.printed, self.limits = np, layout, printed, limits
        self.dense, self.words = dense, len(layout.ranks)
        self.s: Array = np.zeros(printed.words, np.int64)
        for at, values in printed.tables:
            self.s[at : at + len(values)] = values
        narrow = self.words == 1 and layout.ranks[0] <= 1 << 32
        self.word = np.uint32 if narrow else np.int64
        few = limits.states + printed.instances + 1 < 1 << 32
        self.link = np.uint32 if few else np.int64
        link_bits = 32 if self.link is np.uint32 else 64
        bits = {"s": 64, "seen": link_bits if self.words > 2 else 64,
                "queue": 32 if narrow else 64, "parents": link_bits}
        self.module = load(printed.source) if compiler == "numba" else compile_source(
            printed.source, bits)
        self.capacity = 1 << 16
        self.queue: Any = np.empty(self.capacity * self.words, self.word)
        self.parents: Any = np.empty(self.capacity, self.link)
        self.seen: Any = np.zeros((layout.ranks[0] >> 6) + 1, np.uint64) if dense else \
            self.table(TABLE_FIRST * (2 if self.words == 2 else 1))
        self._start()

    def _start(self) -> None:
        initial = self.initial
        self.queue[: self.words], self.parents[0] = initial, 0
        self.s[codegen.TAIL] = self.s[codegen.LEVEL_END] = 1
        if self.dense:
            self.seen[initial[0] >> 6] = self.np.uint64(1 << (initial[0] & 63))
        else:
            self.module.refill(self.seen, self.queue, 1)

    def table(self, size: int) -> Any:
        """An empty hash table; see `codegen.insert_lines`."""
        np = self.np
        return np.zeros(size, self.link) if self.words > 2 else np.full(size, -1, np.int64)

    def bytes_used(self) -> int:
        return int(self.queue.nbytes + self.parents.nbytes + self.seen.nbytes)

    def grow(self) -> bool:
        """Make room for another chunk of successors; False where memory does not allow it."""
        np, tail = self.np, int(self.s[codegen.TAIL])
        if tail + self.printed.instances > self.capacity:
            each = self.queue.itemsize * self.words + self.parents.itemsize
            bound = self.limits.states + self.printed.instances + 1
            size = min(self.capacity * 2, max(bound, tail + self.printed.instances + 1))
            if self.bytes_used() + size * each > self.limits.memory_bytes:
                return False
            for name, width in (("queue", self.words), ("parents", 1)):
                old = getattr(self, name)
                new = np.empty(size * width, old.dtype)
                new[: tail * width] = old[: tail * width]
                setattr(self, name, new)
            self.capacity = size
        if not self.dense and tail + self.printed.instances > self.room():
            size, each = self.seen.shape[0] * 4, self.seen.itemsize
            if self.bytes_used() + size * each > self.limits.memory_bytes:
                size //= 2
                if self.bytes_used() + size * each > self.limits.memory_bytes:
                    return False
            self.seen = self.table(size)
            self.module.refill(self.seen, self.queue, tail)
        return True

    def step(self, head_stop: int, tail_stop: int, *, check_only: bool = False) -> None:
        """Expand states (or only check them) up to a head, while the tail is not too far."""
        self.module.search(self.s, self.seen, self.queue, self.parents, head_stop, tail_stop,
                           check_only)

    def room(self) -> int:
        """How many states the table may hold."""
        return int(self.seen.shape[0] // (2 if self.words == 2 else 1) * TABLE_LOAD)

    def tail_stop(self) -> int:
        """The last tail at which a state may still be expanded."""
        stop = min(self.limits.states - 1, self.capacity - self.printed.instances)
        return stop if self.dense else min(stop, self.room() - self.printed.instances)

    def path(self) -> list[tuple[int, ...]]:
        """The states from the initial one to the failing one."""
        at = int(self.s[codegen.HEAD])
        words = []
        while True:
            words.append(tuple(self.queue[at * self.words : (at + 1) * self.words].tolist()))
            if at == 0:
                break
            at = int(self.parents[at])
        words.reverse()
        return words


def failure_of(layout: Layout, printed: Printed, fault: int) -> Failure | None:
    """What a fault word says; path and states are still to be found."""
    module = layout.program.module
    kind, number = fault // 10_000 * 10_000, fault % 10_000
    if kind == codegen.BROKEN_INVARIANT:
        rule = module.invariants[number]
        return Failure("invariant", rule.name, rule.line, (), ())
    if kind == codegen.BROKEN_STEP:
        return Failure("step rule", printed.steps[number], 0, (), ())
    if kind == codegen.OUT_OF_DOMAIN:
        return Failure("fault", printed.writes[number].variable, printed.writes[number].line,
                       (), ())
    if kind == codegen.OUT_OF_KEYS:
        return Failure("fault", "a key outside its index", 0, (), ())
    if kind == codegen.OUT_OF_TABLE:
        names = ", ".join(each.name for each in layout.blocks[number].group.fields)
        raise AssertionError(f"the abstract search missed a record of {names}")
    return None


class Edges(NamedTuple):
    """A whole graph: the words of each state, in the order of the search, with the position of
    the state that found it; and of each transition where it starts, its instance, where it ends.
    Instances are numbered action by action, the first argument fastest."""

    words: Any
    parents: Any
    source: Any
    instance: Any
    target: Any


def edges(layout: Layout, limits: Limits) -> Edges | None:
    """All states and transitions, or None where a limit is met or a rule fails.

    Unpackable for states of more than one word.
    """
    import numpy as np

    if len(layout.ranks) > 1:
        raise Unpackable("the graph of a spec whose states need two words or more is not kept")
    raw, state = _searched(layout, limits, None, layout.initial(), "native", None)
    if not raw.complete or raw.failure is not None:
        return None
    printed = codegen.Search(layout, dense=True, canonical=None, edges=True).printed()
    total = raw.transitions + printed.instances + 1
    source, target = np.empty(total, np.uint32), np.empty(total, np.int64)
    instance = np.empty(total, np.int32)
    words = state.queue[: raw.states].astype(np.int64)
    module = compile_source(printed.source, {
        "s": 64, "queue": 64, "parents": 32, "labels": 32, "found": 64})
    s: Array = np.zeros(printed.words, np.int64)
    for at, values in printed.tables:
        s[at : at + len(values)] = values
    module.search(s, words, source, instance, target, raw.states, raw.transitions)
    count = int(s[codegen.TAIL])
    order = np.argsort(words)
    ends = order[np.searchsorted(words[order], target[:count])]
    return Edges(words, state.parents[: raw.states], source[:count], instance[:count], ends)


def run(layout: Layout, *, symmetry: bool, limits: Limits,
        progress: Callable[[Progress], None] | None, compiler: str = "native") -> Raw:
    """Search with compiled code; see `packed.search`."""
    canonical, initial = None, layout.initial()
    if symmetry:
        from model.kernel.engines.symmetry import evaluator, printer

        canonical, initial = printer(layout), evaluator(layout)(initial)
    return _searched(layout, limits, canonical, initial, compiler, progress)[0]


def _searched(layout: Layout, limits: Limits, canonical: Callable[[codegen.Map], str] | None,
              initial: tuple[int, ...], compiler: str,
              progress: Callable[[Progress], None] | None) -> tuple[Raw, _Run]:
    before = time.process_time()
    started = time.monotonic()
    dense = len(layout.ranks) == 1 and layout.ranks[0] <= DENSE_RANKS_MAX \
        and layout.ranks[0] // 8 <= limits.memory_bytes // 2
    printed = codegen.Search(layout, dense=dense, canonical=canonical).printed()
    state = _Run(layout, printed, dense, limits, initial, compiler)
    state.step(0, 0)  # numba compiles when it is first called
    compiled = time.process_time()
    stopped = ""
    s = state.s
    while s[codegen.FAULT] == 0 and s[codegen.HEAD] < s[codegen.TAIL] and not stopped:
        if s[codegen.TAIL] >= limits.states:
            stopped = "states"
        elif time.monotonic() - started > limits.seconds:
            stopped = "seconds"
        elif not state.grow():
            stopped = "memory"
        else:
            state.step(int(s[codegen.HEAD]) + CHUNK, state.tail_stop())
            if progress is not None:
                progress(Progress(int(s[codegen.TAIL]), int(s[codegen.HEAD]),
                                  int(s[codegen.TRANSITIONS]), int(s[codegen.DEPTH]) + 1))
    complete = not stopped and int(s[codegen.HEAD]) == int(s[codegen.TAIL])
    if stopped:
        state.step(int(s[codegen.TAIL]), int(s[codegen.TAIL]) + 1, check_only=True)
    return _raw(state, complete, stopped, compiled - before,
                time.process_time() - compiled), state


def _raw(state: _Run, complete: bool, stopped: str, compile_seconds: float,
         search_seconds: float) -> Raw:
    s, names, layout = state.s, state.printed.names, state.layout
    failure = failure_of(layout, state.printed, int(s[codegen.FAULT]))
    counts = s[names["counts"] : names["counts"] + len(layout.program.rules)]
    reached = [s[names[f"hit_{at}"] : names[f"hit_{at}"] + block.radix].tolist()
               for at, block in enumerate(layout.blocks)]
    witnessed = s[names["witnessed"] : names["witnessed"] + len(layout.program.witnesses)]
    return Raw(int(s[codegen.TAIL]), int(s[codegen.TRANSITIONS]), int(s[codegen.DEPTH]) + 1,
               complete, stopped, search_seconds, compile_seconds, state.bytes_used(),
               "dense bitset" if state.dense else "hash table", failure,
               state.path() if failure else [], counts.tolist(), reached,
               [bool(each) for each in witnessed])
