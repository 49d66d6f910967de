"""What a failed run leaves behind: a folder with the trace, a smaller one, a story and pictures."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kubeproof.options import made_ready
from model.kernel.property import Property
from model.kernel.system import System
from model.kernel.world import World
from traces import draw
from traces.explain import story, verdict
from traces.history import History, save, write_whole
from traces.replay import replay
from traces.shrink import Shrunk, shrink


class Kept(NamedTuple):
    """A failure on disk: its folder, the shrunk history (None when it did not fail again), and
    remarks about pictures that could not be drawn."""

    folder: Path
    shrunk: Shrunk | None
    remarks: tuple[str, ...]

    @property
    def command(self) -> str:
        """The line that replays it."""
        name = "minimal.trace" if self.shrunk else "history.trace"
        return f"kubeproof replay {self.folder / name}"


def provenance() -> str:
    """Which versions made a trace; stands outside the digest."""
    names = ("kubeproof", "hypothesis", "z3-solver")
    versions = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    return f"made by {', '.join(versions)} on Python {platform.python_version()}"


def keep(history: History, properties: Iterable[Property], out: Path, *,
         replays_max: int = 1_500) -> Kept:
    """Save a failing history under `out`, shrink it, tell its story, draw it."""
    chosen = tuple(properties)
    folder = out / f"{history.property}-{history.seed}"
    save(history._replace(provenance=provenance()), folder / "history.trace")
    shrunk = shrink(history, made_ready, chosen, smaller=smaller_scenarios,
                    replays_max=replays_max)
    best = history if shrunk is None else shrunk.history
    if shrunk is not None:
        save(best._replace(provenance=provenance()), folder / "minimal.trace")
    remarks = pictures(best, folder)
    system, start = made_ready(best.scenario)
    text = f"{verdict(best)}\n\n{story(system, start, best.actions)}\n"
    if "scheduler" in system.names:
        text += f"\n{_decisions(system, start, best)}\n"
    write_whole(folder / "story.txt", text.encode())
    return Kept(folder, shrunk, remarks)


def _decisions(system: System, start: World, history: History) -> str:
    """What Z3 says about every decision of the scheduler along a failing history."""
    from properties.scheduler.symbolic import recheck

    found = recheck(system, start, history.actions)
    told = "".join(f"\n  {text}" for text in found.wrong) or " none is wrong"
    return f"Z3 was asked about {found.asked} decisions of the scheduler:{told}"


def pictures(history: History, folder: Path) -> tuple[str, ...]:
    """Draw the space-time diagram and the cluster at the end; remarks when dot is absent."""
    system, start = made_ready(history.scenario)
    title = history.property.replace("_", " ") or str(history.scenario.get("name", ""))
    world = replay(system, start, history.actions).world
    drawn = (draw.render(draw.space_time(system, start, history.actions, title),
                         folder / "diagram.svg"),
             draw.render(draw.cluster(world, title, history.message), folder / "cluster.svg"))
    return tuple(dict.fromkeys(each.remark for each in drawn if each.remark))


def smaller_scenarios(document: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Simpler scenarios, most promising first: one node fewer, one script entry fewer, a manifest
    less."""
    nodes = document.get("nodes", [])
    if len(nodes) > 1:
        yield {**document, "nodes": nodes[:-1]}
    for number, session in enumerate(document.get("script", [])):
        for at in reversed(range(len(session))):
            script = [list(each) for each in document["script"]]
            del script[number][at]
            yield {**document, "script": [each for each in script if each]}
    used = str(document.get("script", []))
    for name in sorted(document.get("manifests", {})):
        if name not in used:
            rest = {key: text for key, text in document["manifests"].items() if key != name}
            yield {**document, "manifests": rest}
