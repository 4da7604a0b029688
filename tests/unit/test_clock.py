from datetime import timedelta

from elastic_jupyter.clock import Clock, SystemClock


def test_the_present_is_aware_utc():
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)


def test_the_monotonic_clock_does_not_go_back():
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
