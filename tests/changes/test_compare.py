"""What somebody would call a change is one, and what only moved is none."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.changes.change import Change, Difference, decode
from pipeline.changes.compare import compare
from pipeline.schema import Record
from tests.jobs import make_record

MUG = {"name": "Mug", "url": "https://a.example/mug", "price": 25.0, "currency": "EUR", "availability": "InStock"}
PLATE = {"name": "Plate", "seller": {"name": "B"}, "price": 9.0, "currency": "EUR"}
PAGE = {"name": "A page", "host_page_url": "https://a.example/"}
OTHER_PAGE = {"name": "B page", "host_page_url": "https://b.example/"}
PRODUCT = {
    "name": "x",
    "host_page_url": "https://c.example/x",
    "offer": {"price": 5.0, "currency": "USD", "offers": []},
}


def tag(name: str, **values: object) -> dict[str, object]:
    return {"name": name, "sources": [], "actions": [], **values}


def record(**insights: Any) -> Record:
    return make_record("a", **insights)


def shape(difference: Difference) -> tuple[object, ...]:
    return difference.field or difference.kind, difference.item, difference.before, difference.after


CHANGED = {
    "price": (
        record(offers=[MUG, PLATE]),
        record(offers=[PLATE, {**MUG, "price": 18.0}]),
        [("offers.price", MUG["url"], 25.0, 18.0)],
    ),
    "availability": (
        record(offers=[MUG]),
        record(offers=[{**MUG, "availability": "SoldOut"}]),
        [("offers.availability", MUG["url"], "InStock", "SoldOut")],
    ),
    "new offer": (record(offers=[MUG]), record(offers=[PLATE, MUG]), [("offers", "B Plate", None, "B Plate")]),
    "gone offer": (record(offers=[MUG]), record(), [("offers", MUG["url"], MUG["url"], None)]),
    "new and gone page": (
        record(pages=[PAGE]),
        record(pages=[OTHER_PAGE]),
        [
            ("pages", "https://a.example/", "https://a.example/", None),
            ("pages", "https://b.example/", None, "https://b.example/"),
        ],
    ),
    "tag": (record(tags=[tag("mug")]), record(tags=[tag("mug"), tag("tea")]), [("tags", "tea", None, "tea")]),
    "text": (record(), record(text={"full": "TEA", "regions": []}), [("text", "", None, "TEA")]),
    "entity": (record(entities=[{"name": "Oslo"}]), record(), [("entities", "Oslo", "Oslo", None)]),
    "status": (record(status="empty"), record(), [("status", "", "empty", "ok")]),
    "picture": (record(), record(source={"path": "a.jpg", "sha256": "1" * 64}), [("picture", "", "0" * 64, "1" * 64)]),
    "picture elsewhere": (
        record(source={"url": "https://a.example/1.jpg"}),
        record(source={"url": "https://a.example/2.jpg"}),
        [("picture", "", "https://a.example/1.jpg", "https://a.example/2.jpg")],
    ),
    "price of a similar product": (
        record(similar_products={"items": [PRODUCT]}),
        record(similar_products={"items": [{**PRODUCT, "offer": {"price": 4.0, "currency": "USD"}}]}),
        [("similar_products.offer.price", PRODUCT["host_page_url"], 5.0, 4.0)],
    ),
    "own field": (
        record(attributes={"colour": "red"}),
        record(attributes={"colour": "blue"}),
        [("attributes.colour", "", "red", "blue")],
    ),
}

SAME = {
    "order": (
        record(tags=[tag("a"), tag("b")], pages=[PAGE, OTHER_PAGE]),
        record(tags=[tag("b"), tag("a")], pages=[OTHER_PAGE, PAGE]),
    ),
    "confidence": (record(tags=[tag("a", confidence=0.9)]), record(tags=[tag("a", confidence=0.8)])),
    "rank of similar images": (
        record(similar_images={"items": [PAGE]}),
        record(similar_images={"items": [OTHER_PAGE]}),
    ),
    "rank of similar products": (record(similar_products={"items": [PRODUCT]}), record()),
    "price of a product of the own catalogue": (
        record(similar_products={"items": [{**PRODUCT, "origin": "catalogue"}]}),
        record(similar_products={"items": [{**PRODUCT, "origin": "catalogue", "offer": {"price": 4.0}}]}),
    ),
    "white space": (record(text={"full": "A  B\n"}), record(text={"full": "A B"})),
    "calls": (record(), record(calls={"count": 0}, asked_at="2027-01-01T00:00:00Z", ordinal=7)),
    "path of the same picture": (record(), record(source={"path": "moved/a.jpg", "sha256": "0" * 64})),
    "another provider": (record(tags=[tag("a")]), record(provider="bing", tags=[])),
    "carried columns": (record(carry={"t": 1}), record(carry={"t": 2})),
    "strange values": (record(text="x", tags=None, offers=["x"]), record(text="y", tags=None, offers=["z"])),
}


@pytest.mark.parametrize(("before", "after", "expected"), CHANGED.values(), ids=CHANGED)
def test_a_change_is_named(before: Record, after: Record, expected: list[tuple[object, ...]]) -> None:
    """One difference, with what was before and what is now."""
    assert [shape(difference) for difference in compare(before, after)] == expected


@pytest.mark.parametrize(("before", "after"), SAME.values(), ids=SAME)
def test_what_only_moved_is_no_change(before: Record, after: Record) -> None:
    """Neither order nor rank, nor what varies from answer to answer."""
    assert compare(before, after) == []


def test_a_price_has_its_currency() -> None:
    """Where the currency is another one, both are named."""
    (price,) = compare(record(offers=[MUG]), record(offers=[{**MUG, "price": 1.0}]))
    assert price.currency == "EUR"
    price, currency = compare(record(offers=[MUG]), record(offers=[{**MUG, "price": 1.0, "currency": "USD"}]))
    assert (price.currency, currency.field) == ("EUR -> USD", "offers.currency")


@given(
    prices=st.lists(st.sampled_from([1.0, 2.0, 3.0]), max_size=6),
    names=st.lists(st.sampled_from("abc"), max_size=6),
    seed=st.integers(0, 1000),
)
def test_no_shuffle_is_a_change(prices: list[float], names: list[str], seed: int) -> None:
    """Lists in any order say the same, also where several items have one name."""
    offers = [{"name": "x", "price": price, "currency": "EUR"} for price in prices]
    tags = [tag(name) for name in names]
    before = record(offers=offers, tags=tags)
    shuffle = random.Random(seed)
    after = record(offers=shuffle.sample(offers, len(offers)), tags=shuffle.sample(tags, len(tags)))
    assert compare(before, after) == []


def test_a_line_is_read_as_it_was_written() -> None:
    """read(write(x)) == x, with and without the texts that a change may lack."""
    price = Difference(
        kind="field", field="offers.price", item="https://a.example/", before=2, after=1.5, currency="EUR"
    )
    for difference in (price, Difference(kind="added", after="a.jpg")):
        change = Change(id="a", at="2026-11-30T00:00:00Z", run=3, difference=difference)
        assert decode(change.encode()) == change
