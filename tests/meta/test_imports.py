"""Imports run one way, and nothing heavy is loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kubeproof", "model", "properties", "reference_impl", "traces")
HEAVY = {"z3", "numba", "numpy", "networkx", "hypothesis", "scipy", "ortools", "graphviz",
         "starlette", "uvicorn", "rich"}
# pydantic and yaml may be imported at the top of these alone: they read text from outside.
EDGE = ("model/api/scenario_file.py",)
# Engines may import their library inside functions or at the top of a module that is imported on
# use; the kernel proper is standard library only.
ENGINES = "model/kernel/engines/"


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def imported(path: Path, *, top_only: bool = False) -> set[str]:
    """The dotted modules that a file imports; `top_only` leaves out those inside functions and
    under TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    nodes = list(tree.body) if top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def component(path: Path) -> str:
    """The component that a file of reference_impl belongs to."""
    parts = path.relative_to(ROOT / "reference_impl").with_suffix("").parts
    return "/".join(parts[:2]) if parts[0] == "controllers" else parts[0]


def allowed(path: Path, name: str) -> bool:
    """Whether the file may import `name`, by the rules of DESIGN section 2."""
    place = path.relative_to(ROOT).as_posix()
    top = name.split(".")[0]
    if top not in PACKAGES:
        return True
    if place.startswith("model/kernel/"):
        return name == "model" or name.startswith("model.kernel")
    if place.startswith("model/"):
        return top == "model"
    if place.startswith("traces/"):
        return top == "traces" or name.startswith(("model.kernel", "model.api"))
    if place.startswith("properties/"):
        return top in ("model", "reference_impl", "properties")
    if place.startswith("reference_impl/"):
        return may_reference(path, name)
    return True


def may_reference(path: Path, name: str) -> bool:
    if name.startswith(("model.kernel", "model.api")):
        return not name.startswith("model.kernel.spec")
    parts = name.split(".")
    if parts[0] != "reference_impl":
        return False
    if len(parts) == 1 or parts[1] == "lib":
        return True
    own = component(path)
    return "/".join(parts[1:1 + len(own.split("/"))]) == own


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_run_one_way(path: Path) -> None:
    """model.kernel <- model.api <- specs; reference_impl never sees a spec or another component."""
    wrong = sorted(name for name in imported(path) if not allowed(path, name))
    assert not wrong, f"{path.relative_to(ROOT)} may not import {', '.join(wrong)}"


def test_the_rule_itself_can_fail() -> None:
    """The forbidden imports are seen as such."""
    assert not allowed(ROOT / "model/kernel/system.py", "model.api.objects")
    assert not allowed(ROOT / "reference_impl/controllers/node.py", "model.controllers.node")
    assert not allowed(ROOT / "reference_impl/controllers/node.py",
                       "reference_impl.controllers.replication")
    assert not allowed(ROOT / "reference_impl/scheduler/cache.py", "properties.cluster")
    assert not allowed(ROOT / "traces/replay.py", "reference_impl.cluster")
    assert allowed(ROOT / "reference_impl/controllers/node.py", "reference_impl.lib.informer")


@pytest.mark.parametrize("path", sources(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_heavy_libraries_are_imported_on_use(path: Path) -> None:
    """No module imports a heavy library at its top, but those that only their user imports."""
    place = path.relative_to(ROOT).as_posix()
    if place.startswith((ENGINES, "properties/scheduler/", "properties/strategies",
                         "kubeproof/http/")):
        return
    tops = {name.split(".")[0] for name in imported(path, top_only=True)}
    heavy = tops & HEAVY | (tops & {"pydantic"} if place not in EDGE else set())
    assert not heavy, f"{place} imports {', '.join(sorted(heavy))} at its top"


def test_a_command_loads_little_before_its_first_state() -> None:
    """Building the worked example loads none of the heavy libraries."""
    program = ("import sys; from reference_impl.cluster import build, start; "
               "from reference_impl.scenarios import named; s = named('worked-example'); "
               "start(build(s), s); "
               "print(' '.join(sorted({m.split('.')[0] for m in sys.modules})))")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          cwd=ROOT, check=True)
    assert not HEAVY & set(done.stdout.split())
