"""The stores that live in one SQLite file: import them from here.

Start with ``database.py`` (the file and its thread) and ``objects.py`` (what is in it); ``feed.py``
tells what changes and ``bell.py`` wakes it. Nothing of sqlite3 leaves this package.
"""

from elastic_jupyter.store.sqlite.catalog import SqliteCatalog
from elastic_jupyter.store.sqlite.database import Database, open_database
from elastic_jupyter.store.sqlite.kernels import SqliteKernelStore
from elastic_jupyter.store.sqlite.lease import SqliteLease
from elastic_jupyter.store.sqlite.logs import FileLogs, log_file
from elastic_jupyter.store.sqlite.notebooks import SqliteNotebooks
from elastic_jupyter.store.sqlite.tombstones import SqliteTombstones

__all__ = [
    "Database",
    "FileLogs",
    "SqliteCatalog",
    "SqliteKernelStore",
    "SqliteLease",
    "SqliteNotebooks",
    "SqliteTombstones",
    "log_file",
    "open_database",
]
