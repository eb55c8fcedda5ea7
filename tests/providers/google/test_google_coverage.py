"""Nothing of an answer is lost: each leaf is in the record, or on the short list of what is left out on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from pipeline.providers.google.settings import FEATURES
from pipeline.records import Reading
from pipeline.schema import json_schema
from tests.providers.google.conftest import answer_of, google, sent
from tests.providers.google.vision_answers import annotate
from tests.running import draw

PRODUCT_SET = "projects/p/locations/l/productSets/s"
ALL = tuple(name for name in FEATURES if name != "text")
RECORDED = ["english-page", "dense-text"]
BLOCK = r"fullTextAnnotation\.pages\[\d+\]\.blocks\[\d+\]"
PARAGRAPH = BLOCK + r"\.paragraphs\[\d+\]"
WORD = PARAGRAPH + r"\.words\[\d+\]"
# What is left out on purpose, by the path of the leaf in a response.
OMITTED = {
    r"^textAnnotations\[[1-9]\d*\]\.": "the words once more: fullTextAnnotation has them with their lines",
    r"^fullTextAnnotation\.pages\[\d+\]\.(width|height)$": "the size of what was sent",
    rf"^{PARAGRAPH}\.boundingBox\.": "a paragraph's box: the record has blocks and lines",
    rf"^{PARAGRAPH}\.(property|confidence)": "the block's language and certainty, in smaller pieces",
    rf"^{WORD}\.property\.": "the block's language again",
    rf"^{WORD}\.symbols\[\d+\]\.(boundingBox|confidence|property\.detectedLanguages)": "letter by letter",
    rf"^{WORD}\.symbols\[\d+\]\.property\.detectedBreak\.": "where lines are cut",
}
LIKELIHOODS = {"VERY_UNLIKELY": 0.0, "UNLIKELY": 0.25, "POSSIBLE": 0.5, "LIKELY": 0.75, "VERY_LIKELY": 1.0}


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its path; a list or an object without any is one, too."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}".removeprefix("."))
    elif isinstance(node, (list, tuple)) and node:
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}[{index}]")
    else:
        yield path, node


def forms(path: str, value: Any, size: tuple[int, int]) -> set[Any]:
    """Return what a leaf may have become in the record."""
    if path.endswith((".x", ".y")) and "ertices" in path:
        side = 1 if "normalized" in path else size[0] if path.endswith(".x") else size[1]
        return {round(min(max(value / side, 0), 1), 6), value}
    if path.endswith(".pageTitle"):
        return {"All about mugs", "A mug & Tom's saucer", "Crop"}
    if path.startswith("safeSearchAnnotation."):
        return {LIKELIHOODS[value]}
    if ".color." in path:
        return {f"{value:02x}"}
    return {value, value.rstrip("\n")} if isinstance(value, str) else {value}


def lost(response: Any, insights: Any, size: tuple[int, int]) -> list[tuple[str, Any]]:
    """Return the leaves that are neither in the record nor on the list."""
    known = {value for _, value in leaves(insights) if not isinstance(value, (dict, list))}
    known |= {colour["hex"][at : at + 2] for colour in insights["dominant_colors"] for at in (1, 3, 5)}
    words = {word["text"] for region in regions(insights) for line in region["lines"] for word in line["words"]}
    symbols = set("".join(words))
    return [
        (path, value)
        for path, value in leaves(response)
        if value not in ({}, [])
        and not any(re.search(pattern, path) for pattern in OMITTED)
        and not (path.endswith("].text") and value in symbols)
        and not forms(path, value, size) & known
    ]


def regions(insights: Any) -> Any:
    return insights.get("text", {}).get("regions", ())


def read(response: Any, size: tuple[int, int]) -> Any:
    provider = google(features=ALL, product_set=PRODUCT_SET)
    outcome = provider.read(sent(size), answer_of({"responses": [response]}))
    assert isinstance(outcome, Reading)
    return outcome.insights


@pytest.fixture
def everything(tmp_path: Path) -> Any:
    """Return what the fake says of a picture with every feature that there is."""
    picture = draw(tmp_path / "p.png", 1, (200, 100)).read_bytes()
    features = dict.fromkeys((FEATURES[name] for name in ALL), 0)
    return annotate(picture, features, {"textDetectionParams": {"enableTextDetectionConfidenceScore": True}})


def test_loses_nothing_of_any_feature(everything: Any) -> None:
    """Every field of every annotation that the discovery document has."""
    assert len(everything) == len(ALL) + 1  # text comes in two forms
    assert lost(everything, read(everything, (200, 100)), (200, 100)) == []


@pytest.mark.parametrize("name", RECORDED)
def test_loses_nothing_of_real_answers(name: str, shared_recordings: Path) -> None:
    """Recorded answers of the real service, a page of print and one of handwriting."""
    response, size = recorded(name, shared_recordings)
    assert lost(response, read(response, size), size) == []


def recorded(name: str, folder: Path) -> tuple[Any, tuple[int, int]]:
    """Return a recorded response and the size of its picture."""
    document = orjson.loads((folder / "vision" / f"{name}.json").read_bytes())
    with Image.open(folder / "vision" / f"{name}.jpg") as picture:
        return document.get("responses", [document])[0], picture.size


@pytest.mark.parametrize(("name", "counts"), [("english-page", (5, 32, 425)), ("dense-text", (19, 36, 237))])
def test_counts_of_real_answers(name: str, counts: tuple[int, int, int], shared_recordings: Path) -> None:
    """As many regions, lines and words as were counted on the pictures and in the answers; each lies in its region."""
    response, size = recorded(name, shared_recordings)
    blocks = regions(read(response, size))
    lines = [line for region in blocks for line in region["lines"]]
    assert (len(blocks), len(lines), sum(len(line["words"]) for line in lines)) == counts
    for region in blocks:
        for line in region["lines"]:
            assert all(is_inside(word["box"], line["box"]) for word in line["words"])
            assert is_inside(line["box"], region["box"], slack=0.05)


def is_inside(inner: Any, outer: Any, slack: float = 0.001) -> bool:
    """Return True if the upright rectangle around one box is inside that around another."""
    return all(
        min(point[axis] for point in inner) >= min(point[axis] for point in outer) - slack
        and max(point[axis] for point in inner) <= max(point[axis] for point in outer) + slack
        for axis in "xy"
    )


def test_notices_a_loss(everything: Any) -> None:
    """The check itself fails where a value is missing from the record."""
    insights = read(everything, (200, 100))
    insights["tags"] = []
    assert ("localizedObjectAnnotations[0].score", 0.81) in lost(everything, insights, (200, 100))


def test_reads_into_the_schema(everything: Any) -> None:
    """Insights of every feature fit the JSON Schema of the record."""
    record = {
        "schema": "1",
        "id": "1",
        "ordinal": 0,
        "status": "ok",
        "provider": "google",
        "asked_at": "2026-01-31T00:00:00Z",
        "carry": {},
        "source": {},
        "sent": {"form": "bytes"},
        "calls": {"count": 1, "attempts": 1, "ms": 1.0, "trace_ids": [], "from_store": False},
    }
    Draft202012Validator(json_schema()).validate(record | read(everything, (200, 100)))
