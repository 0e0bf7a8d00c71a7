"""The Python side of flow's plugin contract.

A plugin is one class with a method for each entry point it serves::

    from flow_plugin import Plugin, Worklist, option

    class NoTemporary(Plugin):
        '''leaves out files that are still being written'''

        suffix: str = option(".tmp", doc="What the names of such files end in.")

        def after_accept(self, worklist: Worklist) -> None:
            for message in worklist.incoming:
                if message.rel_path.endswith(self.suffix):
                    worklist.reject(message, 404, "still being written")

What a plugin may reach is read off its imports: ``from flow_plugin import http`` asks for HTTP.
``flow plugin build`` makes the component; ``flow_plugin.testing`` stands in for the host in pytest.
"""

from ._failure import Auth, Config, Failure, Interrupted, Permanent, Rejected, Temporary
from ._message import Headers, Identity, Message, NewMessage
from ._options import Size, Url, option
from ._plugin import Context, Gathered, HttpRequest, HttpResponse, Outcome, Plugin
from ._time import format_time, parse_time
from ._worklist import Messages, Worklist

__all__ = [
    "Auth",
    "Config",
    "Context",
    "Failure",
    "Gathered",
    "Headers",
    "HttpRequest",
    "HttpResponse",
    "Identity",
    "Interrupted",
    "Message",
    "Messages",
    "NewMessage",
    "Outcome",
    "Permanent",
    "Plugin",
    "Rejected",
    "Size",
    "Temporary",
    "Url",
    "Worklist",
    "format_time",
    "option",
    "parse_time",
]
