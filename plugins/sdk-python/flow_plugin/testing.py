"""A host in memory, for a plugin's own tests, without WebAssembly::

    def test_it():
        host = Host()
        plugin = host.start(CsvToJson, delimiter=";")
        host.content["a.csv"] = b"n;m\\n1;2\\n"
        worklist = host.after_work(plugin, Message("a.csv"))
        assert host.derived["a.json"] == b'[{"n": "1", "m": "2"}]'

Nothing here checks grants or limits: that is the real host's business, see `flow plugin test`.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from . import _options, _types, _wit
from ._failure import Config, Failure, Permanent, Temporary
from ._message import Message
from ._plugin import Context, Plugin
from ._worklist import Worklist
from .http import Response
from .secret import Credentials

P = TypeVar("P", bound=Plugin)

_SIZES = {"B": 1, "kB": 1000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIMES = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}


@dataclass
class Request:
    """An HTTP request the plugin made."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    timeout_ms: int | None = None


@dataclass
class Judged:
    """What became of the messages of a call: the lists of the worklist, and what was said of each."""

    worklist: Worklist
    #: By relPath: `keep`, `update`, `reject`, `fail`, `replace`, `add` or `wait`.
    verdicts: dict[str, str] = field(default_factory=dict)
    #: By relPath: code and reason of what was rejected.
    rejections: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: By relPath: why it failed.
    failures: dict[str, str] = field(default_factory=dict)
    #: The relPaths of messages made.
    made: list[str] = field(default_factory=list)


def _units(text: str, units: dict[str, int]) -> int:
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return round(float(number) * units[text[len(number) :].strip()])


def _setting(spec: _options.Spec, value: Any) -> Any:
    """A value as a flow or a test writes it, as the host gives it."""
    if spec.repeated:
        if isinstance(value, str):
            value = [item.strip().strip("'\"") for item in value.strip("[]").split(",") if item.strip()]
        return [str(item) for item in value]
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    if spec.kind == "FLAG" and isinstance(value, str):
        return value in ("on", "yes", "true")
    if spec.kind == "COUNT":
        return int(value)
    if spec.kind == "SIZE" and isinstance(value, str):
        return _units(value, _SIZES)
    if spec.kind == "DURATION" and isinstance(value, str):
        return _units(value, _TIMES)
    if spec.kind == "CHOICE" and value not in spec.choices:
        raise ValueError(f"option `{spec.name}` is one of {', '.join(spec.choices)}, not `{value}`")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, size: int) -> bytes:
        chunk = self._content[self._at : self._at + size]
        self._at += len(chunk)
        return chunk

    def size(self) -> int:
        return len(self._content)

    def __exit__(self, *_: object) -> None:
        pass


class _Writer:
    def __init__(self, done: Callable[[bytes], int]) -> None:
        self._written = bytearray()
        self._done = done

    def write(self, data: bytes) -> None:
        self._written += data

    @classmethod
    def finish(cls, writer: _Writer) -> int:
        return writer._done(bytes(writer._written))

    def __exit__(self, *_: object) -> None:
        pass


class Host:
    """The plugin's world: set it up before, look at it after. The newest one made is the host."""

    def __init__(self) -> None:
        #: Content by relPath: what `message.open()` gives, and what `download` wrote.
        self.content: dict[str, bytes] = {}
        #: Content derived, by the relPath it was derived as.
        self.derived: dict[str, bytes] = {}
        #: Whether the flow's filters want a derived name.
        self.wanted: Callable[[str], bool] = lambda rel_path: True
        #: The plugin's state.
        self.state: dict[str, bytes] = {}
        #: Credentials by URL.
        self.credentials: dict[str, Credentials] = {}
        #: OAuth tokens by URL.
        self.tokens: dict[str, str] = {}
        #: Answers to HTTP requests; raise a `Failure` to have none come.
        self.answer: Callable[[Request], Response] = self._nobody
        #: HTTP requests made.
        self.requests: list[Request] = []
        #: Gives the peer's side of a connection: an object with `read(max)`, `write(data)`.
        self.dial: Callable[[str, int, bool], Any] = self._no_peer
        #: Log lines: level and text.
        self.logged: list[tuple[str, str]] = []
        #: Counters and gauges.
        self.counted: dict[str, float] = {}
        #: Messages submitted.
        self.submitted: list[Any] = []
        #: Lines written.
        #: Lines written: to which peer, and the text.
        self.lines: list[tuple[int, str]] = []
        self._messages: dict[int, Message] = {}
        self._handles = 0
        self._provide()
        _wit.stand_in(self)

    @staticmethod
    def _nobody(request: Request) -> Response:
        raise Temporary(f"nobody answers at {request.url}")

    @staticmethod
    def _no_peer(hostname: str, port: int, tls: bool) -> Any:
        raise Temporary(f"nobody listens at {hostname}:{port}")

    # --- calling the plugin ---

    def start(self, plugin: type[P], *, context: Context | None = None, **options: Any) -> P:
        """Makes and starts a plugin; options as a flow writes them (`"10MiB"`) or as they are read."""
        specs = _options.specs(plugin)
        unknown = set(options) - {spec.name for spec in specs}
        if unknown:
            raise TypeError(f"{plugin.__name__} has no option {', '.join(sorted(unknown))}")
        given = {}
        for spec in specs:
            value = options.get(spec.name, spec.default)
            if value is None and spec.required:
                raise TypeError(f"option `{spec.name}` has to be set")
            if value is not None:
                given[spec.name] = _setting(spec, value)
        made = plugin()
        for spec in specs:
            setattr(made, spec.name, _options.read(spec, given.get(spec.name)))
        made.context = context or Context()
        made.start()
        return made

    def after_accept(self, plugin: Plugin, *messages: Message) -> Judged:
        """Calls the entry point with these messages."""
        return self._judge(plugin.after_accept, Worklist(incoming=self._number(messages)))

    def after_work(self, plugin: Plugin, *messages: Message) -> Judged:
        """Calls the entry point with these messages, whose content is in `content`."""
        return self._judge(plugin.after_work, Worklist(ok=self._number(messages)))

    def download(self, plugin: Plugin, message: Message) -> bytes:
        """Downloads one message and returns its content; raises what the plugin raises."""
        self._number([message])
        plugin.download(message)
        return self.content[message.rel_path]

    def send(self, plugin: Plugin, message: Message) -> None:
        """Sends one message; raises what the plugin raises."""
        self._number([message])
        plugin.send(message)

    def _number(self, messages: Any) -> list[Message]:
        self._messages = {at: message for at, message in enumerate(messages, 1)}
        for at, message in self._messages.items():
            message._raw.id = at
        return list(self._messages.values())

    def _judge(self, work: Callable[[Worklist], None], worklist: Worklist) -> Judged:
        names = [message._raw.rel_path for message in worklist._batch]
        work(worklist)
        judged = Judged(worklist)
        for name, verdict in zip(names, worklist._verdicts()):
            kind = type(verdict).__name__.removeprefix("Verdict_").lower()
            judged.verdicts[name] = kind
            if kind == "reject":
                judged.rejections[name] = (verdict.value.code, verdict.value.reason)
            elif kind == "fail":
                value = getattr(verdict.value, "value", "interrupted")
                judged.failures[name] = value if isinstance(value, str) else value.reason
            elif kind in ("replace", "add"):
                judged.made += [new.rel_path for new in verdict.value]
        return judged

    # --- what the plugin calls ---

    def _fail(self, failure: Failure) -> _types.Err:
        return _types.Err(failure._raw())

    def _provide(self) -> None:
        space = types.SimpleNamespace
        self._log = space(Level=_types.Level, write=lambda level, text: self.logged.append((level.name.lower(), text)))
        self._metrics = space(count=self._count, gauge=self.counted.__setitem__, progress=lambda *_: None)
        self._state = space(get=self.state.get, put=self._put, delete=self._delete, swap=self._swap, list=self._list)
        self._content = space(open=self._open, create=self._create, derive=self._derive, Writer=_Writer)
        self._secret = space(credential=self._credential, bearer_token=self._bearer_token)
        self._http = space(
            send=self._send,
            Request=lambda *values: values,
            # As componentize-py calls it: `None` is a word of Python.
            Body_None_=lambda: b"",
            Body_Bytes=lambda body: body,
            Body_Content=lambda reader: reader.read(1 << 62),
        )
        self._connection = space(Security=_types.Security, connect=self._connect)
        self._submit = space(submit=self.submitted.extend)
        self._lines = space(write=lambda peer, text: self.lines.append((peer, text)))

    def _count(self, name: str, by: int) -> None:
        self.counted[name] = self.counted.get(name, 0) + by

    def _put(self, key: str, value: bytes, ttl: int | None) -> None:
        if len(key.encode()) > 1024 or len(value) > 1 << 20:
            raise self._fail(Permanent(f"the pair `{key}` is too large to store"))
        self.state[key] = value

    def _delete(self, key: str) -> None:
        self.state.pop(key, None)

    def _swap(self, key: str, old: bytes | None, new: bytes | None) -> bool:
        if self.state.get(key) != old:
            return False
        if new is None:
            self._delete(key)
        else:
            self._put(key, new, None)
        return True

    def _list(self, prefix: str, after: str, limit: int) -> list[str]:
        return [key for key in sorted(self.state) if key.startswith(prefix) and key > after][:limit]

    def _open(self, at: int) -> _Reader:
        name = self._messages[at]._raw.rel_path
        if name not in self.content:
            raise self._fail(Permanent(f"{name} has no content: set host.content[{name!r}]"))
        return _Reader(self.content[name])

    def _create(self, at: int) -> _Writer:
        def done(written: bytes) -> int:
            self.content[self._messages[at].rel_path] = written
            return 0

        return _Writer(done)

    def _derive(self, at: int, rel_path: str, content_type: str | None) -> _Writer | None:
        name = rel_path.rpartition("/")[2]
        if name in ("", ".", "..") or len(name.encode()) > 255 or not name.isprintable():
            raise self._fail(Permanent(f"`{rel_path}` does not end in a usable file name"))

        def done(written: bytes) -> int:
            self.derived[rel_path] = written
            self._handles += 1
            return self._handles

        return _Writer(done) if self.wanted(rel_path) else None

    def _credential(self, url: str) -> Any:
        if url not in self.credentials:
            raise self._fail(Config(f"credentials.conf has no line for {url}"))
        found = self.credentials[url]
        return types.SimpleNamespace(user=found.user, password=found.password, options=list(found.options.items()))

    def _bearer_token(self, url: str) -> str:
        if url not in self.tokens:
            raise self._fail(Config(f"credentials.conf has no token for {url}"))
        return self.tokens[url]

    def _send(self, values: tuple[Any, ...]) -> Any:
        method, url, headers, body, timeout = values
        request = Request(method, url, dict(headers), body, timeout)
        self.requests.append(request)
        return self._in_words(lambda: self.answer(request))

    def _connect(self, hostname: str, port: int, security: enum.Enum) -> Any:
        return self._in_words(lambda: self.dial(hostname, port, security.name == "TLS"))

    def _in_words(self, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Failure as failure:
            raise self._fail(failure) from None


__all__ = ["Context", "Credentials", "Host", "Judged", "Message", "Request", "Response"]
