"""Search terms as trees: every operator, and what is no operator."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.search.expression import (
    MAX_TERMS,
    UNSUPPORTED,
    Expression,
    ExpressionError,
    FileType,
    Group,
    Not,
    Site,
    Text,
    parse,
    relax,
    texts,
)


def shown(expression: Expression | None) -> str:
    """Write a tree on one line: quotes around what matches as it is, a tilde after what is relaxed."""
    if expression is None:
        return "nothing"
    if isinstance(expression, Group):
        parts = f" {expression.operator} ".join(map(shown, expression.parts))
        return f"({parts}){'~' if expression.relaxed else ''}"
    if isinstance(expression, Not):
        return f"NOT {shown(expression.part)}"
    if isinstance(expression, Site):
        return f"site:{expression.host}{expression.path}"
    if isinstance(expression, FileType):
        return f"filetype:{expression.format}"
    text = " ".join(expression.words)
    return ("intitle:" if expression.in_title else "") + (f'"{text}"' if expression.whole else text)


@pytest.mark.parametrize(
    ("term", "tree"),
    [
        ("blue mug", "(blue AND mug)~"),
        ("mug -teal", '(mug AND NOT "teal")~'),
        ("mug NOT teal", '(mug AND NOT "teal")~'),
        ("mug AND NOT teal", '(mug AND NOT "teal")'),
        ("NOT NOT mug", "mug"),
        ("red OR blue mug", "(red OR (blue AND mug)~)"),
        ("(red OR blue) mug", "((red OR blue) AND mug)~"),
        ("red|blue", "(red OR blue)"),
        ("red & blue", "(red AND blue)"),
        ('"red heart" mug', '("red heart" AND mug)~'),
        ('mug -"red heart"', '(mug AND NOT "red heart")~'),
        ("mug -(teal OR (red blue))", '(mug AND NOT ("teal" OR ("red" AND "blue")))~'),
        ("+the mug", '("the" AND mug)~'),
        ("site:www.Shop.example/mugs/ mug", "(site:shop.example/mugs AND mug)~"),
        ("site:https://shop.example/mugs?x=1", "site:shop.example/mugs"),
        ("mug -site:shop.example", "(mug AND NOT site:shop.example)~"),
        ("mug site:a.example OR site:b.example", "((mug AND site:a.example)~ OR site:b.example)"),
        ('intitle:red INTITLE:"blue mug"', '(intitle:"red" AND intitle:"blue mug")~'),
        ("filetype:JPG -filetype:.png", "(filetype:jpeg AND NOT filetype:png)~"),
        ("T-shirt l'eau", "(T shirt AND l eau)~"),
        ("mug - teal", "(mug AND teal)~"),
        ("mug-teal", "mug teal"),
        ("ratio 16:9 note: foo:bar", "(ratio AND 16 AND 9 AND note AND foo AND bar)~"),
        ("mug or not and teal", "(mug AND or AND not AND and AND teal)~"),
        ('mug" OR *', "mug"),
        ("OR mug AND", "mug"),
        ("mug :) (red", "(mug AND red)"),
        ('() "" - |', "nothing"),
    ],
)
def test_terms_become_trees(term: str, tree: str) -> None:
    """Operators group and negate; what only looks like one is text, or nothing."""
    assert shown(parse(term)) == tree


@pytest.mark.parametrize("operator", sorted(UNSUPPORTED))
def test_every_other_operator_is_refused_by_name(operator: str) -> None:
    """Taking it for a word would give wrong results."""
    for term in (f"mug {operator}:x", f'-{operator.upper()}:"x y"'):
        with pytest.raises(ExpressionError, match=f"no operator {operator}:; it has site:, intitle:, filetype:"):
            parse(term)


@pytest.mark.parametrize(
    ("term", "problem"),
    [
        ("site:http:// mug", "site: needs a host"),
        ("site:[x mug", "site: needs a host"),
        ("intitle:!!", "intitle: needs a word"),
        ("(" * 30 + "mug", "nested 20 deep"),
        ("a " * (MAX_TERMS + 1), "at most 300 words"),
    ],
    ids=lambda value: value[:12],
)
def test_what_is_not_complete_is_refused(term: str, problem: str) -> None:
    """One sentence says what is missing, or too much."""
    with pytest.raises(ExpressionError, match=problem):
        parse(term)


def test_one_word_of_several_is_enough_the_second_time() -> None:
    """Operators and phrases are still required, and so is all that AND stands between."""
    assert shown(relax(parse('red mug "for tea" -teal site:a.example'))) == (
        '((red OR mug) AND "for tea" AND NOT "teal" AND site:a.example)'
    )
    assert [relax(parse(term)) for term in ("mug", "red AND mug", '"red mug" tea', "red OR mug")] == [None] * 4


def test_only_what_may_match_counts_for_the_order() -> None:
    """Words behind NOT are in no result."""
    assert [text.words for text in texts(parse('red "hot mug" -teal (a OR b) site:c.example'))] == [
        ("red",),
        ("hot", "mug"),
        ("a",),
        ("b",),
    ]


@given(st.text(alphabet='ab -+"()|&:/\\.*NOTRAD', max_size=80))
def test_every_text_is_a_tree_or_a_problem(term: str) -> None:
    """Whatever is typed, nothing else happens."""
    try:
        expression = parse(term)
    except ExpressionError:
        return
    assert expression is None or shown(expression)
    assert all(isinstance(text, Text) for text in texts(expression))
