"""Options of a plugin, declared as annotated attributes of its class.

The annotation is the kind: `str`, `int`, `bool`, `Size` (bytes), `timedelta`, `Url`, `re.Pattern`,
`Literal[...]` (a choice), `list[...]` of one of them, `... | None` where it may be unset.
The host checks what the flow writes before the plugin starts.
"""

from __future__ import annotations

import re
import types
import typing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NewType, Union

from ._failure import Config

Size = NewType("Size", int)
"""Bytes; written with a unit (`10MiB`)."""

Url = NewType("Url", str)
"""A URL; its host is granted to the plugin by itself."""

_UNSET: Any = object()


@dataclass
class _Option:
    default: Any
    doc: str
    example: str | None
    secret: bool


def option(default: Any = _UNSET, *, doc: str = "", example: str | None = None, secret: bool = False) -> Any:
    """An option of the plugin. `default` is what the flow would write (`"10MiB"`, `"30s"`);
    without one the flow has to set the option, or it is None where the annotation says `| None`.
    `doc` is one sentence, units included; the build asks for it."""
    return _Option(default, doc, example, secret)


@dataclass
class Spec:
    """One option as the contract describes it."""

    name: str
    kind: str
    default: str | None
    required: bool
    repeated: bool
    secret: bool
    choices: list[str]
    doc: str
    example: str | None


_KINDS: dict[Any, str] = {
    bool: "FLAG",
    int: "COUNT",
    str: "TEXT",
    Size: "SIZE",
    timedelta: "DURATION",
    Url: "URL",
    re.Pattern: "REGEX",
}


def _kind(owner: str, annotation: Any) -> tuple[str, bool, bool, list[str]]:
    """Kind, whether repeated, whether it may be unset, choices."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (Union, types.UnionType):
        rest = [arg for arg in args if arg is not type(None)]
        if len(rest) == 1 and len(args) == 2:
            kind, repeated, _, choices = _kind(owner, rest[0])
            return kind, repeated, True, choices
    elif origin is list and len(args) == 1:
        kind, _, _, choices = _kind(owner, args[0])
        return kind, True, True, choices
    elif origin is Literal and all(isinstance(arg, str) for arg in args):
        return "CHOICE", False, False, list(args)
    else:
        if (origin or annotation) in _KINDS:
            return _KINDS[origin or annotation], False, False, []
    known = "str, int, bool, Size, timedelta, Url, re.Pattern, Literal of texts, or a list of these"
    raise TypeError(f"{owner} is annotated with {annotation}; an option is {known}")


def _written(default: Any) -> str | None:
    """A default as the flow would write it."""
    if default is _UNSET or default is None:
        return None
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, timedelta):
        return f"{round(default.total_seconds() * 1000)}ms"
    if isinstance(default, (list, tuple)):
        return "[" + ", ".join("'" + str(item).replace("'", "''") + "'" for item in default) + "]"
    return str(default)


def specs(plugin: type) -> list[Spec]:
    """The options of a plugin's class, in the order they are written."""
    found = []
    hints = typing.get_type_hints(plugin)
    for base in reversed(plugin.__mro__):
        for name, declared in vars(base).items():
            if not isinstance(declared, _Option):
                continue
            where = f"option {plugin.__name__}.{name}"
            if name not in hints:
                raise TypeError(f"{where} has no annotation; write `{name}: str = option(...)`")
            if not isinstance(declared.doc, str) or not declared.doc.strip():
                raise TypeError(f"{where} has no `doc`; write `option(…, doc=\"…\")`, a sentence that says what it is")
            if declared.example is not None and not isinstance(declared.example, str):
                raise TypeError(f"{where}: `example` is text, as a flow would write it, and not {declared.example!r}")
            kind, repeated, optional, choices = _kind(where, hints[name])
            default = _written(declared.default)
            found.append(
                Spec(
                    name,
                    kind,
                    default,
                    required=default is None and not optional,
                    repeated=repeated,
                    secret=declared.secret,
                    choices=choices,
                    doc=declared.doc,
                    example=declared.example,
                )
            )
    return found


def read(spec: Spec, setting: Any) -> Any:
    """What the host gives for an option, as the class annotates it."""
    if setting is None:
        return [] if spec.repeated else None
    if spec.repeated:
        return [_item(spec, item) for item in setting]
    return _item(spec, setting)


def _item(spec: Spec, item: Any) -> Any:
    if spec.kind == "DURATION" and not isinstance(item, str):
        return timedelta(milliseconds=item)
    if spec.kind == "REGEX":
        try:
            return re.compile(item)
        except re.error as error:
            raise Config(f"option `{spec.name}`: Python does not understand `{item}`: {error}") from None
    return item
