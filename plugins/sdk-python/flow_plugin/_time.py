"""The times messages carry: UTC, `YYYYMMDDThhmmss.fraction`."""

from __future__ import annotations

from datetime import datetime, timezone


def parse_time(text: str) -> datetime:
    """A message's `pub_time` or `mtime`; ValueError if it is none."""
    whole, _, fraction = text.partition(".")
    moment = datetime.strptime(whole, "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=int((fraction + "000000")[:6])) if fraction else moment


def format_time(moment: datetime) -> str:
    """A time as messages carry it. One without a zone counts as UTC."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(timezone.utc)
    return moment.strftime("%Y%m%dT%H%M%S.%f")
