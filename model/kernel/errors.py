"""The one error for bad input, shared by everything that reads text from outside."""

from __future__ import annotations


class InputError(Exception):
    """Input (manifest, trace, scenario, flag, request) that cannot be used.

    `what` says what is wrong, `where` names file, line or field, `fix` says what would be right.
    The front door prints it as one message and exits with status 2; nothing has been stored.
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head} ({self.fix})" if self.fix else head


class InputErrors(InputError):  # noqa: N818  # the plural is the point
    """Several faults found in one go; `errors` lists them in the order of the file."""

    def __init__(self, errors: tuple[InputError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors
