"""What every store must do, as classes that each engine's tests inherit.

SQLite runs them here, Kubernetes in ``tests/cluster/test_store_contract.py``.
"""

import pytest

pytest.register_assert_rewrite("tests.contract.kernel_store")
