"""The classes a component exports, made from a plugin's. Runs inside a component only.

`describe` makes no object; `start` makes the one all other calls go to.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from . import _check, _options
from ._failure import Rejected, of_exception, report
from ._message import Message, new_to_raw
from ._plugin import ENTRY_POINTS, Context, Gathered, HttpRequest, HttpResponse, Outcome, Plugin, entry_points
from ._wit import Err, wit
from ._worklist import Worklist


class _Exports:
    def __init__(self, plugin: type[Plugin], manifest: dict[str, Any]) -> None:
        self.type = plugin
        self.specs = _options.specs(plugin)
        self.manifest = manifest
        self.object: Plugin | None = None

    def describe(self) -> Any:
        from wit_world.exports import describe as raw

        options = [
            raw.OptionSpec(
                spec.name,
                raw.OptionKind[spec.kind],
                spec.default,
                spec.required,
                spec.repeated,
                spec.secret,
                spec.choices,
                spec.doc,
                spec.example,
            )
            for spec in self.specs
        ]
        said = self.manifest
        grants = [raw.Grant[grant] for grant in said["grants"]]
        return raw.Manifest(
            said["name"], said["version"], said["summary"], said["doc"], options, said["schemes"], grants
        )

    def start(self, raw: Any) -> Any:
        from wit_world.exports import lifecycle

        # Seeded while the component was built: every instance would throw the same dice.
        if "random" in sys.modules:
            sys.modules["random"].seed()
        given = {name: setting.value for name, setting in raw.options}
        plugin = make(self.type, self.specs, given)
        plugin.context = Context(raw.flow, raw.kind, raw.instance, raw.downloads, raw.poll_url)
        self.object = plugin
        guard(plugin.start)
        return lifecycle.Started(guard(_instances, plugin.max_instances))

    def call(self, name: str) -> Callable[..., Any]:
        return getattr(self.object, name)  # type: ignore[no-any-return]


def make(plugin: type[Plugin], specs: list[_options.Spec], given: dict[str, Any]) -> Plugin:
    """A plugin's object with its options set."""
    made = plugin()
    for spec in specs:
        setattr(made, spec.name, guard(_options.read, spec, given.get(spec.name)))
    return made


def guard(function: Callable[..., Any], *args: Any) -> Any:
    """Calls; whatever is raised ends the call of the contract as a failure."""
    try:
        return function(*args)
    except Exception as error:
        report(error)


def _instances(most: Any) -> Any:
    return None if most is None else _check.number(most, "`max_instances`", (1 << 32) - 1)


def judge(entry_point: str, function: Callable[[Worklist], None], batch: list[Any]) -> list[Any]:
    """`after_accept` and `after_work`: a worklist in, verdicts out."""
    messages = map(Message._of, batch)
    early = entry_point == "after_accept"
    worklist = Worklist(incoming=messages) if early else Worklist(ok=messages)
    guard(function, worklist)
    # What was put into the lists may be anything.
    return guard(worklist._verdicts)  # type: ignore[no-any-return]


def each(interface: Any, prefix: str, function: Callable[[Message], None], batch: list[Any]) -> list[Any]:
    """`download` and `send`: one result per message."""
    results = []
    for raw in batch:
        message = Message._of(raw)
        try:
            function(message)
            results.append(getattr(interface, prefix + "_Done")(message._edits()))
        except Rejected as rejected:
            rejection = wit.Rejection(rejected.code, rejected.reason)
            results.append(getattr(interface, prefix + "_Reject")(rejection))
        except Exception as error:
            results.append(getattr(interface, prefix + "_Fail")(of_exception(error)._raw()))
    return results


def gathered(function: Callable[[int], Any], limit: int) -> Any:
    from wit_world.exports import gather

    answer = function(limit)
    messages, more = (answer.messages, answer.more) if isinstance(answer, Gathered) else (answer, False)
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        raise TypeError(
            f"{_check.named(function)} returned {_check.shown(answer)}; "
            "return a list of NewMessage, or Gathered([…], more=True)"
        )
    return gather.Gathered(new_to_raw(messages, "gather"), bool(more))


def outcome(raw: Any) -> Outcome:
    fate = type(raw.fate).__name__.removeprefix("Fate_").lower()
    value = getattr(raw.fate, "value", "")
    reason = value if isinstance(value, str) else value.reason
    return Outcome(Message._of(raw.message), fate, reason)  # type: ignore[arg-type]


def posted(function: Callable[[Message], None], batch: list[Any]) -> list[Any]:
    from componentize_py_types import Ok

    results: list[Any] = []
    for raw in batch:
        try:
            function(Message._of(raw))
            results.append(Ok(None))
        except Exception as error:
            results.append(Err(of_exception(error)._raw()))
    return results


def answered(function: Callable[[HttpRequest], Any], raw: Any) -> Any:
    from wit_world.exports import request as interface

    request = HttpRequest(raw.method, raw.path, raw.query, list(raw.headers), bytes(raw.body), raw.peer)
    response = function(request)
    if not isinstance(response, HttpResponse):
        raise TypeError(
            f"{_check.named(function)} returned {_check.shown(response)}; return HttpResponse(200, body=…)"
        )
    # Its fields may have been set since.
    made = HttpResponse(response.status, response.headers, response.body)
    return interface.HttpResponse(made.status, made.headers, made.body)


def exports(plugin: type[Plugin], manifest: dict[str, Any]) -> dict[str, type]:
    """The classes to put at the top level of the component's module."""
    it = _Exports(plugin, manifest)
    called = it.call

    class Describe:
        def describe(self) -> Any:
            return it.describe()

    class Lifecycle:
        def start(self, context: Any) -> Any:
            return it.start(context)

        def housekeeping(self) -> None:
            guard(called("housekeeping"))

        def stop(self) -> None:
            guard(called("stop"))

    class Gather:
        def gather(self, limit: int) -> Any:
            return guard(gathered, called("gather"), limit)

    class Wake:
        def wait(self, timeout_ms: int) -> bool:
            return bool(guard(called("wake"), timeout_ms / 1000))

    class Settled:
        def settled(self, outcomes: list[Any]) -> None:
            guard(called("settled"), [outcome(raw) for raw in outcomes])

    class AfterAccept:
        def after_accept(self, batch: list[Any]) -> list[Any]:
            return judge("after_accept", called("after_accept"), batch)

    class Download:
        def download(self, batch: list[Any]) -> list[Any]:
            from wit_world.exports import download

            return each(download, "Fetched", called("download"), batch)

    class Send:
        def send(self, batch: list[Any]) -> list[Any]:
            from wit_world.exports import send

            return each(send, "Sent", called("send"), batch)

    class AfterWork:
        def after_work(self, batch: list[Any]) -> list[Any]:
            return judge("after_work", called("after_work"), batch)

    class Post:
        def post(self, batch: list[Any]) -> list[Any]:
            return posted(called("post"), batch)

    class Request:
        def handle(self, request: Any) -> Any:
            return guard(answered, called("request"), request)

    class Line:
        def line(self, peer: int, text: str) -> None:
            guard(called("line"), peer, text)

        def closed(self, peer: int) -> None:
            guard(called("closed"), peer)

    classes: list[type] = [Describe, Lifecycle, Gather, Wake, Settled, AfterAccept]
    classes += [Download, Send, AfterWork, Post, Request, Line]
    has = {"describe", "lifecycle"} | {ENTRY_POINTS[name] for name in entry_points(plugin)}
    pascal = {"".join(word.title() for word in name.split("-")) for name in has}
    return {made.__name__: made for made in classes if made.__name__ in pascal}
