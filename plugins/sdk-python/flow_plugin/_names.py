"""Methods whose names are nearly those of entry points: nobody would ever call them.

A helper of the plugin's own may be called anything; one that is told apart by a letter or by its
spelling alone is more likely a mistake than a choice. A name that begins with `_` is never one.
"""

from __future__ import annotations

from ._plugin import ENTRY_POINTS, Plugin

#: What else is called by name.
_OTHERS = ("start", "stop", "housekeeping", "closed")
#: What sr3 and habit call them.
_ALIASES = {
    "poll": "gather",
    "aftergather": "after_accept",
    "afterpost": "settled",
    "sent": "send",
    "sends": "send",
    "posts": "post",
}
#: What begins with `on` is called by an event elsewhere.
_EVENTS = {"message": "after_accept", "file": "after_work", "part": "after_work"}


def _plain(name: str) -> str:
    """The name without what habits differ in."""
    if name.startswith("on_") or (name.startswith("on") and name[2:3].isupper()):
        name = name[2:]
    return name.replace("_", "").lower()


def _distance(one: str, other: str) -> int:
    """How many letters are wrong, missing, too many or swapped with the next."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(other, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                row[j] = min(row[j], last[j - 2] + 1)
    return row[-1]


def meant(name: str) -> str | None:
    """The method somebody meant who wrote this name; None for one that is right, or is something else."""
    if name in ENTRY_POINTS or name in _OTHERS or name.startswith("_"):
        return None
    plain = _plain(name)
    for known in (*ENTRY_POINTS, *_OTHERS):
        if plain == _plain(known):
            return known
    # What is short is near to too many words: `make`, `lines`, `host`.
    for known in ENTRY_POINTS:
        length = len(_plain(known))
        if length >= 6 and _distance(plain, _plain(known)) <= (2 if length >= 9 else 1):
            return known
    return _ALIASES.get(plain) or (_EVENTS.get(plain) if name.startswith("on") else None)


def methods(plugin: type[Plugin]) -> list[str]:
    """The methods of a plugin's class that are its own."""
    found: list[str] = []
    for base in plugin.__mro__:
        if issubclass(base, Plugin) and base is not Plugin:
            found += [name for name in vars(base) if not name.startswith("_") and callable(getattr(plugin, name))]
    return list(dict.fromkeys(found))


def misnamed(plugin: type[Plugin]) -> list[str]:
    """What to say about each method that is nearly an entry point."""
    said = []
    for name in methods(plugin):
        known = meant(name)
        if known is not None:
            said.append(
                f"{plugin.__name__} has a method `{name}`, which is never called: did you mean `{known}`? "
                f"A helper of your own that is called so, call `_{name}`"
            )
    return said
