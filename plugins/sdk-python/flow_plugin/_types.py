"""Stand-ins for the contract's types, for running a plugin outside a component.

The names are those the bindings of a component have, so that the rest need not tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Err(Exception):
    """The failure half of a result."""

    def __init__(self, value: Any) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class _Case:
    value: Any


@dataclass
class _Empty:
    pass


class Value_Text(_Case): ...
class Value_Json(_Case): ...
class Edit_PubTime(_Case): ...
class Edit_BaseUrl(_Case): ...
class Edit_RelPath(_Case): ...
class Edit_RetrievePath(_Case): ...
class Edit_Size(_Case): ...
class Edit_Mtime(_Case): ...
class Edit_ContentType(_Case): ...
class Edit_Identity(_Case): ...
class Edit_Directory(_Case): ...
class Edit_Filename(_Case): ...
class Edit_Header(_Case): ...
class Failure_Temporary(_Case): ...
class Failure_Permanent(_Case): ...
class Failure_Auth(_Case): ...
class Failure_Config(_Case): ...
class Failure_Interrupted(_Empty): ...
class Verdict_Keep(_Empty): ...
class Verdict_Update(_Case): ...
class Verdict_Reject(_Case): ...
class Verdict_Fail(_Case): ...
class Verdict_Replace(_Case): ...
class Verdict_Add(_Case): ...
class Verdict_Wait(_Case): ...


@dataclass
class Header:
    name: str
    value: Any


@dataclass
class Identity:
    method: str
    value: str


@dataclass
class Rejection:
    code: int
    reason: str


@dataclass
class TemporaryFailure:
    reason: str
    retry_after_ms: int | None


@dataclass
class Waiting:
    reason: str
    after_ms: int


@dataclass
class Message:
    id: int
    key: str
    attempt: int
    pub_time: str
    base_url: str
    rel_path: str
    retrieve_path: str | None = None
    size: int | None = None
    mtime: str | None = None
    content_type: str | None = None
    identity: Identity | None = None
    directory: str | None = None
    filename: str | None = None
    headers: list[Header] = field(default_factory=list)


@dataclass
class NewMessage:
    pub_time: str
    base_url: str
    rel_path: str
    retrieve_path: str | None
    size: int | None
    mtime: str | None
    content_type: str | None
    identity: Identity | None
    headers: list[Header]
    content: int | None


class Level(Enum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4


class Security(Enum):
    PLAIN = 0
    TLS = 1
