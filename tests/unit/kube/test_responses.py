import json

import pytest

from elastic_jupyter.errors import (
    AlreadyExists,
    Conflict,
    Expired,
    Forbidden,
    Invalid,
    NotFound,
    Unavailable,
)
from elastic_jupyter.kube.responses import decode, error_of


@pytest.mark.parametrize(
    ("code", "reason", "want"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Forbidden),
        (403, "Forbidden", Forbidden),
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (410, "Expired", Expired),
        (410, "Gone", Expired),
        (413, "RequestEntityTooLarge", Invalid),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
        (504, "Timeout", Unavailable),
    ],
)
def test_each_status_is_one_error(code, reason, want):
    content = json.dumps({"reason": reason, "message": "because"}).encode()
    error = error_of(code, content, {}, what="get Pod a/b")
    assert type(error) is want
    assert str(error) == f"get Pod a/b: because ({code})"


@pytest.mark.parametrize(
    ("headers", "details", "want"),
    [
        ({"retry-after": "3"}, {}, 3),
        ({}, {"retryAfterSeconds": 4}, 4),
        ({"retry-after": "Tue, 24 Nov 2026 18:00:00 GMT"}, {}, None),
        ({"retry-after": "inf"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_server_may_say_how_long_to_wait(headers, details, want):
    error = error_of(429, json.dumps({"details": details}).encode(), headers, what="x")
    assert isinstance(error, Unavailable)
    assert error.retry_after == want


def test_an_answer_in_plain_text_is_quoted():
    error = error_of(503, b"upstream connect error", {}, what="list Pod")
    assert str(error) == "list Pod: upstream connect error (503)"


@pytest.mark.parametrize("content", [b"<html>", b"", b"[]", b'"x"', b"\xff"])
def test_an_answer_that_is_no_object_is_an_outage(content):
    with pytest.raises(Unavailable, match="get Pod"):
        decode(content, what="get Pod")
