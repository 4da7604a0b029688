"""torch's tensors: the memory of one tensor is saved once, whoever uses it, and without its device.

Tensors refer to storages by wrappers that torch makes anew each time, so the wrappers say nothing
about what is shared; the memory's address does.
"""

import pickle
import sys
from typing import Any

from elastic_jupyter_agent.snapshot import memory, telling
from elastic_jupyter_agent.snapshot.memory import Arrays


class Storages:
    """The storages of one snapshot, and the arrays of numpy whose memory some of them are."""

    def __init__(self, arrays: Arrays) -> None:
        self._seen: dict[tuple[str, int], _Memory] = {}
        self._arrays = arrays
        #: A device's memory is copied to the host once, when it is written, and not to look at it.
        self.looking = False
        self.left_out = False  #: whether a copy was left out
        self._copy: pickle.PickleBuffer | None = None

    def reduce(self, obj: Any) -> Any:
        """Return how to make a storage, or a tensor with a gradient, anew; or NotImplemented."""
        name = type(obj).__name__
        if name == "UntypedStorage":
            return _same, (self._memory(obj),)
        if name == "TypedStorage":
            return _typed, (self._memory(_untyped(obj)), obj.dtype)
        torch = sys.modules.get("torch")
        if torch is not None and isinstance(obj, torch.Tensor):
            return _with_gradient(obj)
        return NotImplemented

    def _memory(self, storage: Any) -> "_Memory":
        key = str(storage.device), storage.data_ptr()
        if not key[1]:  # nothing is shared where there is nothing
            return _Memory(self, storage)
        seen = self._seen.get(key)
        if seen is None or seen.storage.nbytes() < storage.nbytes():
            at = self._arrays.at(key[1], storage.nbytes()) if key[0] == "cpu" else None
            self._seen[key] = _Memory(self, storage, at, seen)
        return self._seen[key]

    def at(self, array: Any) -> "tuple[Any, int] | None":
        """Return whose memory an array has, and where that begins; None: it is the array's own.

        It is torch's, or of another array that a tensor was made of.
        """
        start = array.__array_interface__["data"][0]
        if type(array.base).__module__.startswith("torch"):
            seen: _Memory | None = self._memory(_storage_of(array.base))
            if seen is not None and seen.array is not None:
                owner = seen.array[0]
                return owner, owner.__array_interface__["data"][0]
        else:  # the other way round: torch's tensor of an array, and came first
            seen = self._seen.get(("cpu", start))
        if seen is None or seen.array is not None:
            return None
        begin = seen.storage.data_ptr()
        inside = start + array.nbytes <= begin + seen.storage.nbytes()
        return (seen, begin) if inside else None

    def on_host(self, storage: Any) -> pickle.PickleBuffer:
        """Return the memory of a storage, or a copy of it where it is on a device."""
        copied = str(storage.device) != "cpu"
        if copied and self.looking:
            self.left_out = True
            return pickle.PickleBuffer(b"")
        host = storage.cpu() if copied else storage
        torch = sys.modules["torch"]
        buffer = pickle.PickleBuffer(torch.tensor([], dtype=torch.uint8).set_(host).numpy())
        if copied:
            self._copy = buffer
        return buffer

    def let_go(self, buffer: pickle.PickleBuffer) -> None:
        """Let a copy go that is on its way to the store: the pickle would keep all of them."""
        if buffer is self._copy:
            self._copy = None
            buffer.release()


class _Memory:
    """Becomes the storage itself when it is made anew.

    ``array`` is the array of numpy's that owns it, and where in it. ``shorter`` began at the same
    address, and becomes this one, if it is in the same pickle and not there already.
    """

    def __init__(
        self,
        storages: Storages,
        storage: Any,
        array: Any = None,
        shorter: "_Memory | None" = None,
    ) -> None:
        self.storage, self.array = storage, array
        self._storages = storages
        self._shorter, self._longer = shorter, None
        if shorter is not None:
            shorter._longer = self

    _longer: "_Memory | None"

    def __reduce__(self) -> Any:
        if self.array is not None:
            return _of_array, (*self.array, self.storage.nbytes())
        if self._longer is not None:
            return _same, (self._longer,)
        made = _storage, (self._storages.on_host(self.storage), str(self.storage.device))
        return made if self._shorter is None else (*made, (self._shorter,), None, None, _joined)


def _joined(storage: Any, shorter: tuple[Any]) -> None:
    if shorter[0].data_ptr() != storage.data_ptr():
        telling.tell_of("tensors that shared memory have each their own")


def _of_array(array: Any, offset: int, length: int) -> Any:
    import torch

    return _storage_of(torch.from_numpy(memory.flat(array)[offset : offset + length]))


def _storage_of(tensor: Any) -> Any:
    # torch before 2.0 has the typed one only.
    if hasattr(tensor, "untyped_storage"):
        return tensor.untyped_storage()
    return _untyped(tensor.storage())


def _untyped(storage: Any) -> Any:
    return storage._untyped_storage if hasattr(storage, "_untyped_storage") else storage._storage


def _with_gradient(tensor: Any) -> Any:
    """Return how to make a leaf with its gradient anew, which torch leaves out, or a result."""
    if not tensor.is_leaf:
        make, arguments, *state = tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return _without_graph, (make, arguments, *state)
    if tensor.grad is None:
        return NotImplemented
    make, arguments, *state = tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    return make, arguments, (state[0] if state else None, tensor.grad), None, None, _set_gradient


def _without_graph(make: Any, arguments: Any, state: Any = None) -> Any:
    tensor = make(*arguments)
    if state is not None:
        tensor.__setstate__(state)
    telling.tell_of(
        "no longer known how it was computed (grad_fn), so backward() through it ends there"
    )
    return tensor


def _set_gradient(tensor: Any, said: tuple[Any, Any]) -> None:
    state, gradient = said
    if state is not None:
        tensor.__setstate__(state)
    tensor.grad = gradient


def _storage(data: Any, device: str) -> Any:
    import torch

    if not len(data):
        return torch.UntypedStorage(0)
    storage = _storage_of(torch.frombuffer(data, dtype=torch.uint8))
    if device == "cpu":
        return storage
    kind, _, index = device.partition(":")
    there = getattr(torch, kind, None)
    if there is None or not there.is_available() or int(index or 0) >= there.device_count():
        notice = f"tensors of {device} are on the CPU: this kernel has no such device"
        if notice not in telling.notices:
            telling.notices.append(notice)
        return storage
    return storage.to(device=device)


def _same(storage: Any) -> Any:
    return storage


def _typed(storage: Any, dtype: Any) -> Any:
    import torch

    quiet = {"_internal": True} if hasattr(torch.Tensor, "untyped_storage") else {}
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, **quiet)
