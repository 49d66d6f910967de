"""Named small clusters as data, one folder each; see `model.api.scenario_file` for their form."""

from __future__ import annotations

from pathlib import Path

from model.api.scenario import Scenario
from model.kernel.errors import InputError

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The scenarios that ship with the package."""
    return tuple(sorted(place.parent.name for place in FOLDER.glob("*/scenario.yaml")))


def named(name: str) -> Scenario:
    """The scenario with this name. InputError when there is none."""
    from model.api import scenario_file

    if name not in names():
        raise InputError(f"there is no scenario {name!r}", fix=f"one of {', '.join(names())}")
    return scenario_file.load(FOLDER / name)
