"""Specs by name: the modules of `model` that export SPEC."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from model.kernel import discover
from model.kernel.errors import InputError
from model.kernel.spec import ir
from model.kernel.spec.language import Spec


def all_specs() -> dict[str, type[Spec]]:
    """Path below `model` ("controllers/replication") -> spec class, in order."""
    return dict(sorted(discover.exporting("model", "SPEC").items()))


def find_spec(name: str) -> tuple[str, ir.Module]:
    """The path and the parsed form of the spec with that path, last part of a path, or name; or
    of the SPEC of a file FILE.py.

    InputError when there is none, or several, or the file cannot be imported.
    """
    if name.endswith(".py"):
        return name, _from_file(Path(name))
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


def _from_file(path: Path) -> ir.Module:
    place = importlib.util.spec_from_file_location(f"spec_{path.stem}", path)
    if not path.is_file() or place is None or place.loader is None:
        raise InputError("there is no such file", where=str(path))
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module  # where the parser looks for the source of its classes
    try:
        place.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"cannot be imported: {type(error).__name__}: {error}",
                         where=str(path)) from error
    spec = getattr(module, "SPEC", None)
    if not isinstance(spec, type) or not issubclass(spec, Spec):
        raise InputError("exports no SPEC", where=str(path), fix="SPEC = TheClassOfTheSpec")
    return spec.module()
