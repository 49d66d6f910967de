"""A grounded spec as Promela, so that an independent checker counts the same states.

One process, one `d_step` an instance. Values are numbers: words by their position, members by
theirs, None as the number of members. New values go through hidden variables, which Spin does not
store, so that right sides read the old state. Spin adds one to the transitions for the initial
state, and must be built by `gcc -O2 -fno-tree-slp-vectorize` and without hash compaction: the
vectoriser of some compilers miscompiles sums of comparisons over neighbouring bytes, and hash
compaction loses states silently.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.ground import Cell, Count, Grounded, Instance

_OPERATORS = {"and": "&&", "or": "||"}


class SpinCount(NamedTuple):
    """What Spin counted, the extra transition for the initial state taken off."""

    states: int
    transitions: int
    errors: int


def to_promela(grounded: Grounded, *, assertions: bool = True) -> str:
    """The text for Spin. InputError for a variable without bounds."""
    printer = _Printer(grounded)
    lines = [printer.declaration(position) for position in range(len(grounded.cells))]
    temporary = max((len(each.updates) for each in grounded.instances), default=0)
    lines += [f"hidden int t{number};" for number in range(temporary)]
    lines.append("active proctype Spec() {")
    lines.append("end: do")
    lines += [printer.instance(each, assertions) for each in grounded.instances]
    lines += ["od", "}", ""]
    return "\n".join(lines)


class _Printer:
    def __init__(self, grounded: Grounded) -> None:
        self.grounded = grounded
        self.sizes = grounded.scope.sizes

    def declaration(self, position: int) -> str:
        """A global variable; its name tells which cell it is."""
        cell = self.grounded.cells[position]
        if cell.domain is None:
            raise InputError(f"{cell.variable} has no bounds, and Spin needs them",
                             where=self.grounded.module.file)
        codes = [self.code(cell.type, value) for value in cell.domain]
        kind = "byte" if min(codes) >= 0 and max(codes) < 256 else "int"
        start = self.code(cell.type, self.grounded.initial[position])
        return f"{kind} {self.name(position)} = {start};"

    def name(self, position: int) -> str:
        """`phase[0]` as `phase_0`."""
        cell = self.grounded.cells[position]
        return "_".join(["v", cell.variable, *map(str, cell.keys)])

    def code(self, value_type: ir.Type, value: ir.Value) -> int:
        """A value as a number."""
        match value_type:
            case ir.EnumType(values=values):
                return values.index(str(value))
            case ir.MemberType(index=index) if value is None:
                return self.sizes[index]
        return int(value)  # type: ignore[arg-type]  # a number or a truth value

    def instance(self, instance: Instance, assertions: bool) -> str:
        """One option of the loop."""
        guard = " && ".join(map(self.text, instance.guards)) or "true"
        parts = [f"t{number} = {self.text(value)}"
                 for number, (_, value) in enumerate(instance.updates)]
        parts += [f"{self.name(position)} = t{number}"
                  for number, (position, _) in enumerate(instance.updates)]
        if assertions:
            parts += [f"assert({self.text(rule.condition)})"
                      for rule in self.grounded.invariants]
        return f":: d_step {{ {guard} -> {'; '.join(parts) or 'skip'} }}"

    def text(self, expression: ir.Expr) -> str:
        """An expression."""
        match expression:
            case Cell(position=position):
                return self.name(position)
            case ir.Constant(value=value):
                return str(self.code(expression.type, value))
            case Count(operands=operands):
                return "(" + " + ".join(f"({self.text(each)})" for each in operands) + ")"
            case ir.Not(operand=operand):
                return f"!({self.text(operand)})"
            case ir.Boolean(operator=operator, operands=operands):
                return "(" + f" {_OPERATORS[operator]} ".join(map(self.text, operands)) + ")"
            case ir.Among(operand=operand, values=values):
                inner = self.text(operand)
                return "(" + " || ".join(f"{inner} == {self.code(operand.type, each)}"
                                         for each in values) + ")"
            case ir.Arithmetic(operator="min" | "max" as operator, left=left, right=right):
                a, b = self.text(left), self.text(right)
                return f"(({a} {'<=' if operator == 'min' else '>='} {b}) -> {a} : {b})"
            case ir.Arithmetic(operator="%", left=left, right=right):
                a, b = self.text(left), self.text(right)  # in C the sign is that of the left side
                return f"((({a} % {b}) + {b}) % {b})"
            case ir.Compare(operator=operator, left=left, right=right) | \
                    ir.Arithmetic(operator=operator, left=left, right=right):
                return f"({self.text(left)} {operator} {self.text(right)})"
            case ir.Conditional(test=test, then=then, otherwise=otherwise):
                return f"({self.text(test)} -> {self.text(then)} : {self.text(otherwise)})"
        return "0"  # a read outside a numbered index: the guard has ruled it out


def count_with_spin(text: str, folder: Path, *, depth_max: int = 1_000_000) -> SpinCount:
    """What Spin counts, built and run in `folder`. InputError when spin or gcc is missing."""
    for tool in ("spin", "gcc"):
        if shutil.which(tool) is None:
            raise InputError(f"{tool} is not installed")
    (folder / "spec.pml").write_text(text, encoding="utf-8")
    subprocess.run(["spin", "-a", "spec.pml"], cwd=folder, check=True, capture_output=True)
    subprocess.run(["gcc", "-O2", "-fno-tree-slp-vectorize", "-DSAFETY", "-DNOFAIR", "-o", "pan",
                    "pan.c"], cwd=folder, check=True, capture_output=True)
    output = subprocess.run(["./pan", f"-m{depth_max}", "-w22"], cwd=folder, check=True,
                            capture_output=True, text=True).stdout
    numbers = {}
    for name, pattern in (("states", r"([\d.e+]+) states, stored"),
                          ("transitions", r"([\d.e+]+) transitions"),
                          ("errors", r"errors: (\d+)")):
        found = re.search(pattern, output)
        if found is None:
            raise InputError(f"Spin said nothing of {name}", where="spin")
        numbers[name] = int(float(found[1]))
    return SpinCount(numbers["states"], numbers["transitions"] - 1, numbers["errors"])
