"""The bytes messages announce. `Message.open`, `.create` and `.derive` lead here.

Nothing is held in memory but a chunk: content may be larger than the plugin.
"""

from __future__ import annotations

import io
from typing import Any

from . import _check
from ._call import call
from ._message import Message, NewMessage
from ._wit import host

#: What crosses the boundary at once.
_CHUNK = 65536


class _Source(io.RawIOBase):
    def __init__(self, raw: Any) -> None:
        self.raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = call(self.raw.read, min(len(buffer), _CHUNK))
        buffer[: len(chunk)] = bytes(chunk)
        return len(chunk)

    def close(self) -> None:
        if not self.closed and self.raw is not None:
            self.raw.__exit__(None, None, None)
        super().close()


class Reader(io.BufferedReader):
    """Content, as a binary file: iterate over lines, `read`, or wrap it in `io.TextIOWrapper`."""

    def __init__(self, raw: Any) -> None:
        self._source = _Source(raw)
        #: Bytes.
        self.size: int = raw.size()
        super().__init__(self._source, _CHUNK)

    def _give_away(self) -> Any:
        raw, self._source.raw = self._source.raw, None
        return raw


class Writer:
    """Content being written: text as UTF-8, or bytes. Used as a context manager it is finished at
    the end of the block; where the block raises, nobody ever sees it."""

    def __init__(self, raw: Any, interface: Any) -> None:
        self._raw = raw
        self._interface = interface
        self._buffer = bytearray()
        self._handle: int | None = None

    def write(self, data: bytes | bytearray | memoryview | str) -> int:
        """Appends."""
        self._buffer += _check.data(data, "what is written")
        if len(self._buffer) >= _CHUNK:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hands over what is buffered."""
        if self._buffer:
            view, self._buffer = bytes(self._buffer), bytearray()
            for start in range(0, len(view), 1 << 20):
                call(self._raw.write, view[start : start + (1 << 20)])

    def finish(self) -> int:
        """Ends the content; only call it where its end was seen."""
        if self._handle is None:
            self.flush()
            self._handle = int(call(self._interface.Writer.finish, self._raw))
            self._raw = None
        return self._handle

    def abandon(self) -> None:
        """Throws it away."""
        if self._raw is not None:
            self._raw.__exit__(None, None, None)
            self._raw = None

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abandon()
        else:
            self.finish()


class Derived(Writer):
    """Content made from a message's; `message` announces it."""

    def __init__(self, raw: Any, interface: Any, message: NewMessage) -> None:
        super().__init__(raw, interface)
        #: To give to `worklist.replace` or `.add`.
        self.message = message

    def finish(self) -> int:
        self.message.content = super().finish()
        return self.message.content


def open(message: Message) -> Reader:
    """A message's content, to read. In `after_work` and `send`."""
    return Reader(call(host("content").open, message.id))


def create(message: Message) -> Writer:
    """A message's content, to write. In `download`."""
    interface = host("content")
    return Writer(call(interface.create, message.id), interface)


def derive(message: Message, rel_path: str, content_type: str | None = None) -> Derived | None:
    """New content made from a message's; None where the flow does not want it. In `after_work`."""
    _check.text(rel_path, "`rel_path` of `derive`")
    _check.maybe_text(content_type, "`content_type` of `derive`")
    interface = host("content")
    raw = call(interface.derive, message.id, rel_path, content_type)
    if raw is None:
        return None
    new = NewMessage(message.base_url, rel_path, content_type=content_type)
    return Derived(raw, interface, new)
