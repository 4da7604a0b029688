import pytest

from elastic_jupyter import errors


def all_errors() -> list[type[errors.ElasticJupyterError]]:
    found = [errors.ElasticJupyterError]
    for error in found:
        found.extend(error.__subclasses__())
    return [error for error in found if not error.__name__.startswith("_")]


def test_the_picture_at_the_top_shows_every_error():
    assert errors.__doc__ is not None
    for error in all_errors():
        assert f" {error.__name__} " in errors.__doc__.replace("\n", " ")


@pytest.mark.parametrize("error", all_errors())
def test_each_error_says_what_to_make_of_it(error):
    assert 400 <= error.http_status < 600
    assert error.reason.isidentifier()
    assert error.reason[0].isupper()


def test_unavailable_may_carry_how_long_to_wait():
    assert errors.Unavailable("down").retry_after is None
    assert errors.Unavailable("down", retry_after=2.5).retry_after == 2.5
