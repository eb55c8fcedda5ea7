"""Joins the page's template, style and scripts into one document, under a policy that allows nothing else."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files

# In this order: each uses what those before it define.
SCRIPTS = ("rows", "query", "elements", "facets", "grid", "picture", "sections", "download", "main")
_SLOT = re.compile(r"<!-- (\w+) -->")


def document(parts: Mapping[str, str], *, from_the_web: bool) -> Iterator[bytes]:
    """Yield the document in pieces; `parts` fill the slots of the template.

    `from_the_web`: pictures behind URLs may be loaded, which the script does on a click only.
    """
    style, script = _read("page.css"), _script()
    policy = content_security_policy(style, script, from_the_web=from_the_web)
    own = {"policy": f'<meta http-equiv="Content-Security-Policy" content="{policy}">'}
    own |= {"style": f"<style>{style}</style>", "script": f"<script>{script}</script>"}
    for number, piece in enumerate(_SLOT.split(_read("page.html"))):
        yield ({**own, **parts}[piece] if number % 2 else piece).encode()


def content_security_policy(style: str, script: str, *, from_the_web: bool) -> str:
    """Return the policy that allows one style and one script, by their digests, and pictures.

    Local pictures have the same origin as the page in Chromium, but not in every browser: hence `file:`.
    """
    pictures = "'self' file: data: blob:" + (" https: http:" if from_the_web else "")
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src {_digest(style)}",
            f"script-src {_digest(script)}",
            f"img-src {pictures}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@cache
def _script() -> str:
    """Return all scripts as one that leaves no names behind."""
    return "(() => {\n'use strict';\n" + "\n".join(_read(f"{name}.js") for name in SCRIPTS) + "})();\n"


@cache
def _read(name: str) -> str:
    return (files(__package__) / "web" / name).read_text("utf-8")


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
