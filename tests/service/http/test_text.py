"""The text of a picture over HTTP: in both forms of the protocol, with its addresses, in searches, and reasons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.service.engine.pictures import WHOLE
from pipeline.service.findings import Engine
from pipeline.service.text.recognised_text import Quad, RecognisedText, TextLine, TextRegion, TextWord
from pipeline.service.text.store import TextStore

BOX: Quad = ((0.1, 0.2), (0.5, 0.2), (0.5, 0.3), (0.1, 0.3))
LINES = ("Bridge 7", "888 555 1212")
TEXT = RecognisedText(
    regions=(
        TextRegion(box=BOX, lines=tuple(TextLine(text=t, box=BOX, words=(TextWord(text=t, box=BOX),)) for t in LINES)),
    )
)
CORNERS = {
    "topLeft": {"x": 0.1, "y": 0.2},
    "topRight": {"x": 0.5, "y": 0.2},
    "bottomRight": {"x": 0.5, "y": 0.3},
    "bottomLeft": {"x": 0.1, "y": 0.3},
}


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Store the text of the picture that the fixed engine knows, and of one of its rows."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab" * 32, WHOLE, TEXT)
    store.put(f"{7:064x}", WHOLE, TEXT)
    store.close()
    return tmp_path / "texts.db"


def reasons(body: dict[str, Any]) -> dict[str, str]:
    return {each["kind"]: each["reason"] for each in body["unavailable"]}


def test_text_has_both_forms_and_its_addresses(
    engine: Engine, start: Callable[..., Any], texts: Path, picture: bytes
) -> None:
    """One tag has regions, lines and words, and the whole text; each address has its own.

    Sources: Visual Search query and response guides.
    """
    body = start(engine, text=True, texts=texts).visual_search(picture=picture).json
    whole, phone = [tag for tag in body["tags"] if tag["displayName"] == "##TextRecognition"]
    assert whole["sources"] == phone["sources"] == ["OCR"]
    recognition, results = whole["actions"]
    assert recognition["_type"] == "ImageKnowledge/TextRecognitionAction"
    (region,) = recognition["data"]["regions"]
    assert region["boundingBox"] == CORNERS
    assert [line["text"] for line in region["lines"]] == list(LINES)
    assert region["lines"][0]["words"] == [{"text": "Bridge 7", "boundingBox": CORNERS}]
    assert results == {"displayName": "Bridge 7\n888 555 1212", "actionType": "TextResults"}
    assert phone["actions"] == [{"url": "tel:888%20555%201212", "actionType": "Uri"}]
    assert {"text", "uris"}.isdisjoint(reasons(body))


def test_a_picture_without_text_has_no_text_tag(
    engine: Engine, start: Callable[..., Any], tmp_path: Path, picture: bytes
) -> None:
    """It was read, so nothing is unavailable."""
    store = TextStore(tmp_path / "texts.db")
    store.put("ab" * 32, WHOLE, RecognisedText())
    store.close()
    body = start(engine, text=True, texts=tmp_path / "texts.db").visual_search(picture=picture).json
    assert not [tag for tag in body["tags"] if tag["displayName"].startswith("##")]
    assert {"text", "uris"}.isdisjoint(reasons(body))


def test_text_that_is_switched_off_is_unavailable(engine: Engine, start: Callable[..., Any], picture: bytes) -> None:
    """Text and addresses have that as the reason."""
    body = start(engine, text=False).visual_search(picture=picture).json
    assert reasons(body)["text"] == reasons(body)["uris"] == "text recognition is switched off"


def test_details_and_one_skill_have_no_text(
    engine: Engine, start: Callable[..., Any], texts: Path, picture: bytes
) -> None:
    """A response of /images/details says where the text is; a response with one insight has no text."""
    service = start(engine, text=True, texts=texts)
    details = service.send("POST", "/v7.0/images/details", picture, Content_Type="image/png").json
    assert "/images/visualsearch has it" in reasons(details)["text"]
    skill = {"knowledgeRequest": {"invokedSkills": ["SimilarImages"]}}
    assert [tag["displayName"] for tag in service.visual_search(skill, picture).json["tags"]] == [""]


def test_a_search_finds_the_text_in_pictures(engine: Engine, start: Callable[..., Any], texts: Path) -> None:
    """Words of the title and of the picture count together, also if they were read after the first search."""
    service = start(engine, text=True, texts=texts)
    images = service.send("GET", "/v7.0/images/search?q=bridge+mug").json["value"]
    assert [image["imageId"] for image in images] == ["sku-7"]
    store = TextStore(texts)
    store.put(f"{9:064x}", WHOLE, TEXT)
    store.close()
    images = service.send("GET", "/v7.0/images/search?q=bridge").json["value"]
    assert [image["imageId"] for image in images] == ["sku-7", "sku-9"]


def test_titles_in_the_text_are_suggested(
    engine: Engine, start: Callable[..., Any], tmp_path: Path, picture: bytes
) -> None:
    """A title whose words are all in the picture becomes a suggestion."""
    store = TextStore(tmp_path / "texts.db")
    line = TextLine(text="Big sale: BLUE MUG 13!", box=BOX, words=())
    store.put("ab" * 32, WHOLE, RecognisedText(regions=(TextRegion(box=BOX, lines=(line,)),)))
    store.close()
    body = start(engine, text=True, texts=tmp_path / "texts.db").visual_search(picture=picture).json
    (actions,) = [tag["actions"] for tag in body["tags"] if tag["displayName"] == ""]
    (suggestions,) = [each["data"]["value"] for each in actions if each["actionType"] == "DocumentLevelSuggestions"]
    assert [each["text"] for each in suggestions] == ["mug", "blue", "Blue mug 13"]
