"""Nothing of a response is lost: each value is in the reading, or in the short list of what is left out on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from pipeline.providers.bing.provider import Bing
from pipeline.records import Answer, Page, Reading, Request
from pipeline.schema import json_schema

# What is left out on purpose, by the path of the value in the response. A prefix says in which tag it is: "own" is the
# tag of the whole picture, "##" a tag with such a name.
OMITTED = {
    r"PingSuffix$": "reports to the service that a link was followed; no content",
    r"^instrumentation\.": "the same for the whole page",
    r"(?<!\.entity)(?<!\.data)\b_type$": "a type hint; an entity's is kept, and a listed action's",
    r"\.currentOffset$": "repeats the offset of the request",
    r"^(own|##) .*\.actionType$": "stands for the insight, which is a field of the record",
    r"^(own|##) tags\[\d+\]\.displayName$": "empty, or a name that must not be shown (Visual Search query guide)",
    r"^## .*\.image\.thumbnailUrl$": "the thumbnail of such a tag: a search for its name",
    r"^## .*\.displayRectangle\.": "the hot spot of such a tag",
}
STRUCTURE = ("_type", "actionType", "category")
DAY = datetime(2001, 1, 1, tzinfo=UTC)


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, node


def distinct(node: Any, counter: Iterator[int], key: str = "") -> Any:
    """Return the same response with all values different, so that none can be taken for another."""
    if isinstance(node, dict):
        return {name: distinct(value, counter, name) for name, value in node.items()}
    if isinstance(node, list):
        return [distinct(value, counter, key) for value in node]
    number = next(counter)
    if isinstance(node, bool) or node is None or key in STRUCTURE or node == "" or str(node).startswith("##"):
        return node
    if isinstance(node, str):
        return _distinct_text(node, number, key)
    return 10_000_000 + number if isinstance(node, int) and key not in "xy" else number / 100_000


def _distinct_text(text: str, number: int, key: str) -> str:
    if key == "contentSize":
        return f"{1_000_000 + number} B"
    if key == "accentColor":
        return f"{0xA00000 + number:06X}"
    if key in {"datePublished", "lastUpdated"}:
        return (DAY + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%S") + text[19:]
    return f"{text} {number}"


def forms(value: Any) -> set[Any]:
    """Return the forms that a value may have in the record."""
    if not isinstance(value, str):
        return {value}
    size = re.fullmatch(r"(\d+) B", value)
    return {
        value,
        value.removeprefix("ContractualRules/"),
        f"#{value.lower()}",
        value[:10],
        f"{value[:19]}Z",
        *([int(size[1])] if size else []),
    }


def is_omitted(path: str, answer: Any) -> bool:
    tag = re.match(r"tags\[(\d+)\]", path)
    name = answer["tags"][int(tag[1])]["displayName"] if tag else "-"
    marked = f"## {path}" if name.startswith("##") else path if name else f"own {path}"
    return any(re.search(pattern, marked) for pattern in OMITTED)


def lost(answer: Any, read: Any) -> list[tuple[str, Any]]:
    known = {value for _, value in leaves(read)}
    return [
        (path, value) for path, value in leaves(answer) if not is_omitted(path, answer) and not forms(value) & known
    ]


def counter() -> Iterator[int]:
    return iter(range(1, 100_000))


def read_whole(provider: Bing, request: Request, answer: Answer) -> Any:
    if "value" in orjson.loads(answer.body) or "categories" in orjson.loads(answer.body):
        page = provider.read_search(request, answer)
        assert isinstance(page, Page)
        return {**asdict(page), "other": page.summary["other"]}
    outcome = provider.read(request, answer)
    assert isinstance(outcome, Reading)
    return outcome.insights


OWN = ["knowledge", "older_text", "insights", "recognized_entities", "search", "trending"]
RECORDED = ["ImageDetail", "ImageSearch", "ImageTrending", "VisualSearchWithBinary", "VisualSearchWithUrl"]


@pytest.mark.parametrize("name", OWN)
def test_loses_nothing_of_own_answers(
    name: str,
    own: Callable[[str], Any],
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
) -> None:
    """No value is lost of responses with every documented object."""
    document = distinct(own(name), counter())
    assert lost(document, read_whole(make(), request_for(), answer(document))) == []


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("is_distinct", [False, True], ids=["as recorded", "distinct values"])
def test_loses_nothing_of_recordings(
    name: str,
    is_distinct: bool,
    shared_recordings: Path,
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
) -> None:
    """No value is lost of recorded responses of the real service."""
    document = orjson.loads((shared_recordings / f"net-{name}.json").read_bytes().removeprefix(b"\xef\xbb\xbf"))
    if is_distinct:
        document = distinct(document, counter())
    read = read_whole(make(), request_for(), answer(document))
    assert lost(document, read) == []
    assert read["other"] == []


def test_notices_a_loss(own: Callable[[str], Any]) -> None:
    """The check itself fails if a value is missing from the record."""
    document = distinct(own("insights"), counter())
    assert ("imageTags.value[0].name", document["imageTags"]["value"][0]["name"]) in lost(document, {})


def test_counts_of_recordings(
    shared_recordings: Path,
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
) -> None:
    """The recordings hold as many items as were counted in them by hand."""

    def read(name: str) -> Any:
        body = (shared_recordings / f"net-{name}.json").read_bytes()
        return read_whole(make(), request_for(), answer(body))

    binary, detail = read("VisualSearchWithBinary"), read("ImageDetail")
    assert [len(binary[name]) for name in ("pages", "related_searches", "suggestions")] == [31, 13, 13]
    assert len(binary["similar_images"]["items"]) == 35
    assert (len(detail["pages"]), len(detail["tags"])) == (41, 10)
    assert len(read("ImageSearch")["images"]) == 35
    tiles = read("ImageTrending")["images"]
    assert (len({tile["category"] for tile in tiles}), len(tiles)) == (7, 85)


@pytest.mark.parametrize("name", OWN[:4])
@pytest.mark.parametrize("provider", ["bing", "local"])
def test_reads_into_the_schema(
    name: str,
    provider: str,
    own: Callable[[str], Any],
    make: Callable[..., Bing],
    request_for: Callable[..., Request],
    answer: Callable[..., Answer],
) -> None:
    """Insights fit the JSON Schema of the record."""
    outcome = make(provider).read(request_for(), answer(own(name)))
    assert isinstance(outcome, Reading)
    record = {
        "schema": "1",
        "id": "1",
        "ordinal": 0,
        "status": "ok",
        "provider": provider,
        "asked_at": "2026-01-31T00:00:00Z",
        "carry": {},
        "source": {},
        "sent": {"form": "token"},
        "calls": {"count": 1, "attempts": 1, "ms": 1.0, "trace_ids": [], "from_store": False},
    }
    Draft202012Validator(json_schema()).validate(record | outcome.insights)
