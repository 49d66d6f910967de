"""Specs by name: the modules of `model` that export SPEC."""

from __future__ import annotations

import importlib
import importlib.util

from model.kernel import discover
from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.language import Spec


def all_specs() -> dict[str, type[Spec]]:
    """Path below `model` ("controllers/replication") -> spec class, in order."""
    return dict(sorted(discover.exporting("model", "SPEC").items()))


def find_spec(name: str) -> tuple[str, ir.Module]:
    """The path and the parsed form of the spec with that path, last part of a path, or name.

    InputError when there is none, or several.
    """
    dotted = f"model.{name.replace('/', '.')}"
    direct = None
    if all(part.isidentifier() for part in dotted.split(".")):
        try:
            direct = importlib.util.find_spec(dotted)  # no walk over all modules: start-up counts
        except ModuleNotFoundError:
            direct = None
    if direct is not None:
        spec = getattr(importlib.import_module(dotted), "SPEC", None)
        if spec is not None:
            return name, spec.module()
    specs = all_specs()
    fitting = [path for path, spec in specs.items()
               if name in (path, path.rsplit("/", 1)[-1], path.replace("_", "-"),
                           path.rsplit("/", 1)[-1].replace("_", "-"), spec.module().name)]
    if len(fitting) != 1:
        raise InputError(f"there is no spec {name!r}" if not fitting
                         else f"several specs are called {name!r}: {', '.join(fitting)}",
                         fix="kubeproof check --list shows them")
    return fitting[0], specs[fitting[0]].module()
