from datetime import timedelta

import pytest

from elastic_jupyter.cli.duration import parse


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("2.5", 2.5),
        ("30s", 30),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        (" 5M ", 300),
        ("1.5h", 5400),
    ],
)
def test_a_length_of_time_is_read_as_people_type_it(text: str, seconds: float) -> None:
    assert parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "ten", "10 m", "-5m", "5x", "1h-30m", "inf", "nan"])
def test_what_is_no_length_of_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="say for example 90s, 10m or 1h30m"):
        parse(text)


def test_a_length_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        parse("9" * 30 + "d")
