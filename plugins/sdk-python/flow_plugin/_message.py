"""Messages: those in hand, and those a plugin makes.

A message in hand keeps what the host gave and notes what is assigned to it; only those changes go
back. Nothing is copied for a message nobody looks at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _check
from ._wit import wit

if TYPE_CHECKING:
    from .content import Derived, Reader, Writer


@dataclass(frozen=True)
class Identity:
    """A fingerprint of content, e.g. method `sha512` with the base64 of the digest."""

    method: str
    value: str

    def __post_init__(self) -> None:
        _check.text(self.method, "`method` of an Identity")
        _check.text(self.value, "`value` of an Identity", "base64.b64encode(digest).decode()")


def _identity(value: Any, what: str) -> Any:
    if value is not None and not isinstance(value, Identity):
        raise _check.wrong(what, "an Identity, or None", value, 'Identity("sha512", "…")')
    return value


def _value(raw: Any) -> Any:
    return raw.value if type(raw).__name__ == "Value_Text" else json.loads(raw.value)


def _raw_value(value: Any) -> Any:
    return wit.Value_Text(value) if isinstance(value, str) else wit.Value_Json(json.dumps(value))


def _header(name: Any, value: Any) -> None:
    """Refuses what is no header."""
    _check.text(name, "the name of a header")
    if isinstance(value, str):
        _check.text(value, f"header `{name}`")
        return
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        write = "`.decode()` behind it" if isinstance(value, bytes) else ""
        write = "`list(…)` around it" if isinstance(value, set) else write
        raise _check.wrong(f"header `{name}`", "text, or something JSON has", value, write) from None


class Headers(MutableMapping[str, Any]):
    """The headers that have no field of their own. Text is `str`; anything else is what its JSON says."""

    __slots__ = ("_changed", "_values")

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values
        self._changed: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __setitem__(self, name: str, value: Any) -> None:
        _header(name, value)
        self._values[name] = value
        self._changed[name] = value

    def __delitem__(self, name: str) -> None:
        del self._values[name]
        self._changed[name] = None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._values))

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(self._values)


class _Field:
    """An attribute that can be changed; `edit` is the case of the contract's variant, `check`
    refuses what it can't hold."""

    __slots__ = ("check", "edit", "name")

    def __init__(self, edit: str, check: Callable[[Any, str], Any]) -> None:
        self.edit = edit
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, message: Any, owner: type) -> Any:
        if message is None:
            return self
        changes = message._changes
        if changes and self.name in changes:
            return changes[self.name]
        return getattr(message._raw, self.name)

    def __set__(self, message: Any, value: Any) -> None:
        self.check(value, f"`{self.name}` of a message")
        if message._changes is None:
            message._changes = {}
        message._changes[self.name] = value


class Message:
    """A message in hand: a notification that data exists. Assign to its fields to change it.

    In tests, `Message("a/b.csv", base_url="https://h/")` makes one.
    """

    if TYPE_CHECKING:
        pub_time: str
        """When it was announced: UTC, `YYYYMMDDThhmmss.fraction`; see `parse_time`."""
        base_url: str
        """Root of retrieval. Never carries a password."""
        rel_path: str
        """Path below `base_url`."""
        retrieve_path: str | None
        """Path or query to fetch where it differs from `rel_path`."""
        size: int | None
        """Bytes."""
        mtime: str | None
        """As `pub_time`."""
        content_type: str | None
        """MIME type."""
        identity: Identity | None
        """Fingerprint of the content, as announced."""
        directory: str | None
        """Where the content is, or will be, stored here; None where the flow stores nothing."""
        filename: str | None
        """Under which name: one path element."""
    else:
        __slots__ = ("_changes", "_headers", "_raw", "_verdict")
        pub_time = _Field("Edit_PubTime", _check.text)
        base_url = _Field("Edit_BaseUrl", _check.text)
        rel_path = _Field("Edit_RelPath", _check.text)
        retrieve_path = _Field("Edit_RetrievePath", _check.maybe_text)
        size = _Field("Edit_Size", _check.maybe_number)
        mtime = _Field("Edit_Mtime", _check.maybe_text)
        content_type = _Field("Edit_ContentType", _check.maybe_text)
        identity = _Field("Edit_Identity", _identity)
        directory = _Field("Edit_Directory", _check.text)
        filename = _Field("Edit_Filename", _check.text)

    def __init__(
        self,
        rel_path: str,
        *,
        base_url: str = "https://example.org/",
        id: int = 0,
        key: str | None = None,
        attempt: int = 0,
        pub_time: str = "20260101T000000.0",
        retrieve_path: str | None = None,
        size: int | None = None,
        mtime: str | None = None,
        content_type: str | None = None,
        identity: Identity | None = None,
        directory: str | None = None,
        filename: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> None:
        self._raw: Any = wit.Message(
            id,
            key or f"key-{rel_path}",
            attempt,
            pub_time,
            base_url,
            rel_path,
            retrieve_path,
            size,
            mtime,
            content_type,
            identity,
            directory,
            filename,
            [wit.Header(name, _raw_value(value)) for name, value in (headers or {}).items()],
        )
        self._changes: dict[str, Any] | None = None
        self._headers: Headers | None = None
        self._verdict: Any = None

    @classmethod
    def _of(cls, raw: Any) -> Message:
        message = cls.__new__(cls)
        message._raw = raw
        message._changes = message._headers = message._verdict = None
        return message

    @property
    def id(self) -> int:
        """Names this message in this call. Not stable over calls."""
        return int(self._raw.id)

    @property
    def key(self) -> str:
        """The same at every attempt: an idempotency key for the far side of an effect."""
        return str(self._raw.key)

    @property
    def attempt(self) -> int:
        """How often this message was tried before; 0 the first time."""
        return int(self._raw.attempt)

    @property
    def headers(self) -> Headers:
        """Every other header: read, set, delete."""
        if self._headers is None:
            self._headers = Headers({h.name: _value(h.value) for h in self._raw.headers})
        return self._headers

    @property
    def url(self) -> str:
        """`base_url` and `rel_path` as one URL."""
        return f"{self.base_url.rstrip('/')}/{self.rel_path.lstrip('/')}"

    def open(self) -> Reader:
        """Its content, to read. In `after_work` and `send`."""
        from . import content

        return content.open(self)

    def create(self) -> Writer:
        """Its content, to write. In `download`."""
        from . import content

        return content.create(self)

    def derive(self, rel_path: str, content_type: str | None = None) -> Derived | None:
        """New content made from this one, stored by the name `rel_path` ends in; None where the
        flow's filters do not want it. In `after_work`."""
        from . import content

        return content.derive(self, rel_path, content_type)

    def __repr__(self) -> str:
        return f"<Message {self.url}>"

    def _edits(self) -> list[Any]:
        edits = []
        for name, value in (self._changes or {}).items():
            if name == "identity" and value is not None:
                value = wit.Identity(value.method, value.value)
            edits.append(getattr(wit, getattr(Message, name).edit)(value))
        if self._headers is not None:
            for name, value in self._headers._changed.items():
                edits.append(wit.Edit_Header((name, None if value is None else _raw_value(value))))
        return edits


@dataclass
class NewMessage:
    """A message a plugin makes. The same thing always has to get the same `rel_path`."""

    base_url: str
    rel_path: str
    #: Empty means: now.
    pub_time: str = ""
    retrieve_path: str | None = None
    size: int | None = None
    mtime: str | None = None
    content_type: str | None = None
    identity: Identity | None = None
    headers: dict[str, Any] = field(default_factory=dict)
    #: The handle of content written in this call; `Derived.message` has it.
    content: int | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        check = _NEW.get(name)
        if check is not None:
            check(value, f"`{name}` of a NewMessage")
        object.__setattr__(self, name, value)

    def _to_raw(self) -> Any:
        identity = self.identity and wit.Identity(self.identity.method, self.identity.value)
        for name, value in self.headers.items():
            _header(name, value)
        headers = [wit.Header(name, _raw_value(value)) for name, value in self.headers.items()]
        return wit.NewMessage(
            self.pub_time,
            self.base_url,
            self.rel_path,
            self.retrieve_path,
            self.size,
            self.mtime,
            self.content_type,
            identity,
            headers,
            self.content,
        )


def _mapping(value: Any, what: str) -> Any:
    if not isinstance(value, Mapping):
        raise _check.wrong(what, "a mapping", value, '{"name": "value"}')
    return value


#: What each field of a `NewMessage` can hold.
_NEW: dict[str, Callable[[Any, str], Any]] = {
    "base_url": _check.text,
    "rel_path": _check.text,
    "pub_time": _check.text,
    "retrieve_path": _check.maybe_text,
    "size": _check.maybe_number,
    "mtime": _check.maybe_text,
    "content_type": _check.maybe_text,
    "identity": _identity,
    "headers": _mapping,
    "content": _check.maybe_number,
}


def new_to_raw(messages: Iterable[Any], what: str) -> list[Any]:
    """Messages a plugin makes, as the contract has them; `what` is where they were given."""
    made = []
    for message in messages:
        if isinstance(message, NewMessage):
            made.append(message._to_raw())
            continue
        write = "NewMessage(base_url, rel_path)"
        if isinstance(message, (list, tuple)):
            given = {"gather": "one list of them", "submit.submit": "submit.submit(*messages)"}
            write = given.get(what, f"{what}(message, *messages)")
        elif isinstance(message, Message):
            write = "NewMessage(message.base_url, message.rel_path): one in hand can't be made again"
        raise _check.wrong(f"each message of `{what}`", "a NewMessage", message, write)
    return made
