"""What Go's JSON decoder says of a text that is no JSON: clients see these words.

Source: RFC 8259 for the grammar; the texts are those of encoding/json, by the place where the
scanner stops.
"""

from __future__ import annotations

from reference_impl.apiserver.rest import go_character

END = "unexpected end of JSON input"
_BLANK = " \t\r\n"
_DIGITS = "0123456789"
_HEX = "0123456789abcdefABCDEF"


class _StopError(Exception):
    """Where the scanner stopped, in words."""


def fault(text: str) -> str:
    """The message for a text, "" when it is JSON."""
    scanner = _Scanner(text)
    try:
        scanner.value("looking for beginning of value")
        scanner.blanks()
        if scanner.at < len(text):
            scanner.refuse("after top-level value")
    except _StopError as error:
        return str(error)
    except RecursionError:
        return "exceeded max depth"
    return ""


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def refuse(self, where: str) -> None:
        """Stop here."""
        if self.at >= len(self.text):
            raise _StopError(END)
        raise _StopError(f"invalid character {go_character(self.text[self.at])} {where}")

    def look(self) -> str:
        """The character in hand, "" at the end."""
        return self.text[self.at:self.at + 1]

    def blanks(self) -> None:
        """Skip white space."""
        while self.look() and self.look() in _BLANK:
            self.at += 1

    def value(self, where: str) -> None:
        """One value, white space before it included."""
        self.blanks()
        char = self.look()
        if char == "{":
            self._members()
        elif char == "[":
            self._elements()
        elif char == '"':
            self._string()
        elif char and char in "-" + _DIGITS:
            self._number()
        elif char in ("t", "f", "n"):
            self._word({"t": "true", "f": "false", "n": "null"}[char])
        else:
            self.refuse(where)

    def _members(self) -> None:
        self.at += 1
        self.blanks()
        if self.look() == "}":
            self.at += 1
            return
        while True:
            self.blanks()
            if self.look() != '"':
                self.refuse("looking for beginning of object key string")
            self._string()
            self.blanks()
            if self.look() != ":":
                self.refuse("after object key")
            self.at += 1
            self.value("looking for beginning of value")
            if self._ends("}", "after object key:value pair"):
                return

    def _elements(self) -> None:
        self.at += 1
        self.blanks()
        if self.look() == "]":
            self.at += 1
            return
        while True:
            self.value("looking for beginning of value")
            if self._ends("]", "after array element"):
                return

    def _ends(self, closing: str, where: str) -> bool:
        """Whether the list in hand ends here; a comma says that it goes on."""
        self.blanks()
        char = self.look()
        if char not in (closing, ","):
            self.refuse(where)
        self.at += 1
        return char == closing

    def _string(self) -> None:
        self.at += 1
        while self.look() != '"':
            char = self.look()
            if not char or char < " ":
                self.refuse("in string literal")
            self.at += 1
            if char == "\\":
                self._escape()
        self.at += 1

    def _escape(self) -> None:
        char = self.look()
        if not char or char not in 'bfnrt\\/"u':
            self.refuse("in string escape code")
        self.at += 1
        for _ in range(4 if char == "u" else 0):
            if not self.look() or self.look() not in _HEX:
                self.refuse("in \\u hexadecimal character escape")
            self.at += 1

    def _number(self) -> None:
        if self.look() == "-":
            self.at += 1
        if self.look() == "0":
            self.at += 1
        else:
            self._digits("in numeric literal")
        if self.look() == ".":
            self.at += 1
            self._digits("after decimal point in numeric literal")
        if self.look() in ("e", "E"):
            self.at += 1
            if self.look() in ("+", "-"):
                self.at += 1
            self._digits("in exponent of numeric literal")

    def _digits(self, where: str) -> None:
        if not self.look() or self.look() not in _DIGITS:
            self.refuse(where)
        while self.look() and self.look() in _DIGITS:
            self.at += 1

    def _word(self, word: str) -> None:
        for char in word:
            if self.look() != char:
                self.refuse(f"in literal {word} (expecting '{char}')")
            self.at += 1
