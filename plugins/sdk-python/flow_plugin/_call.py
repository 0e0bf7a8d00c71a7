"""Calls into the host: its failures come out as exceptions of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._failure import of_raw
from ._wit import Err


def call(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`, with failures as `Failure`."""
    try:
        return function(*args)
    except Err as error:
        raise of_raw(error.value) from None
