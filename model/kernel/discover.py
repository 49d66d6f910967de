"""Discovery: what the component modules export, found by path, imported on demand, sorted.

`python -m model.kernel.discover` prints what is found.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

# Folders of these packages that hold no components.
_NOT_COMPONENTS = {"model": ("kernel", "api"), "reference_impl": ("lib", "scenarios"),
                   "properties": (), "traces": ()}


def modules(package: str) -> Iterator[str]:
    """The dotted names of all modules below `package`, sorted, without those that hold none."""
    skipped = _NOT_COMPONENTS.get(package, ())
    root = importlib.import_module(package)
    found = []
    for info in pkgutil.walk_packages(root.__path__, package + "."):
        if info.name.split(".")[1] not in skipped:
            found.append(info.name)
    return iter(sorted(found))


def exporting(package: str, name: str) -> dict[str, Any]:
    """Component path ("controllers/replication") -> what its module in `package` exports as `name`.

    A module counts when its own code binds the name, so that what one module imports from another
    is found once.
    """
    found = {}
    for dotted in modules(package):
        module = importlib.import_module(dotted)
        if name in vars(module) and _is_own(module, name):
            found["/".join(dotted.split(".")[1:])] = vars(module)[name]
    return found


def _is_own(module: ModuleType, name: str) -> bool:
    owner = getattr(vars(module)[name], "__module__", None)
    return owner in (None, module.__name__) or not callable(vars(module)[name])


def extend(folder: Path) -> None:
    """Add folder/{model,reference_impl,properties} to those packages' search path."""
    for package in ("model", "reference_impl", "properties"):
        place = folder / package
        if place.is_dir():
            importlib.import_module(package).__path__.append(str(place))


def main() -> None:
    """Print every component path and what it exports."""
    wanted = {"model": ("SPEC",), "reference_impl": ("components",),
              "properties": ("PROPERTIES", "MUTANTS")}
    for package, names in wanted.items():
        for name in names:
            for path in exporting(package, name):
                sys.stdout.write(f"{package}/{path}: {name}\n")


if __name__ == "__main__":
    main()
