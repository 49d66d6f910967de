"""From the source of a spec to its typed form. The source is read, never run."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from model.kernel.spec import ir
from model.kernel.spec.expressions import (
    Context,
    Declarations,
    Definition,
    Translator,
    describe,
    joined,
    same_kind,
    without_docstring,
)
from model.kernel.spec.language import Spec

_RULES = ("action", "define", "invariant", "lemma", "step_rule", "leads_to", "witness", "mutant")
_SIZE_DEFAULT = 2
_parsed: dict[type[Spec], ir.Module] = {}


def parse(spec: type[Spec]) -> ir.Module:
    """The typed form of a spec class. SpecError with file and line where it breaks the language."""
    if spec not in _parsed:
        file = inspect.getsourcefile(spec)
        if file is None:
            raise ir.SpecError(f"{spec.__name__} has no source file")
        text = Path(file).read_text(encoding="utf-8")
        _parsed[spec] = parse_text(text, spec.__name__, file=short_path(file))
    return _parsed[spec]


def short_path(file: str) -> str:
    """The path from the package folder on, so that messages are the same on every machine."""
    parts = Path(file).parts
    for root in ("model", "tests"):
        if root in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(root):])
    return parts[-1]


def parse_text(text: str, name: str, *, file: str) -> ir.Module:
    """The typed form of the class `name` in the source `text` of `file`."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ir.SpecError(f"no Python: {error.msg}", where=f"{file}:{error.lineno}") from error
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Parser(tree, node, file).module()
    raise ir.SpecError(f"no class {name}", where=file)


class _Rule(NamedTuple):
    """A decorated function of the class."""

    kind: str
    options: Mapping[str, str]
    node: ast.FunctionDef


class _Branch(NamedTuple):
    """One `if` on the path to an assignment: which, and whether it was taken."""

    line: int
    test: ir.Expr
    taken: bool


class _Assignment(NamedTuple):
    update: ir.Update
    path: tuple[_Branch, ...]


class _Parser:
    def __init__(self, tree: ast.Module, node: ast.ClassDef, file: str) -> None:
        self.node = node
        self.declarations = Declarations(file)
        self.fail = self.declarations.fail
        self.translate = Translator(self.declarations)
        for statement in tree.body:
            self._module_level(statement)

    def module(self) -> ir.Module:
        """The whole spec."""
        rules, scopes = self._class_level()
        for rule in rules:
            if rule.kind == "define":
                self._define(rule)
        by_kind = {kind: [rule for rule in rules if rule.kind == kind] for kind in _RULES}
        actions = tuple(self._action(rule) for rule in by_kind["action"])
        invariants = tuple(self._invariant(rule) for rule in rules
                           if rule.kind in ("invariant", "lemma"))
        step_rules = tuple(self._step_rule(rule) for rule in by_kind["step_rule"])
        leads_tos = tuple(self._leads_to(rule) for rule in by_kind["leads_to"])
        witnesses = tuple(self._witness(rule) for rule in by_kind["witness"])
        named = {rule.name for group in (invariants, step_rules, leads_tos) for rule in group}
        mutants = tuple(self._mutant(rule, actions, named) for rule in by_kind["mutant"])
        for name in self.declarations.definitions:
            self._check_definition(name)
        declared = self.declarations
        return ir.Module(
            name=_spoken(self.node.name), doc=ast.get_docstring(self.node) or "",
            file=declared.file,
            indexes=tuple(index for index in declared.indexes.values() if self._is_used(index)),
            constants=tuple(declared.constants.values()),
            variables=tuple(declared.variables.values()), actions=actions, invariants=invariants,
            step_rules=step_rules, leads_tos=leads_tos, witnesses=witnesses, mutants=mutants,
            scopes=self._scopes(scopes))

    # ------------------------------------------------------------------------- declarations

    def _module_level(self, node: ast.stmt) -> None:
        """Index classes, names of types, literal tuples; anything else is none of our business."""
        declared = self.declarations
        if isinstance(node, ast.ClassDef):
            bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
            if bases in (["Index"], ["Numbered"]):
                options = {each.arg: each.value.value for each in node.keywords
                           if isinstance(each.value, ast.Constant)}
                declared.indexes[node.name] = ir.Index(
                    node.name, bool(options.get("symmetric", False)), bases == ["Numbered"],
                    str(options.get("short", "")), ast.get_docstring(node) or "", node.lineno)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
            if isinstance(value, ast.Tuple) and all(isinstance(each, ast.Constant)
                                                    for each in value.elts):
                declared.literals[name] = ast.literal_eval(value)
            elif isinstance(value, (ast.Subscript, ast.BinOp)):
                declared.types[name] = value

    def _class_level(self) -> tuple[list[_Rule], ast.expr | None]:
        rules: list[_Rule] = []
        scopes: ast.expr | None = None
        pending: list[ast.AnnAssign] = []
        for node in without_docstring(self.node.body):
            match node:
                case ast.Assign(targets=[ast.Name(id="scopes")], value=value):
                    scopes = value
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._constant(name, value)
                case ast.AnnAssign():
                    pending.append(node)
                case ast.FunctionDef():
                    rules.append(self._rule(node))
                case _:
                    raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language")
        for variable in pending:
            self._variable(variable)
        seen: dict[str, int] = {}
        for rule in rules:
            if rule.node.name in seen:
                raise self.fail(rule.node, f"{rule.node.name} is written twice")
            seen[rule.node.name] = rule.node.lineno
        return rules, scopes

    def _constant(self, name: str, value: ast.expr) -> None:
        match value:
            case ast.Call(func=ast.Name(id="constant"), args=[ast.Constant(value=int(default))],
                          keywords=keywords):
                given = {each.arg: each.value.value for each in keywords
                         if isinstance(each.value, ast.Constant)}
                least = given.get("least")
                self.declarations.constants[name] = ir.ConstantDeclaration(
                    name, int(default), str(given.get("short", "")), value.lineno,
                    least if isinstance(least, int) else None)
            case _:
                raise self.fail(value, f"{name} is neither a constant nor a variable",
                          f"{name} = constant(3), or {name}: int = 0")

    def _variable(self, node: ast.AnnAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise self.fail(node, "a variable has a simple name")
        name, annotation = node.target.id, node.annotation
        keys: tuple[str, ...] = ()
        if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name) \
                and annotation.value.id == "Map":
            keys, annotation = self._map_keys(annotation)
        value_type = self.type(annotation)
        if node.value is None:
            raise self.fail(node, f"the variable {name} has no initial value",
                      f"{name}: ... = each(value)" if keys else f"{name}: ... = value")
        initial = node.value
        if isinstance(initial, ast.Call) and isinstance(initial.func, ast.Name) \
                and initial.func.id == "each" and len(initial.args) == 1:
            initial = initial.args[0]
        elif keys:
            raise self.fail(node, f"the map {name} starts with each(value)")
        self.declarations.variables[name] = ir.Variable(
            name, keys, value_type, self.translate.expression(
                initial, Context({"self": False}, self._bound_names(), frozenset()), value_type),
            node.lineno)

    def _map_keys(self, node: ast.Subscript) -> tuple[tuple[str, ...], ast.expr]:
        if not isinstance(node.slice, ast.Tuple) or len(node.slice.elts) != 2:
            raise self.fail(node, "a map is written Map[Key, Value]")
        key, value = node.slice.elts
        if isinstance(key, ast.Subscript) and isinstance(key.slice, ast.Tuple):
            names: list[ast.expr] = key.slice.elts
        else:
            names = [key]
        if len(names) > 2:
            raise self.fail(node, "a map has one key or two")
        for each in names:
            if not isinstance(each, ast.Name) or each.id not in self.declarations.indexes:
                raise self.fail(each, f"`{ast.unparse(each)}` is no index set")
            self.declarations.used.add(each.id)
        return tuple(each.id for each in names if isinstance(each, ast.Name)), value

    def type(self, node: ast.expr) -> ir.Type:
        """The type that an annotation names."""
        declared = self.declarations
        match node:
            case ast.Name(id="bool"):
                return ir.BOOL
            case ast.Name(id="int"):
                return ir.INT
            case ast.Name(id=name) if name in declared.indexes:
                self.declarations.used.add(name)
                return declared.member_type(name)
            case ast.Name(id=name) if name in declared.types:
                return self.type(declared.types[name])
            case ast.Constant(value=str(text)):
                return self.type(ast.parse(text, mode="eval").body)
            case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
                member = self.type(left)
                if not isinstance(member, ir.MemberType):
                    raise self.fail(node, "only a member of an index set may be None",
                              "for an integer or a word take a value of its own for it")
                return ir.MemberType(member.index, optional=True)
            case ast.Subscript(value=ast.Name(id="Literal"), slice=words):
                values = ast.literal_eval(words)
                values = values if isinstance(values, tuple) else (values,)
                if not all(isinstance(each, str) for each in values):
                    raise self.fail(node, "the values of a Literal are words")
                return ir.EnumType(values)
            case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(
                    elts=[ast.Name(id="int"), ast.Call(func=ast.Name(id="Between"),
                                                       args=[low, high])])):
                return ir.IntType(self._bound(low), self._bound(high))
        raise self.fail(node, f"`{ast.unparse(node)}` is no type of the spec language")

    def _bound_names(self) -> dict[str, ir.Expr]:
        return {name: ir.Parameter(ir.INT, each.line, name)
                for name, each in self.declarations.constants.items()}

    def _bound(self, node: ast.expr) -> ir.Expr:
        """A bound of an integer: an integer or the text of an expression over constants."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            inner = ast.parse(node.value, mode="eval").body
            for each in ast.walk(inner):
                if hasattr(each, "lineno"):
                    each.lineno = node.lineno
            node = inner
        return self.translate.expression(node, Context({}, self._bound_names(), frozenset()),
                                         ir.INT)

    def _scopes(self, node: ast.expr | None) -> dict[str, ir.Scope]:
        given = {} if node is None else ast.literal_eval(node)
        given.setdefault("ci", {})
        result = {}
        for name, values in given.items():
            sizes = {index.name: _SIZE_DEFAULT for index in self.declarations.indexes.values()
                     if self._is_used(index)}
            constants = {each.name: each.default for each in self.declarations.constants.values()}
            for key, value in values.items():
                table = sizes if key in sizes else constants
                if key not in table:
                    raise self.fail(node or self.node, f"the scope {name} names {key}, which "
                                                       "is neither an index set nor a constant")
                table[key] = value
            result[name] = ir.Scope(sizes, constants)
        return result

    def _is_used(self, index: ir.Index) -> bool:
        return index.name in self.declarations.used

    # -------------------------------------------------------------------------------- rules

    def _rule(self, node: ast.FunctionDef) -> _Rule:
        if len(node.decorator_list) != 1:
            raise self.fail(node, f"{node.name} needs one decorator: {', '.join(_RULES)}")
        decorator = node.decorator_list[0]
        options: dict[str, str] = {}
        if isinstance(decorator, ast.Call):
            for each in decorator.keywords:
                if each.arg is None or not isinstance(each.value, ast.Constant):
                    raise self.fail(decorator, "the options of a decorator are literals")
                options[each.arg] = str(each.value.value)
            decorator = decorator.func
        if not isinstance(decorator, ast.Name) or decorator.id not in _RULES:
            raise self.fail(node, f"`{ast.unparse(decorator)}` is no rule of the spec language",
                      f"rules are {', '.join(_RULES)}")
        return _Rule(decorator.id, options, node)

    def _parameters(self, node: ast.FunctionDef, skip: int = 1) -> tuple[ir.Binder, ...]:
        arguments = node.args
        if arguments.vararg or arguments.kwarg or arguments.kwonlyargs or arguments.defaults \
                or len(arguments.args) < skip:
            raise self.fail(node, f"{node.name} takes {'self' if skip == 1 else 'two states'} "
                            "and plain parameters")
        result = []
        for each in arguments.args[skip:]:
            if each.annotation is None:
                raise self.fail(each, f"the parameter {each.arg} has no type")
            result.append(ir.Binder(each.arg, self.type(each.annotation)))
        return tuple(result)

    def _context(self, node: ast.FunctionDef, parameters: tuple[ir.Binder, ...]) -> Context:
        names: dict[str, ir.Expr] = {
            each.name: ir.Local(each.type, node.lineno, each.name) for each in parameters}
        return Context({node.args.args[0].arg: False}, names, frozenset(names))

    def _define(self, rule: _Rule) -> None:
        if rule.node.returns is None:
            raise self.fail(rule.node, f"the definition {rule.node.name} has no result type")
        self.declarations.definitions[rule.node.name] = Definition(
            rule.node, self._parameters(rule.node), self.type(rule.node.returns))

    def _check_definition(self, name: str) -> None:
        """Definitions that nobody calls must be well-formed too."""
        definition = self.declarations.definitions[name]
        context = self._context(definition.node, definition.parameters)
        self.translate.body(definition.node, context._replace(depth=1), definition.result)

    def _condition(self, rule: _Rule) -> ir.Expr:
        if self._parameters(rule.node):
            raise self.fail(rule.node, f"{rule.node.name} takes no parameters",
                      "write all(... for p in Pod)")
        return self.translate.body(rule.node, self._context(rule.node, ()), ir.BOOL)

    def _invariant(self, rule: _Rule) -> ir.Invariant:
        return ir.Invariant(rule.node.name, self._condition(rule), rule.kind == "lemma",
                            ast.get_docstring(rule.node) or "", rule.node.lineno)

    def _witness(self, rule: _Rule) -> ir.Witness:
        return ir.Witness(rule.node.name, self._condition(rule),
                          ast.get_docstring(rule.node) or "", rule.node.lineno)

    def _step_rule(self, rule: _Rule) -> ir.StepRule:
        if len(rule.node.args.args) != 2:
            raise self.fail(rule.node,
                            f"{rule.node.name} takes the state before and the state after")
        context = self._context(rule.node, ())
        context = context._replace(states={**context.states, rule.node.args.args[1].arg: True})
        return ir.StepRule(rule.node.name, self.translate.body(rule.node, context, ir.BOOL),
                           ast.get_docstring(rule.node) or "", rule.node.lineno)

    def _leads_to(self, rule: _Rule) -> ir.LeadsTo:
        parameters = self._parameters(rule.node)
        context, value = self.translate.returned(rule.node, self._context(rule.node, parameters))
        if not isinstance(value, ast.Tuple) or len(value.elts) != 2:
            raise self.fail(value, f"{rule.node.name} returns the pair cause, effect")
        cause, effect = (self.translate.truth(each, context) for each in value.elts)
        return ir.LeadsTo(rule.node.name, parameters, cause, effect,
                          ast.get_docstring(rule.node) or "", rule.node.lineno)

    def _mutant(self, rule: _Rule, actions: tuple[ir.Action, ...], named: set[str]) -> ir.Mutant:
        replaces, breaks = rule.options.get("replaces", ""), rule.options.get("breaks", "")
        original = next((action for action in actions if action.name == replaces), None)
        if original is None:
            raise self.fail(rule.node,
                            f"{rule.node.name} replaces no action of this spec: {replaces!r}")
        if breaks and breaks not in named:
            raise self.fail(rule.node, f"{rule.node.name} breaks no rule of this spec: {breaks!r}")
        action = self._action(rule)
        if tuple(each.type for each in action.parameters) != tuple(
                each.type for each in original.parameters):
            raise self.fail(rule.node, f"{rule.node.name} takes other parameters than {replaces}")
        action = action._replace(name=replaces, fairness=original.fairness)
        return ir.Mutant(rule.node.name, replaces, action, breaks, action.doc, rule.node.lineno)

    # ------------------------------------------------------------------------------ actions

    def _action(self, rule: _Rule) -> ir.Action:
        node, fairness = rule.node, rule.options.get("fair", "none")
        if fairness not in ("none", "weak", "strong"):
            raise self.fail(node, f'fair is "none", "weak" or "strong", not "{fairness}"')
        parameters = self._parameters(node)
        context = self._context(node, parameters)
        guards: list[ir.Expr] = []
        limits: list[ir.Expr] = []
        assignments: list[_Assignment] = []
        for statement in without_docstring(node.body):
            match statement:
                case ast.Expr(value=ast.Call(func=ast.Name(id="require" | "limit" as which),
                                             args=[condition])):
                    found = self.translate.truth(condition, context)
                    (guards if which == "require" else limits).extend(conjuncts(found))
                case ast.Assign(targets=[ast.Name()]):
                    context = self.translate.abbreviation(statement, context)
                case ast.Pass():
                    continue
                case _:
                    assignments += self._assignments(statement, context, (), ())
        self._check_assigned_once(assignments, guards)
        return ir.Action(node.name, parameters, tuple(guards), tuple(limits),
                         tuple(each.update for each in assignments), fairness,  # type: ignore[arg-type]  # tested above
                         ast.get_docstring(node) or "", node.lineno)

    def _assignments(self, node: ast.stmt, context: Context, over: tuple[ir.Binder, ...],
                     path: tuple[_Branch, ...]) -> Iterator[_Assignment]:
        """The assignments in a statement, with the loops and branches around them."""
        match node:
            case ast.Assign(targets=[target], value=value):
                yield self._assignment(node, target, value, context, over, path)
            case ast.AugAssign(target=target, op=op, value=value):
                reading = ast.parse(ast.unparse(target), mode="eval").body
                combined = ast.BinOp(ast.copy_location(reading, target), op, value)
                ast.fix_missing_locations(ast.copy_location(combined, node))
                yield self._assignment(node, target, combined, context, over, path)
            case ast.If(test=test, body=body, orelse=orelse):
                condition = self.translate.truth(test, context)
                for taken, branch in ((True, body), (False, orelse)):
                    step = _Branch(node.lineno, condition, taken)
                    for each in branch:
                        yield from self._assignments(each, context, over, (*path, step))
            case ast.For(target=target, iter=iterated, body=body, orelse=[]):
                inner, binder = self.translate.binder(target, iterated, context)
                for each in body:
                    yield from self._assignments(each, inner, (*over, binder), path)
            case ast.Pass():
                return
            case _:
                raise self.fail(node, f"`{ast.unparse(node)}` is outside the spec language",
                          "require and limit stand at the top of an action")

    def _assignment(self, node: ast.stmt, target: ast.expr, value: ast.expr, context: Context,
                    over: tuple[ir.Binder, ...], path: tuple[_Branch, ...]) -> _Assignment:
        if isinstance(target, ast.Subscript):
            read: ir.Expr = self.translate.entry(target, context)
        else:
            read = self.translate.expression(target, context)
        if not isinstance(read, ir.Read):
            raise self.fail(node, f"`{ast.unparse(target)}` is no variable and cannot be assigned")
        plain = {key.name for key in read.keys if isinstance(key, ir.Local)}
        for binder in over:
            if binder.name not in plain:
                raise self.fail(node, f"`{ast.unparse(target)}` is assigned once for each "
                                f"{binder.name}", f"assign to an entry of {binder.name}")
        result = self.translate.expression(value, context)\
            if not _needs_type(value) else self.translate.expression(value, context, read.type)
        if isinstance(result.type, ir.MemberType) and result.type.optional \
                and isinstance(read.type, ir.MemberType) and not read.type.optional:
            raise self.fail(node, f"`{ast.unparse(value)}` may be None, {read.variable} may not")
        if not same_kind(read.type, result.type):
            raise self.fail(node, f"`{ast.unparse(value)}` is {describe(result.type)}, and "
                            f"{read.variable} is {describe(read.type)}")
        tests = [each.test if each.taken else ir.Not(ir.BOOL, each.line, each.test)
                 for each in path]
        condition = joined("and", tests, node.lineno) if tests else None
        return _Assignment(ir.Update(read.variable, over, read.keys, result, condition,
                                     node.lineno), path)

    def _check_assigned_once(self, assignments: list[_Assignment], guards: list[ir.Expr]) -> None:
        for position, second in enumerate(assignments):
            for first in assignments[:position]:
                if first.update.variable == second.update.variable \
                        and not _exclusive(first, second) \
                        and not _distinct(first, second, guards):
                    entry = " with keys that may be equal" if first.update.keys else ""
                    raise self.fail(second.update.line,
                                    f"{second.update.variable} is assigned twice" + entry,
                                    "require that the keys differ" if entry else "")


def conjuncts(condition: ir.Expr) -> tuple[ir.Expr, ...]:
    """The parts of a conjunction."""
    if isinstance(condition, ir.Boolean) and condition.operator == "and":
        return condition.operands
    return (condition,)


def _needs_type(node: ast.expr) -> bool:
    return isinstance(node, (ast.Constant, ast.IfExp))


def _exclusive(first: _Assignment, second: _Assignment) -> bool:
    """Whether the two stand in different branches of one `if`."""
    return any(a.line == b.line and a.test == b.test and a.taken != b.taken
               for a in first.path for b in second.path)


def _distinct(first: _Assignment, second: _Assignment, guards: list[ir.Expr]) -> bool:
    """Whether the guard or the branches say that some key of the two differs."""
    facts = [*guards]
    for branch in (*first.path, *second.path):
        if branch.taken:
            facts += conjuncts(branch.test)
        elif isinstance(branch.test, ir.Compare) and branch.test.operator == "==":
            facts.append(ir.Compare(ir.BOOL, branch.line, "!=", branch.test.left,
                                    branch.test.right))
    different = {frozenset((each.left, each.right)) for each in facts
                 if isinstance(each, ir.Compare) and each.operator == "!="}
    return any(frozenset((a, b)) in different or (_base(a) == _base(b) and _offset(a) != _offset(b))
               for a, b in zip(first.update.keys, second.update.keys, strict=True))


def _offset(key: ir.Expr) -> int:
    """The constant part of `base + 2`, `base - 1`, `base` or a number."""
    match key:
        case ir.Constant(value=int(value)):
            return value
        case ir.Arithmetic(operator="+", right=ir.Constant(value=int(value))):
            return value
        case ir.Arithmetic(operator="-", right=ir.Constant(value=int(value))):
            return -value
    return 0


def _base(key: ir.Expr) -> ir.Expr | None:
    if isinstance(key, ir.Constant):
        return None
    if isinstance(key, ir.Arithmetic) and key.operator in "+-" \
            and isinstance(key.right, ir.Constant):
        return key.left
    return key


def _spoken(name: str) -> str:
    """`ListWatch` as `list-watch`."""
    return "".join(("-" if at and letter.isupper() else "") + letter.lower()
                   for at, letter in enumerate(name))
