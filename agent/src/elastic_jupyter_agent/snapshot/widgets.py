"""Objects of traitlets with their observers, and comms with their ids: what widgets are made of.

A front end goes on with the widget that it shows when a comm of the same id answers. Comms are made
anew without a word and closed; ``put`` opens those that are whole, and ``tell`` says what became of
each: the state of a widget, which the front end may have changed meanwhile, or that it is closed.
"""

import sys
from collections.abc import Iterable
from typing import Any

#: Of ipykernel's comms: what is of the process.
_OF_PROCESS = ("kernel", "_reply_subshell_lock", "_reply_subshell_ids", "_reply_subshell_id")
#: By this one a front end asks for all widgets when its page is loaded. It opens another each time.
_CONTROL = "jupyter.widget.control"


def reduce(obj: Any) -> Any:
    """Return how to make a comm, or an object with traits, anew; or NotImplemented."""
    traitlets, kind = sys.modules.get("traitlets"), type(obj)
    if traitlets is None:
        return NotImplemented
    if kind.__module__ == "ipykernel.comm.comm":
        return _comm(obj)
    if obj is traitlets.All or obj is traitlets.Undefined:
        return _sentinel, (obj.name,)
    if issubclass(kind, traitlets.HasTraits):
        return _with_observers(obj)
    return NotImplemented


def _sentinel(name: str) -> Any:
    import traitlets

    return getattr(traitlets, name)


def _with_observers(obj: Any) -> Any:
    """Return how to make an object with its observers anew, which traitlets leaves out.

    Those of its class are the class's to add.
    """
    traitlets: Any = sys.modules["traitlets"]
    observers = [
        (name, event, handler)
        for name, events in obj._trait_notifiers.items()
        for event, handlers in events.items()
        for handler in handlers
        if not isinstance(handler, traitlets.EventHandler)
    ]
    reduced: tuple[Any, ...] = obj.__reduce_ex__(5) if observers else ()
    if len(reduced) < 3 or any(reduced[3:]):
        return NotImplemented
    make, arguments, state, *_ = reduced
    return make, arguments, (state, observers), None, None, _set_observed


def _set_observed(obj: Any, said: tuple[Any, list[tuple[Any, Any, Any]]]) -> None:
    state, observers = said
    obj.__setstate__(state)
    for name, event, handler in observers:
        obj._add_notifiers(handler, name, event)


#: What traitlets makes of a class and its bases. It holds copies of theirs when it is pickled.
_MADE_OF_CLASS = {
    "_descriptors",
    "_instance_inits",
    "_traits",
    "_trait_default_generators",
    "_all_trait_default_generators",
    "_static_immutable_initial_values",
}


def of_class(obj: Any, reduced: Any) -> Any:
    """Return how to make a class anew; ``reduced`` is how, but for what traitlets makes of it."""
    traitlets: Any = sys.modules.get("traitlets")
    if traitlets is None or not isinstance(reduced, tuple):
        return reduced
    if not issubclass(type(obj), traitlets.MetaHasDescriptors):
        return reduced
    make, arguments, (attributes, slots), *rest, set_state = reduced
    attributes = {k: v for k, v in attributes.items() if k not in _MADE_OF_CLASS}
    return make, arguments, ((attributes, slots), set_state), *rest, _set_class


def _set_class(kind: Any, said: tuple[Any, Any]) -> None:
    state, set_state = said
    set_state(kind, state)
    kind.setup_class(dict(vars(kind)))


def _comm(comm: Any) -> Any:
    arguments = {
        "comm_id": comm.comm_id,
        "target_name": comm.target_name,
        "target_module": comm.target_module,
        "topic": comm.topic,
    }
    state = {
        name: value
        for name, value in vars(comm).items()
        if name.startswith("_") and not name.startswith("_trait") and name not in _OF_PROCESS
    }
    return _closed_comm, (type(comm), arguments, comm.primary), state, None, None, _set_comm


def _closed_comm(kind: Any, arguments: dict[str, Any], primary: bool) -> Any:
    if kind.__name__ == "Comm":  # the older one, made when a front end opens it
        arguments = {**arguments, "show_warning": False}
    comm = kind(primary=False, **arguments)
    comm.primary = primary
    comm._closed = True
    return comm


def _set_comm(comm: Any, state: dict[str, Any]) -> None:
    vars(comm).update(state)
    comm._closed = True


def _manager() -> Any:
    comm = sys.modules.get("comm")
    return comm.get_comm_manager() if comm is not None and "ipykernel" in sys.modules else None


def _instances() -> dict[str, Any]:
    """Return ipywidgets' own table of widgets by the ids of their comms."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    return getattr(module, "_instances", {})


def ids() -> list[str]:
    """Return the ids of the comms that are open."""
    manager = _manager()
    return [] if manager is None else list(manager.comms)


def collect() -> dict[str, Any]:
    """Return the widgets, and the comms that are of none, by keys as in ``places``.

    Those made last come first: they hold those before them.
    """
    manager = _manager()
    if manager is None:
        return {}
    widgets = _instances()
    return {
        f"widget:{comm_id}" if comm_id in widgets else f"comm:{comm_id}": widgets.get(comm_id, comm)
        for comm_id, comm in reversed(manager.comms.items())
        if comm.target_name != _CONTROL
    }


def put(shell: Any, comm_id: str, value: Any) -> None:
    """Have a widget or a comm hear what is said to its id."""
    manager = _manager()
    if manager is None:
        raise LookupError("this kernel has no comms")
    comm = value
    if not hasattr(value, "publish_msg"):
        comm = value.comm
        _instances()[comm_id] = value
    if hasattr(comm, "kernel"):  # ipykernel sets it with the first message, ipywidgets needs it
        comm.kernel = getattr(shell, "kernel", None)
    comm._closed = False
    manager.register_comm(comm)


def let_go() -> None:
    """Forget the comms of this process without telling anybody: the same ones come from elsewhere.

    A widget that goes would close the comm of its id.
    """
    manager = _manager()
    if manager is None:
        return
    for widget in list(_instances().values()):
        widget.comm._closed = True
        widget.comm = None
    _instances().clear()
    for comm in manager.comms.values():
        comm._closed = True
    manager.comms.clear()


def tell(saved: Iterable[str]) -> None:
    """Tell front ends of the comms that were ``saved``: a widget's state, or that one is closed."""
    manager = _manager()
    if manager is None:
        return
    for comm_id in saved:
        if widget := _instances().get(comm_id):
            _send_state(widget)
    for comm_id in saved:
        if comm_id not in manager.comms:
            from ipykernel.comm.comm import BaseComm

            BaseComm(comm_id=comm_id, primary=False).close(deleting=True)


def _send_state(widget: Any) -> None:
    """Send what a front end may have changed; other widgets it has already, and would draw anew."""
    plain = [
        name
        for name in widget.keys
        if not name.startswith("_") and widget.trait_metadata(name, "to_json") is None
    ]
    if plain:
        widget.send_state(plain)
