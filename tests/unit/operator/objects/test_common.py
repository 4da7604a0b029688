from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common


def variable(name: str, value: str) -> Object:
    return {"name": name, "value": value}


def test_of_a_variable_given_twice_the_last_stays_and_ours_wins() -> None:
    given = [variable("A", "1"), variable("HOME", "/x"), variable("B", "$(A)"), variable("A", "2")]
    container = {"env": given}
    common.with_env(container, variable("HOME", "/tmp"))
    assert container["env"] == [
        variable("B", "$(A)"),
        variable("A", "2"),
        variable("HOME", "/tmp"),
    ]
