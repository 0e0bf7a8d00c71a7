"""Numbers for `flow status` and the metrics."""

from __future__ import annotations

from . import _check
from ._wit import host


def count(name: str, by: int = 1) -> None:
    """Adds to the counter `plugin_<name>`."""
    _check.text(name, "`name` of a counter")
    _check.number(by, "`by` of a counter")
    host("metrics").count(name, by)


def gauge(name: str, value: float) -> None:
    """Sets a gauge."""
    _check.text(name, "`name` of a gauge")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _check.wrong("`value` of a gauge", "a number", value)
    host("metrics").gauge(name, value)


def progress(what: str, done: int, total: int = 0, unit: str = "messages") -> None:
    """How far a long piece of work is; `total` 0 is unknown, `unit` a plural noun."""
    _check.text(what, "`what` of `metrics.progress`")
    _check.number(done, "`done` of `metrics.progress`")
    _check.number(total, "`total` of `metrics.progress`")
    _check.text(unit, "`unit` of `metrics.progress`")
    host("metrics").progress(what, done, total, unit)
