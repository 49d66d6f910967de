"""The typed form written back as text for people: messages, reports, counterexamples."""

from __future__ import annotations

from collections.abc import Mapping

from model.kernel.spec import ir


def render(expression: ir.Expr, names: Mapping[str, str] | None = None) -> str:
    """The expression as text; `names` gives bound names their values."""
    names = names or {}

    def inner(part: ir.Expr) -> str:
        text = render(part, names)
        return f"({text})" if isinstance(part, (ir.Boolean, ir.Compare, ir.Conditional,
                                                ir.Arithmetic, ir.Among)) else text

    match expression:
        case ir.Constant(value=str(value)):
            return f'"{value}"'
        case ir.Constant(value=value):
            return str(value)
        case ir.Parameter(name=name):
            return name
        case ir.Size(index=index):
            return f"len({index})"
        case ir.Local(name=name):
            return names.get(name, name)
        case ir.Read(variable=variable, keys=keys, primed=primed):
            entry = f"[{', '.join(render(key, names) for key in keys)}]" if keys else ""
            return variable + ("'" if primed else "") + entry
        case ir.Not(operand=operand):
            return f"not {inner(operand)}"
        case ir.Boolean(operator=operator, operands=operands):
            return f" {operator} ".join(
                inner(each) if isinstance(each, (ir.Boolean, ir.Conditional))
                else render(each, names) for each in operands)
        case ir.Compare(operator=operator, left=left, right=right):
            return f"{inner(left)} {operator} {inner(right)}"
        case ir.Among(operand=operand, values=values):
            words = ", ".join(f'"{each}"' if isinstance(each, str) else str(each)
                              for each in values)
            return f"{inner(operand)} in ({words})"
        case ir.Arithmetic(operator="min" | "max" as operator, left=left, right=right):
            return f"{operator}({render(left, names)}, {render(right, names)})"
        case ir.Arithmetic(operator=operator, left=left, right=right):
            return f"{inner(left)} {operator} {inner(right)}"
        case ir.Conditional(test=test, then=then, otherwise=otherwise):
            return f"{inner(then)} if {inner(test)} else {inner(otherwise)}"
        case ir.Quantifier():
            return _quantifier(expression, names)
    raise AssertionError(f"no text for {type(expression).__name__}")


def _quantifier(expression: ir.Quantifier, names: Mapping[str, str]) -> str:
    clauses = " ".join(f"for {each.name} in {type_name(each.type)}" for each in expression.binders)
    condition = "" if expression.condition is None else f" if {render(expression.condition, names)}"
    return f"{expression.kind}({render(expression.body, names)} {clauses}{condition})"


def type_name(value_type: ir.Type) -> str:
    """A type as it was declared, as far as it has a name."""
    match value_type:
        case ir.BoolType():
            return "bool"
        case ir.EnumType(values=values):
            return "(" + ", ".join(values) + ")"
        case ir.IntType(index=str(index)):
            return index
        case ir.IntType(low=ir.Expr() as low, high=ir.Expr() as high):
            return f"{render(low)}..{render(high)}"
        case ir.MemberType(index=index, optional=optional):
            return index + (" or None" if optional else "")
    return "int"
