"""`pytest` explores: random histories of the worked example, with every property checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kubeproof.explorer import Explorer, Plan
from kubeproof.options import chosen_properties, load_scenario, made_ready
from kubeproof.testing import HistoryError, explore, replay_trace, schedule
from model.kernel.fault import budget_of
from model.kernel.property import each
from properties.reading import KV
from traces.history import load
from traces.replay import replay

# Histories are data: the concrete actions go to our own shrinker, so Hypothesis only generates.
GENERATE = settings(phases=(Phase.generate,), max_examples=40, deadline=None, derandomize=True,
                    database=None, suppress_health_check=list(HealthCheck))


def with_faults(kinds: str) -> Explorer:
    scenario = load_scenario("worked-example")
    return Explorer(replace(scenario, faults=scenario.faults._replace(budget=budget_of(kinds))))


@pytest.fixture(scope="module")
def faulty() -> Explorer:
    """The worked example in which one fault of each kind may happen."""
    return with_faults("all")


def test_random_histories_hold(kubeproof_explorer: Explorer, kubeproof_plan: Plan,
                               kubeproof_trace: Path | None, tmp_path: Path) -> None:
    """No property fails in any of the histories; or the given trace no longer fails."""
    if kubeproof_trace is not None:
        replay_trace(kubeproof_trace)
    else:
        explore(kubeproof_explorer, kubeproof_plan, tmp_path)


def test_histories_with_every_kind_of_fault_hold(faulty: Explorer, kubeproof_plan: Plan,
                                                 tmp_path: Path) -> None:
    """Lost requests and replies, cuts, crashes, dead machines, partitions and skewed clocks."""
    explore(faulty, kubeproof_plan, tmp_path)


def test_schedules_drawn_by_hypothesis_hold(faulty: Explorer, tmp_path: Path) -> None:
    """A schedule is a fixed number of bytes; one scenario serves them all."""
    @GENERATE
    @given(data=st.binary(min_size=301, max_size=301))
    def check(data: bytes) -> None:
        schedule(faulty, data, tmp_path)
    check()


def test_a_failing_history_tells_its_story_and_how_to_replay_it(tmp_path: Path) -> None:
    """A property that is wrong on purpose: the message has the sentence, a story, the command."""
    @each(of=KV, prefix="/registry/pods/", why="to see a failure")
    def no_pod_is_ever_created(world: object, key: str, old: object, new: object) -> str | None:
        return None if new is None else f"{key} was created"

    explorer = Explorer(load_scenario("worked-example"), (no_pod_is_ever_created,))
    with pytest.raises(HistoryError) as caught:
        explore(explorer, Plan(histories=50), tmp_path)
    text = str(caught.value)
    assert "VIOLATED: no pod is ever created" in text
    assert "/registry/pods/default/m" in text
    assert "replay it:  kubeproof replay " in text
    folder = next(tmp_path.iterdir())
    assert {"history.trace", "minimal.trace", "story.txt"} <= {p.name for p in folder.iterdir()}


def test_what_is_wrong_from_the_start_is_found_and_replays(tmp_path: Path) -> None:
    """A promise that the booted cluster already breaks: no action is needed, and it replays."""
    @each(of=KV, prefix="/registry/serviceaccounts/", why="to see a failure at the start")
    def no_account_is_ever_stored(world: object, key: str, old: object, new: object) -> str | None:
        return None if new is None else f"{key} is stored"

    explorer = Explorer(load_scenario("worked-example"), (no_account_is_ever_stored,))
    failure = explorer.fair_failure()
    assert failure is not None
    assert failure.actions == ()
    with pytest.raises(HistoryError, match="no account is ever stored"):
        explore(explorer, Plan(histories=1), tmp_path)
    assert "default is stored" in next(tmp_path.glob("*/story.txt")).read_text()


DEAD_SERVER = Path(__file__).parent / "data" / "dead-server.trace"


def test_what_a_dead_server_had_sent_is_no_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store carries it out, with nobody left who has the place in hand: found by exploration
    as a false alarm of the refinement, which returns when the map forgets dead servers."""
    history = load(DEAD_SERVER)
    system, start = made_ready(history.scenario)
    chosen = chosen_properties([history.property])
    assert replay(system, start, history.actions, chosen).violation is None
    monkeypatch.setattr("properties.apiserver.component._is_orphan", lambda *step: False)
    assert replay(system, start, history.actions, chosen).violation is not None
