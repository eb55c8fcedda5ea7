"""Addresses in text: mail, web and telephone, and numbers and words that only look like one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.text.recognised_text import Quad, TextLine
from pipeline.service.text.uris import find_addresses, find_uris

BOX: Quad = ((0.0, 0.2), (1.0, 0.2), (1.0, 0.3), (0.0, 0.3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("888 555 1212", ["tel:888%20555%201212"]),
        ("+1 888 555 1212", ["tel:+1%20888%20555%201212"]),
        ("Tel. 08-123 456 78", ["tel:08-123%20456%2078"]),
        ("(020) 7946 0018", ["tel:(020)%207946%200018"]),
        ("+442079460018", ["tel:+442079460018"]),
        ("someone@outlook.com", ["mailto:someone@outlook.com"]),
        ("write: a.b+c@mail.example.org.", ["mailto:a.b+c@mail.example.org"]),
        ("www.contoso.com", ["http://www.contoso.com/"]),
        ("WWW.CONTOSO.COM", ["http://www.contoso.com/"]),
        ("www.contoso.com?Id=7B", ["http://www.contoso.com/?Id=7B"]),
        ("WWW.Contoso.com?to=http://B.org/X#End", ["http://www.contoso.com/?to=http://B.org/X#End"]),
        ("Www.Contoso.com#End", ["http://www.contoso.com/#End"]),
        ("call 1-800-555-1212", ["tel:1-800-555-1212"]),
        ("978-555-0123", ["tel:978-555-0123"]),
        ("see www.contoso.com/Team.", ["http://www.contoso.com/Team"]),
        ("https://fabrikam.example/Team", ["https://fabrikam.example/Team"]),
        ("a@b.org, www.b.org", ["mailto:a@b.org", "http://www.b.org/"]),
    ],
)
def test_addresses_are_written_as_the_reference_shows_them(text: str, expected: list[str]) -> None:
    """Mail, web and numbers become URIs; no country code is invented."""
    assert [address for address, _, _ in find_addresses(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "Best before 2028-03-12",
        "12.03.2028",
        "1931 - 2026",
        "4006381333931",
        "4 006381 333931",
        "978-3-16-148410-0",
        "ISBN 979 10 90636 07 1",
        "ISBN: 3-16-148410-0",
        "0 19 852663 6",
        "0-8044-2957-X",
        "http://[v1",
        "192.168.10.12",
        "EUR 1.234.567,00",
        "10 000 000",
        "48874",
        "Lot 48874-B",
        "www",
        "a @ b",
    ],
)
def test_other_numbers_and_words_are_no_addresses(text: str) -> None:
    """Dates, years, prices, product codes and IP addresses are no telephone numbers."""
    assert list(find_addresses(text)) == []


def test_an_address_has_its_part_of_the_line_and_is_returned_once() -> None:
    """The box is cut from the line's in proportion to the characters."""
    line = TextLine(text="call 888 555 1212 now", box=BOX, words=())
    (uri,) = find_uris([line, line])
    assert [uri.box[0][0], uri.box[1][0]] == pytest.approx([5 / 21, 17 / 21])


@given(st.text(alphabet="0123456789 +-./@wWhtps:()[]?#ab", max_size=60))
def test_any_text_can_be_searched(text: str) -> None:
    """Start and end are within the line, and telephone numbers have 7 to 15 digits."""
    for address, start, end in find_addresses(text):
        assert 0 <= start < end <= len(text)
        if address.startswith("tel:"):
            assert 7 <= sum(map(str.isdigit, text[start:end])) <= 15
