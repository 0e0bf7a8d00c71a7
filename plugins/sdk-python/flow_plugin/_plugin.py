"""The class plugins are made of, and what its entry points are given and return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from . import _check
from ._message import Message, NewMessage

if TYPE_CHECKING:
    from ._worklist import Worklist

#: The entry points, and the interface of the contract each belongs to.
ENTRY_POINTS = {
    "gather": "gather",
    "wake": "wake",
    "settled": "settled",
    "after_accept": "after-accept",
    "download": "download",
    "send": "send",
    "after_work": "after-work",
    "post": "post",
    "request": "request",
    "line": "line",
}


@dataclass(frozen=True)
class Context:
    """Where an instance runs."""

    #: `kind/name`.
    flow: str = "flow/test"
    kind: str = "flow"
    #: Which of several equal instances this is, from 0. Instance 0 gathers.
    instance: int = 0
    #: Whether this flow fetches content, or only announces it.
    downloads: bool = True
    poll_url: str | None = None


@dataclass
class Gathered:
    """What `gather` found."""

    messages: list[NewMessage]
    #: There is more right now: the host calls again without waiting.
    more: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a message this plugin gathered or downloaded."""

    message: Message
    fate: Literal["posted", "rejected", "retrying", "dead"]
    reason: str = ""


@dataclass(frozen=True)
class HttpRequest:
    """A request somebody makes to this flow."""

    method: str
    #: Below the flow's own path, without the query.
    path: str = ""
    query: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    #: Address of the peer.
    peer: str = ""

    def header(self, name: str) -> str | None:
        """A header, whatever its case."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)


@dataclass
class HttpResponse:
    """The answer. `headers` may be given as a mapping too, and `body` as text, which becomes UTF-8."""

    status: int = 200
    headers: Mapping[str, str] | list[tuple[str, str]] = field(default_factory=list)
    body: bytes | str = b""

    def __post_init__(self) -> None:
        # Here, and not when it is sent: a mistake is then where the plugin made it.
        _check.number(self.status, "`status` of an HttpResponse", 65535)
        self.headers = _check.pairs(self.headers, "`headers` of an HttpResponse")
        self.body = _check.data(self.body, "`body` of an HttpResponse")


class Plugin:
    """A plugin: derive one class from this, and write methods for the entry points it serves.

    One object lives as long as an instance and is called for one thing at a time. What it may reach
    is read off the imports of its module (`http`, `connection`, `secret`); `name` defaults to the
    project's, `summary` to the first line of the docstring, `doc` to README.md.
    """

    name: ClassVar[str] = ""
    version: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    doc: ClassVar[str] = ""
    #: URL schemes `download` or `send` serves.
    schemes: ClassVar[tuple[str, ...]] = ()
    #: How many instances may work at the same time, where that is limited.
    max_instances: ClassVar[int | None] = None

    #: Where this instance runs; there from `start` on.
    context: Context = Context()

    def start(self) -> None:
        """Called first, with the options set. No connection is needed yet: dial when asked."""

    def housekeeping(self) -> None:
        """Upkeep, every `housekeeping` interval, between batches."""

    def stop(self) -> None:
        """The last call."""

    if TYPE_CHECKING:
        # For editors: a method that is not written is an entry point the plugin does not have.

        def gather(self, limit: int) -> list[NewMessage] | Gathered:
            """Asks the origin what is new, changing nothing there: at most `limit`, oldest first.
            The same thing gets the same `rel_path` every time."""

        def wake(self, timeout: float) -> bool:
            """Waits for the origin to call: True when there may be something, False after
            `timeout` seconds, or when it can't push."""

        def settled(self, outcomes: list[Outcome]) -> None:
            """Side effects at the origin, once it is safe. Has to stand being called twice."""

        def after_accept(self, worklist: Worklist) -> None:
            """Decides about `worklist.incoming` before anything is fetched."""

        def download(self, message: Message) -> None:
            """Fetches one message's content into `message.create()`. Raise `Rejected` or a
            `Failure` for what can't be had; assign to the message what was learnt on the way."""

        def send(self, message: Message) -> None:
            """Delivers one message. `message.key` is the idempotency key to give to the peer."""

        def after_work(self, worklist: Worklist) -> None:
            """Looks at `worklist.ok`, whose content is here: decodes, converts, scans."""

        def post(self, message: Message) -> None:
            """Posts one message to something that is no broker; returning means it is durable there."""

        def request(self, request: HttpRequest) -> HttpResponse:
            """Answers an HTTP request. Answer 2xx only after `submit.submit` returned."""

        def line(self, peer: int, text: str) -> None:
            """One line of a helper protocol, without its end; answers go out through
            `lines.write(peer, …)`, now or in any later call. No number of a peer is used twice."""

    def closed(self, peer: int) -> None:
        """No more lines of this peer will come (`line`)."""


def entry_points(plugin: type[Plugin]) -> list[str]:
    """The methods of a class that are entry points."""
    return [name for name in ENTRY_POINTS if callable(getattr(plugin, name, None))]
