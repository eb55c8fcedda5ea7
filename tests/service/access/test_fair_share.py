"""A capacity is divided among callers: whatever some take, a part is left for the next one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.access.callers import caller_at
from pipeline.service.access.fair_share import FairShare


@pytest.mark.parametrize(("callers", "each"), [(1, 50), (2, 33), (3, 25), (9, 10)])
def test_each_caller_has_its_part(callers: int, each: int) -> None:
    """One caller gets half, two get a third each, and so on."""
    share = FairShare(100)
    names = [f"caller {number}" for number in range(callers)]
    for _ in range(100):
        for name in names:
            share.take(name)
    assert {share.held_by(name) for name in names} <= {each, each - 1, each + 1}
    assert share.take("the next one")


def test_a_capacity_of_one_serves_one() -> None:
    """The only place is anyone's, and free again when it is given back."""
    share = FairShare(1)
    assert share.take("a")
    assert not share.take("a")
    assert not share.take("b")
    share.give_back("a")
    assert share.take("b")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 30), st.booleans()), max_size=200))
def test_no_more_is_taken_than_there_is(steps: list[tuple[str, int, bool]]) -> None:
    """However callers take and give back, they hold the capacity at most, and all of it is free in the end."""
    share, held = FairShare(100), {name: [0] for name in "abc"}
    for caller, amount, gives_back in steps:
        if gives_back and len(held[caller]) > 1:
            share.give_back(caller, held[caller].pop())
        elif share.take(caller, amount):
            held[caller].append(amount)
        assert sum(map(sum, held.values())) <= 100
    for caller, amounts in held.items():
        for amount in amounts:
            share.give_back(caller, amount)
    assert share.take("d", 50)


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, "unknown"),
        ("a socket", "unknown"),
    ],
)
def test_a_caller_is_an_address_or_its_network(address: str | None, caller: str) -> None:
    """A customer has 2 ** 64 addresses of IPv6, which count as one caller."""
    assert caller_at(address) == caller
