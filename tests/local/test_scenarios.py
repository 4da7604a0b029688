"""What users see on every engine, seen on one machine."""

from tests.scenarios.reclaim import Reclaim
from tests.scenarios.running import Running


class TestRunning(Running):
    """On a machine that reclaims nothing."""


class TestReclaim(Reclaim):
    """On a machine that reclaims after seconds."""
