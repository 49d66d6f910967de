"""Compiles a printed search with LLVM directly, for a start in a fraction of numba's time.

numba spends seconds on general Python; `codegen` prints so little of it (64-bit integers, flags,
arrays, loops) that its syntax tree can be written down as LLVM's language in one pass. Every
variable is a stack slot, which LLVM turns into registers. llvmlite is the library that numba itself
compiles with. The same source also runs under numba and in plain Python; tests compare the three.

Not general: integers wrap, `//` and `%` round as Python's do for a positive right side and give
the dividend and 0 for 0 on the right (the language requires a guard there), and names `r0`, `r1`
and so on and `i`, which the printer keeps for what is never negative, are divided unsigned.
"""

from __future__ import annotations

import ast
import ctypes
from collections.abc import Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

Kind = str  # "i": signed, "u": unsigned, "b": a flag
TYPES: dict[Kind, str] = {"i": "i64", "u": "i64", "b": "i1"}
SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
OPERATIONS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or",
    ast.BitXor: "xor", ast.LShift: "shl"}


def never_negative(name: str) -> bool:
    """Whether the printer keeps a name for what is never negative."""
    return name == "i" or (name[0] == "r" and name[1:].isdigit())


def result_type(results: int) -> str:
    """The LLVM type of what a function returns: nothing, a word or several."""
    return ("void", "i64")[results] if results < 2 else f"{{{', '.join(['i64'] * results)}}}"


class Operand(NamedTuple):
    """An LLVM value and what it is."""

    text: str
    kind: Kind


class _Function:
    """Writes one function. `elements` says how wide the elements of each array are, in bits."""

    def __init__(self, tree: ast.FunctionDef, elements: Mapping[str, int],
                 arities: Mapping[str, int]) -> None:
        self.tree, self.elements, self.arities = tree, elements, arities
        self.lines: list[str] = []
        self.slots: dict[str, Kind] = {}
        self.entry: list[str] = []
        self.count = 0
        self.closed = False
        self.breaks: list[str] = []
        self.continues: list[str] = []
        self.results = arities[tree.name]

    def fresh(self, stem: str = "v") -> str:
        self.count += 1
        return f"{stem}.{self.count}"

    def emit(self, line: str) -> None:
        if not self.closed:
            self.lines.append("  " + line)

    def value(self, operation: str, kind: Kind) -> Operand:
        """The result of an instruction."""
        name = f"%{self.fresh()}"
        self.emit(f"{name} = {operation}")
        return Operand(name, kind)

    def label(self, name: str) -> None:
        if not self.closed:
            self.lines.append(f"  br label %{name}")
        self.lines.append(f"{name}:")
        self.closed = False

    def jump(self, name: str) -> None:
        self.emit(f"br label %{name}")
        self.closed = True

    def branch(self, test: Operand, yes: str, no: str) -> None:
        self.emit(f"br i1 {self.flag(test).text}, label %{yes}, label %{no}")
        self.closed = True

    def flag(self, operand: Operand) -> Operand:
        return operand if operand.kind == "b" else self.value(f"icmp ne i64 {operand.text}, 0", "b")

    def word(self, operand: Operand) -> Operand:
        return self.value(f"zext i1 {operand.text} to i64", "i") if operand.kind == "b" else operand

    # --------------------------------------------------------------------------- statements

    def printed(self) -> str:
        """The function's text. `seen` also has its length passed, behind all other arguments."""
        parameters = []
        for argument in self.tree.args.args:
            name = argument.arg
            if name in self.elements:
                parameters.append(f"ptr noalias nocapture %{name}")
            else:
                parameters.append(f"i64 %{name}")
                self.store(name, Operand(f"%{name}", "i"))
        if any(argument.arg == "seen" for argument in self.tree.args.args):
            parameters.append("i64 %seen.length")
        self.body(self.tree.body)
        result = result_type(self.results)
        if not self.closed:
            self.emit("ret void" if self.results == 0 else f"ret {result} zeroinitializer")
        linkage = "" if self.tree.name in ("search", "refill") else "internal "
        return "\n".join([f"define {linkage}{result} @{self.tree.name}({', '.join(parameters)}) {{",
                          "entry:", *self.entry, *self.lines, "}"])

    def body(self, statements: Iterable[ast.stmt]) -> None:
        for statement in statements:
            getattr(self, f"on_{type(statement).__name__.lower()}")(statement)

    def on_expr(self, node: ast.Expr) -> None:
        self.on(node.value)

    def on_break(self, node: ast.Break) -> None:
        self.jump(self.breaks[-1])

    def on_continue(self, node: ast.Continue) -> None:
        self.jump(self.continues[-1])

    def on_return(self, node: ast.Return) -> None:
        if isinstance(node.value, ast.Tuple):
            kind, whole = result_type(self.results), "undef"
            for at, each in enumerate([self.word(self.on(each)) for each in node.value.elts]):
                whole = self.value(f"insertvalue {kind} {whole}, i64 {each.text}, {at}", "i").text
            self.emit(f"ret {kind} {whole}")
        elif node.value is not None:
            self.emit(f"ret i64 {self.word(self.on(node.value)).text}")
        self.closed = True

    def on_assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Call):
            whole, kind = self.on(node.value), result_type(len(target.elts))
            for at, each in enumerate(target.elts):
                self.assign(each, self.value(f"extractvalue {kind} {whole.text}, {at}", "i"))
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            values = [self.on(each) for each in node.value.elts]
            for each, value in zip(target.elts, values, strict=True):
                self.assign(each, value)
        else:
            self.assign(target, self.on(node.value))

    def on_augassign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Subscript):
            place, bits = self.place(node.target)
            value = self.binary(node.op, self.load(place, bits), self.on(node.value), False)
            self.put(place, bits, value)
            return
        left = self.on(node.target)
        unsigned = isinstance(node.target, ast.Name) and never_negative(node.target.id)
        self.assign(node.target, self.binary(node.op, left, self.on(node.value), unsigned))

    def assign(self, target: ast.expr, value: Operand) -> None:
        if isinstance(target, ast.Name):
            self.store(target.id, value)
        else:
            assert isinstance(target, ast.Subscript)
            self.put(*self.place(target), value)

    def store(self, name: str, value: Operand) -> None:
        if name not in self.slots:
            self.slots[name] = value.kind
            self.entry.append(f"  %{name}.slot = alloca {TYPES[value.kind]}")
        value = self.flag(value) if self.slots[name] == "b" else self.word(value)
        self.emit(f"store {TYPES[self.slots[name]]} {value.text}, ptr %{name}.slot")

    def on_if(self, node: ast.If) -> None:
        yes, no, end = self.fresh("then"), self.fresh("else"), self.fresh("end")
        self.branch(self.on(node.test), yes, no)
        for name, statements in ((yes, node.body), (no, node.orelse)):
            self.label(name)
            self.body(statements)
            if not self.closed:
                self.jump(end)
        self.label(end)

    def on_while(self, node: ast.While) -> None:
        head, inside, end = self.fresh("while"), self.fresh("do"), self.fresh("end")
        self.label(head)
        self.branch(self.on(node.test), inside, end)
        self.loop(inside, node.body, head, end)
        self.jump(head)
        self.label(end)

    def loop(self, inside: str, body: list[ast.stmt], again: str, end: str) -> None:
        self.label(inside)
        self.breaks.append(end)
        self.continues.append(again)
        self.body(body)
        self.breaks.pop()
        self.continues.pop()

    def on_for(self, node: ast.For) -> None:
        assert isinstance(node.iter, ast.Call)
        assert isinstance(node.target, ast.Name)
        bounds = [self.word(self.on(each)) for each in node.iter.args]
        low, high = (Operand("0", "i"), bounds[0]) if len(bounds) == 1 else bounds
        name = node.target.id
        head, inside, step, end = (self.fresh(each) for each in ("for", "do", "next", "end"))
        self.store(name, low)
        self.label(head)
        at = self.read(name)
        self.branch(self.value(f"icmp slt i64 {at.text}, {high.text}", "b"), inside, end)
        self.loop(inside, node.body, step, end)
        self.label(step)
        self.store(name, self.value(f"add nsw i64 {self.read(name).text}, 1", "i"))
        self.jump(head)
        self.label(end)

    # -------------------------------------------------------------------------- expressions

    def on(self, node: ast.expr) -> Operand:
        result: Operand = getattr(self, f"on_{type(node).__name__.lower()}")(node)
        return result

    def on_constant(self, node: ast.Constant) -> Operand:
        if isinstance(node.value, bool):
            return Operand("true" if node.value else "false", "b")
        assert isinstance(node.value, int)
        signed = node.value - (1 << 64) if node.value >= 1 << 63 else node.value
        return Operand(str(signed), "i")

    def on_name(self, node: ast.Name) -> Operand:
        return self.read(node.id)

    def read(self, name: str) -> Operand:
        kind = self.slots[name]
        return self.value(f"load {TYPES[kind]}, ptr %{name}.slot", kind)

    def on_unaryop(self, node: ast.UnaryOp) -> Operand:
        operand = self.on(node.operand)
        if isinstance(node.op, ast.Not):
            return self.value(f"xor i1 {self.flag(operand).text}, true", "b")
        return self.value(f"sub i64 0, {self.word(operand).text}", "i")

    def on_binop(self, node: ast.BinOp) -> Operand:
        unsigned = isinstance(node.left, ast.Name) and never_negative(node.left.id)
        return self.binary(node.op, self.on(node.left), self.on(node.right), unsigned)

    def binary(self, operator: ast.operator, left: Operand, right: Operand,
               unsigned: bool) -> Operand:
        left, right = self.word(left), self.word(right)
        kind = "u" if "u" in (left.kind, right.kind) else "i"
        a, b = left.text, right.text
        if type(operator) in OPERATIONS:
            return self.value(f"{OPERATIONS[type(operator)]} i64 {a}, {b}", kind)
        if isinstance(operator, ast.RShift):
            return self.value(f"{'lshr' if kind == 'u' else 'ashr'} i64 {a}, {b}", kind)
        if not b.isdigit():  # the language divides by what a guard holds above 0
            positive = self.value(f"icmp sgt i64 {b}, 0", "b")
            b = self.value(f"select i1 {positive.text}, i64 {b}, i64 1", "i").text
        divide = isinstance(operator, ast.FloorDiv)
        if unsigned:
            return self.value(f"{'udiv' if divide else 'urem'} i64 {a}, {b}", kind)
        rest = self.value(f"srem i64 {a}, {b}", "i")
        sign = self.value(f"ashr i64 {rest.text}, 63", "i")
        if not divide:
            return self.value(f"add i64 {rest.text}, "
                              f"{self.value(f'and i64 {sign.text}, {b}', 'i').text}", "i")
        whole = self.value(f"sdiv i64 {a}, {b}", "i")
        return self.value(f"add i64 {whole.text}, {sign.text}", "i")

    def on_compare(self, node: ast.Compare) -> Operand:
        result: Operand | None = None
        left = self.on(node.left)
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.on(comparator)
            a, b = self.word(left), self.word(right)
            name = SIGNED[COMPARISONS[type(operator)]]
            found = self.value(f"icmp {name} i64 {a.text}, {b.text}", "b")
            result = found if result is None else self.value(
                f"and i1 {result.text}, {found.text}", "b")
            left = right
        assert result is not None
        return result

    def on_boolop(self, node: ast.BoolOp) -> Operand:
        slot = self.fresh("s")
        self.entry.append(f"  %{slot} = alloca i1")
        end = self.fresh("end")
        for at, each in enumerate(node.values):
            found = self.flag(self.on(each))
            self.emit(f"store i1 {found.text}, ptr %{slot}")
            if at + 1 < len(node.values):
                more = self.fresh("more")
                self.branch(found, *((more, end) if isinstance(node.op, ast.And)
                                     else (end, more)))
                self.label(more)
        self.label(end)
        return self.value(f"load i1, ptr %{slot}", "b")

    def on_ifexp(self, node: ast.IfExp) -> Operand:
        slot = self.fresh("s")
        yes, no, end = self.fresh("then"), self.fresh("else"), self.fresh("end")
        self.branch(self.on(node.test), yes, no)
        kinds = []
        for name, branch in ((yes, node.body), (no, node.orelse)):
            self.label(name)
            found = self.on(branch)
            kinds.append(found.kind)
            self.emit(f"store i64 {self.word(found).text}, ptr %{slot}")
            self.jump(end)
        self.entry.append(f"  %{slot} = alloca i64")
        self.label(end)
        found = self.value(f"load i64, ptr %{slot}", "i")
        return self.flag(found) if kinds == ["b", "b"] else found

    def on_subscript(self, node: ast.Subscript) -> Operand:
        if isinstance(node.value, ast.Attribute):
            return Operand("%seen.length", "i")  # seen.shape[0]
        return self.load(*self.place(node))

    def place(self, node: ast.Subscript) -> tuple[str, int]:
        assert isinstance(node.value, ast.Name)
        bits = self.elements[node.value.id]
        at = self.word(self.on(node.slice))
        pointer = self.value(f"getelementptr inbounds i{bits}, ptr %{node.value.id}, "
                             f"i64 {at.text}", "i")
        return pointer.text, bits

    def load(self, place: str, bits: int) -> Operand:
        found = self.value(f"load i{bits}, ptr {place}", "i")
        return found if bits == 64 else self.value(f"zext i{bits} {found.text} to i64", "i")

    def put(self, place: str, bits: int, value: Operand) -> None:
        text = self.word(value).text
        if bits != 64:
            text = self.value(f"trunc i64 {text} to i{bits}", "i").text
        self.emit(f"store i{bits} {text}, ptr {place}")

    def on_call(self, node: ast.Call) -> Operand:
        if isinstance(node.func, ast.Attribute):  # np.int64, np.uint64
            operand = self.word(self.on(node.args[0]))
            return Operand(operand.text, "u" if node.func.attr == "uint64" else "i")
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name in ("min", "max"):
            a, b = (self.word(self.on(each)) for each in node.args)
            return self.value(f"call i64 @llvm.s{name}.i64(i64 {a.text}, i64 {b.text})", "i")
        arguments = []
        for each in node.args:
            if isinstance(each, ast.Name) and each.id in self.elements:
                arguments.append(f"ptr %{each.id}")
            else:
                arguments.append(f"i64 {self.word(self.on(each)).text}")
        if name == "insert":
            arguments.append("i64 %seen.length")
        result = result_type(self.arities[name])
        return self.value(f"call {result} @{name}({', '.join(arguments)})", "i")


def assembly(source: str, elements: Mapping[str, int]) -> str:
    """The printed source in LLVM's language."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    arities = {}
    for each in functions:
        values = [node.value for node in ast.walk(each) if isinstance(node, ast.Return)]
        first = values[0] if values else None
        arities[each.name] = len(first.elts) if isinstance(first, ast.Tuple) else len(values[:1])
    texts = [_Function(each, elements, arities).printed() for each in functions]
    return "\n\n".join(["declare i64 @llvm.smin.i64(i64, i64)",
                        "declare i64 @llvm.smax.i64(i64, i64)", *texts])


def compile_source(source: str, elements: Mapping[str, int]) -> SimpleNamespace:
    """The functions `search` and, if there is one, `refill`, which take NumPy arrays.

    `elements` gives the width in bits of the elements of every array argument.
    """
    import llvmlite.binding as llvm  # type: ignore[import-untyped]  # ships no types

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = llvm.parse_assembly(assembly(source, elements))
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=2)
    module.triple, module.data_layout = machine.triple, str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(2))
    builder.getModulePassManager().run(module, builder)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    trees = {node.name: node for node in ast.parse(source).body
             if isinstance(node, ast.FunctionDef)}
    found = {name: _Callable(engine, trees[name], elements)
             for name in ("search", "refill") if name in trees}
    return SimpleNamespace(**found)


class _Callable:
    """A compiled function; it keeps the engine, which owns its code."""

    def __init__(self, engine: Any, tree: ast.FunctionDef, elements: Mapping[str, int]) -> None:
        self.engine, self.elements = engine, elements
        self.names = [argument.arg for argument in tree.args.args]
        types: list[Any] = [ctypes.c_void_p if name in elements else ctypes.c_int64
                            for name in self.names]
        if "seen" in self.names:
            types.append(ctypes.c_int64)
        self.function = ctypes.CFUNCTYPE(None, *types)(engine.get_function_address(tree.name))

    def __call__(self, *arguments: Any) -> None:
        given = [each.ctypes.data if name in self.elements else int(each)
                 for name, each in zip(self.names, arguments, strict=True)]
        if "seen" in self.names:
            given.append(len(arguments[self.names.index("seen")]))
        self.function(*given)
