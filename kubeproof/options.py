"""Flags that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.api.scenario import Scenario, scenario_from_files
from model.kernel.errors import InputError
from model.kernel.fault import budget_of
from model.kernel.property import Property
from model.kernel.system import System
from model.kernel.world import World

EXAMPLE = "worked-example"


def add_scenario(parser: argparse.ArgumentParser) -> None:
    """Manifests or a scenario, and how the cluster looks."""
    parser.add_argument("manifests", nargs="*", metavar="MANIFEST-or-DIR",
                        help="YAML or JSON manifests, folders of them, or - (default: the worked "
                        "example)")
    parser.add_argument("--scenario", metavar="FILE",
                        help="a scenario file or folder, or the name of one that ships")
    parser.add_argument("--nodes", type=positive, metavar="N", help="how many machines")
    parser.add_argument("--faults", metavar="KIND,…", help="faults that may happen: all, none, or "
                        "kinds (default: those of the scenario)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json FILE`."""
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - is standard "
                        "output")


def positive(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def scenario_of(options: argparse.Namespace) -> Scenario:
    """The scenario that the flags name. InputError when they contradict each other."""
    if options.scenario and options.manifests:
        raise InputError("a scenario and manifests were given", fix="give one of them")
    if options.manifests:
        found = _from_manifests(options.manifests, options.nodes or 2)
    else:
        found = load_scenario(options.scenario or EXAMPLE)
        if options.nodes:
            found = found.with_nodes(options.nodes)
    if options.faults is not None:
        found = replace(found, faults=found.faults._replace(budget=budget_of(options.faults)))
    return found


def load_scenario(name: str) -> Scenario:
    """A scenario that ships, by its name, or one from a file or folder."""
    from reference_impl import scenarios
    if name in scenarios.names():
        return scenarios.named(name)
    from model.api import scenario_file
    return scenario_file.load(Path(name))


def _from_manifests(paths: list[str], nodes: int) -> Scenario:
    from model.api import manifests
    read = manifests.read(paths, lambda: sys.stdin.buffer.read())
    texts: dict[str, str] = {}
    for each in read:
        texts.setdefault(each.file, "")
    for name, data in manifests.sources(paths, lambda: sys.stdin.buffer.read()):
        texts[name] = data.decode()
    return scenario_from_files("manifests", tuple(sorted(texts.items())), nodes=nodes,
                               faults=load_scenario(EXAMPLE).faults)


def made_ready(document: Mapping[str, Any]) -> tuple[System, World]:
    """System and start of a scenario document, as a trace carries it; or of a spec's."""
    if "spec" in document:
        from kubeproof import spec_traces
        return spec_traces.made_ready(document)
    from model.api.scenario_file import from_document
    from reference_impl.cluster import build, start
    scenario = from_document(document, "scenario of the trace")
    if scenario.setting("serve-components", ""):
        from kubeproof.http import served
        system = served.build(scenario)
    else:
        system = build(scenario)
    return system, start(system, scenario)


def properties_of(document: Mapping[str, Any], name: str,
                  wanted: list[str] | None = None) -> tuple[Property, ...]:
    """The property that a trace broke, or all ("") that its system has; `wanted` (the flag
    `--property`) names others, or the file that defines it."""
    if "spec" in document:
        from kubeproof import spec_traces
        return spec_traces.properties_of(document, name)
    chosen = chosen_properties(wanted or ([name] if name else None))
    if "serve-etcd" in document.get("settings", {}):
        from kubeproof.http import served
        return served.judged(chosen, document["settings"].items())
    return chosen


def chosen_properties(wanted: list[str] | None) -> tuple[Property, ...]:
    """The properties that `--property NAME|FILE.py` chooses, or all. InputError if unknown."""
    from kubeproof.explorer import all_properties
    known = all_properties()
    if not wanted:
        return known
    by_name = {each.name: each for each in known}
    chosen: list[Property] = []
    for name in wanted:
        if name.endswith(".py"):
            chosen.extend(_from_file(Path(name)))
        elif name in by_name:
            chosen.append(by_name[name])
        else:
            raise InputError(f"there is no property {name!r}", where="--property",
                             fix="kubeproof properties lists them")
    return tuple(chosen)


def _from_file(path: Path) -> tuple[Property, ...]:
    import importlib.util
    where = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or where is None or where.loader is None:
        raise InputError("there is no such file", where=str(path))
    module = importlib.util.module_from_spec(where)
    try:
        where.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"cannot be imported: {type(error).__name__}: {error}",
                         where=str(path)) from None
    found = getattr(module, "PROPERTIES", ())
    if not found:
        raise InputError("exports no PROPERTIES", where=str(path),
                         fix="PROPERTIES = (name_of_your_property,)")
    return tuple(found)


def write_json(target: str | None, value: Any) -> None:
    """Write a result where `--json` says; nothing without the flag."""
    if target is None:
        return
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    from traces.history import write_whole
    write_whole(Path(target), text.encode())
