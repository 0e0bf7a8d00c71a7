"""HTTP over `wasi:http`: bodies are streams both ways, and `urllib.request` works.

Importing this asks for the grant `http`, and is all `urllib.request.urlopen` needs: libraries that
ask by it work as they are. Requests made here are under the same rules as those of `flow_plugin.http`,
which is faster where bodies are small.

    from flow_plugin import wasi_http

    with wasi_http.request("PUT", url, body=message.open()) as answer:
        for line in answer:
            ...

A request ends with the call of the plugin it was made in: an answer is read there, or lost.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import urllib.error
import urllib.parse
import urllib.request
import urllib.response
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from . import _check, _wit
from ._failure import Config, Failure, Temporary, milliseconds
from ._wit import Err
from .content import Reader

#: What is read at once.
_CHUNK = 65536
#: Codes of refusals that a person mends in the flow; what else is refused may pass.
_DENIED = ("[plugin/capability-denied]", "[plugin/private-address]")
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")

_Raw = bytes | bytearray | memoryview | Iterable[bytes] | None
Body = str | _Raw


class Response(io.BufferedReader):
    """An answer of any status, as a binary file: read it, iterate over its lines, close it."""

    def __init__(self, status: int, headers: list[tuple[str, str]], source: io.RawIOBase) -> None:
        super().__init__(source, _CHUNK)
        self.status = status
        self.headers = headers

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def header(self, name: str) -> str | None:
        """A header, whatever its case."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


def request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Body = None,
    timeout: float | timedelta | None = None,
) -> Response:
    """Sends a request, `body` as it comes: bytes, text, a binary file, or anything that gives bytes.

    Any response is a success here; without one, a `Failure` is raised: `Config` if the flow does not
    allow the address, otherwise `Temporary`. `timeout` is for the head of the answer, and then from
    chunk to chunk of it.
    """
    _check.text(method, "the method of a request")
    _check.text(url, "the URL of a request")
    named = _check.pairs(headers or {}, "`headers` of a request")
    if isinstance(body, str):
        body = body.encode()
    size = _size(body)
    if size is not None and not any(name.lower() == "content-length" for name, _ in named):
        named.append(("content-length", str(size)))
    wait = None if timeout is None else milliseconds(timeout)
    if not _wit.IN_COMPONENT:
        return _stand_in(method, url, named, body, wait)
    return _Exchange(method, url, named, wait).run(body)


def _size(body: _Raw) -> int | None:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return memoryview(body).nbytes
    return body.size if isinstance(body, Reader) else None


def _pieces(body: _Raw) -> Iterator[bytes]:
    if body is None:
        return
    if isinstance(body, (bytes, bytearray, memoryview)):
        yield bytes(body)
        return
    read = getattr(body, "read", None)
    if read is None:
        yield from body
        return
    while chunk := read(_CHUNK):
        yield chunk


def _stand_in(method: str, url: str, headers: list[tuple[str, str]], body: _Raw, wait: int | None) -> Response:
    """Asks the host of a test, where there is no component."""
    interface = _wit.host("http")
    whole = b"".join(_pieces(body))
    carried = interface.Body_Bytes(whole) if body is not None else interface.Body_None_()
    raw = interface.send(interface.Request(method, url, headers, carried, wait))
    source = io.BytesIO(bytes(raw.body))
    return Response(raw.status, [(n, v) for n, v in raw.headers], source)  # type: ignore[arg-type]


def _failure(code: Any) -> Failure:
    """An error code of `wasi:http`: the host puts what it says into one of them."""
    text = getattr(code, "value", None)
    if not isinstance(text, str):
        # `ErrorCode_ConnectionTerminated`
        text = "the request failed: " + type(code).__name__.removeprefix("ErrorCode_")
    return Config(text) if any(code in text for code in _DENIED) else Temporary(text)


class _Exchange:
    """A request on its way, and what has to stay until its answer was read."""

    def __init__(self, method: str, url: str, headers: list[tuple[str, str]], wait: int | None) -> None:
        types = _wit.host("wasi_http_types")
        parts = urllib.parse.urlsplit(url)
        fields = types.Fields()
        for name, value in headers:
            try:
                fields.append(name, value.encode())
            except Err:
                raise Config(f"`{name}: {value}` can't be a header of a request") from None
        self.request = types.OutgoingRequest(fields)
        known = method.upper() if method.upper() in _METHODS else None
        path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        scheme = {"http": types.Scheme_Http, "https": types.Scheme_Https}.get(parts.scheme)
        try:
            self.request.set_method(getattr(types, "Method_" + known.title())() if known else types.Method_Other(method))
            self.request.set_scheme(scheme() if scheme else types.Scheme_Other(parts.scheme))
            self.request.set_authority(parts.netloc)
            self.request.set_path_with_query(path)
        except Err:
            raise Config(f"`{method} {url}` is no request that can be made") from None
        self.options = types.RequestOptions()
        if wait is not None:
            self.options.set_first_byte_timeout(wait * 1_000_000)
            self.options.set_between_bytes_timeout(wait * 1_000_000)

    def run(self, body: _Raw) -> Response:
        types = _wit.host("wasi_http_types")
        outgoing = self.request.body() if body is not None else None
        try:
            answer = _wit.host("outgoing_handler").handle(self.request, self.options)
        except Err as error:
            raise _failure(error.value) from None
        if outgoing is not None:
            self._write(types, outgoing, body)
        with answer:
            with answer.subscribe() as waiting:
                waiting.block()
            found = answer.get().value
        if isinstance(found, Err):
            raise _failure(found.value)
        head = found.value
        with head.headers() as fields:
            named = [(name, bytes(value).decode("latin-1")) for name, value in fields.entries()]
        return Response(head.status(), named, _Source(head))

    def _write(self, types: Any, outgoing: Any, body: _Raw) -> None:
        with outgoing.write() as stream:
            try:
                for piece in _pieces(body):
                    _send(stream, piece)
                stream.blocking_flush()
            except Err:
                # Nobody takes it any more: the answer says why.
                return
        with contextlib.suppress(Err):
            types.OutgoingBody.finish(outgoing, None)


def _send(stream: Any, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        room = stream.check_write()
        if room == 0:
            with stream.subscribe() as waiting:
                waiting.block()
            continue
        stream.write(bytes(left[:room]))
        left = left[room:]


class _Source(io.RawIOBase):
    def __init__(self, head: Any) -> None:
        self._head = head
        self._body = head.consume()
        self._stream = self._body.stream()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = bytes(self._stream.blocking_read(min(len(buffer), _CHUNK)))
        except Err as error:
            broken = getattr(error.value, "value", None)
            if broken is None:
                return 0
            with broken:
                raise Temporary(broken.to_debug_string().partition("\n")[0]) from None
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        if not self.closed:
            # What came of something has to go before it.
            for each in (self._stream, self._body, self._head):
                each.__exit__(None, None, None)
        super().close()


class _Handler(urllib.request.BaseHandler):
    """What `urllib.request` opens `http:` and `https:` by."""

    def http_open(self, asked: urllib.request.Request) -> urllib.response.addinfourl:
        timeout = getattr(asked, "timeout", None)
        answer = request(
            asked.get_method(),
            asked.full_url,
            headers=dict(asked.header_items()),
            body=asked.data,  # type: ignore[arg-type]
            timeout=timeout if isinstance(timeout, (int, float)) else None,
        )
        headers = http.client.HTTPMessage()
        for name, value in answer.headers:
            headers.add_header(name, value)
        made = urllib.response.addinfourl(answer, headers, asked.full_url, answer.status)
        # As what `http.client` gives has it.
        made.msg = made.reason = http.client.responses.get(answer.status, "")  # type: ignore[attr-defined]
        return made

    https_open = http_open


def _opener() -> urllib.request.OpenerDirector:
    # Not `build_opener`: proxies and redirects are the host's.
    opener = urllib.request.OpenerDirector()
    for handler in (
        _Handler,
        urllib.request.UnknownHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    opener.addheaders = []
    return opener


urllib.request.install_opener(_opener())
