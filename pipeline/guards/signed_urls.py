"""Cuts what opens a picture to everyone out of URLs: signatures, tokens, user names and passwords."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

# What signs a URL, or stands for a login: of Amazon, Google, Azure, Alibaba, Tencent, Akamai, CloudFront and others.
_SIGNATURES: Final = (
    "x-amz-(?:signature|credential|security-token)|x-goog-(?:signature|credential)|"
    "x-oss-(?:signature|credential|security-token)|x-cos-security-token|q-signature|security-token|signature|sig|"
    "hmac|hdnts|hdnea|__token__|jwt|token|(?:access|auth|id)[_-]?token|auth|authorization"
)
# What belongs to a signature, and changes with it; by itself it is no secret.
_COMPANIONS: Final = (
    "x-amz-[a-z-]+|x-goog-[a-z-]+|x-oss-[a-z-]+|q-[a-z-]+|awsaccesskeyid|googleaccessid|ossaccesskeyid|"
    "key-pair-id|policy|expires|expiry|exp|s[vetprs]|spr|sip|srt|saoid|suoid|scid|sk(?:oid|tid|t|e|s|v)"
)
# A URL may be a parameter of another one: its marks are then escaped.
_FURTHER, _EQUALS = "(?:&|%26)", "(?:=|%3d)"
_VALUE: Final = r"(?:(?!%26|%23)[^&#\s\"'<>\\])*"
_SIGNED: Final = re.compile(rf"(?:\?|%3f|{_FURTHER})(?:{_SIGNATURES}){_EQUALS}(?P<value>{_VALUE})", re.IGNORECASE)
_PARAMETER: Final = rf"(?:{_SIGNATURES}|{_COMPANIONS}){_EQUALS}{_VALUE}"
_CUT_FURTHER: Final = re.compile(rf"{_FURTHER}{_PARAMETER}", re.IGNORECASE)
_CUT_FIRST: Final = re.compile(rf"(\?){_PARAMETER}(&)?|(%3f){_PARAMETER}(%26)?", re.IGNORECASE)
_ADDRESS: Final = re.compile("//|%2f%2f", re.IGNORECASE)
_LOGIN: Final = re.compile(r"(?<=://)(?P<value>[^/?#@\s\"'<>]*)@")
_SHORTEST: Final = 8  # a shorter value may be part of anything


def without_signatures(text: str) -> str:
    """Return a text in which no URL is signed or holds a login; the other parameters of a signed one are left."""
    if "@" in text:
        text = _LOGIN.sub("", text)
    if ("?" in text or "%3" in text) and _ADDRESS.search(text) and _SIGNED.search(text):
        text = _CUT_FURTHER.sub("", text)
        text = _CUT_FIRST.sub(lambda match: (match[2] and match[1]) or (match[4] and match[3]) or "", text)
    return text


def signatures(text: str) -> set[str]:
    """Return what signs the URLs in a text, and their logins: what must not be shown where it is sent back."""
    values = {unquote(match["value"]) for pattern in (_SIGNED, _LOGIN) for match in pattern.finditer(text)}
    values |= {value.partition(":")[2] for value in values if ":" in value}
    return {value for each in values for value in (each, unquote(each)) if len(value) >= _SHORTEST}
