"""The words and operators of a search term as a tree; pure. What is wrong with a term raises ExpressionError.

Operators: "a phrase", -word and NOT, OR and |, AND and &, parentheses, site:, intitle:, filetype:. Words side by side
must all match. OR binds least; NOT, AND and OR are operators in capitals only. An operator without its operand, or a
bracket without its partner, counts as nothing, since titles that are searched for contain them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

MAX_DEPTH, MAX_TERMS = 20, 300
_WORD = re.compile(r"\w+")
_COMPOUND = re.compile(r"\w+(?:[-'\u2019]\w+)*")
_TOKEN = re.compile(
    r'(?P<sign>(?<![^\s(])[-+](?=[\w"(]))?'
    r'(?:(?P<field>[A-Za-z]+):(?=[^\s()"]))?'
    r'(?P<quoted_field>[A-Za-z]+:(?="[^"]*"))?'
    r'(?:"(?P<phrase>[^"]*)"|(?P<punctuation>[()|&])|(?P<text>[^\s()"|&]+))?'
)
SUPPORTED = ("site", "intitle", "filetype")
# Further operators of the search engine; a colon after any other word is part of the text.
UNSUPPORTED = frozenset(
    {"contains", "define", "domain", "ext", "feed", "hasfeed", "imagesize", "inanchor", "inbody", "instreamset",
     "inurl", "ip", "keyword", "language", "linkfromdomain", "literalmeta", "loc", "location", "msite", "near",
     "noalter", "norelax", "prefer", "url"}
)  # fmt: skip
_FORMATS = {"jpg": "jpeg", "jpe": "jpeg", "tif": "tiff"}


class ExpressionError(ValueError):
    """A search term has an operator that this search does not have, or that is not complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words that must occur side by side, anywhere or in the title; the last one may go on, unless it is `whole`."""

    words: tuple[str, ...]
    whole: bool = False
    in_title: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The host of the page, or a host above it, without "www.", and what its path begins with."""

    host: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """The format of the picture, by its name in lower case, such as jpeg."""

    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """What must not match."""

    part: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Parts that must all match, or one of which must match; `relaxed`: one word of those side by side is enough."""

    operator: Literal["AND", "OR"]
    parts: tuple[Expression, ...]
    relaxed: bool = False


Expression = Text | Site | FileType | Not | Group


def parse(text: str) -> Expression | None:
    """Return the tree of a search term; None where it has neither a word nor an operator."""
    return _Parser(list(_tokens(text))).parse()


def relax(expression: Expression | None) -> Expression | None:
    """Return the expression of which one word is enough, where several stand side by side; None where none do."""
    if not isinstance(expression, Group) or not expression.relaxed:
        return None
    words = tuple(part for part in expression.parts if isinstance(part, Text) and not part.whole and not part.in_title)
    if len(words) < 2:
        return None
    others = tuple(part for part in expression.parts if part not in words)
    return _group("AND", [Group(operator="OR", parts=words), *others])


def texts(expression: Expression | None) -> tuple[Text, ...]:
    """Return the words and phrases that may match, in their order, without those that must not."""
    if isinstance(expression, Text):
        return (expression,)
    parts = expression.parts if isinstance(expression, Group) else ()
    return tuple(text for part in parts for text in texts(part))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["(", ")", "OR", "AND", "NOT", "term"]
    term: Expression | None = None


def _tokens(text: str) -> Iterator[_Token]:
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        assert match is not None
        if match.end() == place:  # a blank, or a quote without its partner
            place += 1
            continue
        place = match.end()
        yield from _read(match)


def _read(match: re.Match[str]) -> Iterator[_Token]:
    sign, punctuation = match["sign"], match["punctuation"]
    if sign == "-":
        yield _Token("NOT")
    if punctuation:
        yield _Token({"|": "OR", "&": "AND"}.get(punctuation, punctuation))  # type: ignore[arg-type]  # the others are brackets
        return
    plain, phrase = match["text"] or "", match["phrase"]
    name = (match["field"] or (match["quoted_field"] or "").rstrip(":")).lower()
    if name in UNSUPPORTED:
        raise ExpressionError(f"this search has no operator {name}:; it has {', '.join(f'{n}:' for n in SUPPORTED)}")
    if name in SUPPORTED:
        yield _Token("term", _field(name, plain if phrase is None else phrase))
    elif not sign and not name and plain in {"OR", "AND", "NOT"}:
        yield _Token(plain)  # type: ignore[arg-type]  # one of the three
    elif phrase is not None:
        yield from _words(name)
        if words := tuple(_WORD.findall(phrase)):
            yield _Token("term", Text(words=words, whole=True))
    else:
        yield from _words(f"{name} {plain}", is_whole=bool(sign))


def _words(text: str, *, is_whole: bool = False) -> Iterator[_Token]:
    """Yield the words of a piece of text, T-shirt as one; those of a piece that is marked with a sign are one too."""
    pieces = [text] if is_whole else _COMPOUND.findall(text)
    for piece in pieces:
        if words := tuple(_WORD.findall(piece)):
            yield _Token("term", Text(words=words, whole=is_whole))


def _field(name: str, value: str) -> Expression:
    if name == "filetype":
        extension = value.lower().lstrip(".")
        return FileType(format=_FORMATS.get(extension, extension))
    if name == "intitle":
        words = tuple(_WORD.findall(value))
        if not words:
            raise ExpressionError("intitle: needs a word, or a phrase in quotes")
        return Text(words=words, in_title=True, whole=True)
    return _site(value)


def _site(value: str) -> Site:
    try:
        parts = urlsplit(value if "//" in value else f"//{value}")
        host = parts.hostname
    except ValueError:
        host = None
    if not host or "@" in value:
        raise ExpressionError(f"site: needs a host, with or without a path; it has {value!r}")
    return Site(host=host.removeprefix("www."), path=parts.path.rstrip("/"))


class _Parser:
    """Descends through OR, AND and NOT to terms and brackets."""

    def __init__(self, tokens: list[_Token]) -> None:
        if sum(token.kind == "term" for token in tokens) > MAX_TERMS:
            raise ExpressionError(f"a search term has at most {MAX_TERMS} words")
        self._tokens = tokens
        self._place = 0

    def parse(self) -> Expression | None:
        parts = []
        while self._place < len(self._tokens):
            parts.append(self._any(0))
            self._take(")")  # one that nothing opened
        return _group("AND", parts, relaxed=len(parts) == 1)

    def _any(self, depth: int) -> Expression | None:
        parts = [self._all(depth)]
        while self._take("OR"):
            parts.append(self._all(depth))
        return _group("OR", parts)

    def _all(self, depth: int) -> Expression | None:
        parts: list[Expression | None] = []
        is_relaxed = True
        while self._place < len(self._tokens) and self._tokens[self._place].kind not in {"OR", ")"}:
            if self._take("AND"):
                is_relaxed = False
            else:
                parts.append(self._one(depth))
        return _group("AND", parts, relaxed=is_relaxed)

    def _one(self, depth: int) -> Expression | None:
        is_negated = False
        while self._take("NOT"):
            is_negated = not is_negated
        part = self._operand(depth)
        return Not(part=_whole(part)) if is_negated and part is not None else part

    def _operand(self, depth: int) -> Expression | None:
        if self._take("("):
            if depth >= MAX_DEPTH:
                raise ExpressionError(f"brackets may be nested {MAX_DEPTH} deep")
            part = self._any(depth + 1)
            self._take(")")
            return part
        if self._place < len(self._tokens) and self._tokens[self._place].kind == "term":
            self._place += 1
            return self._tokens[self._place - 1].term
        return None

    def _take(self, kind: str) -> bool:
        is_next = self._place < len(self._tokens) and self._tokens[self._place].kind == kind
        self._place += is_next
        return is_next


def _group(
    operator: Literal["AND", "OR"], parts: list[Expression | None], *, relaxed: bool = False
) -> Expression | None:
    """Return the group of the parts that are there, or the only one."""
    given = tuple(part for part in parts if part is not None)
    if len(given) < 2:
        return given[0] if given else None
    return Group(operator=operator, parts=given, relaxed=relaxed)


def _whole(expression: Expression) -> Expression:
    """Return an expression whose words match as they are: -teal leaves out no tealight."""
    if isinstance(expression, Text):
        return Text(words=expression.words, whole=True, in_title=expression.in_title)
    if isinstance(expression, Group):
        return Group(operator=expression.operator, parts=tuple(map(_whole, expression.parts)))
    return expression
