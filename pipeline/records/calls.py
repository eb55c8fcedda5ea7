"""A call: what is sent, what comes back, what it means and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from pipeline.records.pictures import Form
from pipeline.records.rows import Crop
from pipeline.schema import ImageRef, Insights, Query, SearchSummary, no_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call, complete but for the endpoint and the key: the same Request always has the same bytes.

    `target` is the path and the encoded query below the endpoint. `crop` and `picture_size` (width and height in px of
    the picture as it is sent, None where it is not) are kept so that boxes can be mapped back.
    """

    method: Literal["GET", "POST"]
    target: str
    form: Form
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    crop: Crop | None = None
    picture_size: tuple[int, int] | None = None

    def fingerprint(self, identity: str) -> bytes:
        """Return 32 bytes that name what is asked of the service `identity`: equal fingerprints, one call."""
        digest = sha256()
        for part in (identity, self.method, self.target, *(f"{name}: {value}" for name, value in self.headers)):
            digest.update(part.encode() + b"\n")
        digest.update(self.body)
        return digest.digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back from one call, whole and unread; `headers` has lower-case names and only what is worth keeping.

    `asked_at` is Unix time in seconds, `ms` the wall time of the last attempt, `attempts` how many sends it took.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    asked_at: float
    attempts: int = 1
    ms: float = 0.0
    from_store: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call uses, in the service's own `units` and in tokens; `cost` is in `currency`, None where unknown.

    `unit_costs` are the parts of the cost that each unit has, where units are what is paid for. `model` is the one that
    answered, of a service that has several.
    """

    units: Mapping[str, float] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    currency: str = ""
    unit_costs: Mapping[str, float] = field(default_factory=dict)
    model: str = ""

    @property
    def amount(self) -> float:
        """How much it is, where a service limits the amount in a minute: its tokens, else its units."""
        return self.tokens_in + self.tokens_out or sum(self.units.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What is left of a limit of a service: `remaining` of `limit`, which is whole again `reset` seconds from now."""

    limit: float
    remaining: float
    reset: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What an answer's headers advise about the pace.

    `wait`: for how many seconds nothing more should be sent, if at all. `calls`, `amount`: what is left of the limits
    on calls, and on tokens or units.
    """

    wait: float | None = None
    calls: Budget | None = None
    amount: Budget | None = None


# An unreadable answer is kept: it costs its row, but no further call, until a later reader understands it.
ProblemKind = Literal["row", "unreadable", "transient", "throttled", "quota", "refused", "misconfigured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An answer that is no success, classified. `retry_after` is in seconds from now.

    `details` holds what the service said beyond the message: parameter, value, sub_code, trace_id, more. `needs_bytes`:
    the service could not load the picture from its URL, and may like its bytes better. `by_amount`: throttled for too
    many tokens or units, not for too many calls. `fallback` names another way in which the same request may be sent
    with more success, if there is one (providers/base.py, FallbackService).
    """

    kind: ProblemKind
    code: str
    message: str
    http_status: int | None = None
    retry_after: float | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    needs_bytes: bool = False
    by_amount: bool = False
    fallback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextPage:
    """The request for the next page of one list, worth sending while the record has fewer than `enough` of its items.

    `list` is the list's field in the insights.
    """

    request: Request
    list: Literal["similar_images", "similar_products"]
    enough: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An answer understood: its insights, and a next page for each list of which more is wanted and more is there."""

    insights: Insights
    more: tuple[NextPage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """One image that can become a row; `image` is all that was said about it.

    Trending images come in a `category`, each with the `query` that is trending, and without a token.
    """

    id: str
    token: str
    content_url: str
    name: str
    host_page_url: str
    image: ImageRef
    category: str = ""
    query: Query | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer to a search for images: its images, and where the next page begins, if there is one.

    `summary` is what it says about the search itself.
    """

    images: tuple[SearchHit, ...]
    next_offset: int | None = None
    summary: SearchSummary = field(default_factory=no_summary)


Outcome = Reading | Page | Problem
