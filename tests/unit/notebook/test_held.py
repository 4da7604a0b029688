from elastic_jupyter.notebook.held import Held


def test_frames_come_out_in_order() -> None:
    held = Held()
    for frame in ("a", b"b", "c"):
        assert held.add(frame)
    assert held.first() == "a"
    assert [held.pop() for _ in range(len(held))] == ["a", b"b", "c"]


def test_what_is_taken_out_leaves_the_others_in_order() -> None:
    held = Held(max_bytes=6)
    for frame in ("a1", "b", "a2"):
        held.add(frame)
    assert held.take(lambda frame: frame[0] == "a") == ["a1", "a2"]
    assert held.add("cdefg")
    assert [held.pop() for _ in range(len(held))] == ["b", "cdefg"]


def test_no_more_than_the_count_is_kept() -> None:
    held = Held(max_count=2)
    assert [held.add("x") for _ in range(3)] == [True, True, False]
    held.pop()
    assert held.add("y")


def test_no_more_than_the_bytes_are_kept() -> None:
    held = Held(max_bytes=10)
    assert [held.add(b"123456"), held.add(b"12345"), held.add(b"1234")] == [True, False, True]
    held.pop()
    assert held.add(b"123456")
