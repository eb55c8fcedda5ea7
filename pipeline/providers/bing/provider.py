"""The provider for services that speak the Bing v7 protocol: Microsoft's own kind, and the embedded service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal
from urllib.parse import parse_qs

from pydantic import SecretStr

from pipeline.config import SearchSettings
from pipeline.errors import RequestError
from pipeline.network.waits import WAIT_HEADERS, wait_of_headers
from pipeline.providers.bing.common_parameters import Pairs, check_crop, headers
from pipeline.providers.bing.details_requests import PATH as DETAILS
from pipeline.providers.bing.details_requests import details_requests, module_sets
from pipeline.providers.bing.filters import ImageSearch
from pipeline.providers.bing.picture import picture_of
from pipeline.providers.bing.read import read_answer
from pipeline.providers.bing.search_endpoints import (
    SOURCES,
    read_search_page,
    search_request,
    trending_request,
)
from pipeline.providers.bing.settings import BingSettings, LocalSettings, QuerySettings
from pipeline.providers.bing.visual_requests import PAGE_SIZE, Skill, next_page, site_of, visual_search_request
from pipeline.records import (
    Advice,
    Answer,
    Form,
    Limits,
    NextPage,
    Outcome,
    Page,
    Prepared,
    Problem,
    Reading,
    Request,
    Row,
    Usage,
)
from pipeline.schema import Insights, Origin, Unavailable

MAX_BYTES = 1_000_000  # "1 MB" in all documents but the Visual Search response guide, read the strict way
MAX_SIDE_PX = 1_500
KEY_HEADER = "Ocp-Apim-Subscription-Key"  # Image Search reference, Headers
Similar = Literal["similar_images", "similar_products"]
CLIENT_ID = "X-MSEdge-ClientID"  # Image Search reference, Headers: one user, one id for each request, persisted
TRACE_IDS = ("bingapis-traceid", "x-msedge-ref", "apim-request-id")
KEPT_HEADERS = (*WAIT_HEADERS, *TRACE_IDS, "content-type", "bingapis-market")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bing:
    """One service that speaks the protocol (a Provider).

    `origin` says where its facts come from, `pages_by_token` whether it remembers an uploaded picture by the token it
    answers with.
    """

    name: str
    service_id: str
    endpoint: str
    settings: QuerySettings
    forms: frozenset[Form]
    origin: Origin
    pages_by_token: bool
    headers: Pairs

    @property
    def kept_headers(self) -> Sequence[str]:
        """The response headers that say something about the answer or the pace."""
        return KEPT_HEADERS

    @property
    def client_state(self) -> str:
        """The header with the id that the service gives its client."""
        return CLIENT_ID

    @property
    def limits(self) -> Limits:
        """What a picture may be (Visual Search guide, Local image example)."""
        return Limits(max_bytes=MAX_BYTES, max_side_px=MAX_SIDE_PX, forms=self.forms)

    def authorise(self, request: Request, key: SecretStr) -> Request:
        """Return the request with the key in its header."""
        return replace(request, headers=(*request.headers, (KEY_HEADER, key.get_secret_value())))

    def secrets(self, key: SecretStr) -> Sequence[str]:
        """Return the key, from which nothing else is derived."""
        return (key.get_secret_value(),)

    def advice(self, answer: Answer) -> Advice:
        """Return what Retry-After says."""
        return Advice(wait=wait_of_headers(answer.headers, answer.asked_at + answer.ms / 1000))

    def estimate(self, _request: Request) -> Usage:
        """Return nothing: each call is one transaction, whose price the config knows."""
        return Usage()

    def usage(self, request: Request, _answer: Answer) -> Usage:
        """Return what was estimated: answers say nothing about it."""
        return self.estimate(request)

    def trace_id(self, answer: Answer) -> str | None:
        """Return the first of the ids by which the service or its gateway knows the call."""
        return next((answer.headers[name] for name in TRACE_IDS if name in answer.headers), None)

    def max_calls(self, _row: Row) -> int:
        """Return the calls of one row: one for each set of modules, or one and those for further pages of each list."""
        if self.settings.ask == "details":
            return len(module_sets(self.settings.modules or ("All",)))
        further = [max(0, wanted - PAGE_SIZE) for _, _, wanted in self._wanted()]
        return 1 + sum(ceil(items / self._page_size) for items in further)

    def requests(self, row: Row, prepared: Prepared | None) -> Sequence[Request]:
        """Build the calls of one row: one, or two where RecognizedEntities is asked for among other modules."""
        if row.crop is not None:
            check_crop(row.crop)
        picture = picture_of(row, prepared)
        if self.settings.ask == "details":
            return details_requests(row, picture, self.settings, self.headers, self.endpoint)
        return (visual_search_request(row, picture, self.settings, self.headers, self.endpoint),)

    def read(self, request: Request, answer: Answer) -> Outcome:
        """Understand one answer; never raises, whatever the bytes are."""
        if request.target.startswith(SOURCES):
            return self.read_search(request, answer)
        insights = read_answer(
            answer,
            origin=self.origin,
            crop=request.crop,
            is_from_row=lambda parameter: self._is_from_row(request, parameter),
            url_chars=len(self.endpoint) + len(request.target),
        )
        if isinstance(insights, Problem):
            return insights
        insights["unavailable"] += self._unavailable(request, insights)
        return Reading(insights=insights, more=self._more(request, insights))

    def search(self, search: SearchSettings, offset: int, have: int = 0) -> Request:
        """Build the call for a search's images from `offset` on, `have` of them being there already."""
        if not isinstance(search, ImageSearch):
            raise TypeError(f"{type(search).__name__} is not this provider's table of a search")
        self._check_shopping(search)
        return search_request(search, self.settings, self.endpoint, offset, have)

    def trending(self) -> Request:
        """Build the call for the images that are trending."""
        return trending_request(self.settings, self.endpoint)

    def read_search(self, request: Request, answer: Answer) -> Page | Problem:
        """Understand an answer to `search` or `trending`; never raises, whatever the bytes are."""
        return read_search_page(answer, origin=self.origin, url_chars=len(self.endpoint) + len(request.target))

    def _check_shopping(self, search: ImageSearch) -> None:
        if search.image_type == "Shopping" and self.settings.market != "en-US":
            raise RequestError("market-without-shopping", 'image_type "Shopping" is valid in the market en-US only')

    def _is_from_row(self, request: Request, parameter: str) -> bool:
        """Return True for a parameter that rows may have too, where its value is not that of the config."""
        query = {name: values[0] for name, values in parse_qs(request.target.partition("?")[2]).items()}
        own = {"mkt": (query.get("mkt"), self.settings.market), "q": (query.get("q"), self.settings.query)}
        if parameter == "site" and request.body:
            own["site"] = (site_of(request), self.settings.site)
        sent, configured = own.get(parameter, ("", ""))
        return (sent or "") != configured

    @property
    def _page_size(self) -> int:
        return self.settings.count or PAGE_SIZE

    def _wanted(self) -> tuple[tuple[Similar, Skill, int], ...]:
        """Return the lists that have pages, with the skill that pages each, and how many items of it are wanted."""
        return (
            ("similar_images", "SimilarImages", self.settings.max_similar),
            ("similar_products", "SimilarProducts", self.settings.max_products),
        )

    def _more(self, request: Request, insights: Insights) -> tuple[NextPage, ...]:
        """Return the next page of each list of which more is wanted, where the answer says that there is more.

        A request without a target was made up to read a stored answer; nothing follows it.
        """
        if not request.target or self.settings.ask == "details":
            return ()
        token = insights.get("insights_token") if self.pages_by_token else None
        pages = []
        for name, skill, wanted in self._wanted():
            similar = insights[name]
            if "next_offset" in similar and 0 < len(similar["items"]) < wanted:
                following = next_page(request, skill, offset=similar["next_offset"], count=self._page_size, token=token)
                pages.append(NextPage(request=following, list=name, enough=wanted))
        return tuple(pages)

    def _unavailable(self, request: Request, insights: Insights) -> list[Unavailable]:
        """Name what the question left out, unless the answer says so itself: related searches need the user's query."""
        if not request.target.startswith(DETAILS) or "related_searches" in {
            one["kind"] for one in insights["unavailable"]
        }:
            return []
        asked = parse_qs(request.target.partition("?")[2])
        if "q" in asked or not {"All", "RelatedSearches"}.intersection(asked.get("modules", [""])[0].split(",")):
            return []
        return [{"kind": "related_searches", "reason": "the service needs the query that led to the image"}]


def make_bing(settings: BingSettings, endpoint: str) -> Bing:
    """Return the provider for the service at `endpoint`."""
    forms: set[Form] = {"bytes", "token"}
    if settings.url_form == "url":
        forms.add("url")
    return Bing(
        name="bing",
        service_id=endpoint,
        endpoint=endpoint,
        settings=settings,
        forms=frozenset(forms),
        origin="web",
        pages_by_token=True,
        headers=headers(settings),
    )


def make_local(settings: LocalSettings, endpoint: str) -> Bing:
    """Return the provider for the embedded service, whose endpoint is known once it listens.

    The id of the service says nothing of the port: the next run's service is the same one. Another model makes another
    service, and so does reading text: what was asked before is asked again when it is switched on.
    """
    model = settings.model.model_dump_json() if settings.model else ""
    parts = ("local", settings.catalogue, model, "text" if settings.text else "")
    return Bing(
        name="local",
        service_id=" ".join(filter(None, parts)),
        endpoint=endpoint,
        settings=settings,
        forms=frozenset({"bytes", "token"}),
        origin="catalogue",
        pages_by_token=False,
        headers=headers(settings),
    )
