"""From the source of an expression to the typed form; every refusal names file and line."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from model.kernel.spec import ir

_ORDERS: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_EQUALITIES: dict[type[ast.cmpop], str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Is: "==",
                                           ast.IsNot: "!="}
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*",
                                              ast.Mod: "%"}
_QUANTIFIERS = ("all", "any", "count", "sum", "min", "max")


class Definition(NamedTuple):
    """A `@define`: kept as source and expanded where it is called."""

    node: ast.FunctionDef
    parameters: tuple[ir.Binder, ...]
    result: ir.Type


@dataclass
class Declarations:
    """Everything that an expression of one spec may name, with the file for messages."""

    file: str
    indexes: dict[str, ir.Index] = field(default_factory=dict)
    constants: dict[str, ir.ConstantDeclaration] = field(default_factory=dict)
    variables: dict[str, ir.Variable] = field(default_factory=dict)
    definitions: dict[str, Definition] = field(default_factory=dict)
    literals: dict[str, tuple[ir.Value, ...]] = field(default_factory=dict)
    types: dict[str, ast.expr] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def fail(self, node: ast.AST | int, what: str, fix: str = "") -> ir.SpecError:
        """The refusal of the source at `node`, to be raised."""
        line = node if isinstance(node, int) else getattr(node, "lineno", 0)
        return ir.SpecError(what, where=f"{self.file}:{line}", fix=fix)

    def member_type(self, name: str) -> ir.Type:
        """The type of a member of the index set `name`."""
        index = self.indexes[name]
        if index.numbered:
            low = ir.Constant(ir.INT, index.line, 0)
            one = ir.Constant(ir.INT, index.line, 1)
            high = ir.Arithmetic(ir.INT, index.line, "-", ir.Size(ir.INT, index.line, name), one)
            return ir.IntType(low, high, name)
        return ir.MemberType(name)


class Context(NamedTuple):
    """What names mean at one place: states by name (primed or not), locals, names in scope."""

    states: Mapping[str, bool]
    names: Mapping[str, ir.Expr]
    taken: frozenset[str]
    depth: int = 0

    def bind(self, name: str, value: ir.Expr) -> Context:
        """The context in which `name` abbreviates `value`."""
        return self._replace(names={**self.names, name: value})

    def enter(self, name: str, value_type: ir.Type, line: int) -> tuple[Context, ir.Binder]:
        """The context in which `name` ranges over a type, under a name that hides no other."""
        fresh, number = name, 2
        while fresh in self.taken:
            fresh, number = f"{name}_{number}", number + 1
        inner = self.bind(name, ir.Local(value_type, line, fresh))
        return inner._replace(taken=self.taken | {fresh}), ir.Binder(fresh, value_type)


def describe(value_type: ir.Type) -> str:
    """A type in words, for messages."""
    match value_type:
        case ir.BoolType():
            return "a truth value"
        case ir.EnumType(values=values):
            return "one of " + ", ".join(values)
        case ir.IntType():
            return "an integer"
        case ir.MemberType(index=index, optional=optional):
            return f"a member of {index}" + (" or None" if optional else "")


def same_kind(left: ir.Type, right: ir.Type) -> bool:
    """Whether values of the two types can be compared: optionality and bounds do not matter."""
    if isinstance(left, ir.MemberType) and isinstance(right, ir.MemberType):
        return left.index == right.index
    if isinstance(left, ir.IntType):
        return isinstance(right, ir.IntType)
    return left == right


def fits(declared: ir.Type, actual: ir.Type) -> bool:
    """Whether a value of the actual type may be assigned to the declared one."""
    if isinstance(declared, ir.MemberType) and isinstance(actual, ir.MemberType):
        return declared.index == actual.index and (declared.optional or not actual.optional)
    return same_kind(declared, actual)


class Translator:
    """Translates expressions of one spec."""

    def __init__(self, declarations: Declarations) -> None:
        self.declarations = declarations
        self.fail = declarations.fail
        self._by_node: dict[type[ast.expr],
                            Callable[[ast.expr, Context, ir.Type | None], ir.Expr]] = {
            ast.Constant: self._constant, ast.Name: self._name, ast.Attribute: self._attribute,
            ast.Subscript: self._subscript, ast.BoolOp: self._boolean, ast.UnaryOp: self._unary,
            ast.BinOp: self._binary, ast.Compare: self._compare, ast.IfExp: self._conditional,
            ast.Call: self._call,
        }

    def expression(self, node: ast.expr, context: Context,
                   expected: ir.Type | None = None) -> ir.Expr:
        """The typed form of `node`; with `expected`, refused unless it fits that type."""
        translate = self._by_node.get(type(node))
        if translate is None:
            raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language")
        result = translate(node, context, expected)
        if expected is not None and not fits(expected, result.type):
            raise self.fail(node, f"`{ast.unparse(node)}` is {describe(result.type)}, "
                            f"not {describe(expected)}")
        return result

    def truth(self, node: ast.expr, context: Context) -> ir.Expr:
        """A boolean expression."""
        return self.expression(node, context, ir.BOOL)

    def _constant(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Constant)
        return self.literal(node, node.value, expected)

    def literal(self, node: ast.expr, value: object, expected: ir.Type | None) -> ir.Expr:
        """A literal, of the type that its surroundings expect."""
        if isinstance(value, bool):
            return ir.Constant(ir.BOOL, node.lineno, value)
        if isinstance(value, int):
            return ir.Constant(ir.INT, node.lineno, value)
        if value is None:
            if not isinstance(expected, ir.MemberType):
                raise self.fail(node, "None stands only where a member of an index set may")
            return ir.Constant(replace(expected, optional=True), node.lineno, None)
        if isinstance(value, str):
            if not isinstance(expected, ir.EnumType):
                raise self.fail(node, f'the word "{value}" stands where '
                                f"{describe(expected) if expected else 'no word'} is expected")
            if value not in expected.values:
                raise self.fail(node, f'"{value}" is not {describe(expected)}')
            return ir.Constant(expected, node.lineno, value)
        raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language",
                  "numbers are integers")

    def _name(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Name)
        found = context.names.get(node.id)
        if found is None:
            known = node.id in self.declarations.constants or node.id in self.declarations.variables
            raise self.fail(node, f"unknown name {node.id}", f"self.{node.id}" if known else "")
        return found

    def _state(self, node: ast.expr, context: Context) -> bool:
        if isinstance(node, ast.Name) and node.id in context.states:
            return context.states[node.id]
        raise self.fail(node, f"`{ast.unparse(node)}` is no state; only "
                        f"{' and '.join(context.states)} can be read here")

    def _attribute(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Attribute)
        primed = self._state(node.value, context)
        name = node.attr
        if name in self.declarations.constants:
            return ir.Parameter(ir.INT, node.lineno, name)
        if name in self.declarations.definitions:
            raise self.fail(node, f"{name} is a definition", f"call it: {ast.unparse(node)}(...)")
        variable = self._variable(node, name)
        if variable.keys:
            raise self.fail(node, f"{name} is a map", f"read an entry: {name}[...]")
        return ir.Read(variable.type, node.lineno, name, (), primed)

    def _variable(self, node: ast.AST, name: str) -> ir.Variable:
        variable = self.declarations.variables.get(name)
        if variable is None:
            raise self.fail(node, f"unknown name {name}; variables are "
                            f"{', '.join(self.declarations.variables)}")
        return variable

    def entry(self, node: ast.Subscript, context: Context) -> ir.Read:
        """An entry of a map, `self.phase[p]`."""
        if not isinstance(node.value, ast.Attribute):
            raise self.fail(node, f"`{ast.unparse(node)}` is no entry of a variable",
                            f"self.{ast.unparse(node.value)}[...]")
        primed = self._state(node.value.value, context)
        variable = self._variable(node, node.value.attr)
        given = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if len(given) != len(variable.keys):
            raise self.fail(node, f"{variable.name} takes {len(variable.keys)} keys, "
                                  f"not {len(given)}")
        keys = []
        for each, index in zip(given, variable.keys, strict=True):
            key_type = self.declarations.member_type(index)
            key = self.expression(each, context, None if isinstance(key_type, ir.MemberType)
                                  else key_type)
            if isinstance(key.type, ir.MemberType) and key.type.optional:
                raise self.fail(each, f"`{ast.unparse(each)}` may be None",
                          "compare it with a bound name first, then read at that name")
            if not fits(key_type, key.type):
                raise self.fail(each, f"`{ast.unparse(each)}` is {describe(key.type)}, and the "
                                      f"keys of {variable.name} are members of {index}")
            keys.append(key)
        return ir.Read(variable.type, node.lineno, variable.name, tuple(keys), primed)

    def _subscript(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Subscript)
        return self.entry(node, context)

    def _boolean(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.BoolOp)
        operator = "and" if isinstance(node.op, ast.And) else "or"
        operands = [self.truth(each, context) for each in node.values]
        return joined(operator, operands, node.lineno)

    def _unary(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.UnaryOp)
        if isinstance(node.op, ast.Not):
            return ir.Not(ir.BOOL, node.lineno, self.truth(node.operand, context))
        if isinstance(node.op, ast.USub):
            operand = self.expression(node.operand, context, ir.INT)
            if isinstance(operand, ir.Constant) and isinstance(operand.value, int):
                return ir.Constant(ir.INT, node.lineno, -operand.value)
            zero = ir.Constant(ir.INT, node.lineno, 0)
            return ir.Arithmetic(ir.INT, node.lineno, "-", zero, operand)
        raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language")

    def _binary(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.BinOp)
        operator = _ARITHMETIC.get(type(node.op))
        if operator is None:
            raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language",
                      "arithmetic is + - * and %")
        return ir.Arithmetic(ir.INT, node.lineno, operator,  # type: ignore[arg-type]  # from the table
                             self._integer(node.left, context), self._integer(node.right, context))

    def _integer(self, node: ast.expr, context: Context) -> ir.Expr:
        result = self.expression(node, context)
        if isinstance(result.type, ir.MemberType):
            raise self.fail(node, "members of an index set cannot be computed with",
                      "declare the set as Numbered")
        return self.expression(node, context, ir.INT)

    def _compare(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Compare)
        links, left = [], node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            links.append(self._link(node, left, operator, right, context))
            left = right
        return joined("and", links, node.lineno)

    def _link(self, node: ast.Compare, left: ast.expr, operator: ast.cmpop, right: ast.expr,
              context: Context) -> ir.Expr:
        if isinstance(operator, (ast.In, ast.NotIn)):
            among = self._among(left, right, context)
            return among if isinstance(operator, ast.In) else ir.Not(ir.BOOL, node.lineno, among)
        a, b = self._pair(left, right, context)
        if not same_kind(a.type, b.type):
            raise self.fail(node, f"`{ast.unparse(node)}` compares {describe(a.type)} "
                            f"with {describe(b.type)}")
        if (symbol := _EQUALITIES.get(type(operator))) is not None:
            return ir.Compare(ir.BOOL, node.lineno, symbol, a, b)  # type: ignore[arg-type]  # from the table
        symbol = _ORDERS[type(operator)]
        self._check_ordered(node, a.type)
        self._check_ordered(node, b.type)
        return ir.Compare(ir.BOOL, node.lineno, symbol, a, b)  # type: ignore[arg-type]  # from the table

    def _check_ordered(self, node: ast.expr, value_type: ir.Type) -> None:
        match value_type:
            case ir.MemberType(index=index) if self.declarations.indexes[index].symmetric:
                raise self.fail(node, f"`{ast.unparse(node)}` orders members of {index}, which is "
                                "declared symmetric", "drop symmetric=True or compare for equality")
            case ir.MemberType(optional=True):
                raise self.fail(node, f"`{ast.unparse(node)}` orders a value that may be None")
            case ir.IntType() | ir.MemberType():
                return
        raise self.fail(node, f"`{ast.unparse(node)}` orders {describe(value_type)}")

    def _pair(self, left: ast.expr, right: ast.expr,
              context: Context) -> tuple[ir.Expr, ir.Expr]:
        """Two expressions, the one without a type of its own (a literal) typed by the other."""
        if _untyped(left):
            b = self.expression(right, context)
            return self.expression(left, context, self._literal_type(left, b.type)), b
        a = self.expression(left, context)
        if not _untyped(right):
            return a, self.expression(right, context)
        return a, self.expression(right, context, self._literal_type(right, a.type))

    def _literal_type(self, node: ast.expr, other: ir.Type) -> ir.Type:
        if isinstance(other, ir.MemberType):
            return replace(other, optional=True)
        return other

    def _among(self, left: ast.expr, right: ast.expr, context: Context) -> ir.Expr:
        operand = self.expression(left, context)
        if isinstance(right, ast.Name) and right.id in self.declarations.literals:
            values = self.declarations.literals[right.id]
        elif isinstance(right, (ast.Tuple, ast.Set, ast.List)):
            for each in right.elts:
                if not isinstance(each, ast.Constant):
                    raise self.fail(each, "after `in` stand literals")
            values = tuple(each.value for each in right.elts if isinstance(each, ast.Constant))  # type: ignore[misc]  # literal() checks each
        else:
            raise self.fail(right, "after `in` stands a tuple of literals")
        for value in values:
            self._check_literal(right, value, operand)
        return ir.Among(ir.BOOL, left.lineno, operand, values)

    def _check_literal(self, node: ast.expr, value: ir.Value, operand: ir.Expr) -> None:
        constant = self.literal(node, value, self._literal_type(node, operand.type))
        if not same_kind(operand.type, constant.type):
            raise self.fail(node, f"{value!r} is not {describe(operand.type)}")

    def _conditional(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.IfExp)
        test = self.truth(node.test, context)
        if expected is not None:
            then = self.expression(node.body, context, expected)
            otherwise = self.expression(node.orelse, context, expected)
        else:
            then, otherwise = self._pair(node.body, node.orelse, context)
        if not same_kind(then.type, otherwise.type):
            raise self.fail(node, f"one branch is {describe(then.type)}, "
                            f"the other {describe(otherwise.type)}")
        return ir.Conditional(_wider(then.type, otherwise.type), node.lineno, test, then, otherwise)

    # ------------------------------------------------------------------------------------ calls

    def _call(self, node: ast.expr, context: Context, expected: ir.Type | None) -> ir.Expr:
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Attribute):
            return self._expand(node, node.func, context)
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in _QUANTIFIERS and node.args and isinstance(node.args[0], ast.GeneratorExp):
            return self._quantifier(node, name, node.args[0], context)
        if name in ("min", "max") and len(node.args) == 2 and not node.keywords:
            return ir.Arithmetic(ir.INT, node.lineno, name,  # type: ignore[arg-type]  # just tested
                                 self._integer(node.args[0], context),
                                 self._integer(node.args[1], context))
        if name == "implies" and len(node.args) == 2:
            given = ir.Not(ir.BOOL, node.lineno, self.truth(node.args[0], context))
            return joined("or", [given, self.truth(node.args[1], context)], node.lineno)
        if name == "len" and len(node.args) == 1 and isinstance(node.args[0], ast.Name):
            return ir.Size(ir.INT, node.lineno, self._index(node.args[0]).name)
        raise self.fail(node, f"the call `{ast.unparse(node)}` is outside the spec language",
                  "calls are all, any, count, sum, min, max, len, implies and definitions")

    def _index(self, node: ast.expr) -> ir.Index:
        if isinstance(node, ast.Name) and node.id in self.declarations.indexes:
            self.declarations.used.add(node.id)
            return self.declarations.indexes[node.id]
        raise self.fail(node, f"`{ast.unparse(node)}` is no index set; index sets are "
                        f"{', '.join(self.declarations.indexes) or 'not declared'}")

    def binder(self, target: ast.expr, over: ast.expr,
               context: Context) -> tuple[Context, ir.Binder]:
        """`for target in over`: the context inside and the bound name."""
        if not isinstance(target, ast.Name):
            raise self.fail(target, "a single name ranges over an index set")
        index = self._index(over)
        return context.enter(target.id, self.declarations.member_type(index.name), target.lineno)

    def _quantifier(self, node: ast.Call, kind: str, generator: ast.GeneratorExp,
                    context: Context) -> ir.Expr:
        binders, conditions, inner = [], [], context
        for clause in generator.generators:
            inner, bound = self.binder(clause.target, clause.iter, inner)
            binders.append(bound)
            conditions += [self.truth(each, inner) for each in clause.ifs]
        boolean = kind in ("all", "any", "count")
        body = (self.truth if boolean else self._integer)(generator.elt, inner)
        default = None
        if kind in ("min", "max"):
            given = {each.arg: each.value for each in node.keywords}
            if "default" not in given:
                raise self.fail(node, f"{kind} over an index set needs default=...")
            default = self._integer(given["default"], context)
        elif node.keywords or len(node.args) != 1:
            raise self.fail(node, f"{kind} takes one argument")
        condition = joined("and", conditions, node.lineno) if conditions else None
        return ir.Quantifier(ir.BOOL if kind in ("all", "any") else ir.INT, node.lineno, kind,  # type: ignore[arg-type]  # one of _QUANTIFIERS
                             tuple(binders), condition, body, default)

    def _expand(self, node: ast.Call, function: ast.Attribute, context: Context) -> ir.Expr:
        primed = self._state(function.value, context)
        definition = self.declarations.definitions.get(function.attr)
        if definition is None:
            raise self.fail(node, f"unknown definition {function.attr}")
        if context.depth > 40:
            raise self.fail(node, f"the definition {function.attr} calls itself")
        if node.keywords or len(node.args) != len(definition.parameters):
            raise self.fail(node, f"{function.attr} takes {len(definition.parameters)} arguments")
        names: dict[str, ir.Expr] = {}
        for given, wanted in zip(node.args, definition.parameters, strict=True):
            names[wanted.name] = self.expression(given, context, wanted.type)
        self_name = definition.node.args.args[0].arg
        inner = Context({self_name: primed}, names, context.taken, context.depth + 1)
        return self.body(definition.node, inner, definition.result)

    def body(self, function: ast.FunctionDef, context: Context, result: ir.Type) -> ir.Expr:
        """The returned expression of a function of abbreviations and one return."""
        context, value = self.returned(function, context)
        return self.expression(value, context, result)

    def returned(self, function: ast.FunctionDef, context: Context) -> tuple[Context, ast.expr]:
        """The returned source, with the abbreviations before it in the context."""
        statements = without_docstring(function.body)
        for statement in statements[:-1]:
            context = self.abbreviation(statement, context)
        last = statements[-1] if statements else function
        if not isinstance(last, ast.Return) or last.value is None:
            raise self.fail(last, f"{function.name} must end by returning an expression")
        return context, last.value

    def abbreviation(self, statement: ast.stmt, context: Context) -> Context:
        """`name = expression`: the context in which the name stands for the expression."""
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1 \
                and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in context.names:
                raise self.fail(statement, f"{name} has a meaning already")
            return context.bind(name, self.expression(statement.value, context))
        raise self.fail(statement, f"`{ast.unparse(statement)}` is outside the spec language")


def joined(operator: str, operands: Sequence[ir.Expr], line: int) -> ir.Expr:
    """The operands joined by and/or, flattened; a single one is itself."""
    flat: list[ir.Expr] = []
    for each in operands:
        same = isinstance(each, ir.Boolean) and each.operator == operator
        flat += each.operands if same and isinstance(each, ir.Boolean) else (each,)
    if len(flat) == 1:
        return flat[0]
    return ir.Boolean(ir.BOOL, line, operator, tuple(flat))  # type: ignore[arg-type]  # and/or


def without_docstring(statements: list[ast.stmt]) -> list[ast.stmt]:
    """The statements after the docstring."""
    first = statements[0] if statements else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) \
            and isinstance(first.value.value, str):
        return statements[1:]
    return statements


def _untyped(node: ast.expr) -> bool:
    """A literal (or a conditional of literals) whose type comes from its surroundings."""
    if isinstance(node, ast.IfExp):
        return _untyped(node.body) and _untyped(node.orelse)
    return isinstance(node, ast.Constant) and (node.value is None or isinstance(node.value, str))


def _wider(a: ir.Type, b: ir.Type) -> ir.Type:
    if isinstance(a, ir.MemberType) and isinstance(b, ir.MemberType):
        return replace(a, optional=a.optional or b.optional)
    return ir.INT if isinstance(a, ir.IntType) and a != b else a
