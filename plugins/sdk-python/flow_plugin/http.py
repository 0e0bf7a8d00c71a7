"""HTTP requests through the host's client. Importing this asks for the grant `http`.

Bodies are held in memory, 16 MiB at most; `content` sends a message's content whatever its size.
"""

from __future__ import annotations

import json as _json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from . import _check
from ._call import call
from ._failure import milliseconds
from ._wit import host
from .content import Reader


@dataclass(frozen=True)
class Response:
    """An answer of any status."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON."""
        return _json.loads(self.body)

    def header(self, name: str) -> str | None:
        """A header, whatever its case."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
    body: bytes | str | None = None,
    json: Any = None,
    content: Reader | None = None,
    timeout: float | timedelta | None = None,
) -> Response:
    """Sends a request. Any response is a success here; without one, a `Failure` is raised:
    `Temporary` if nobody answered, `Config` if the flow does not allow the address."""
    http = host("http")
    _check.text(method, "the method of a request")
    _check.text(url, "the URL of a request")
    all_headers = _check.pairs(headers or {}, "`headers` of a request")
    if json is not None:
        body = _json.dumps(json)
        if not any(name.lower() == "content-type" for name, _ in all_headers):
            all_headers.append(("content-type", "application/json"))
    if content is not None:
        if not isinstance(content, Reader):
            raise _check.wrong("`content` of a request", "an open message", content, "content=message.open(), or body=…")
        carried = http.Body_Content(content._give_away())
    elif body is not None:
        carried = http.Body_Bytes(_check.data(body, "`body` of a request"))
    else:
        carried = http.Body_None_()
    time = None if timeout is None else milliseconds(timeout)
    raw = call(http.send, http.Request(method, url, all_headers, carried, time))
    return Response(raw.status, [(n, v) for n, v in raw.headers], bytes(raw.body))


def get(url: str, **options: Any) -> Response:
    """`send("GET", …)`."""
    return send("GET", url, **options)


def post(url: str, **options: Any) -> Response:
    """`send("POST", …)`."""
    return send("POST", url, **options)
