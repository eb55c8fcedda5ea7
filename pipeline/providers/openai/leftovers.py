"""What an answer says beside what the model says: services add parts of their own, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from pipeline.schema import Other

# What is read elsewhere, and what says nothing about the picture: names, times, the model's thoughts.
_DOCUMENT: Final = frozenset({
    "id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "timings", "stats",
})  # fmt: skip
_CHOICE: Final = frozenset({
    "index", "message", "finish_reason", "native_finish_reason", "stop_reason", "logprobs",
})  # fmt: skip
_MESSAGE: Final = frozenset({"role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details"})


def leftovers(document: dict[str, Any]) -> Iterator[Other]:
    """Yield the parts of an answer that have no place in the record, such as what a content filter found."""
    choice = document["choices"][0]
    for path, part, known in (
        ("", document, _DOCUMENT),
        ("choices[0].", choice, _CHOICE),
        ("choices[0].message.", choice["message"], _MESSAGE),
    ):
        for name, value in part.items():
            if name not in known and value not in (None, "", [], {}):
                yield {"where": f"{path}{name}", "value": value}
