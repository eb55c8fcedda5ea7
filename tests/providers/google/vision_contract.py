"""What the Vision discovery document (vision v1, revision 20261016) says of a request, for a fake that is as strict.

tests/providers/google/test_clients.py compares it with the document itself where googleapiclient is installed.
"""

from __future__ import annotations

from typing import Any, Final

# Each message with the types of its fields: a name of another message, a scalar, or a list of either in a tuple.
MESSAGES: Final[dict[str, dict[str, Any]]] = {
    "BatchAnnotateImagesRequest": {
        "labels": dict,
        "parent": str,
        "requests": ("AnnotateImageRequest",),
    },
    "AnnotateImageRequest": {"features": ("Feature",), "image": "Image", "imageContext": "ImageContext"},
    "Feature": {"maxResults": int, "model": str, "type": "Type"},
    "Image": {"content": "bytes", "source": "ImageSource"},
    "ImageSource": {"gcsImageUri": str, "imageUri": str},
    "ImageContext": {
        "cropHintsParams": "CropHintsParams",
        "languageHints": (str,),
        "latLongRect": dict,
        "productSearchParams": "ProductSearchParams",
        "textDetectionParams": "TextDetectionParams",
        "webDetectionParams": dict,
    },
    "CropHintsParams": {"aspectRatios": (float,)},
    "ProductSearchParams": {
        "boundingPoly": dict,
        "filter": str,
        "productCategories": (str,),
        "productSet": str,
    },
    "TextDetectionParams": {"advancedOcrOptions": (str,), "enableTextDetectionConfidenceScore": bool},
}
TYPES: Final = {
    "TYPE_UNSPECIFIED": 0,
    "FACE_DETECTION": 1,
    "LANDMARK_DETECTION": 2,
    "LOGO_DETECTION": 3,
    "LABEL_DETECTION": 4,
    "TEXT_DETECTION": 5,
    "DOCUMENT_TEXT_DETECTION": 11,
    "SAFE_SEARCH_DETECTION": 6,
    "IMAGE_PROPERTIES": 7,
    "CROP_HINTS": 9,
    "WEB_DETECTION": 10,
    "PRODUCT_SEARCH": 12,
    "OBJECT_LOCALIZATION": 19,
}
LIKELIHOODS: Final = ("UNKNOWN", "VERY_UNLIKELY", "UNLIKELY", "POSSIBLE", "LIKELY", "VERY_LIKELY")
BREAKS: Final = ("UNKNOWN", "SPACE", "SURE_SPACE", "EOL_SURE_SPACE", "HYPHEN", "LINE_BREAK")
BLOCKS: Final = ("UNKNOWN", "TEXT", "TABLE", "PICTURE", "RULER", "BARCODE")
ENUMS: Final = {"blockType": BLOCKS, "detectedBreak.type": BREAKS, **dict.fromkeys(
    ("adult", "spoof", "medical", "violence", "racy", "blurredLikelihood", "headwearLikelihood",
     "underExposedLikelihood"), LIKELIHOODS)}  # fmt: skip
MOST_IMAGES: Final = 16
MOST_BODY_BYTES: Final = 10_000_000
_NAMES: Final = {number: name for name, number in TYPES.items()}


def problem_of(value: Any, message: str = "BatchAnnotateImagesRequest", path: str = "") -> str:
    """Return what the service would say is wrong with a request; empty where nothing is."""
    if type(value) is not dict:
        return f"Invalid value at '{path}' ({message}), {value!r}"
    for name, inner in value.items():
        kind = MESSAGES[message].get(name)
        where = f"{path}.{name}".removeprefix(".")
        if kind is None:
            return f"Invalid JSON payload received. Unknown name \"{name}\" at '{path}': Cannot find field."
        items = [(f"{where}[{number}]", item) for number, item in enumerate(inner)] if type(kind) is tuple else []
        if type(kind) is tuple and type(inner) is not list:
            return f"Invalid value at '{where}', {inner!r}"
        for item_path, item in items or ([(where, inner)] if type(kind) is not tuple else []):
            if said := _problem_of_item(item, kind[0] if type(kind) is tuple else kind, item_path):
                return said
    return ""


def _problem_of_item(value: Any, kind: Any, path: str) -> str:
    if kind == "Type":
        is_right = value in TYPES or (type(value) is int and value in _NAMES)
    elif kind == "bytes":
        is_right = type(value) is str
    elif type(kind) is str:
        return problem_of(value, kind, path)
    else:
        is_right = type(value) is kind or (kind is float and type(value) is int)
    return "" if is_right else f"Invalid value at '{path}' ({kind}), {value!r}"


def type_name(value: str | int) -> str:
    """Return the name of a feature's type, which clients give as a name or as a number."""
    return _NAMES[value] if type(value) is int else str(value)


def with_numbers(node: Any, path: str = "") -> Any:
    """Return an answer with numbers in the place of the names of enumerations (`enum-encoding=int`)."""
    if type(node) is dict:
        return {name: with_numbers(inner, f"{path}.{name}") for name, inner in node.items()}
    if type(node) is list:
        return [with_numbers(inner, path) for inner in node]
    names = next((names for end, names in ENUMS.items() if path.endswith(f".{end}")), ())
    return names.index(node) if node in names else node
