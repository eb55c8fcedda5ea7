"""The [provider] table of Google Cloud Vision (docs/config.md says what each key means)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.config import ProviderSettings, Section

# Our names of features, and the service's own (Vision discovery document, Feature.type).
FEATURES: Final = {
    "labels": "LABEL_DETECTION",
    "objects": "OBJECT_LOCALIZATION",
    "text": "TEXT_DETECTION",
    "document_text": "DOCUMENT_TEXT_DETECTION",
    "web": "WEB_DETECTION",
    "logos": "LOGO_DETECTION",
    "landmarks": "LANDMARK_DETECTION",
    "safety": "SAFE_SEARCH_DETECTION",
    "colours": "IMAGE_PROPERTIES",
    "crop_hints": "CROP_HINTS",
    "faces": "FACE_DETECTION",
    "products": "PRODUCT_SEARCH",
}
_MOST_CROP_RATIOS: Final = 16  # any after the 16th are ignored (discovery document, CropHintsParams)
_PROJECT: Final = re.compile(r"[a-z][a-z0-9.:-]{4,61}[a-z0-9]", re.ASCII)
_PRODUCT_SET: Final = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/productSets/[^/\s]+")
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*", re.ASCII)

Feature = Literal[
    "labels", "objects", "text", "document_text", "web", "logos", "landmarks", "safety", "colours", "crop_hints",
    "faces", "products",
]  # fmt: skip
Price = Annotated[float, Field(ge=0, le=1e6)]


class GooglePrices(Section):
    """[provider.prices]: what 1,000 pictures cost of each feature (Google's price list, up to 5 million a month)."""

    labels: Price = 1.5
    objects: Price = 2.25
    text: Price = 1.5
    document_text: Price = 1.5
    web: Price = 3.5
    logos: Price = 1.5
    landmarks: Price = 1.5
    safety: Price = 1.5
    colours: Price = 1.5
    crop_hints: Price = 1.5
    faces: Price = 1.5
    products: Price = 4.5
    currency: Annotated[str, Field(max_length=10)] = "USD"


class GoogleSettings(ProviderSettings):
    """Google Cloud Vision: which features are looked for in each picture, and how."""

    counts = "units"
    key_may_be_json = True
    keys_without_effect = ProviderSettings.keys_without_effect | {
        "application_default",
        "project",
        "region",
        "prices",
    }

    endpoint: str = "https://vision.googleapis.com"
    key_env: str = "GOOGLE_API_KEY"
    application_default: bool = False
    features: tuple[Feature, ...] = ("labels", "safety")
    max_results: int = Field(default=20, ge=0, le=1000)
    languages: tuple[str, ...] = Field(default=(), max_length=20)
    model: Literal["", "builtin/stable", "builtin/latest", "builtin/rc"] = ""
    crop_ratios: tuple[Annotated[float, Field(gt=0, le=100)], ...] = Field(default=(), max_length=_MOST_CROP_RATIOS)
    product_set: str = Field(default="", max_length=1000)
    product_category: str = Field(default="", max_length=100)
    product_filter: str = Field(default="", max_length=4096)
    url_form: Literal["upload", "url"] = "upload"
    project: str = ""
    region: Literal["", "us", "eu", "asia"] = ""
    prices: GooglePrices = GooglePrices()

    @property
    def has_prices(self) -> bool:
        """True: each feature has its price."""
        return True

    @property
    def identity(self) -> str:
        """What google-auth finds on the machine, where that is to be used."""
        return "application default credentials" if self.application_default else ""

    @field_validator("application_default")
    @classmethod
    def _no_key_beside(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic passes it so
        if value and info.data.get("key_file"):
            raise ValueError("excludes key_file; give one of them")
        return value

    @field_validator("features")
    @classmethod
    def _together(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError(f"must name at least one of {', '.join(FEATURES)}")
        if len(set(value)) < len(value):
            raise ValueError("names a feature twice")
        if {"text", "document_text"} <= set(value):
            raise ValueError("has text and document_text; give one of them, as the service answers only the latter")
        return value

    @field_validator("languages")
    @classmethod
    def _languages(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if value and not {"text", "document_text"} & set(info.data.get("features", ())):
            raise ValueError("belongs to the features text and document_text")
        for language in value:
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f'holds {language!r}; write languages as "en" or "zh-Hant"')
        return value

    @field_validator("crop_ratios")
    @classmethod
    def _crop_ratios(cls, value: tuple[float, ...], info: ValidationInfo) -> tuple[float, ...]:
        if value and "crop_hints" not in info.data.get("features", ()):
            raise ValueError("belongs to the feature crop_hints")
        return value

    @field_validator("product_set")
    @classmethod
    def _product_set(cls, value: str, info: ValidationInfo) -> str:
        wanted = "products" in info.data.get("features", ())
        if wanted and not _PRODUCT_SET.fullmatch(value):
            raise ValueError("must name your product set, as in projects/PROJECT/locations/LOCATION/productSets/ID")
        return _only_with(value, "products", wanted=wanted)

    @field_validator("product_category", "product_filter")
    @classmethod
    def _products(cls, value: Any, info: ValidationInfo) -> Any:
        return _only_with(value, "products", wanted="products" in info.data.get("features", ()))

    @field_validator("project")
    @classmethod
    def _project(cls, value: str) -> str:
        if value and not _PROJECT.fullmatch(value):
            raise ValueError("must be the id of a project, such as my-project-123")
        return value

    @field_validator("region")
    @classmethod
    def _region(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("project"):
            raise ValueError("needs project, whose region it is")
        return value


def _only_with(value: str, feature: str, *, wanted: bool) -> str:
    if value and not wanted:
        raise ValueError(f"belongs to the feature {feature}")
    return value
