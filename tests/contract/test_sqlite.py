"""The stores in SQLite keep the contract."""

import contextlib

import pytest

from elastic_jupyter.store.sqlite import SqliteKernelStore, objects, open_database
from tests.contract.kernel_store import KernelStoreContract


class TestKernelStore(KernelStoreContract):
    many = 10_000
    vanishing = objects.KEPT_REMOVALS + 50

    @pytest.fixture
    def store(self, tmp_path):
        with contextlib.closing(open_database(tmp_path / "objects.db")) as database:
            yield SqliteKernelStore(database)

    @pytest.fixture
    def namespace(self):
        return "team"

    @pytest.fixture
    def address(self, tmp_path):
        return f"sqlite:{tmp_path / 'objects.db'}"
