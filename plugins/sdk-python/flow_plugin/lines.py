"""Lines to whoever talks to this flow as a helper."""

from __future__ import annotations

from . import _check
from ._call import call
from ._wit import host


def write(peer: int, text: str) -> None:
    """Writes one line to the peer, whole and flushed; `text` is without its end. Raises `Permanent`
    where the peer is gone."""
    _check.number(peer, "`peer` of `lines.write`")
    _check.text(text, "`text` of `lines.write`")
    call(host("lines").write, peer, text)
