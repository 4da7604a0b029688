"""The stores that live in one SQLite file: import them from here.

Start with ``database.py`` (the file and its thread) and ``objects.py`` (what is in it); ``feed.py``
tells what changes and ``bell.py`` wakes it. Nothing of sqlite3 leaves this package.
"""

from elastic_jupyter.store.sqlite.database import Database, open_database
from elastic_jupyter.store.sqlite.kernels import SqliteKernelStore

__all__ = [
    "Database",
    "SqliteKernelStore",
    "open_database",
]
