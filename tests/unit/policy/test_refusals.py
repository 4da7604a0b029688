"""What a 403 means, by the words of a real API server 1.34."""

import pytest

from elastic_jupyter.policy import refusals
from elastic_jupyter.policy.refusals import Refusal

FOR_GOOD = Refusal("Forbidden", passing=False)


@pytest.mark.parametrize(
    ("message", "want"),
    [
        pytest.param(
            'pods "jovyan-1" is forbidden: exceeded quota: team, requested: pods=1, used: pods=4, '
            "limited: pods=4",
            Refusal("QuotaExceeded", passing=True),
            id="a quota is used up",
        ),
        pytest.param(
            'pods "jovyan-1" is forbidden: failed quota: team: must specify limits.memory for: '
            "kernel",
            FOR_GOOD,
            id="a quota asks for a limit",
        ),
        pytest.param(
            'pods "jovyan-1" is forbidden: error looking up service account team/default: '
            'serviceaccount "default" not found',
            Refusal("ServiceAccountNotFound", passing=True),
            id="a namespace is just being made",
        ),
        pytest.param(
            'pods "jovyan-1" is forbidden: maximum memory usage per Container is 1Gi, but limit '
            "is 2Gi",
            FOR_GOOD,
            id="a LimitRange",
        ),
        pytest.param(
            'pods "jovyan-1" is forbidden: violates PodSecurity "restricted:latest": privileged',
            FOR_GOOD,
            id="Pod Security",
        ),
    ],
)
def test_whether_waiting_helps(message: str, want: Refusal) -> None:
    assert refusals.judge(message) == want
