"""Numbers for `flow status` and the metrics."""

from __future__ import annotations

from ._wit import host


def count(name: str, by: int = 1) -> None:
    """Adds to the counter `plugin_<name>`."""
    host("metrics").count(name, by)


def gauge(name: str, value: float) -> None:
    """Sets a gauge."""
    host("metrics").gauge(name, value)


def progress(what: str, done: int, total: int = 0, unit: str = "messages") -> None:
    """How far a long piece of work is; `total` 0 is unknown, `unit` a plural noun."""
    host("metrics").progress(what, done, total, unit)
