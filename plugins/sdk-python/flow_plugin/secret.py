"""Credentials of the flow's `credentials.conf`. Importing this asks for the grant `secrets`."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import _check
from ._call import call
from ._wit import host


@dataclass(frozen=True)
class Credentials:
    """A line of credentials.conf."""

    user: str
    password: str = field(repr=False)
    #: The options behind the URL, e.g. `bearer_token`.
    options: dict[str, str] = field(default_factory=dict, repr=False)


def credential(url: str) -> Credentials:
    """What there is for `url`; the user, if in the URL, has to match."""
    raw = call(host("secret").credential, _check.text(url, "`url` of `secret.credential`"))
    return Credentials(raw.user, raw.password, dict(raw.options))


def bearer_token(url: str) -> str:
    """A current OAuth 2 access token for `url`, kept fresh by the host."""
    return str(call(host("secret").bearer_token, _check.text(url, "`url` of `secret.bearer_token`")))
