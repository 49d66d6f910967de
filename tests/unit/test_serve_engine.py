"""The engine behind `kubeproof serve`: time at three speeds, checks, failures of components; and
what the command refuses.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from kubeproof.commands.serve import _refuse_open_door, _store
from kubeproof.http import served
from kubeproof.http.engine import Engine, Speed
from kubeproof.options import load_scenario, made_ready
from model.api.requests import Options, Request
from model.api.scenario_file import to_document
from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.property import Checker, Part, Property, Violation, always
from reference_impl.apiserver.outside import encode
from reference_impl.apiserver.state import User
from traces.history import History, load
from traces.record import Recorder
from traces.replay import replay

START = 1_000_000
FUTURE = Request("list", "configmaps", "default", token="t1",
                 options=Options(resource_version="999"))
NOW = Request("list", "configmaps", "default", token="t1")


def scenario() -> Any:
    """API server and etcd, one administrator."""
    users = {"t1": User("root", "", ("system:masters",))}
    return served.scenario_of(load_scenario("worked-example"), ("apiserver", "etcd"), users, START,
                              {"disable-admission-plugins": "ServiceAccount"})


class Wall:
    """A clock on the wall that moves by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def started(speed: Speed, wall: Wall, **more: Any) -> Engine:
    return Engine(served.build(scenario()), wall=wall, speed=speed, **more)


def asked(engine: Engine, request: Request) -> list[Any]:
    """What comes back on a connection, as it comes."""
    heard: list[Any] = []
    engine.ask(engine.open(heard.append), encode(request))
    return heard


def test_real_time_is_the_walls() -> None:
    """A request that waits three seconds is answered when the wall has moved three seconds."""
    wall = Wall()
    engine = started("real", wall)
    heard = asked(engine, FUTURE)
    wall.seconds += 2.9
    engine.tick()
    assert (heard, engine.world.now) == ([], START + 2900)
    wall.seconds += 0.2
    engine.tick()
    assert heard[0].code == 504


def test_max_jumps_to_what_a_request_waits_for() -> None:
    """The answer is there at once, and the clock stays ahead; nothing else makes it jump."""
    wall = Wall()
    engine = started("max", wall)
    assert asked(engine, NOW)[0].code == 200
    assert engine.world.now == START
    assert asked(engine, FUTURE)[0].code == 504
    assert engine.world.now == START + 3000
    wall.seconds += 1
    engine.tick()
    assert engine.world.now == START + 4000


def test_step_moves_by_command_alone() -> None:
    """Neither the wall nor a request moves anything."""
    wall = Wall()
    engine = started("step", wall)
    heard = asked(engine, NOW)
    wall.seconds += 60
    engine.tick()
    assert (heard, engine.world.now) == ([], START)
    assert engine.command(1) == 1
    while engine.command(100, clock=False):
        pass
    assert (heard[0].code, engine.world.now) == (200, START)
    assert engine.command(1) == 1
    assert engine.world.now > START


def test_a_component_that_fails_is_a_violation_that_replays(tmp_path: Path, monkeypatch: Any,
                                                            capsys: Any) -> None:
    """It is started anew for the clients; the recording ends the same way when it is replayed."""
    from reference_impl.apiserver.registry import strategies
    start = History(to_document(scenario()), ())
    found: list[Violation] = []
    engine = started("max", Wall(), record=Recorder(tmp_path / "t.trace", start),
                     report=found.append)
    body = Request("create", "namespaces", "", "", "", token="t1")
    from model.api.objects import freeze
    made = body._replace(body=freeze({"kind": "Namespace", "apiVersion": "v1",
                                      "metadata": {"name": "a"}}))
    with monkeypatch.context() as patch:
        patch.setattr(strategies, "prepare_create", lambda *_: 1 / 0)
        assert asked(engine, made) == [None]
        assert asked(engine, NOW)[0].code == 200
        engine.stop()
        assert found[0].property == "no_component_fails_its_own_assertion"
        history = load(tmp_path / "t.trace")
        system, world = made_ready(history.scenario)
        again = replay(system, world, history.actions)
        assert again.violation == found[0]
        assert "ZeroDivisionError" in again.violation.message
    assert "ZeroDivisionError" in capsys.readouterr().err


def never() -> Property:
    """A property that breaks with the first namespace, and one that breaks itself."""
    @always(reads=(Part("apiserver", "cache"),), why="for the test")
    def there_are_no_namespaces(world: Any) -> str | None:
        return "there is one" if world["apiserver"].cache.get("namespaces") else None
    return there_are_no_namespaces


def test_violations_are_counted_and_reported_once() -> None:
    """The first of each property is told; a property that fails itself does not hurt clients."""
    @always(reads=(Part("apiserver", "cache"),), why="for the test")
    def nobody_divides_by_zero(world: Any) -> str | None:
        return str(1 / 0)

    system = served.build(scenario())
    told: list[Violation] = []
    engine = Engine(system, wall=Wall(), speed="max", report=told.append,
                    checker=Checker(system, (never(),)))
    assert [each.property for each in told] == ["there_are_no_namespaces"]
    assert asked(engine, NOW)[0].code == 200
    quiet: list[Violation] = []
    with pytest.raises(ZeroDivisionError):
        Checker(system, (nobody_divides_by_zero,)).full(system.init())
    late = Checker(system, ())
    engine = Engine(system, wall=Wall(), speed="max", report=quiet.append, checker=late)
    assert quiet == []


def test_the_recording_ends_before_it_is_too_long(tmp_path: Path) -> None:
    """What is there is sealed and loads."""
    start = History(to_document(scenario()), ())
    recorder = Recorder(tmp_path / "t.trace", start, limit=len(str(start)) + 9_000)
    for number in range(2_000):
        recorder.add(Action("clock", "advance", (number,)))
    recorder.close()
    assert recorder.full
    history = load(tmp_path / "t.trace")
    assert history.finished
    assert 0 < len(history.actions) < 2_000
    assert "longer trace" in history.provenance


OPEN_DOORS = [("0.0.0.0", ("apiserver",), None, False), ("::", ("no-anonymous",), None, False),
              ("example.com", ("apiserver",), Path("t"), False),
              ("10.0.0.1", ("no-anonymous",), Path("t"), True)]


@pytest.mark.parametrize(("host", "parts", "tokens", "insecure"), OPEN_DOORS)
def test_an_open_door_is_refused(host: str, parts: tuple[str, ...], tokens: Path | None,
                                 insecure: bool) -> None:
    """Beyond loopback: tokens for everybody, and encryption."""
    with pytest.raises(InputError):
        _refuse_open_door(Namespace(host=host, token_auth_file=tokens, insecure=insecure), parts)
    _refuse_open_door(Namespace(host="127.0.0.1", token_auth_file=None, insecure=True), parts)
    _refuse_open_door(Namespace(host="10.0.0.1", token_auth_file=Path("t"), insecure=False),
                      ("no-anonymous",))


def test_an_etcd_has_an_address() -> None:
    """A name alone is refused, with what would be right."""
    assert _store("http://127.0.0.1:2379") == "http://127.0.0.1:2379"
    with pytest.raises(InputError, match="no address"):
        _store("localhost:2379")
