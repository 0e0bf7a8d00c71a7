"""Messages from outside the loop: a webhook's, a helper line's."""

from __future__ import annotations

from ._call import call
from ._message import NewMessage, new_to_raw
from ._wit import host


def submit(*messages: NewMessage) -> None:
    """Hands messages to the flow and returns once they are durable."""
    call(host("submit").submit, new_to_raw(messages, "submit.submit"))
