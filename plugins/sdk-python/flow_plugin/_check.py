"""What plugins give to the kit, checked where they give it.

A component can't say what is wrong with a value of another type than the contract's: it crashes.
So every value is looked at while the author's line is still on the stack, and what is said names the
parameter, what it takes and what it got. Bytes are never taken for text, nor a bool for a number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def shown(value: Any) -> str:
    """A value with its type, short enough for a log line."""
    if value is None:
        return "None"
    text = repr(value)
    if len(text) > 60:
        text = text[:57] + "..."
    return f"{text}, of type {type(value).__name__}"


def wrong(what: str, takes: str, value: Any, write: str = "") -> TypeError:
    """The exception for a value that is no such thing."""
    return TypeError(f"{what} is {takes}, and not {shown(value)}" + (f"; write {write}" if write else ""))


def text(value: Any, what: str, write: str = "") -> Any:
    """Text that can be written as UTF-8."""
    if not isinstance(value, str):
        if isinstance(value, (bytes, bytearray)):
            write = write or "`.decode()` behind it"
        raise wrong(what, "text", value, write)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what} is no text that can be written as UTF-8: {error.reason}") from None
    return value


def maybe_text(value: Any, what: str) -> Any:
    """Text, or None."""
    return value if value is None else text(value, what)


def number(value: Any, what: str, most: int = (1 << 64) - 1) -> Any:
    """A whole number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        write = value if isinstance(value, str) and value.isascii() and value.isdigit() else ""
        raise wrong(what, "a whole number", value, write)
    if not 0 <= value <= most:
        raise ValueError(f"{what} is a whole number from 0 to {most}, and not {value}")
    return value


def maybe_number(value: Any, what: str) -> Any:
    """A whole number, or None."""
    return value if value is None else number(value, what)


def data(value: Any, what: str) -> bytes:
    """Bytes, or text as UTF-8."""
    if isinstance(value, str):
        return text(value, what).encode()  # type: ignore[no-any-return]
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise wrong(what, "bytes or text", value)
    return bytes(value)


def pairs(value: Any, what: str) -> list[tuple[str, str]]:
    """Headers of HTTP, from a mapping or from pairs; numbers become text."""
    try:
        given = [(name, one) for name, one in (value.items() if isinstance(value, Mapping) else value)]
    except (TypeError, ValueError):
        raise wrong(what, "a mapping, or a list of pairs", value, '{"content-type": "text/plain"}') from None
    made = []
    for name, one in given:
        text(name, f"a name in {what}")
        if isinstance(one, int) and not isinstance(one, bool):
            one = str(one)
        made.append((name, text(one, f"`{name}` in {what}")))
    return made


def named(function: Callable[..., Any]) -> str:
    """A method of the plugin, with the place where it is written."""
    code = getattr(function, "__code__", None)
    name = f"`{getattr(function, '__name__', 'the method')}`"
    if code is None:
        return name
    file = code.co_filename.replace("\\", "/").rpartition("/")[2]
    return f"{name} ({file}:{code.co_firstlineno})"
