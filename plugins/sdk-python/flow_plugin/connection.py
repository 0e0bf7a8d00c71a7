"""Byte streams to a server; the host dials and speaks TLS. Importing this asks for the grant `connect`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from . import _check
from ._call import call
from ._failure import Temporary, milliseconds
from ._wit import host


class Stream:
    """A connection."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._ahead = b""

    def recv(self, size: int = 65536) -> bytes:
        """Waits for bytes and returns at most `size` of them; empty when the peer closed."""
        if self._ahead:
            chunk, self._ahead = self._ahead[:size], self._ahead[size:]
            return chunk
        return bytes(call(self._raw.read, _check.number(size, "`size` of a read", (1 << 32) - 1)))

    def read_exactly(self, size: int) -> bytes:
        """So many bytes; `Temporary` if the peer closed before."""
        parts = bytearray()
        while len(parts) < size:
            chunk = self.recv(size - len(parts))
            if not chunk:
                raise Temporary("the peer closed the connection in the middle of an answer")
            parts += chunk
        return bytes(parts)

    def read_line(self, limit: int = 65536) -> bytes:
        """A line with its end; `Temporary` if the peer closed before, or it is longer than `limit`."""
        line = bytearray()
        while b"\n" not in line:
            if len(line) > limit:
                raise Temporary(f"the peer sent a line of more than {limit} bytes")
            chunk = self.recv()
            if not chunk:
                raise Temporary("the peer closed the connection in the middle of an answer")
            line += chunk
        end = line.index(b"\n") + 1
        self._ahead = bytes(line[end:]) + self._ahead
        return bytes(line[:end])

    def send(self, data: bytes | str) -> None:
        """Writes everything."""
        call(self._raw.write, _check.data(data, "what is sent"))

    def start_tls(self) -> None:
        """Goes on in TLS, after the protocol's own STARTTLS."""
        call(self._raw.start_tls)

    def set_timeout(self, timeout: float | timedelta | None) -> None:
        """How long one read or write may take; None: the flow's `timeout`."""
        self._raw.set_timeout(0 if timeout is None else milliseconds(timeout))

    def close(self) -> None:
        """Closes it."""
        self._raw.__exit__(None, None, None)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def connect(hostname: str, port: int, *, tls: bool = True) -> Stream:
    """Opens a connection."""
    interface = host("connection")
    _check.text(hostname, "`hostname` of a connection")
    _check.number(port, "`port` of a connection", 65535)
    security = interface.Security.TLS if tls else interface.Security.PLAIN
    return Stream(call(interface.connect, hostname, port, security))
