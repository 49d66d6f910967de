"""The scheduler: a framework with one file a plug-in, and the component that drives it."""

from __future__ import annotations

from model.api.scenario import Scenario
from reference_impl.scheduler.component import Scheduler


def components(scenario: Scenario) -> tuple[Scheduler, ...]:
    """The one scheduler of a cluster; the setting `scheduler-scores` says "kept" or nothing."""
    return (Scheduler(scenario.setting("scheduler-scores", "") == "kept"),)
