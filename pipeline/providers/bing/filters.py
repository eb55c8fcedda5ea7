"""Settings of an image search: its query and every filter, validated before anything is sent.

Source: Image Search reference.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from pipeline.config import SearchSettings
from pipeline.providers.bing.documented_values import one_of

_COLORS = (
    "ColorOnly", "Monochrome", "Black", "Blue", "Brown", "Gray", "Green", "Orange", "Pink", "Purple", "Red", "Teal",
    "White", "Yellow",
)  # fmt: skip
_TYPES = ("AnimatedGif", "AnimatedGifHttps", "Clipart", "Line", "Photo", "Shopping", "Transparent")
_LICENSES = ("Any", "Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially", "All")
_time_span = one_of(("Day", "Week", "Month", "Year"), "freshness")


def _freshness(value: str) -> str:
    """Check a time span such as Week, or a range of days such as 2017-06-15..2018-06-15."""
    first, dots, last = value.partition("..")
    if not dots:
        return _time_span(value)
    try:
        in_order = date.fromisoformat(first) <= date.fromisoformat(last)
    except ValueError:
        in_order = False
    if not in_order:
        raise ValueError("must be a range of days such as 2017-06-15..2018-06-15")
    return value


def _names(names: tuple[str, ...], what: str) -> AfterValidator:
    return AfterValidator(one_of(names, what))


Pixels = Annotated[int, Field(ge=0, le=65_535)]
FileSize = Annotated[int, Field(ge=0, le=2**31 - 1)]
MAX_FILE_SIZE = 520_192  # the service uses it in place of any larger value

_PARAMETERS = {
    "q": "q",
    "id": "id",
    "aspect": "aspect",
    "color": "color",
    "freshness": "freshness",
    "image_content": "imageContent",
    "image_type": "imageType",
    "license": "license",
    "size": "size",
    "height": "height",
    "width": "width",
    "min_height": "minHeight",
    "max_height": "maxHeight",
    "min_width": "minWidth",
    "max_width": "maxWidth",
    "min_file_size": "minFileSize",
    "max_file_size": "maxFileSize",
}


class ImageSearch(SearchSettings):
    """An image search with its filters; empty filters and zeros are not sent."""

    id: str = ""
    aspect: Annotated[str, _names(("Square", "Wide", "Tall", "All"), "aspect")] = ""
    color: Annotated[str, _names(_COLORS, "color")] = ""
    freshness: Annotated[str, AfterValidator(_freshness)] = ""
    image_content: Annotated[str, _names(("Face", "Portrait"), "image content")] = ""
    image_type: Annotated[str, _names(_TYPES, "image type")] = ""
    license: Annotated[str, _names(_LICENSES, "license")] = ""
    size: Annotated[str, _names(("Small", "Medium", "Large", "Wallpaper", "All"), "size")] = ""
    height: Pixels = 0
    width: Pixels = 0
    min_height: Pixels = 0
    max_height: Pixels = 0
    min_width: Pixels = 0
    max_width: Pixels = 0
    min_file_size: FileSize = 0
    max_file_size: FileSize = 0

    @field_validator("min_height", "max_height", "min_width", "max_width")
    @classmethod
    def _not_exact(cls, value: int, info: ValidationInfo) -> int:
        exact = (info.field_name or "").partition("_")[2]
        if value and info.data.get(exact):
            raise ValueError(f"excludes {exact}; give one of them")
        return value

    @field_validator("max_height", "max_width", "max_file_size")
    @classmethod
    def _in_order(cls, value: int, info: ValidationInfo) -> int:
        least = (info.field_name or "").replace("max_", "min_")
        if value and value < info.data.get(least, 0):
            raise ValueError(f"must not be below {least}")
        return value

    def notes(self) -> tuple[str, ...]:
        """Return what `check` says of a file size beyond the largest one."""
        sizes = {name: getattr(self, name) for name in ("min_file_size", "max_file_size")}
        return tuple(
            f"manifest.search.{name}: the service uses {MAX_FILE_SIZE:,} in place of {size:,}"
            for name, size in sizes.items()
            if size > MAX_FILE_SIZE
        )

    def query(self) -> tuple[tuple[str, str], ...]:
        """Return the query parameters without those for paging."""
        values = ((parameter, getattr(self, name)) for name, parameter in _PARAMETERS.items())
        return tuple((parameter, str(value)) for parameter, value in values if value)
