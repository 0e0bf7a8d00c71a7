"""Why something did not work: exceptions, by what the engine does about them.

An exception of any other kind is a mistake in the plugin. It is logged with its traceback and
counts as `Temporary`, because a wrong guess then costs time and not data.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, NoReturn

from . import _check
from ._wit import Err, wit

#: Frames that are not the author's are left out of what is said about a mistake: the SDK's, those of
#: Python's library, and of what has no file, such as methods of dataclasses.
_OTHERS = (os.path.dirname(os.path.abspath(__file__)), os.path.dirname(os.__file__) + os.sep, "<")


class Failure(Exception):
    """What went wrong. Raise one of its kinds."""

    def __init__(self, reason: str | BaseException) -> None:
        # An exception may be handed on as it is; its words are the reason.
        if isinstance(reason, BaseException):
            reason = str(reason) or type(reason).__name__
        _check.text(reason, "the reason of a failure")
        super().__init__(reason)
        self.reason = reason

    def _raw(self) -> Any:
        raise NotImplementedError


class Temporary(Failure):
    """Worth another try, after `retry_after` (seconds or a timedelta) if the peer asked for a delay."""

    def __init__(self, reason: str | BaseException, retry_after: float | timedelta | None = None) -> None:
        super().__init__(reason)
        self.retry_after = None if retry_after is None else milliseconds(retry_after)

    def _raw(self) -> Any:
        return wit.Failure_Temporary(wit.TemporaryFailure(self.reason, self.retry_after))


class Permanent(Failure):
    """Never going to work for this message: it goes to the dead letters."""

    def _raw(self) -> Any:
        return wit.Failure_Permanent(self.reason)


class Auth(Failure):
    """Credentials were refused. Trying again burns the account, so the flow pauses."""

    def _raw(self) -> Any:
        return wit.Failure_Auth(self.reason)


class Config(Failure):
    """An option, a grant or the setup is wrong: a person has to change something."""

    def _raw(self) -> Any:
        return wit.Failure_Config(self.reason)


class Interrupted(Failure):
    """The host wants the instance back (in `wake`): return, nothing is wrong."""

    def __init__(self, reason: str = "interrupted by the host") -> None:
        super().__init__(reason)

    def _raw(self) -> Any:
        return wit.Failure_Interrupted()


class Rejected(Exception):
    """Raised in `download` and `send`: this message goes no further, on purpose."""

    def __init__(self, code: int, reason: str) -> None:
        _check.number(code, "`code` of a rejection", 65535)
        _check.text(reason, "`reason` of a rejection")
        super().__init__(reason)
        self.code = code
        self.reason = reason


def milliseconds(time: float | timedelta) -> int:
    """Seconds or a timedelta, as the contract counts."""
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise _check.wrong("a time", "seconds, or a timedelta", time)
    if not seconds < 1 << 50:
        raise ValueError(f"a time is a number of seconds, and not {time}")
    return max(0, round(seconds * 1000))


def of_raw(raw: Any) -> Failure:
    """What the host answered, as an exception."""
    kind = type(raw).__name__
    if kind == "Failure_Temporary":
        delay = raw.value.retry_after_ms
        return Temporary(raw.value.reason, None if delay is None else delay / 1000)
    if kind == "Failure_Permanent":
        return Permanent(raw.value)
    if kind == "Failure_Auth":
        return Auth(raw.value)
    if kind == "Failure_Config":
        return Config(raw.value)
    return Interrupted()


def _own(frames: Iterable[traceback.FrameSummary]) -> list[traceback.FrameSummary]:
    return [frame for frame in frames if not frame.filename.startswith(_OTHERS)]


def _shortened(told: traceback.TracebackException) -> traceback.TracebackException:
    """Without the SDK's frames, where others are left; causes likewise."""
    one: traceback.TracebackException | None = told
    while one is not None:
        rest = [frame for frame in one.stack if not frame.filename.startswith(_OTHERS[:1])]
        one.stack = traceback.StackSummary.from_list(rest)
        one = one.__cause__ or one.__context__
    return told


def of_exception(error: Exception) -> Failure:
    """Any exception as a failure; a mistake says where it happened."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, Err):
        return of_raw(error.value)
    told = traceback.TracebackException.from_exception(error)
    # What is wrong with a result is found when no line of the plugin's runs: it is said with the method.
    at = _own(told.stack)[-1:]
    where = "".join(f" at {os.path.basename(f.filename)}:{f.lineno} in {f.name}" for f in at)
    from . import log

    log.error("".join(_shortened(told).format()).rstrip())
    return Temporary(f"{type(error).__name__}: {error}{where}")


def report(error: Exception) -> NoReturn:
    """Ends a call of the contract with a failure."""
    raise Err(of_exception(error)._raw()) from None
