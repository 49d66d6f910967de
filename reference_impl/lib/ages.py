"""Spans of time as tables print them.

Source: apimachinery, `duration.HumanDuration`, and for release 1.3 the transcript of the worked
example.
"""

from __future__ import annotations

from model.api.objects import milliseconds


def age(stamp: str | None, now: int) -> str:
    """The time since a timestamp, as tables print it."""
    if not stamp:
        return "<unknown>"
    return duration(now - milliseconds(stamp))


def old_age(stamp: str | None, now: int) -> str:
    """The same in the style of release 1.3: one unit only."""
    if not stamp:
        return "<unknown>"
    seconds = _whole_seconds(now - milliseconds(stamp))
    if seconds < -1:
        return "<invalid>"
    seconds = max(0, seconds)
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h"),
                              (365 * 86400, 86400, "d")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // (365 * 86400)}y"


def duration(ms: int) -> str:
    """A span of time as people read it: two units while it is short, then one."""
    seconds = _whole_seconds(ms)
    if seconds < -1:
        return "<invalid>"
    if seconds < 0:
        return "0s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    if days < 8 * 365:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _whole_seconds(ms: int) -> int:
    """Seconds without their fraction, towards zero: clocks may differ by a second."""
    return ms // 1000 if ms >= 0 else -(-ms // 1000)


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"
