"""The contract's types and imports: the component's own, or stand-ins where there is no component.

`wit` holds the types. `host(name)` is the import interface of that name: in a component the
bindings the build made, otherwise what `flow_plugin.testing` put in its place.
"""

from __future__ import annotations

import importlib
from typing import Any

try:
    from componentize_py_types import Err
    try:
        from wit_world.imports import types as wit
    except ImportError:
        # Beside the `types` of another package.
        from wit_world.imports import flow_plugin_types as wit

    IN_COMPONENT = True
except ImportError:
    from . import _types as wit
    from ._types import Err

    IN_COMPONENT = False

_interfaces: dict[str, Any] = {}
_stand_in: Any = None


def stand_in(host: Any) -> None:
    """Puts a host in place for tests; None takes it away."""
    global _stand_in
    _stand_in = host


def preload(names: list[str]) -> None:
    """Binds the component's imports while it is built: later there are no files to import from."""
    for name in names:
        _interfaces[name] = importlib.import_module(f"wit_world.imports.{name}")


def preload_encodings() -> None:
    """Binds what `str.encode` and `bytes.decode` look for by name, for the same reason."""
    import codecs
    import encodings
    import pkgutil

    for module in pkgutil.iter_modules(encodings.__path__):
        try:
            codecs.lookup(module.name)
        except (ImportError, LookupError):
            # Of another system, or no encoding.
            continue


def host(name: str) -> Any:
    """The import interface `name`."""
    if _stand_in is not None:
        return getattr(_stand_in, "_" + name)
    try:
        return _interfaces[name]
    except KeyError:
        why = (
            f"the component was built without `{name}`: import flow_plugin.{name} at the top of a module"
            if IN_COMPONENT
            else "there is no host here: make a flow_plugin.testing.Host() first"
        )
        raise RuntimeError(why) from None


__all__ = ["IN_COMPONENT", "Err", "host", "preload", "preload_encodings", "stand_in", "wit"]
