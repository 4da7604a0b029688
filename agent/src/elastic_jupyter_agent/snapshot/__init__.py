"""The state of a Python kernel, saved and restored. Start reading in ``saving``.

``pickler`` pickles in a live namespace, with the ``reducers`` for what else would not keep;
``groups`` says what goes into one pickle, ``outputs`` where that goes, ``blobs`` makes bytes of it.
``salvage`` reads a pickle in which something fails. ``places`` is where objects are in a kernel,
``process`` all that is no object. Imports cloudpickle and zstandard, and of other libraries only
what the user has imported.
"""

from elastic_jupyter_agent.snapshot.saving import Report, Saved, restore, save

__all__ = ["Report", "Saved", "restore", "save"]
