"""Durable key/value pairs, private to this callback of this flow and shared by its instances.

Writes are seen at once, and become durable together with the outcome of the messages in hand.
A key has at most 1 KiB, a value 1 MiB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from . import _check
from ._call import call
from ._failure import milliseconds
from ._wit import host


def get(key: str) -> bytes | None:
    """Reads."""
    value = call(host("state").get, _check.text(key, "a key of the state"))
    return None if value is None else bytes(value)


def get_text(key: str) -> str | None:
    """Reads text."""
    value = get(key)
    return None if value is None else value.decode()


def get_json(key: str) -> Any:
    """Reads what `put_json` wrote; None if it is not there."""
    value = get(key)
    return None if value is None else json.loads(value)


def put(key: str, value: bytes | str, ttl: float | timedelta | None = None) -> None:
    """Writes; with a time to live (seconds, whole ones) the pair disappears by itself."""
    _check.text(key, "a key of the state")
    raw = _check.data(value, "a value of the state")
    call(host("state").put, key, raw, None if ttl is None else -(-milliseconds(ttl) // 1000))


def put_json(key: str, value: Any, ttl: float | timedelta | None = None) -> None:
    """Writes anything JSON has."""
    put(key, json.dumps(value), ttl)


def delete(key: str) -> None:
    """Deletes; what is not there is fine."""
    call(host("state").delete, _check.text(key, "a key of the state"))


def swap(key: str, old: bytes | str | None, new: bytes | str | None) -> bool:
    """Writes `new` only if the value is still `old` (None: absent); says whether it did."""
    _check.text(key, "a key of the state")
    before, after = (None if value is None else _check.data(value, "a value of the state") for value in (old, new))
    return bool(call(host("state").swap, key, before, after))


def keys(prefix: str = "") -> Iterator[str]:
    """Every key that starts with `prefix`, in order."""
    _check.text(prefix, "the prefix of keys")
    after = ""
    while page := call(host("state").list, prefix, after, 1000):
        yield from page
        after = page[-1]
