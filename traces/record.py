"""Recording while a run goes on: what was written survives a kill, but for the last line."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from model.kernel.action import Action
from model.kernel.errors import InputError
from model.kernel.values import stable_digest
from traces.history import FENCE, History, entry, header


class Recorder:
    """Appends entries to a trace file as they happen; `close` seals it with the digest.

    InputError when the file cannot be written; what was recorded before stays readable.
    """

    def __init__(self, path: Path, start: History) -> None:
        self.path = path
        self._written = header(start)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("w", encoding="utf-8")
        except OSError as error:
            raise self._unwritable(error) from None
        self._write(self._written)

    def add(self, action: Action) -> None:
        """Append one action."""
        line = entry(action) + "\n"
        self._written += line
        self._write(line)

    def close(self, provenance: str = "") -> None:
        """Seal the trace."""
        tail = provenance.rstrip("\n") + "\n" if provenance else ""
        self._write(f"{FENCE} {stable_digest(self._written)}\n{tail}")
        self._file.close()

    def _write(self, text: str) -> None:
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> InputError:
        return InputError(f"cannot be written: {error.strerror}", where=str(self.path))
