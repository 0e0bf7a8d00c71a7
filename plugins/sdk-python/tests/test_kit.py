"""The kit without a component: worklists, options, content, failures."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Literal

import pytest

from flow_plugin import (
    Config,
    HttpResponse,
    NewMessage,
    Plugin,
    Size,
    Temporary,
    Url,
    Worklist,
    connection,
    format_time,
    http,
    log,
    metrics,
    option,
    parse_time,
    secret,
    state,
)
from flow_plugin import _names, _options, _plugin
from flow_plugin._plugin import entry_points
from flow_plugin.testing import Credentials, Host, Message, Request, Response


class Options(Plugin):
    """has every kind of option"""

    name = "options"
    version = "1"
    text: str = option("x", doc="A text.")
    count: int = option(3, doc="A number.")
    flag: bool = option(False, doc="A flag.")
    size: Size = option("10MiB", doc="Bytes.")
    pause: timedelta = option("90s", doc="A time.")
    url: Url = option(doc="A URL.")
    pattern: re.Pattern[str] = option("^a", doc="A pattern.")
    mode: Literal["keep", "drop"] = option("keep", doc="A choice.")
    names: list[str] = option(doc="Names.")
    maybe: str | None = option(doc="May be unset.", secret=True)

    def after_accept(self, worklist: Worklist) -> None:
        pass


def test_options_are_described_by_their_annotations() -> None:
    specs = {spec.name: spec for spec in _options.specs(Options)}
    kinds = ["TEXT", "COUNT", "FLAG", "SIZE", "DURATION", "URL", "REGEX", "CHOICE", "TEXT", "TEXT"]
    assert [spec.kind for spec in specs.values()] == kinds
    assert [name for name, spec in specs.items() if spec.required] == ["url"]
    assert specs["names"].repeated and specs["maybe"].secret
    assert specs["flag"].default == "off" and specs["mode"].choices == ["keep", "drop"]


def test_options_are_read_as_annotated() -> None:
    it = Host().start(Options, url="https://h/", names=["a", "b"])
    assert (it.size, it.pause, it.maybe, it.names) == (10 << 20, timedelta(seconds=90), None, ["a", "b"])
    assert it.pattern.match("abc") and it.flag is False
    with pytest.raises(TypeError, match="option `url` has to be set"):
        Host().start(Options)
    with pytest.raises(Config, match=r"option `pattern`: Python does not understand `\(`"):
        Host().start(Options, url="https://h/", pattern="(")


def test_an_option_of_no_kind_is_refused() -> None:
    class Wrong(Plugin):
        at: float = option("1", doc="No kind.")

    with pytest.raises(TypeError, match=r"option Wrong.at is annotated with <class 'float'>"):
        _options.specs(Wrong)


class Sr3(Plugin):
    """moves messages between lists as sr3's callbacks do"""

    name = "sr3"
    version = "1"

    def after_accept(self, worklist: Worklist) -> None:
        keep = []
        for message in worklist.incoming:
            if message.rel_path == "rejected":
                worklist.rejected.append(message)
            elif message.rel_path == "failed":
                worklist.failed.append(message)
            elif message.rel_path != "lost":
                message.headers["seen"] = "yes"
                del message.headers["old"]
                message.rel_path += "!"
                keep.append(message)
        worklist.incoming = keep


def test_lists_decide_as_in_sr3() -> None:
    host = Host()
    names = ["kept", "rejected", "failed", "lost"]
    judged = host.after_accept(host.start(Sr3), *[Message(name, headers={"old": 1}) for name in names])
    assert judged.verdicts == {"kept": "update", "rejected": "reject", "failed": "fail", "lost": "fail"}
    edits = judged.worklist._verdicts()[0].value
    assert [edit.value for edit in edits[:1]] == ["kept!"]
    assert edits[1].value[0] == "seen" and edits[2].value == ("old", None)
    assert "out of the worklist" in judged.failures["lost"]


class Judge(Plugin):
    """uses the worklist's methods"""

    name = "judge"
    version = "1"

    def after_work(self, worklist: Worklist) -> None:
        for message in worklist.ok:
            match message.rel_path:
                case "reject":
                    worklist.reject(message, 415, "wrong type")
                case "fail":
                    worklist.fail(message, "busy", retry_after=1.5)
                case "wait":
                    worklist.wait(message, "until noon", timedelta(hours=1))
                case "add":
                    worklist.add(message, NewMessage(message.base_url, "more"))
                case "both":
                    message.size = 1
                    worklist.add(message, NewMessage(message.base_url, "more"))


def test_verdicts_by_method_while_going_through_the_list() -> None:
    host = Host()
    names = ["reject", "fail", "wait", "add", "both", "keep"]
    judged = host.after_work(host.start(Judge), *map(Message, names))
    expected = ["reject", "fail", "wait", "add", "fail", "keep"]
    assert list(judged.verdicts.values()) == expected
    assert judged.rejections == {"reject": (415, "wrong type")}
    assert judged.made == ["more"]
    assert judged.worklist._verdicts()[1].value.value.retry_after_ms == 1500
    assert judged.worklist._verdicts()[2].value.after_ms == 3_600_000


class Upper(Plugin):
    """derives content in capitals"""

    name = "upper"
    version = "1"

    def after_work(self, worklist: Worklist) -> None:
        for message in worklist.ok:
            derived = message.derive(message.rel_path + ".up", "text/plain")
            if derived is None:
                continue
            with message.open() as source, derived:
                for line in source:
                    derived.write(line.decode().upper())
            worklist.replace(message, derived.message)


def test_content_is_derived_and_filters_are_asked() -> None:
    host = Host()
    host.wanted = lambda rel_path: "no" not in rel_path
    host.content = {"a": b"x" * 70_000 + b"\ny", "no": b""}
    judged = host.after_work(host.start(Upper), Message("a"), Message("no"))
    assert host.derived == {"a.up": b"X" * 70_000 + b"\nY"}
    assert judged.verdicts == {"a": "replace", "no": "keep"}


def test_state_has_text_json_swaps_and_pages() -> None:
    host = Host()
    state.put("k/1", "é", ttl=0.5)
    state.put_json("k/2", {"a": [1]})
    assert (state.get_text("k/1"), state.get_json("k/2"), state.get("none")) == ("é", {"a": [1]}, None)
    assert state.swap("k/1", "é".encode(), None) and not state.swap("k/2", None, b"")
    for at in range(1001):
        state.put(f"n/{at:04}", "")
    assert len(list(state.keys("n/"))) == 1001
    with pytest.raises(Exception, match="too large"):
        state.put("x" * 2000, "")
    assert set(host.state) >= {"k/2"}


def test_http_secrets_metrics_and_log() -> None:
    host = Host()
    host.answer = lambda request: Response(201, [("ETag", "1")], request.body)
    response = http.post("https://h/", json={"a": 1}, headers={"x": "y"}, timeout=2)
    assert response.ok and response.json() == {"a": 1} and response.header("etag") == "1"
    assert host.requests == [
        Request("POST", "https://h/", {"x": "y", "content-type": "application/json"}, b'{"a": 1}', 2000)
    ]
    host.credentials["https://h/"] = Credentials("u", "p")
    assert secret.credential("https://h/").password == "p"
    assert "p'" not in repr(secret.credential("https://h/"))
    with pytest.raises(Config, match="no line for ftp"):
        secret.credential("ftp://h/")
    host.answer = Host._nobody
    with pytest.raises(Temporary, match="nobody answers"):
        http.get("https://h/")
    metrics.count("seen", 2)
    metrics.count("seen")
    log.info("hello")
    assert host.counted == {"seen": 3} and host.logged == [("info", "hello")]


def test_connections_read_lines_and_blocks() -> None:
    class Peer:
        def __init__(self) -> None:
            self.left = [b"+OK he", b"llo\r\nabc", b"d", b""]
            self.wrote = b""

        def read(self, size: int) -> bytes:
            return self.left.pop(0)

        def write(self, data: bytes) -> None:
            self.wrote += data

        def __exit__(self, *_: object) -> None:
            pass

    host, peer = Host(), Peer()
    host.dial = lambda hostname, port, tls: peer
    with connection.connect("h", 110, tls=False) as stream:
        assert stream.read_line() == b"+OK hello\r\n"
        assert stream.read_exactly(4) == b"abcd"
        stream.send("QUIT\r\n")
        with pytest.raises(Temporary, match="closed the connection"):
            stream.read_exactly(9)
    assert peer.wrote == b"QUIT\r\n"


def test_entry_points_are_the_methods_there_are() -> None:
    assert entry_points(Sr3) == ["after_accept"]
    assert entry_points(Plugin) == []


def test_methods_that_are_nearly_entry_points_are_found() -> None:
    near = {
        "afterAccept": "after_accept",
        "after_acept": "after_accept",
        "AfterWork": "after_work",
        "on_request": "request",
        "onRequest": "request",
        "gahter": "gather",
        "on_housekeeping": "housekeeping",
        "poll": "gather",
        "on_message": "after_accept",
        "sent": "send",
        "settle": "settled",
    }
    assert {name: _names.meant(name) for name in near} == near
    for other in [*_plugin.ENTRY_POINTS, "make", "lines", "message", "close", "connect", "send_one", "_sent", "part"]:
        assert _names.meant(other) is None, other

    class Near(Sr3):
        def afterWork(self, worklist: Worklist) -> None:
            pass

        def helper(self) -> None:
            pass

    assert _names.methods(Near) == ["afterWork", "helper", "after_accept"]
    assert _names.misnamed(Near) == [
        "Near has a method `afterWork`, which is never called: did you mean `after_work`? "
        "A helper of your own that is called so, call `_afterWork`"
    ]


def test_an_option_needs_a_sentence() -> None:
    class Wordless(Plugin):
        at: str = option("1")

    with pytest.raises(TypeError, match=r"option Wordless.at has no `doc`; write `option\(…, doc="):
        _options.specs(Wordless)


def test_times() -> None:
    assert parse_time("20261122T093000.5").microsecond == 500_000


def test_without_a_host_it_is_said() -> None:
    from flow_plugin import _wit

    _wit.stand_in(None)
    with pytest.raises(RuntimeError, match="there is no host here"):
        state.get("x")


def test_times_are_read_as_they_are_written() -> None:
    moment = datetime(2026, 1, 31, 23, 59, 59, 500000, timezone.utc)
    assert parse_time("20260131T235959.5") == moment
    assert parse_time("20260131T235959") == moment.replace(microsecond=0)
    assert parse_time(format_time(moment)) == moment
    for wrong in ("", "20260131 235959", "20260132T000000", "20260131T235959.x", "2026-01-31T23:59"):
        with pytest.raises(ValueError):
            parse_time(wrong)


def test_urllib_and_streams_go_by_the_host() -> None:
    import urllib.error
    import urllib.request

    from flow_plugin import wasi_http

    def answer(request: object) -> Response:
        status = 404 if request.url.endswith("/gone") else 200  # type: ignore[attr-defined]
        return Response(status, [("X-A", "b")], b"one\ntwo\n")

    host = Host()
    host.answer = answer
    with urllib.request.urlopen("https://h/x?y=1", data=b"data", timeout=3) as told:
        assert (told.status, told.headers["x-a"], told.read()) == (200, "b", b"one\ntwo\n")
    asked = host.requests[0]
    assert (asked.method, asked.url, asked.body, asked.timeout_ms) == ("POST", "https://h/x?y=1", b"data", 3000)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen("https://h/gone")
    with wasi_http.request("PUT", "https://h/", body=(part for part in (b"a", b"b"))) as response:
        assert response.ok and response.header("x-a") == "b"
        assert list(response) == [b"one\n", b"two\n"]
    assert host.requests[2].body == b"ab"


def test_an_answer_may_be_text() -> None:
    answer = HttpResponse(202, headers={"x-taken": "2"}, body="zwei ü")
    assert (answer.headers, answer.body) == ([("x-taken", "2")], "zwei ü".encode())
    assert HttpResponse(body=b"x", headers=[("a", "b")]) == HttpResponse(200, [("a", "b")], b"x")
    with pytest.raises(TypeError):
        HttpResponse(body={"not": "text"})  # type: ignore[arg-type]
