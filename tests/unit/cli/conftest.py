from collections.abc import Iterator

import pytest

from tests.support.logs import logging_as_it_was


@pytest.fixture(autouse=True)
def logging_restored() -> Iterator[None]:
    """A command sets up the logs of its process, which here is that of other tests, too."""
    with logging_as_it_was():
        yield
