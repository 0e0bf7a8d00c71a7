"""Lines to whoever talks to this flow as a helper."""

from __future__ import annotations

from ._call import call
from ._wit import host


def write(peer: int, text: str) -> None:
    """Writes one line to the peer, whole and flushed; `text` is without its end. Raises `Permanent`
    where the peer is gone."""
    call(host("lines").write, peer, text)
