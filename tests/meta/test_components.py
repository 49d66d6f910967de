"""Every component has its three files, and each says enough to be doubted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.kernel.discover import exporting, extend

ROOT = Path(__file__).parents[2]

# Pure functions have an independently written oracle function instead of a spec; see the header of
# their properties.
EXEMPT_FROM_SPEC = {"kubectl", "cadvisor"}


def paths(package: str, name: str) -> dict[str, Any]:
    return exporting(package, name)


def home(path: str) -> str:
    """The component path without the module inside a package: scheduler/component -> scheduler."""
    parts = path.split("/")
    return "/".join(parts[:2]) if parts[0] == "controllers" else parts[0]


def complaints(components: set[str], specs: dict[str, Any], properties: dict[str, Any],
               mutants: dict[str, Any]) -> list[str]:
    """What is missing, a line each."""
    found: list[str] = []
    for name in sorted(components):
        if name not in EXEMPT_FROM_SPEC and not any(home(path) == name for path in specs):
            found.append(f"{name}: no model")
        kinds = {prop.kind for path, props in properties.items() if home(path) == name
                 for prop in props}
        wanted: list[tuple[str, Callable[[set[str]], bool]]] = [
            ("invariant", lambda kinds: bool(kinds & {"always", "each", "step", "refines"})),
            ("leads-to", lambda kinds: "leads_to" in kinds),
            ("witness", lambda kinds: "sometimes" in kinds),
        ]
        if name not in EXEMPT_FROM_SPEC:
            wanted.append(("refinement", lambda kinds: "refines" in kinds))
        found.extend(f"{name}: no {what}" for what, has in wanted if not has(kinds))
        if not any(home(path) == name and mutants[path] for path in mutants):
            found.append(f"{name}: no seeded bug")
    return found


def test_every_component_is_complete() -> None:
    """Implementation, model, properties, leads-to, witness and a seeded bug, for each."""
    components = {home(path) for path in paths("reference_impl", "components")}
    assert len(components) >= 15
    missing = complaints(components, paths("model", "SPEC"), paths("properties", "PROPERTIES"),
                         paths("properties", "MUTANTS"))
    assert not missing, "\n".join(missing)


def test_a_component_without_its_other_files_is_noticed() -> None:
    """The rule itself can fail: a component alone is told what it lacks."""
    assert complaints({"controllers/foo"}, {}, {}, {}) == [
        "controllers/foo: no model", "controllers/foo: no invariant",
        "controllers/foo: no leads-to", "controllers/foo: no witness",
        "controllers/foo: no refinement", "controllers/foo: no seeded bug"]


def test_every_mutant_names_a_property_that_exists() -> None:
    """And names of properties and mutants are unique."""
    props = [p.name for listed in paths("properties", "PROPERTIES").values() for p in listed]
    mutants = [m for listed in paths("properties", "MUTANTS").values() for m in listed]
    assert len(set(props)) == len(props)
    assert len({m.name for m in mutants}) == len(mutants)
    assert not [m.name for m in mutants if m.caught_by not in props]


def test_components_may_live_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the same rooms is searched too."""
    import model
    room = tmp_path / "model"
    room.mkdir()
    (room / "elsewhere_spec.py").write_text('"""A spec from elsewhere."""\nSPEC = 1\n')
    monkeypatch.setattr(model, "__path__", list(model.__path__))
    extend(tmp_path)
    assert exporting("model", "SPEC")["elsewhere_spec"] == 1
