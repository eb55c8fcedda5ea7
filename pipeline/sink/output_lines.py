"""From a row, its picture and its answers to one line of insights.jsonl or failures.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, cast

import orjson

from pipeline.guards.signed_urls import without_signatures
from pipeline.records import (
    Answer,
    ArchiveMember,
    CloudFile,
    Crop,
    Failure,
    Image,
    InsightsToken,
    LocalFile,
    Prepared,
    RemoteUrl,
    Request,
    Row,
    Usage,
    image_name,
)
from pipeline.schema import SCHEMA_VERSION, Calls, CallsUsage, Duplicate, Insights, Record, RecordSource, Sent

Exchange = tuple[Request, Answer]
_NO_INSIGHT = {"market", "insights_token", "unavailable", "hints"}


class RecordProvider(Protocol):
    """Who answered: what a record says of its provider and of its calls."""

    @property
    def name(self) -> str:
        """The provider's name."""

    def trace_id(self, answer: Answer) -> str | None:
        """Return the id under which the service's support finds a call, if the answer names one."""

    def usage(self, request: Request, answer: Answer) -> Usage:
        """Return what an answer says that its request used."""


def build_record(
    provider: RecordProvider, row: Row, prepared: Prepared | None, exchanges: Sequence[Exchange], insights: Insights
) -> Record:
    """Join the provider's half of a record with where the picture came from, how it was sent and what it cost."""
    answers = [answer for _, answer in exchanges]
    insights = without_itself(insights, row.id, prepared.source.sha256 if prepared else None)
    head: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "id": row.id,
        "ordinal": row.ordinal,
        "status": "ok" if says_something(insights) else "empty",
        "provider": provider.name,
        "asked_at": timestamp(min(answer.asked_at for answer in answers)),
        "carry": dict(row.carry),
        "source": _source(row.image, prepared),
        "sent": _sent(row, prepared, exchanges[-1][0]),
        "calls": _calls(provider, exchanges),
    }
    if row.market:
        head["market"] = row.market
    if row.search_result is not None:
        head["search_result"] = row.search_result
    return cast("Record", head | insights)


def without_itself(insights: Insights, row_id: str, sha256: str | None) -> Insights:
    """Return insights whose duplicates are other rows; `sha256` is the hash of the row's own file.

    A service that got the picture in another encoding can't know that a file is the same byte for byte; hashes show it.
    """
    duplicates: list[Duplicate] = []
    for copy in insights["duplicates"]:
        if copy["id"] != row_id:
            is_exact = copy.get("sha256") == sha256 and sha256 is not None
            named = Duplicate(id=copy["id"], path=copy["path"], kind=copy["kind"], score=copy["score"])
            duplicates.append({**named, "kind": "exact", "score": 1.0} if is_exact else named)
    return {**insights, "duplicates": duplicates}


def says_something(insights: Insights) -> bool:
    """Return True if there is any insight: a token, a market or a hint is none."""
    values = ((name, value) for name, value in insights.items() if name not in _NO_INSIGHT)
    return any(value.get("items", value) if isinstance(value, dict) else value for _, value in values)


def encode(line: Record) -> bytes:
    """Return a record as one line of JSON."""
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def encode_failure(failure: Failure, at: float) -> bytes:
    """Return a failure as one line of JSON; `at` is Unix time. Absent values are left out, and signatures of URLs."""
    line: dict[str, Any] = {"schema": SCHEMA_VERSION} | {
        name: value
        for name in Failure.__dataclass_fields__
        if (value := getattr(failure, name)) is not None and value != {}
    }
    line |= {name: without_signatures(line[name]) for name in ("image", "message") if name in line}
    return orjson.dumps(line | {"at": timestamp(at)}, option=orjson.OPT_APPEND_NEWLINE)


def timestamp(seconds: float) -> str:
    """Return Unix time as UTC, such as 2026-01-31T23:59:59Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _source(image: Image, prepared: Prepared | None) -> RecordSource:
    match image:
        case LocalFile() | ArchiveMember():
            source = RecordSource(path=image_name(image))
        case CloudFile() | RemoteUrl():
            source = RecordSource(url=without_signatures(image.url))
        case InsightsToken():
            source = RecordSource(token=image.token)
    if prepared is None:
        return source
    facts = prepared.source
    return source | {
        "sha256": facts.sha256,
        "width": facts.width,
        "height": facts.height,
        "bytes": facts.bytes,
        "format": facts.format,
        "orientation": facts.orientation,
    }


def _sent(row: Row, prepared: Prepared | None, request: Request) -> Sent:
    """Return how a picture was sent; a prepared one may be sent as the public URL of its file."""
    if prepared is None or request.form != "bytes":
        sent = Sent(form=request.form)
    else:
        sent = Sent(
            form="bytes",
            action=prepared.action,
            width=prepared.width,
            height=prepared.height,
            bytes=len(prepared.data),
            format=prepared.format,
            scale=round(prepared.scale, 6),
            encodes=prepared.encodes,
            ms=round(prepared.ms, 1),
        )
        if prepared.quality is not None:
            sent["quality"] = prepared.quality
    if row.crop is not None:
        sent["crop"] = _crop(row.crop)
    return sent


def _crop(crop: Crop) -> Any:
    return {"left": crop.left, "top": crop.top, "right": crop.right, "bottom": crop.bottom}


def _calls(provider: RecordProvider, exchanges: Sequence[Exchange]) -> Calls:
    answers = [answer for _, answer in exchanges]
    paid = [answer for answer in answers if not answer.from_store]
    calls = Calls(
        count=len(paid),
        attempts=sum(answer.attempts for answer in paid),
        ms=round(sum(answer.ms for answer in paid), 1),
        trace_ids=[trace_id for answer in answers if (trace_id := provider.trace_id(answer))],
        from_store=not paid,
    )
    usages = [(answer, provider.usage(request, answer)) for request, answer in exchanges]
    if model := next((usage.model for _, usage in usages if usage.model), ""):
        calls["model"] = model
    if usage := _usage([usage for answer, usage in usages if not answer.from_store]):
        calls["usage"] = usage
    return calls


def _usage(usages: Sequence[Usage]) -> CallsUsage:
    """Return what several calls used together; what no service says is left out."""
    total = CallsUsage()
    units: Counter[str] = Counter()
    for usage in usages:
        units.update(usage.units)
    if units:
        total["units"] = dict(units)
    if tokens_in := sum(usage.tokens_in for usage in usages):
        total["tokens_in"] = tokens_in
    if tokens_out := sum(usage.tokens_out for usage in usages):
        total["tokens_out"] = tokens_out
    costs = [usage.cost for usage in usages if usage.cost is not None]
    if costs:
        total["cost"] = round(sum(costs), 9)
        total["currency"] = usages[0].currency
    return total
