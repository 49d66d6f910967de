"""The console script: one parser, one module a command, one place where errors become messages."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from model.kernel.errors import InputError, InputErrors

COMMANDS = ("explore", "check", "prove", "verify", "schedule", "replay", "shrink", "draw", "serve",
            "mutants", "properties")
OK, VIOLATED, BAD_INPUT, OUT_OF_BOUND, INTERRUPTED = 0, 1, 2, 3, 130


class _Parser(argparse.ArgumentParser):
    """A parser whose errors look like every other bad input."""

    def error(self, message: str) -> None:  # type: ignore[override]  # argparse says NoReturn
        raise InputError(message, where=self.prog, fix=f"see {self.prog} --help")


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the module of `command` is imported, or all of them for the help page."""
    top = _Parser(prog="kubeproof", description="Find the history that breaks a cluster before "
                  "the cluster does.")
    top.add_argument("--components", type=Path, metavar="DIR", action="append", default=[],
                     help="add DIR/{model,reference_impl,properties} to the search path")
    parts = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                               parser_class=_Parser)
    for name in COMMANDS:
        if command in (None, name):
            module = importlib.import_module(f"kubeproof.commands.{name}")
            module.arguments(parts.add_parser(name, help=module.HELP, description=module.HELP))
        else:
            parts.add_parser(name)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 nothing wrong found, 1 violated, 2 bad input, 3 out of its
    bound before a verdict, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in words if word in COMMANDS), None)
    try:
        options = parser(chosen).parse_args(words)
        for folder in options.components:
            _extend(folder)
        module = importlib.import_module(f"kubeproof.commands.{options.command}")
        return int(module.run(options))
    except InputErrors as errors:
        for error in errors.errors:
            _complain(error)
        return BAD_INPUT
    except InputError as error:
        _complain(error)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("kubeproof: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return OK


def _complain(error: InputError) -> None:
    print(f"kubeproof: {error}", file=sys.stderr)


def _extend(folder: Path) -> None:
    from model.kernel.discover import extend
    if not folder.is_dir():
        raise InputError("there is no such folder", where=f"--components {folder}")
    extend(folder)


if __name__ == "__main__":
    sys.exit(main())
