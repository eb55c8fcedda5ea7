"""Brings text of a catalogue into the forms of the protocol; each function returns None for what has no such form.

Source: Image Search reference: Image, Offer, AggregateRating and Recipe.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime

# Offer.availability, and what shops write in its place, in small letters without blanks and signs.
AVAILABILITIES = (
    "Discontinued", "InStock", "InStoreOnly", "LimitedAvailability", "OnlineOnly", "OutOfStock", "PreOrder", "SoldOut",
)  # fmt: skip
_AVAILABILITIES = {name.lower(): name for name in AVAILABILITIES} | {
    "available": "InStock",
    "lowstock": "LimitedAvailability",
    "limited": "LimitedAvailability",
    "limitedstock": "LimitedAvailability",
    "notavailable": "OutOfStock",
    "notinstock": "OutOfStock",
    "unavailable": "OutOfStock",
    "preorders": "PreOrder",
    "presale": "PreOrder",
    "instorepickup": "InStoreOnly",
    "pickuponly": "InStoreOnly",
    "webonly": "OnlineOnly",
}
_SCHEMA_ORG = re.compile(r"(https?://)?(www\.)?schema\.org/", re.IGNORECASE)
_NUMERIC_DAY = re.compile(r"(?:(\d{4})[/.](\d{1,2})[/.](\d{1,2})|(\d{1,2})\.(\d{1,2})\.(\d{4}))")
_ISO_DURATION = re.compile(
    r"P(?=\d|T\d)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?", re.IGNORECASE
)
_SPOKEN_DURATION = re.compile(
    r"(?:(\d+)\s*(?:d|days?))?[\s,]*(?:and\s+)?(?:(\d+)\s*(?:h|hrs?|hours?))?[\s,]*(?:and\s+)?"
    r"(?:(\d+)\s*(?:m|mins?|minutes?))?\.?",
    re.IGNORECASE,
)
_CURRENCY = re.compile(r"[A-Z]{3}")
_LICENSES = {
    name.lower(): name for name in ("Public", "Share", "ShareCommercially", "Modify", "ModifyCommercially")
} | {"publicdomain": "Public", "publicdomainmark": "Public", "cczero": "Public"}
_CREATIVE_COMMONS = re.compile(
    r"(?:https?://)?creativecommons\.org/(licenses|publicdomain)/(?:zero|mark)?", re.IGNORECASE
)
_SIGNS = {"€": "EUR", "EURO": "EUR", "US$": "USD", "£": "GBP", "₹": "INR", "₩": "KRW"}  # $ and ¥ have several
BEST_RATING = 5.0  # the possible ratings are 1.0 to 5.0


def read_number(text: str | None) -> float | None:
    """Read a decimal of at least 0 ("12.50")."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def moment(text: str) -> str | None:
    """Return a day, or a day and a time, as YYYY-MM-DDTHH:MM:SS in UTC; a time without a zone is one of UTC."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        only_day = day(text)
        return f"{only_day}T00:00:00" if only_day else None
    if len(text) < len("2026-01-01"):  # fromisoformat also reads 20260101, which may be any number
        return None
    try:
        utc = value.astimezone(UTC) if value.tzinfo is not None else value
    except OverflowError:
        return None
    return utc.replace(tzinfo=None).isoformat(timespec="seconds")


def day(text: str) -> str | None:
    """Return a day as YYYY-MM-DD; the order of 03/04/2026 is not known, that of 3.4.2026 is."""
    numeric = _NUMERIC_DAY.fullmatch(text)
    try:
        if numeric is not None and numeric[1]:
            return date(int(numeric[1]), int(numeric[2]), int(numeric[3])).isoformat()
        if numeric is not None:
            return date(int(numeric[6]), int(numeric[5]), int(numeric[4])).isoformat()
        return datetime.fromisoformat(text).date().isoformat() if len(text) >= len("2026-01-01") else None
    except ValueError:
        return None


def availability(text: str) -> str | None:
    """Return one of the eight values: of itself, of a link to schema.org, or of what shops write."""
    bare = _SCHEMA_ORG.sub("", text, count=1)
    return _AVAILABILITIES.get(re.sub(r"[\W_]", "", bare).lower())


def duration(text: str) -> str | None:
    """Return an ISO 8601 duration, such as PT1H30M, of itself or of "1 h 30 min"."""
    if _ISO_DURATION.fullmatch(text):
        return text.upper()
    spoken = _SPOKEN_DURATION.fullmatch(text.strip())
    if spoken is None or not any(spoken.groups()):
        return None
    days, hours, minutes = spoken.groups(default="0")
    time = "".join(f"{int(value)}{unit}" for value, unit in ((hours, "H"), (minutes, "M")) if int(value))
    whole = f"{int(days)}D" if int(days) else ""
    return f"P{whole}T{time}" if time else f"P{whole}" if whole else "PT0M"


def currency(text: str) -> str | None:
    """Return a code of three letters, of itself or of a sign that only one currency has."""
    code = _SIGNS.get(text.upper(), text.upper())
    return code if _CURRENCY.fullmatch(code) else None


def rating(text: str, best: str | None) -> float | None:
    """Return a rating of 1.0 to 5.0; one on another scale is converted, and 0 means that nobody has rated."""
    value, highest = read_number(text), BEST_RATING if best is None else read_number(best)
    if not value or not highest or value > highest:
        return None
    return max(1.0, round(value * BEST_RATING / highest, 2))


def license_type(text: str) -> str | None:
    """Return what a licence allows, as a value of the license filter: of itself, of its short name, or of its link."""
    text = _CREATIVE_COMMONS.sub(lambda link: "cc" if link[1] == "licenses" else "publicdomain", text, count=1)
    bare = re.sub(r"[\W_]", "", text).lower()
    creative = re.fullmatch(r"(?:cc|creativecommons)?(by(?:nc|sa|nd)*)[\d]*", bare)
    if creative is None:
        return "Public" if bare.startswith("cc0") else _LICENSES.get(bare.rstrip("0123456789"))
    kind = "Share" if "nd" in creative[1] else "Modify"
    return kind if "nc" in creative[1] else f"{kind}Commercially"


def truth(text: str) -> bool | None:
    """Return what yes or no, true or false, 1 or 0 says."""
    return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(text.lower())
