"""What is told to the user of values that are made anew, and are not quite as they were."""

import pickle


class NotKept(pickle.PicklingError):
    """An object that would be pickled, but not as what it is; the message says why."""


#: Told while objects are made anew, for the report: sentences for the user.
notices: list[str] = []
#: What is made anew now, as the user knows it; and what is told of several.
_current = ""
_about: dict[str, list[str]] = {}


def begin() -> None:
    """Begin a report."""
    notices.clear()
    _about.clear()


def making(shown: str) -> None:
    """Take note of what is made anew from now on, as the user knows it; empty: nobody sees it."""
    global _current
    _current = shown


def current() -> str:
    """Return what is made anew now, as the user knows it."""
    return _current


def tell_of(what: str) -> None:
    """Have the report say something of what is made now, in one sentence with others."""
    names = _about.setdefault(what, [])
    if _current and _current not in names:
        names.append(_current)


def told() -> list[str]:
    """Return the sentences of the report."""
    return [*notices, *(f"{', '.join(names)}: {what}" for what, names in _about.items() if names)]
