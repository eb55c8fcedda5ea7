"""What the fake service says of a picture: every field that the discovery document has, as proto3 JSON leaves it.

The answers depend on the bytes alone. Boxes of text and logos are at places that tests know (TEXT_LINES, LOGO_BOX).
"""

from __future__ import annotations

from hashlib import sha256
from io import BytesIO
from typing import Any, Final

from PIL import Image

Json = dict[str, Any]
LABELS: Final = ("Tableware", "Furniture", "Plant", "Font", "Sky", "Wood", "Dog", "Vehicle")
# Words by line, in shares of the picture: x, y, width and height of the line. The second line is turned by 90 degrees.
TEXT_LINES: Final = (("HELLO big", (0.0, 0.1, 0.5, 0.1)), ("turned text", (0.9, 0.2, 0.05, 0.6)))
LOGO_BOX: Final = (0.0, 0.5, 0.25, 0.25)


def annotate(content: bytes, features: dict[str, int], context: Json) -> Json:
    """Return one response for a picture and its features, each with the most results; 0 for any number."""
    try:
        with Image.open(BytesIO(content)) as image:
            image.load()
            size, average = image.size, image.convert("RGB").resize((1, 1)).tobytes()
    except OSError:
        return {"error": {"code": 3, "message": "Bad image data."}}
    seed = sha256(content).digest()
    answer: Json = {}
    for feature, most in features.items():
        answer |= _ANSWERS[feature](size, seed, average, most or 10, context)
    return answer


def polygon(x: float, y: float, width: float, height: float) -> Json:
    """Return four corners from the top left, clockwise; zeros are left out."""
    corners = ((x, y), (x + width, y), (x + width, y + height), (x, y + height))
    return {"vertices": [_corner(round(a), round(b)) for a, b in corners]}


def _corner(x: int, y: int) -> Json:
    return {name: value for name, value in (("x", x), ("y", y)) if value}


def _labels(_size: Any, seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    names = [LABELS[(seed[0] + step) % len(LABELS)] for step in range(1 + seed[1] % 4)]
    labels = [
        {"mid": f"/m/0{seed[2] + step:03x}", "description": name, "score": round(0.97 - step / 10, 4),
         "topicality": round(0.97 - step / 10, 4)}
        for step, name in enumerate(names)
    ]  # fmt: skip
    return {"labelAnnotations": labels[:most]}


def _objects(_size: Any, seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    if seed[3] % 5 == 0:
        return {}  # what is not found is missing
    corners = [{}, {"x": 0.5}, {"x": 0.5, "y": 0.75}, {"y": 0.75}]
    mug = {"mid": "/j/x1", "name": "Mug", "score": 0.81, "boundingPoly": {"normalizedVertices": corners}}
    return {"localizedObjectAnnotations": [mug][:most]}


def _text(size: tuple[int, int], seed: bytes, _average: Any, _most: int, context: Json) -> Json:
    width, height = size
    is_certain = bool(context.get("textDetectionParams", {}).get("enableTextDetectionConfidenceScore"))
    blocks: list[Json] = []
    said = []
    for text, (x, y, w, h) in TEXT_LINES:
        frame = (x * width, y * height, w * width, h * height)
        words = _words(text, frame, is_turned=h > w, certainty=round(0.5 + seed[4] / 512, 3) if is_certain else 0)
        block = {"blockType": "TEXT", "boundingBox": _around(frame, is_turned=h > w)}
        paragraphs = [{"boundingBox": block["boundingBox"], "words": words}]
        blocks.append({**block, "property": _language("en", confidence=1), "paragraphs": paragraphs})
        said.append(text)
    full = "\n".join(said)
    page = {"width": width, "height": height, "blocks": blocks, "property": _language("en")}
    whole = {"locale": "en", "description": full, "boundingPoly": polygon(0, 0.1 * height, 0.95 * width, 0.7 * height)}
    parts = [
        {"description": "".join(symbol["text"] for symbol in word["symbols"]), "boundingPoly": word["boundingBox"]}
        for block in blocks
        for paragraph in block["paragraphs"]
        for word in paragraph["words"]
    ]
    return {"textAnnotations": [whole, *parts], "fullTextAnnotation": {"pages": [page], "text": full}}


def _language(code: str, **more: float) -> Json:
    return {"detectedLanguages": [{"languageCode": code, **more}]}


def _around(frame: tuple[float, float, float, float], *, is_turned: bool) -> Json:
    """Return a box whose corners are in the order of reading: text that is turned reads from top to bottom."""
    corners = polygon(*frame)["vertices"]
    return {"vertices": [*corners[1:], corners[0]] if is_turned else corners}


def _words(text: str, frame: tuple[float, float, float, float], *, is_turned: bool, certainty: float) -> list[Json]:
    x, y, width, height = frame
    words, parts = [], text.split(" ")
    for number, part in enumerate(parts):
        share = (x, y + height * number / len(parts), width, height / len(parts))
        if not is_turned:
            share = (x + width * number / len(parts), y, width / len(parts), height)
        symbols: list[Json] = [{"text": letter, "boundingBox": _around(share, is_turned=is_turned)} for letter in part]
        cut = "LINE_BREAK" if number == len(parts) - 1 else "SPACE"
        symbols[-1]["property"] = {"detectedBreak": {"type": cut}}
        word: Json = {"boundingBox": _around(share, is_turned=is_turned), "symbols": symbols}
        words.append({**word, "confidence": certainty} if certainty else word)
    return words


def _web(_size: Any, seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    site = f"https://shop{seed[5] % 7}.example.com"
    pages = [
        {"url": f"{site}/about-mugs", "pageTitle": "All about <b>mugs</b>"},
        {
            "url": f"{site}/mug",
            "pageTitle": "A <b>mug</b> &amp; Tom&#39;s saucer",
            "fullMatchingImages": [{"url": f"{site}/1.jpg"}, {"url": f"{site}/2.jpg"}],
        },
        {"url": f"{site}/crop", "pageTitle": "Crop", "partialMatchingImages": [{"url": f"{site}/3.jpg"}]},
    ]
    return {
        "webDetection": {
            "webEntities": [
                {"entityId": "/m/02p0tk3", "score": 1470.4, "description": "Mug"},
                {"entityId": "/m/0x", "score": 0.3},
            ][:most],
            "fullMatchingImages": [{"url": f"{site}/1.jpg"}],
            "partialMatchingImages": [{"url": f"{site}/3.jpg"}],
            "pagesWithMatchingImages": pages[:most],
            "visuallySimilarImages": [{"url": f"{site}/alike{number}.jpg"} for number in range(min(most, 4))],
            "bestGuessLabels": [{"label": "coffee mug", "languageCode": "en"}],
        }
    }


def _logos(size: tuple[int, int], _seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    x, y, width, height = LOGO_BOX
    box = polygon(x * size[0], y * size[1], width * size[0], height * size[1])
    return {"logoAnnotations": [{"mid": "/m/045c7b", "description": "Acme", "score": 0.66, "boundingPoly": box}][:most]}


def _landmarks(size: tuple[int, int], _seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    places = [{"latLng": {"latitude": 48.858461, "longitude": 2.294351}}, {"latLng": {"longitude": 2.5}}]
    tower = {"mid": "/g/1", "description": "Eiffel Tower", "score": 0.5, "boundingPoly": polygon(0, 0, *size)}
    return {"landmarkAnnotations": [{**tower, "locations": places}][:most]}


def _safety(_size: Any, seed: bytes, _average: Any, _most: int, _context: Json) -> Json:
    adult = ("VERY_UNLIKELY", "POSSIBLE", "VERY_LIKELY")[seed[6] % 3]
    said = {"adult": adult, "spoof": "UNLIKELY", "medical": "LIKELY", "violence": "VERY_UNLIKELY"}
    return {"safeSearchAnnotation": said}  # racy is unknown, and the first value of an enumeration is left out


def _colours(_size: Any, _seed: bytes, average: bytes, _most: int, _context: Json) -> Json:
    channels = {name: value for name, value in zip(("red", "green", "blue"), average, strict=True) if value}
    colours = [
        {"color": {"red": 10, "blue": 255}, "score": 0.2, "pixelFraction": 0.1},
        {"color": channels, "score": 0.7, "pixelFraction": 0.6},
    ]
    return {"imagePropertiesAnnotation": {"dominantColors": {"colors": colours}}}


def _crop_hints(size: tuple[int, int], _seed: bytes, _average: Any, _most: int, context: Json) -> Json:
    ratios = context.get("cropHintsParams", {}).get("aspectRatios") or [1.0]
    hint = {"boundingPoly": polygon(0, 0, *size), "confidence": 0.75, "importanceFraction": 1.22}
    return {"cropHintsAnnotation": {"cropHints": [hint for _ in ratios]}}


def _faces(size: tuple[int, int], _seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    face = {
        "boundingPoly": polygon(0, 0, size[0] // 2, size[1] + 9),  # goes beyond the picture
        "fdBoundingPoly": polygon(2, 2, 5, 5),
        "landmarks": [{"type": "LEFT_EYE", "position": {"x": 3.5, "y": 4.25, "z": -0.5}}],
        "rollAngle": -1.5, "panAngle": 2.25, "tiltAngle": 0.5,
        "detectionConfidence": 0.9, "landmarkingConfidence": 0.4,
        "blurredLikelihood": "UNLIKELY", "headwearLikelihood": "VERY_UNLIKELY", "underExposedLikelihood": "POSSIBLE",
    }  # fmt: skip
    return {"faceAnnotations": [face][:most]}


def _products(_size: Any, seed: bytes, _average: Any, most: int, _context: Json) -> Json:
    product = {"name": "projects/p/locations/us-west1/products/17", "displayName": "Blue mug",
               "productCategory": "homegoods-v2", "productLabels": [{"key": "colour", "value": "blue"}]}  # fmt: skip
    result = {"product": product, "score": round(seed[7] / 256, 3), "image": f"{product['name']}/referenceImages/1"}
    return {"productSearchResults": {"indexTime": "2026-01-01T00:00:00Z", "results": [result][:most]}}


_ANSWERS: Final = {
    "LABEL_DETECTION": _labels,
    "OBJECT_LOCALIZATION": _objects,
    "TEXT_DETECTION": _text,
    "DOCUMENT_TEXT_DETECTION": _text,
    "WEB_DETECTION": _web,
    "LOGO_DETECTION": _logos,
    "LANDMARK_DETECTION": _landmarks,
    "SAFE_SEARCH_DETECTION": _safety,
    "IMAGE_PROPERTIES": _colours,
    "CROP_HINTS": _crop_hints,
    "FACE_DETECTION": _faces,
    "PRODUCT_SEARCH": _products,
}
