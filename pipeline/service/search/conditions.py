"""A search as conditions of SQL: the expression over the full-text index, and the filters over the facts."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.service.search.expression import Expression, FileType, Group, Not, Site, Text
from pipeline.service.search.query import ImageType, NumberRange, SearchFilters

# A piece of SQL, and the values of its question marks. All text of a caller is a value.
Condition = tuple[str, tuple[object, ...]]

# The ratio of the sides from which a picture no longer looks square; the reference gives no number.
MIN_OBLONG_RATIO = 1.15

# From these sides on, a wide picture fills a screen; the reference gives no number.
WALLPAPER_PX = (1366, 768)
_IMAGE_TYPES: dict[ImageType, str] = {
    "AnimatedGif": "f.animated",
    "AnimatedGifHttps": "f.animated AND f.is_https",
    "Photo": "NOT f.animated",
    "Shopping": "f.priced",
    "Transparent": "f.transparent",
}
# What each value of the license filter lets through (Image Search reference, license).
LICENSES = {
    "Any": ("Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially"),
    "Public": ("Public",),
    "Share": ("Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially"),
    "ShareCommercially": ("Public", "ShareCommercially", "ModifyCommercially"),
    "Modify": ("Public", "Modify", "ModifyCommercially"),
    "ModifyCommercially": ("Public", "ModifyCommercially"),
}


def all_of(conditions: list[Condition], operator: str = "AND") -> Condition:
    """Return the condition that all conditions make, or one of them with OR."""
    if not conditions:
        return "1", ()
    joined = f" {operator} ".join(sql for sql, _ in conditions)
    return f"({joined})", tuple(value for _, values in conditions for value in values)


def expression_condition(expression: Expression) -> Condition:
    """Return what a row must be like to match an expression."""
    if _is_text(expression):
        return "f.number IN (SELECT rowid FROM words WHERE words MATCH ?)", (match_text(expression),)
    if isinstance(expression, Group):
        return all_of([expression_condition(part) for part in _joined_texts(expression)], expression.operator)
    if isinstance(expression, Not):
        sql, values = expression_condition(expression.part)
        return f"NOT {sql}", values
    if isinstance(expression, FileType):
        return "(coalesce(f.format, '') = ?)", (expression.format,)
    assert isinstance(expression, Site)
    return _site(expression)


def match_text(expression: Expression) -> str:
    """Return an expression of words as a query of the full-text index; every word is in quotes."""
    if isinstance(expression, Group):
        return f" {expression.operator} ".join(f"({match_text(part)})" for part in expression.parts)
    assert isinstance(expression, Text)
    phrase = f'"{" ".join(expression.words)}"' + ("" if expression.whole else "*")
    return f"title : {phrase}" if expression.in_title else phrase


def filter_conditions(filters: SearchFilters) -> list[Condition]:
    """Return what each filter wants."""
    clauses = [*_within("width", filters.width), *_within("height", filters.height), *_within("bytes", filters.bytes)]
    clauses += [*_size_and_aspect(filters), *_moments(filters)]
    if filters.color:
        clauses.append(("' ' || f.colors || ' ' LIKE ?", f"% {filters.color} %"))
    conditions: list[Condition] = [(sql, (value,)) for sql, value in clauses]
    if filters.image_type:
        conditions.append((_IMAGE_TYPES[filters.image_type], ()))
    if filters.license:
        allowed = LICENSES[filters.license]
        conditions.append((f"f.license IN ({', '.join('?' * len(allowed))})", allowed))
    return [*conditions, ("f.adult IS NOT 1", ())] if filters.without_adult else conditions


def _is_text(expression: Expression) -> bool:
    if isinstance(expression, Group):
        return all(map(_is_text, expression.parts))
    return isinstance(expression, Text)


def _joined_texts(group: Group) -> list[Expression]:
    """Return the parts of a group, all its words as one: the full-text index joins them fastest."""
    texts = tuple(part for part in group.parts if _is_text(part))
    others = [part for part in group.parts if not _is_text(part)]
    joined = Group(operator=group.operator, parts=texts) if len(texts) > 1 else None
    return [joined, *others] if joined else [*texts, *others]


def _site(site: Site) -> Condition:
    conditions: list[Condition] = [("'.' || coalesce(f.site, '') LIKE ? ESCAPE '\\'", (f"%.{_like(site.host)}",))]
    if site.path:
        conditions.append(("f.path || '/' LIKE ? ESCAPE '\\'", (f"{_like(site.path)}/%",)))
    return all_of(conditions)


def _like(text: str) -> str:
    """Return text in which LIKE sees no wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _within(column: str, bounds: NumberRange) -> Iterator[tuple[str, object]]:
    if bounds.low is not None:
        yield f"f.{column} >= ?", bounds.low
    if bounds.high is not None:
        yield f"f.{column} <= ?", bounds.high


def _size_and_aspect(filters: SearchFilters) -> Iterator[tuple[str, object]]:
    """Translate size and aspect (Image Search reference: small is under 200 x 200, large from 500 x 500)."""
    if filters.size == "Small":
        yield "max(f.width, f.height) < ?", 200
    if filters.size == "Medium":
        yield "max(f.width, f.height) >= ?", 200
        yield "min(f.width, f.height) < ?", 500
    if filters.size == "Large":
        yield "min(f.width, f.height) >= ?", 500
    if filters.size == "Wallpaper":
        yield "f.width >= ?", WALLPAPER_PX[0]
        yield "f.height >= ?", WALLPAPER_PX[1]
        yield "f.width >= f.height * ?", MIN_OBLONG_RATIO
    oblong = {"Wide": "f.width >= f.height * ?", "Tall": "f.height >= f.width * ?"}
    if filters.aspect in oblong:
        yield oblong[filters.aspect], MIN_OBLONG_RATIO
    if filters.aspect == "Square":
        yield "max(f.width, f.height) < min(f.width, f.height) * ?", MIN_OBLONG_RATIO


def _moments(filters: SearchFilters) -> Iterator[tuple[str, object]]:
    if filters.since is not None:
        yield "f.moment >= ?", filters.since.strftime(_MOMENT)
    if filters.until is not None:
        yield "f.moment != '' AND f.moment < ?", filters.until.strftime(_MOMENT)


_MOMENT = "%Y-%m-%dT%H:%M:%S"
