"""The client's output against recordings of kubectl 1.32, where they lie beside the project.

A recording holds both the documents (`-o json`, `-o yaml`) and the tables and descriptions of the
same objects; what our printers make of the documents must read as what kubectl printed. Ages and
blanks between columns do not count. The facts that a plain clone can check are tables in
tests/unit/test_kubectl.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from model.api.objects import FieldError, freeze, thaw
from model.api.yaml_reader import documents
from reference_impl.kubectl import commands, describe, output, show
from reference_impl.kubectl.plans import Session

FOLDER = Path(__file__).parents[3] / "shared" / "recordings" / "kubernetes-1.32"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings of Kubernetes beside "
                                "this checkout")
KINDS = {"rc": "ReplicationController", "svc": "Service", "service": "Service", "pods": "Pod",
         "pod": "Pod", "nodes": "Node", "node": "Node", "endpoints": "Endpoints",
         "ns": "Namespace", "secret": "Secret", "cm": "ConfigMap", "sa": "ServiceAccount"}
RELEASE = (1, 32)


def sessions() -> Iterator[list[dict[str, Any]]]:
    """The client's steps of each recording, in order."""
    for file in sorted(FOLDER.glob("kubectl_*/*.json")):
        steps = json.loads(file.read_text())["steps"]
        yield [step for step in steps if "kubectl" in step and not step["result"]["exit_code"]]


def plain(text: str) -> list[str]:
    """The lines of an output without ages and without runs of blanks."""
    ageless = re.sub(r"\b(\d+[smhdy])+\b|<invalid>|<unknown>", "AGE", text)
    return [re.sub(r" +", " ", line).strip() for line in ageless.split("\n")]


def objects_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "kind" in value and "metadata" in value:
            yield value
        for entry in value.values():
            yield from objects_in(entry)
    elif isinstance(value, list):
        for entry in value:
            yield from objects_in(entry)


def test_recorded_objects_freeze_and_thaw_to_themselves() -> None:
    """Every object in every area; what a real server refused for its types we refuse too."""
    whole = refused = 0
    for file in sorted(FOLDER.glob("*/*.json"))[::7]:
        for document in objects_in(json.loads(file.read_text())["steps"]):
            if not isinstance(document.get("apiVersion"), str) or document["kind"] == "Status":
                continue
            try:
                assert thaw(freeze(document)) == document
                whole += 1
            except FieldError:
                refused += 1
    assert whole > 1_000
    assert refused < whole / 50


def test_recorded_yaml_is_written_byte_for_byte() -> None:
    written = 0
    for steps in sessions():
        for step in steps:
            text = step["result"]["stdout"]
            if step["kubectl"][-2:] == ["-o", "yaml"] and text.strip():
                assert output.to_yaml(documents(text)[0].value) == text
                written += 1
    assert written >= 25


def test_tables_of_recorded_documents_read_as_recorded() -> None:
    agreed, known = 0, ("endpointslices", "endpointslice", "hpa", "job", "cronjob", "sts", "ds")
    for steps in sessions():
        for at, step in enumerate(steps):
            words = step["kubectl"]
            base = [word for word in words if word not in ("-o", "wide")]
            beside = [other for other in steps[max(0, at - 4):at + 5]
                      if other["kubectl"] == [*base, "-o", "json"]]
            if words[0] != "get" or words[-1] == "json" or not beside or words[1] in known \
                    or ("-o" in words and words[-1] != "wide"):
                continue
            shown = json.loads(beside[0]["result"]["stdout"])
            command = commands.parse(" ".join(words))
            found = tuple((command.targets[0].resource, freeze(item))
                          for item in shown.get("items", [shown]))
            session = show.rendered(Session("", command, RELEASE, found=found), 0, RELEASE)
            assert plain(session.out) == plain(step["result"]["stdout"]), words
            agreed += 1
    assert agreed >= 10


def test_descriptions_of_recorded_documents_read_as_recorded() -> None:
    """Those whose objects and related objects were recorded as documents in the same session."""
    agreed = tried = 0
    for steps in sessions():
        known: dict[tuple[str, str], Any] = {}
        for step in steps:
            text = step["result"]["stdout"]
            if step["kubectl"][-1] in ("json", "yaml") and text.strip():
                for document in objects_in(documents(text)[0].value):
                    if "uid" in document["metadata"]:
                        found = freeze(document, api_version="v1")
                        known[found.kind, found.metadata.name] = found
        related = {f"{name} default": tuple(obj for (kind, _), obj in known.items()
                                            if kind == of)
                   for name, of in (("events", "Event"), ("pods", "Pod"),
                                    ("endpoints", "Endpoints"))}
        related["pods"] = related["pods default"]
        for step in steps:
            words, text = step["kubectl"], step["result"]["stdout"]
            kind = KINDS.get(words[1].split("/")[0]) if len(words) > 1 else None
            names = re.findall(r"^Name: +(\S+)", text, re.MULTILINE)
            if words[0] != "describe" or kind is None or \
                    any((kind, name) not in known for name in names):
                continue
            tried += 1
            made = "\n\n".join(describe.description(known[kind, name], related, 0)
                               for name in names)
            agreed += plain(made) == plain(text)
    assert tried >= 10
    assert agreed >= 6  # the others were recorded at another moment than their documents
