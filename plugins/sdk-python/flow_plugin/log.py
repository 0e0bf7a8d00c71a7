"""The flow's log. Lines carry the flow and the plugin by themselves; never put a secret here."""

from __future__ import annotations

from ._wit import host


def _write(level: str, text: str) -> None:
    log = host("log")
    # A log line is never worth a failure: whatever it is becomes text.
    log.write(log.Level[level], str(text).encode("utf-8", "replace").decode())


def trace(text: str) -> None:
    """Per message."""
    _write("TRACE", text)


def debug(text: str) -> None:
    """Per batch."""
    _write("DEBUG", text)


def info(text: str) -> None:
    """What an operator asked for."""
    _write("INFO", text)


def warn(text: str) -> None:
    """Recovered by itself."""
    _write("WARN", text)


def error(text: str) -> None:
    """Needs a person."""
    _write("ERROR", text)


