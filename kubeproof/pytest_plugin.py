"""The pytest plug-in: options that steer how tests explore, and fixtures that read them.

`--kubeproof-seed`, `-histories`, `-scenario` and `-trace` go to the machinery of `kubeproof
explore` and `kubeproof replay`; a failing test prints a short story and the line that replays it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kubeproof.explorer import Explorer, Plan


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("kubeproof")
    group.addoption("--kubeproof-seed", type=int, default=0, help="first seed of random histories")
    group.addoption("--kubeproof-histories", type=int, default=200,
                    help="random histories a test explores (default 200)")
    group.addoption("--kubeproof-scenario", default="worked-example",
                    help="scenario file, folder or name to explore")
    group.addoption("--kubeproof-trace", default=None, help="trace to replay instead of exploring")


@pytest.fixture(scope="session")
def kubeproof_explorer(request: pytest.FixtureRequest) -> Explorer:
    """The explorer of `--kubeproof-scenario`, with every property, made ready once."""
    from kubeproof.explorer import Explorer
    from kubeproof.options import load_scenario
    return Explorer(load_scenario(request.config.getoption("--kubeproof-scenario")))


@pytest.fixture
def kubeproof_plan(request: pytest.FixtureRequest) -> Plan:
    """The plan of `--kubeproof-seed` and `--kubeproof-histories`."""
    from kubeproof.explorer import Plan
    return Plan(histories=request.config.getoption("--kubeproof-histories"),
                seed=request.config.getoption("--kubeproof-seed"))


@pytest.fixture
def kubeproof_trace(request: pytest.FixtureRequest) -> Path | None:
    """The trace of `--kubeproof-trace`, if one was given."""
    given = request.config.getoption("--kubeproof-trace")
    return None if given is None else Path(given)
