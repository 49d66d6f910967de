"""How long to wait after repeated failures: exponential, with a ceiling and no chance in it.

Source: client-go's `ItemExponentialFailureRateLimiter` (5 ms doubled for each failure, at most
1000 s) and the reflector's back-off (800 ms doubled, at most 30 s). The jitter that Kubernetes adds
is not modelled: the explorer already delivers timers late and in any order of due ones.
"""

from __future__ import annotations

from typing import NamedTuple


class Backoff(NamedTuple):
    """The first delay and the longest one."""

    base_ms: int
    ceiling_ms: int

    def delay_ms(self, failures: int) -> int:
        """The wait after that many failures in a row (at least one)."""
        doublings = failures - 1
        # Beyond forty doublings any base is above any ceiling, and shifts stay small.
        return self.ceiling_ms if doublings > 40 else min(self.base_ms << doublings,
                                                          self.ceiling_ms)


WORK = Backoff(5, 1_000_000)
"""Between failed syncs of one key."""
REFLECTOR = Backoff(800, 30_000)
"""Between failed lists or watches of one reflector."""
