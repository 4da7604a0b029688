"""What users see on every engine, as classes that each engine's tests inherit.

One machine runs them in ``tests/local``, Kubernetes in ``tests/cluster``. They ask for the fixtures
``patient``, a world that reclaims nothing, and ``hasty``, one that reclaims after seconds.
"""

import pytest

pytest.register_assert_rewrite(
    "tests.scenarios.running",
    "tests.scenarios.reclaim",
    "tests.scenarios.gpu_queue",
    "tests.scenarios.gateway_gone",
    "tests.scenarios.notebook_server_gone",
    "tests.scenarios.command_line",
    "tests.scenarios.ends",
    "tests.scenarios.hibernation",
)
