"""The times messages carry: UTC, `YYYYMMDDThhmmss.fraction`."""

from __future__ import annotations

# What `strptime` of a plugin looks for when it is first called: a component has no files by then.
import _strptime  # noqa: F401
from datetime import datetime, timezone


def parse_time(text: str) -> datetime:
    """A message's `pub_time` or `mtime`; ValueError if it is none."""
    whole, _, fraction = text.partition(".")
    day, separator, time = whole[:8], whole[8:9], whole[9:]
    digits = day + time + fraction
    if len(whole) != 15 or separator != "T" or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"`{text}` is no time like 20260131T235959.5")
    return datetime(
        int(day[:4]),
        int(day[4:6]),
        int(day[6:]),
        int(time[:2]),
        int(time[2:4]),
        int(time[4:]),
        int((fraction + "000000")[:6]),
        timezone.utc,
    )


def format_time(moment: datetime) -> str:
    """A time as messages carry it. One without a zone counts as UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return moment.strftime("%Y%m%dT%H%M%S.%f")
