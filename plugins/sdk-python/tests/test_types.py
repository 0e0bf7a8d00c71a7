"""Values of the wrong type are refused at the author's line, with what to write.

A component would crash on each of them: the contract's types are all it can take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flow_plugin import (
    HttpRequest,
    HttpResponse,
    Identity,
    NewMessage,
    Permanent,
    Plugin,
    Rejected,
    Temporary,
    Worklist,
    connection,
    http,
    lines,
    log,
    metrics,
    secret,
    state,
    submit,
)
from flow_plugin._check import named
from flow_plugin._failure import of_exception
from flow_plugin.testing import Host, Message

IN_HAND = Message("a")
WORKLIST = Worklist(ok=[IN_HAND])


def new(**fields: Any) -> NewMessage:
    return NewMessage("https://h/", "a", **fields)


CASES: list[tuple[Callable[[], Any], str]] = [
    (lambda: WORKLIST.reject(IN_HAND, "422", "no"), r"`code` of `worklist.reject` is a whole number, and not '422', of type str; write 422$"),  # type: ignore[arg-type]
    (lambda: WORKLIST.reject(IN_HAND, 70000, "no"), "a whole number from 0 to 65535, and not 70000"),
    (lambda: WORKLIST.reject(IN_HAND, True, "no"), "of type bool"),
    (lambda: WORKLIST.reject(IN_HAND, 422, None), "`reason` of `worklist.reject` is text, and not None"),  # type: ignore[arg-type]
    (lambda: WORKLIST.reject(IN_HAND, 422, b"no"), r"write `.decode\(\)` behind it"),  # type: ignore[arg-type]
    (lambda: WORKLIST.reject(IN_HAND, 422, "\ud800"), "can be written as UTF-8"),
    (lambda: WORKLIST.reject([IN_HAND], 422, "no"), "`message` of `worklist.reject` is a message of the worklist.*for each"),  # type: ignore[arg-type]
    (lambda: WORKLIST.fail(IN_HAND, 7), "`failure` of `worklist.fail` is a Failure, or text"),  # type: ignore[arg-type]
    (lambda: WORKLIST.fail(IN_HAND, "busy", "7s"), "a time is seconds, or a timedelta, and not '7s'"),  # type: ignore[arg-type]
    (lambda: WORKLIST.wait(IN_HAND, None, 5), "`reason` of `worklist.wait` is text"),  # type: ignore[arg-type]
    (lambda: WORKLIST.replace(IN_HAND, [new()]), r"is a NewMessage.*write worklist.replace\(message, \*messages\)"),  # type: ignore[arg-type]
    (lambda: WORKLIST.add(IN_HAND, IN_HAND), r"write NewMessage\(message.base_url, message.rel_path\)"),  # type: ignore[arg-type]
    (lambda: setattr(WORKLIST, "ok", None), "`worklist.ok` is a list of messages, and not None"),
    (lambda: submit.submit([new()]), r"write submit.submit\(\*messages\)"),  # type: ignore[arg-type]
    (lambda: IN_HAND.headers.update(x=b"y"), r"header `x` is text, or something JSON has, and not b'y'.*`.decode\(\)`"),
    (lambda: IN_HAND.headers.update(x={1}), r"header `x` is .*write `list\(…\)` around it"),
    (lambda: IN_HAND.headers.update(x=float("nan")), "header `x`"),
    (lambda: IN_HAND.headers.update({7: "x"}), "the name of a header is text, and not 7"),  # type: ignore[dict-item]
    (lambda: setattr(IN_HAND, "size", "5"), "`size` of a message is a whole number, and not '5', of type str; write 5"),
    (lambda: setattr(IN_HAND, "rel_path", None), "`rel_path` of a message is text"),
    (lambda: setattr(IN_HAND, "identity", "x"), r"is an Identity, or None.*write Identity\("),
    (lambda: Identity("md5", b"x"), "`value` of an Identity is text"),  # type: ignore[arg-type]
    (lambda: new(size=-1), "`size` of a NewMessage is a whole number from 0"),
    (lambda: new(headers=[("a", "b")]), "`headers` of a NewMessage is a mapping"),
    (lambda: WORKLIST.add(IN_HAND, new(headers={"x": object()})), "header `x` is text"),
    (lambda: setattr(new(), "size", 1.5), "`size` of a NewMessage is a whole number, and not 1.5"),
    (lambda: HttpResponse("200"), "`status` of an HttpResponse is a whole number.*write 200"),  # type: ignore[arg-type]
    (lambda: HttpResponse(200, "a: b"), "`headers` of an HttpResponse is a mapping, or a list of pairs"),  # type: ignore[arg-type]
    (lambda: HttpResponse(200, {"a": b"b"}), "`a` in `headers` of an HttpResponse is text"),  # type: ignore[dict-item]
    (lambda: HttpResponse(body=5), "`body` of an HttpResponse is bytes or text, and not 5"),  # type: ignore[arg-type]
    (lambda: Temporary(None), "the reason of a failure is text, and not None"),  # type: ignore[arg-type]
    (lambda: Rejected("404", "no"), "`code` of a rejection is a whole number"),  # type: ignore[arg-type]
    (lambda: state.put("k", 5), "a value of the state is bytes or text, and not 5"),  # type: ignore[arg-type]
    (lambda: state.get(b"k"), "a key of the state is text"),  # type: ignore[arg-type]
    (lambda: http.get("https://h/", headers=["x"]), "`headers` of a request is a mapping"),
    (lambda: http.post("https://h/", body={"a": 1}), "`body` of a request is bytes or text"),
    (lambda: http.post("https://h/", content=b"x"), r"write content=message.open\(\)"),
    (lambda: connection.connect("h", "993"), "`port` of a connection is a whole number.*write 993"),  # type: ignore[arg-type]
    (lambda: secret.credential(None), "`url` of `secret.credential` is text"),  # type: ignore[arg-type]
    (lambda: metrics.count("seen", "2"), "`by` of a counter"),  # type: ignore[arg-type]
    (lambda: lines.write(1, b"x"), "`text` of `lines.write` is text"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("case", CASES, ids=[said[:40] for _, said in CASES])
def test_it_is_refused_where_it_is_given(case: tuple[Callable[[], Any], str]) -> None:
    Host()
    work, said = case
    with pytest.raises((TypeError, ValueError), match=said) as caught:
        work()
    assert "test_types.py" in of_exception(caught.value).reason


def test_nothing_is_kept_of_what_was_refused() -> None:
    message = Message("a")
    with pytest.raises(TypeError):
        message.headers["x"] = b"y"
    with pytest.raises(TypeError):
        message.size = "5"  # type: ignore[assignment]
    assert dict(message.headers) == {} and message._edits() == []


def test_what_can_only_mean_one_thing_is_taken() -> None:
    host = Host()
    given = HttpResponse(200, [("a", 1)], bytearray(b"x"))  # type: ignore[list-item, arg-type]
    assert (given.headers, given.body) == ([("a", "1")], b"x")
    assert Permanent(KeyError("k")).reason == "'k'"
    log.info({"a": 1})  # type: ignore[arg-type]
    assert host.logged == [("info", "{'a': 1}")]
    state.put("k", "v")
    assert state.swap("k", "v", "w")


class Catches(Plugin):
    """hands on what it caught"""

    name = "catches"
    version = "1"

    def after_work(self, worklist: Worklist) -> None:
        for message in worklist.ok:
            try:
                int(message.rel_path)
            except ValueError as error:
                worklist.fail(message, error)

    def request(self, request: HttpRequest) -> None:
        pass


def test_a_mistake_that_was_caught_may_be_handed_on() -> None:
    host = Host()
    judged = host.after_work(host.start(Catches), Message("x"), Message("1"))
    assert judged.verdicts == {"x": "fail", "1": "keep"}
    assert "ValueError: invalid literal" in judged.failures["x"]


def test_the_log_has_the_frames_that_are_not_the_kits() -> None:
    host = Host()
    host.after_work(host.start(Catches), Message("x"))
    ((level, text),) = host.logged
    assert level == "error" and text.startswith("Traceback (most recent call last):\n")
    assert "test_types.py" in text and "_worklist.py" not in text and "ValueError: invalid" in text


def test_lists_that_are_none_are_refused() -> None:
    worklist = Worklist(ok=[Message("a")])
    worklist.rejected = None  # type: ignore[assignment]
    with pytest.raises(TypeError, match="`worklist.rejected` is a list of messages, and not None"):
        worklist._verdicts()


def test_a_method_is_named_with_its_line() -> None:
    line = Catches.request.__code__.co_firstlineno
    assert named(Catches().request) == f"`request` (test_types.py:{line})"
