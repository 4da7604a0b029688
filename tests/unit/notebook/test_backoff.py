from elastic_jupyter.notebook.backoff import Backoff


def test_pauses_double_up_to_the_longest_and_are_jittered() -> None:
    backoff = Backoff(shortest=0.1, longest=2)
    full = [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]
    for want, got in zip(full, [backoff.next() for _ in full], strict=True):
        assert want / 2 <= got <= want


def test_a_long_absence_does_not_overflow() -> None:
    backoff = Backoff()
    assert max(backoff.next() for _ in range(5000)) <= 2


def test_reset_starts_again() -> None:
    backoff = Backoff(shortest=0.1, longest=2)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 0.1
