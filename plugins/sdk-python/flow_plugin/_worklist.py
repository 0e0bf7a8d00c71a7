"""The worklist: the batch in hand, in sr3's words.

`after_accept` finds its messages in `incoming`, `after_work` in `ok`. Each of them ends in one of
the lists; one that is in none of them was lost by mistake, and goes to the dead letters rather than nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

from . import _check
from ._failure import Failure, Temporary, milliseconds, of_exception
from ._message import Message, NewMessage, new_to_raw
from ._wit import wit

_KEEP = wit.Verdict_Keep()


def _some(messages: Any, name: str) -> Iterable[Message]:
    if isinstance(messages, str) or not isinstance(messages, Iterable):
        raise _check.wrong(f"`worklist.{name}`", "a list of messages", messages)
    return messages


class Messages(list[Message]):
    """A list that may be changed while it is gone through."""

    def __iter__(self) -> Iterator[Message]:
        return iter(self[:]) if len(self) else iter(())

    def __getitem__(self, index: Any) -> Any:
        return list.__getitem__(self, index)


def _in_hand(message: Any, method: str) -> None:
    if not isinstance(message, Message):
        write = f"a call of `worklist.{method}` for each" if isinstance(message, (list, tuple)) else ""
        raise _check.wrong(f"`message` of `worklist.{method}`", "a message of the worklist", message, write)


class Worklist:
    """The batch in hand. Use the methods, or move messages between the lists as in sr3."""

    __slots__ = ("_batch", "_incoming", "_ok", "failed", "rejected")

    def __init__(self, incoming: Iterable[Message] = (), ok: Iterable[Message] = ()) -> None:
        self._incoming: list[Message] = Messages(incoming)
        self._ok: list[Message] = Messages(ok)
        #: Going no further, on purpose.
        self.rejected: list[Message] = []
        #: To be tried again.
        self.failed: list[Message] = []
        self._batch: list[Message] = [*self._incoming, *self._ok]

    @property
    def incoming(self) -> list[Message]:
        """Accepted by the flow's rules, not fetched yet (`after_accept`)."""
        return self._incoming

    @incoming.setter
    def incoming(self, messages: Iterable[Message]) -> None:
        self._incoming = Messages(_some(messages, "incoming"))

    @property
    def ok(self) -> list[Message]:
        """Whose content is here (`after_work`)."""
        return self._ok

    @ok.setter
    def ok(self, messages: Iterable[Message]) -> None:
        self._ok = Messages(_some(messages, "ok"))

    def reject(self, message: Message, code: int, reason: str) -> None:
        """It goes no further, on purpose. Codes as in sr3's reports: 304 duplicate, 404 no match,
        413 too large, 415 wrong type, …"""
        _in_hand(message, "reject")
        _check.number(code, "`code` of `worklist.reject`", 65535)
        _check.text(reason, "`reason` of `worklist.reject`")
        message._verdict = wit.Verdict_Reject(wit.Rejection(code, reason))
        self._move(message, self.rejected)

    def fail(
        self,
        message: Message,
        failure: Exception | str,
        retry_after: float | timedelta | None = None,
    ) -> None:
        """It did not work; text means it is worth another try, and so does an exception that is no
        `Failure`: a mistake, whose traceback is logged."""
        _in_hand(message, "fail")
        if isinstance(failure, str):
            failure = Temporary(failure, retry_after)
        elif not isinstance(failure, Exception):
            raise _check.wrong("`failure` of `worklist.fail`", "a Failure, or text", failure)
        failure = of_exception(failure)
        message._verdict = wit.Verdict_Fail(failure._raw())
        self._move(message, self.failed)

    def wait(self, message: Message, reason: str, after: float | timedelta) -> None:
        """Not now, though nothing is wrong: it comes again after that time (seconds or a
        timedelta, a day at most), and loses no try."""
        _in_hand(message, "wait")
        _check.text(reason, "`reason` of `worklist.wait`")
        message._verdict = wit.Verdict_Wait(wit.Waiting(reason, milliseconds(after)))
        self._take_out(message)

    def replace(self, message: Message, *messages: NewMessage) -> None:
        """These go on instead of it."""
        _in_hand(message, "replace")
        message._verdict = wit.Verdict_Replace(new_to_raw(messages, "worklist.replace"))
        self._take_out(message)

    def add(self, message: Message, *messages: NewMessage) -> None:
        """It goes on, and these with it. The message itself can't be changed in the same call."""
        _in_hand(message, "add")
        earlier = message._verdict.value if type(message._verdict).__name__ == "Verdict_Add" else []
        message._verdict = wit.Verdict_Add([*earlier, *new_to_raw(messages, "worklist.add")])

    def _take_out(self, message: Message) -> None:
        for messages in (self._incoming, self._ok):
            if messages:
                with suppress(ValueError):
                    messages.remove(message)

    def _move(self, message: Message, to: list[Message]) -> None:
        self._take_out(message)
        if message not in to:
            to.append(message)

    def _verdicts(self) -> list[Any]:
        kept = {id(message) for message in (*self._incoming, *self._ok)}
        rejected = {id(message) for message in _some(self.rejected, "rejected")}
        failed = {id(message) for message in _some(self.failed, "failed")}
        return [self._verdict(message, kept, rejected, failed) for message in self._batch]

    def _verdict(self, message: Message, kept: set[int], rejected: set[int], failed: set[int]) -> Any:
        at = id(message)
        decided = message._verdict
        kind = type(decided).__name__
        # Lists win over what was said before: a message put back is kept.
        if at in kept:
            if kind == "Verdict_Add":
                if message._edits():
                    reason = f"{message.rel_path} was changed and had messages added in one call; do one of them"
                    return wit.Verdict_Fail(wit.Failure_Permanent(reason))
                return decided
            if message._changes is None and message._headers is None:
                return _KEEP
            edits = message._edits()
            return wit.Verdict_Update(edits) if edits else _KEEP
        if at in rejected:
            if kind == "Verdict_Reject":
                return decided
            return wit.Verdict_Reject(wit.Rejection(422, "rejected by the plugin"))
        if at in failed:
            if kind == "Verdict_Fail":
                return decided
            return wit.Verdict_Fail(Temporary("the plugin could not work on it")._raw())
        if kind in ("Verdict_Wait", "Verdict_Replace"):
            return decided
        lost = "the plugin took it out of the worklist without saying why; it has to be rejected or failed"
        return wit.Verdict_Fail(wit.Failure_Permanent(lost))
