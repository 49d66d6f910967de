"""Scopes: how many members each index set has and what each constant is; read from text."""

from __future__ import annotations

from collections.abc import Mapping

from model.kernel.errors import InputError
from model.kernel.spec import ir


def make_scope(module: ir.Module, base: str = "ci",
               overrides: Mapping[str, int] | None = None) -> ir.Scope:
    """The scope of the spec that is named `base`, with some sizes or constants replaced.

    Names are taken in any case, in the plural (`pods`) and by their short names. InputError for a
    name that the spec does not have, a size below one, or an unknown base.
    """
    if base not in module.scopes:
        raise InputError(f"the spec {module.name} has no scope {base!r}",
                         fix=f"it has {', '.join(module.scopes)}")
    sizes = dict(module.scopes[base].sizes)
    constants = dict(module.scopes[base].constants)
    names = _names(module)
    for given, value in (overrides or {}).items():
        name = names.get(given.lower()) or names.get(given.lower().removesuffix("s"))
        if name is None:
            raise InputError(f"the spec {module.name} has no index set or constant {given!r}",
                             fix=f"it has {', '.join([*sizes, *constants])}")
        if name in sizes:
            if value < 1:
                raise InputError(f"{given}={value}: an index set has at least one member")
            sizes[name] = value
        else:
            constants[name] = value
    return ir.Scope(sizes, constants)


def read_scope(module: ir.Module, text: str, base: str = "ci") -> ir.Scope:
    """The scope that `pods=4,nodes=3` describes; the name of a scope may stand first."""
    overrides: dict[str, int] = {}
    for position, part in enumerate(filter(None, (each.strip() for each in text.split(",")))):
        name, equals, value = part.partition("=")
        if not equals and position == 0 and part in module.scopes:
            base = part
            continue
        if not equals or not value.strip().lstrip("-").isdigit():
            raise InputError(f"{part!r} is no part of a scope", where="--scope",
                             fix="write pods=4,nodes=3")
        overrides[name.strip()] = int(value)
    return make_scope(module, base, overrides)


def _names(module: ir.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    pairs = [(each.name, each.short) for each in module.indexes]
    pairs += [(each.name, each.short) for each in module.constants]
    for name, short in pairs:
        names.setdefault(name.lower(), name)
        if short:
            names.setdefault(short.lower(), name)
    return names
