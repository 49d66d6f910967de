"""Recording while a run goes on: what was written survives a kill, but for the last line."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.values import DIGEST_BYTES
from traces.history import FENCE, LIMIT_BYTES, History, entry, header

_TAIL_BYTES = 4096  # kept free for the line that seals the trace


def _unchanged(action: Action) -> Action:
    return action


class Recorder:
    """Appends entries to a trace file as they happen; `close` seals it with the digest.

    Each entry is handed to the operating system at once. `veil` rewrites what must not stand in a
    file. At `limit` bytes the trace is sealed by itself, since a longer one could not be loaded:
    `full` is then True and nothing more is added. The file can be read by its owner alone.
    InputError when it cannot be written; what was recorded before stays readable.
    """

    def __init__(self, path: Path, start: History, *, veil: Callable[[Action], Action] = _unchanged,
                 limit: int = LIMIT_BYTES) -> None:
        self.path = path
        self.full = False
        self._veil = veil
        self._left = limit - _TAIL_BYTES
        self._digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        except OSError as error:
            raise self._unwritable(error) from None
        self._append(header(start).encode())

    def add(self, action: Action) -> None:
        """Append one action."""
        if self.full:
            return
        data = (entry(self._veil(action)) + "\n").encode()
        if len(data) > self._left:
            self.close("the recording ends here: a longer trace could not be loaded")
            self.full = True
            return
        self._append(data)

    def close(self, provenance: str = "") -> None:
        """Seal the trace."""
        if self.full:
            return
        tail = provenance.rstrip("\n") + "\n" if provenance else ""
        self._write(f"{FENCE} {self._digest.hexdigest()}\n{tail}".encode())
        os.close(self._file)

    def _append(self, data: bytes) -> None:
        self._digest.update(data)
        self._left -= len(data)
        self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._file, data):]
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"cannot be written: {error.strerror}", where=str(self.path))
