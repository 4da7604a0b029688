"""The state of a Python kernel, saved and restored. Start reading in ``saving``.

``pickler`` pickles in a live namespace, with the ``reducers`` for what else would not keep, those
of ``memory`` that is looked at by others and of ``torch`` among them; ``groups`` says what goes
into one pickle, ``outputs`` where that goes, ``blobs`` makes bytes of it, ``making`` objects of
those, and ``salvage`` reads one in which something fails. ``places`` is where objects are in a
kernel, ``settings`` and ``logs`` what libraries keep for the user, ``process`` all that is no
object. ``telling`` is what the user reads of values that are back and changed. Imports blake3,
cloudpickle, xxhash and zstandard, and of other libraries only what the user has imported.
"""

from elastic_jupyter_agent.snapshot.saving import Report, Saved, restore, save

__all__ = ["Report", "Saved", "restore", "save"]
