"""A short story of a history: who did what, when, in words; for failure messages and teaching."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from model.kernel.action import Action
from model.kernel.component import CUT
from model.kernel.property import describe
from model.kernel.system import System, Transition
from model.kernel.world import World
from traces.history import History
from traces.replay import transitions


def clock(now: int, start: int = 0) -> str:
    """A logical time as seconds since the start of the history: "+12.5s"."""
    seconds = (now - start) / 1000
    return f"+{seconds:g}s"


def body_text(body: Any) -> str:
    """What a message says, in a few words: its type and the object it is about."""
    if body == CUT:
        return "connection cut"
    words = [str(next((getattr(body, field) for field in ("type", "verb", "code")
                       if getattr(body, field, "")), ""))]
    inner: Any = getattr(body, "object", None) or getattr(body, "body", None)
    resource, name = getattr(body, "resource", ""), getattr(body, "name", "")
    if resource:
        words.append(f"{resource}/{name}" if name else str(resource))
    metadata = getattr(inner, "metadata", None)
    if metadata is not None and not name:
        words.append(f"{inner.kind} {metadata.name or metadata.generate_name or ''}".strip())
    elif getattr(inner, "reason", ""):
        words.append(str(inner.reason))
    elif hasattr(inner, "items") and isinstance(inner.items, tuple):
        words.append(f"{inner.kind} of {len(inner.items)}")
    text = " ".join(word for word in words if word)
    return text if text else type(body).__name__


def line(system: System, step: Transition, start_ms: int = 0) -> str:
    """One transition as one line: time, what moved, what it received and sent."""
    text = f"{clock(step.after.now, start_ms):>8}  {describe(system, step.action)}"
    if step.message is not None:
        text += f": {body_text(step.message.body)}"
    if step.sent:
        sent = [f"{to} {body_text(body)}" for to, _, body in step.sent[:3]]
        more = f" and {len(step.sent) - 3} more" if len(step.sent) > 3 else ""
        text += "  -> " + "; ".join(sent) + more
    return text


def story(system: System, start: World, actions: Sequence[Action], limit: int = 60) -> str:
    """The history, a line a step; the middle of a long one is left out and counted."""
    head: list[str] = []
    tail: deque[tuple[int, Transition]] = deque(maxlen=limit - limit // 3)
    number = 0
    for number, step in enumerate(transitions(system, start, actions), 1):
        if number <= limit // 3:
            head.append(_numbered(system, number, step, start.now))
        else:
            tail.append((number, step))
    lines = [*head, *(_numbered(system, at, step, start.now) for at, step in tail)]
    if number > limit:
        lines.insert(len(head), f"     … {number - limit} steps …")
    return "\n".join(lines)


def _numbered(system: System, number: int, step: Transition, start_ms: int) -> str:
    return f"{number:4d} {line(system, step, start_ms)}"


def verdict(history: History) -> str:
    """The first line of every failure: the property as a sentence, and what is wrong."""
    sentence = history.property.replace("_", " ")
    return f"VIOLATED: {sentence}\n  {history.message}"
