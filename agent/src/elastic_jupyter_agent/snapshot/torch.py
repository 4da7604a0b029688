"""torch's tensors: the memory of one tensor is saved once, whoever uses it, and without its device.

Tensors refer to storages by wrappers that torch makes anew each time, so the wrappers say nothing
about what is shared; the memory's address does.
"""

import pickle
import sys
from typing import Any


class Storages:
    """The storages of one snapshot."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], _Memory] = {}
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
            return _Memory(storage, self)
        return self._seen.setdefault(key, _Memory(storage, self))

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
    """Becomes the storage itself when it is made anew."""

    def __init__(self, storage: Any, storages: Storages) -> None:
        self.storage = storage
        self._storages = storages

    def __reduce__(self) -> Any:
        return _storage, (self._storages.on_host(self.storage), str(self.storage.device))


def _untyped(storage: Any) -> Any:
    return storage._untyped_storage if hasattr(storage, "_untyped_storage") else storage._storage


def _with_gradient(tensor: Any) -> Any:
    """Return how to make a leaf with its gradient anew, which torch leaves out."""
    if not tensor.is_leaf or tensor.grad is None:
        return NotImplemented
    make, arguments, *state = tensor.__reduce_ex__(pickle.HIGHEST_PROTOCOL)
    return make, arguments, (state[0] if state else None, tensor.grad), None, None, _set_gradient


def _set_gradient(tensor: Any, said: tuple[Any, Any]) -> None:
    state, gradient = said
    if state is not None:
        tensor.__setstate__(state)
    tensor.grad = gradient


def _storage(data: Any, device: str) -> Any:
    import torch

    if not len(data):
        return torch.UntypedStorage(0)
    tensor = torch.frombuffer(data, dtype=torch.uint8)
    # torch before 2.0 has the typed one only.
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    storage = storage if isinstance(storage, torch.UntypedStorage) else _untyped(storage)
    if device == "cpu":
        return storage
    kind, _, index = device.partition(":")
    there = getattr(torch, kind, None)
    if there is None or not there.is_available() or int(index or 0) >= there.device_count():
        from elastic_jupyter_agent.snapshot import reducers

        notice = f"tensors of {device} are on the CPU: this kernel has no such device"
        if notice not in reducers.notices:
            reducers.notices.append(notice)
        return storage
    return storage.to(device=device)


def _same(storage: Any) -> Any:
    return storage


def _typed(storage: Any, dtype: Any) -> Any:
    import torch

    quiet = {"_internal": True} if hasattr(torch.Tensor, "untyped_storage") else {}
    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, **quiet)
