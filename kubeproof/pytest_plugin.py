"""The pytest plug-in: options that steer how tests explore."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite."""
    group = parser.getgroup("kubeproof")
    group.addoption("--kubeproof-seed", type=int, default=0, help="first seed of random histories")
    group.addoption("--kubeproof-histories", type=int, default=None,
                    help="random histories a test explores")
    group.addoption("--kubeproof-scenario", default=None, help="scenario file to explore")
    group.addoption("--kubeproof-trace", default=None, help="trace to replay instead of exploring")
