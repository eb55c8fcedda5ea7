"""The service's responses over its socket: headers, hints, and an ErrorResponse for every rule that is broken."""

from __future__ import annotations

import gzip
import io
import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from pydantic import SecretStr

from pipeline.errors import ServiceError
from pipeline.service.access.authenticator import Allowance, ApiKey
from pipeline.service.http.body import MAX_BODY_BYTES
from tests.waiting import HANG_SECONDS, wait_until

if TYPE_CHECKING:
    from tests.service.serving import FixedEngine, Reply, Served

Start = Callable[..., "Served"]
KEY = "0123456789abcdef"
HEADER = "Ocp-Apim-Subscription-Key"


def _actions(reply: Any) -> dict[str, Any]:
    return {action["actionType"]: action for action in reply.json["tags"][0]["actions"]}


def test_a_response_has_the_headers_of_the_protocol(served: Served, picture: bytes) -> None:
    """It has a new trace id, the market used, and a client id that is the request's own or a new one."""
    first = served.visual_search(None, picture, "?mkt=de-de")
    assert first.headers["content-type"] == "application/json; charset=utf-8"
    assert first.headers["bingapis-market"] == "de-DE"
    client = first.headers["x-msedge-clientid"]
    again = served.visual_search(None, picture, X_MSEdge_ClientID=client)
    assert again.headers["x-msedge-clientid"] == client
    assert again.headers["bingapis-traceid"] != first.headers["bingapis-traceid"]
    assert again.headers["bingapis-market"] == "en-US"


def test_json_ld_is_sent_on_request(served: Served, picture: bytes) -> None:
    """Accept: application/ld+json changes the media type (Image Search reference, Accept)."""
    reply = served.visual_search(None, picture, Accept="application/ld+json")
    assert reply.headers["content-type"] == "application/ld+json; charset=utf-8"
    assert reply.json["_type"] == "ImageKnowledge"


@pytest.mark.parametrize(
    ("query", "headers", "status", "parameter"),
    [
        ("?mkt=english", {}, 400, "mkt"),
        ("?mkt=en-US&cc=US", {"Accept-Language": "en"}, 400, "cc"),
        ("?cc=US", {}, 400, "Accept-Language"),
        ("?cc=USA", {"Accept-Language": "en"}, 400, "cc"),
        ("", {"Accept-Language": "en,de"}, 400, "cc"),
        ("?setLang=en", {"Accept-Language": "en"}, 400, "setLang"),
        ("?setLang=english", {}, 400, "setLang"),
        ("?safeSearch=Never", {}, 400, "safeSearch"),
        ("?count=3", {}, 400, "count"),
        ("?modules=All", {}, 400, "modules"),
        ("", {"X-Search-Location": "lat:47.6;long:-122.3"}, 400, "X-Search-Location"),
        ("", {"X-Search-Location": "lat:91;long:0;re:1"}, 400, "X-Search-Location"),
        ("", {"X-Search-Location": "lat:1;long:x;re:1"}, 400, "X-Search-Location"),
        ("", {"X-Search-Location": "lat:1;long:1;re:1;head:5"}, 400, "X-Search-Location"),
        ("", {"X-Search-Location": "lat:1;long:1;re:1;are:5"}, 400, "X-Search-Location"),
        ("", {"X-Search-Location": "lat:1;long:1;re:1;up:5"}, 400, "X-Search-Location"),
        ("", {"X-MSEdge-ClientID": "x", "Cookie": "a=b"}, 400, "Cookie"),
    ],
    ids=[
        "mkt",
        "mkt-and-cc",
        "cc-alone",
        "cc-long",
        "language-alone",
        "setlang-and-language",
        "setlang",
        "safesearch",
        "search-only",
        "details-only",
        "location-short",
        "location-range",
        "location-text",
        "heading-alone",
        "accuracy-alone",
        "location-unknown",
        "cookie",
    ],
)
def test_every_shared_rule(
    served: Served, picture: bytes, query: str, headers: dict[str, str], status: int, parameter: str
) -> None:
    """A broken rule of the Image Search reference gets its status and the parameter at fault."""
    reply = served.visual_search(
        None, picture, query, **{name.replace("-", "_"): value for name, value in headers.items()}
    )
    assert (reply.status, reply.error["code"], reply.error["parameter"]) == (status, "InvalidRequest", parameter)
    assert reply.headers["bingapis-traceid"]


@pytest.mark.parametrize(
    ("query", "headers", "market"),
    [
        ("?mkt=pt-br", {}, "pt-BR"),
        ("?mkt=en-DE", {}, "de-DE"),
        ("?mkt=fr-XX", {}, "fr-BE"),
        ("?mkt=xx-XX", {}, "en-US"),
        ("?cc=ch", {"Accept-Language": "it, de;q=0.5, fr;q=0.9"}, "fr-CH"),
        ("?setLang=de&safeSearch=strict", {"Accept-Language": "*"}, "en-US"),
        ("", {"X-Search-Location": "lat:47.6;long:-122.3;re:22;sp:3;head:90;alt:2;are:1;ts:1"}, "en-US"),
    ],
    ids=["listed", "country", "language", "neither", "first-supported", "any-language", "location"],
)
def test_the_market_used_is_the_best_fit(
    served: Served, picture: bytes, query: str, headers: dict[str, str], market: str
) -> None:
    """A market that isn't listed gets the best fit, as the reference says, and the response names it."""
    reply = served.visual_search(
        None, picture, query, **{name.replace("-", "_"): value for name, value in headers.items()}
    )
    assert (reply.status, reply.headers["bingapis-market"]) == (200, market)


def test_a_url_over_2048_characters_is_not_found(served: Served, picture: bytes) -> None:
    """The documented limit is exact."""
    path = f"{served.url}/v7.0/images/visualsearch?mkt=en-US&padding="
    longest = "x" * (2048 - len(path))
    assert served.visual_search(None, picture, f"?mkt=en-US&padding={longest}").status == 200
    assert served.visual_search(None, picture, f"?mkt=en-US&padding={longest}x").status == 404


def test_parameter_names_are_accepted_in_any_case(served: Served) -> None:
    """The Image Insights guide itself has both imgUrl and imgurl; an empty value counts as none."""
    reply = served.send("GET", "/v7.0/images/details?imgurl=https%3A%2F%2Fimg.shop.example%2F3.jpg&MODULES=tags&mkt=")
    assert reply.json["imageTags"] == {"value": [{"name": "mug"}]}
    assert served.send("GET", "/v7.0/images/search?q=mug&INSIGHTSTOKEN=t").error["parameter"] == "insightsToken"


def test_other_paths_and_methods_are_errors_of_the_protocol(served: Served) -> None:
    """A wrong path or method gets an ErrorResponse too."""
    assert served.send("GET", "/v6.0/images/visualsearch").error["code"] == "InvalidRequest"
    reply = served.send("GET", "/v7.0/images/visualsearch")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert served.send("POST", "/v7.0/images/search").status == 405


def test_a_body_that_is_no_form_is_refused(served: Served) -> None:
    """JSON without a form, and a form without a boundary, get an error about the Content-Type."""
    for content_type in ("application/json", "multipart/form-data"):
        reply = served.send("POST", "/v7.0/images/visualsearch", b"{}", Content_Type=content_type)
        assert (reply.status, reply.error["parameter"]) == (400, "Content-Type")


def test_a_packed_body_is_unpacked_or_refused(served: Served, picture: bytes, write_form: Callable[..., bytes]) -> None:
    """Content-Encoding: gzip is supported; a body that isn't gzip then is an error of the client."""
    headers = {"Content-Type": "multipart/form-data; boundary=frontier", "Content-Encoding": "gzip"}
    body = write_form(None, picture)
    target = "/v7.0/images/visualsearch"
    assert served.send_exactly("POST", target, gzip.compress(body), headers).status == 200
    refused = served.send_exactly("POST", target, body, headers)
    assert (refused.status, refused.error["parameter"]) == (400, "body")


def test_a_client_that_goes_away_is_no_error(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A client that disconnects during its body leaves the service healthy, and its log empty."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=HANG_SECONDS) as connection:
        connection.sendall(
            b"POST /v7.0/images/visualsearch HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"--b\r\n")
    assert served.send("GET", "/healthz").status == 200
    assert "Traceback" not in caplog.text


def test_a_huge_body_is_not_read(served: Served) -> None:
    """The service stops reading at its limit, and refuses the request."""
    reply = served.visual_search(None, bytes(MAX_BODY_BYTES))
    assert (reply.status, reply.error["parameter"]) == (400, "body")


def _png(side_px: int) -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (side_px, 10)).save(target, "PNG")
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "category"),
    [
        (_png(10) + bytes(1_000_000), "ImageByteSizeExceedsLimit"),
        (_png(1501), "ImageDimensionsExceedLimit"),
        (b"GIF, or not", "UnknownFormat"),
    ],
    ids=["bytes", "pixels", "format"],
)
@pytest.mark.parametrize("endpoint", ["visualsearch", "details"])
def test_a_picture_outside_the_limits_gets_a_hint(
    served: Served, write_form: Callable[..., bytes], data: bytes, category: str, endpoint: str
) -> None:
    """The response is a 200 without insights, with a hint why (as recorded from the real service)."""
    content_type = "multipart/form-data; boundary=frontier"
    target = f"/bing/v7.0/images/{endpoint}"
    reply = served.send("POST", target, write_form(None, data), Content_Type=content_type)
    assert (reply.status, reply.json["imageQualityHints"]) == (200, [{"category": category}])
    assert not reply.json.get("tags")


def test_the_limits_themselves_are_allowed(served: Served) -> None:
    """1,500 px and 1,000,000 bytes are allowed."""
    small = _png(1500)
    assert "imageQualityHints" not in served.visual_search(None, small + bytes(1_000_000 - len(small))).json


def test_a_url_is_looked_up_in_the_catalogue(served: Served) -> None:
    """A URL that the catalogue does not have gets a hint, unless pictures may be loaded."""
    known = served.visual_search({"imageInfo": {"url": "https://img.shop.example/3.jpg"}})
    assert known.json["image"]["imageInsightsToken"] == f"own_{3:040x}"
    unknown = served.visual_search({"imageInfo": {"url": "https://elsewhere.example/3.jpg"}})
    assert unknown.json["imageQualityHints"] == [{"category": "ImageDownloadFailed"}]


def test_the_token_of_an_upload_can_be_used(served: Served, picture: bytes) -> None:
    """The token in a response names the picture, even if the catalogue doesn't have it."""
    token = served.visual_search(None, picture).json["image"]["imageInsightsToken"]
    again = served.visual_search({"imageInfo": {"imageInsightsToken": token}})
    assert again.json["image"]["imageInsightsToken"] == token
    details = served.send("GET", f"/v7.0/images/details?insightsToken={token}&modules=Tags")
    assert details.json["imageTags"] == {"value": [{"name": "mug"}]}
    unknown = served.visual_search({"imageInfo": {"imageInsightsToken": "ccid_x"}})
    assert (unknown.status, unknown.error["parameter"]) == (400, "imageInsightsToken")


def test_the_token_of_an_upload_outlives_a_restart(
    start: Start, engine: FixedEngine, tmp_path: Path, picture: bytes
) -> None:
    """Another service with the same folder knows the picture."""
    uploads = tmp_path / "uploads.db"
    sent = start(engine, uploads=uploads).visual_search(None, picture).json
    named = {"imageInfo": {"imageInsightsToken": sent["image"]["imageInsightsToken"]}}
    assert start(engine, uploads=uploads).visual_search(named).json["image"] == sent["image"]
    assert start(engine).visual_search(named).status == 400


def test_the_query_ranks_what_is_similar(served: Served) -> None:
    """Image Search reference, q: it makes insights more relevant. An operator that searches don't have is refused."""
    target = f"/v7.0/images/details?insightsToken=own_{3:040x}&modules=SimilarImages,SimilarProducts"
    plain = served.send("GET", target).json
    ranked = served.send("GET", f"{target}&q=intitle:47").json
    for member in ("visuallySimilarImages", "visuallySimilarProducts"):
        before, after = ([image["name"] for image in answer[member]["value"]] for answer in (plain, ranked))
        assert before[0] != after[0] == "Blue mug 47"
    assert served.send("GET", f"{target}&q=inbody:mug").error["parameter"] == "q"


def test_paging_ends(served: Served, picture: bytes) -> None:
    """NextOffset leads through all similar pictures once, and is absent at the end."""
    seen: list[str] = []
    offset: int | None = 0
    while offset is not None:
        more = {"invokedSkills": ["SimilarImages"], "offset": offset, "count": 25}
        reply = served.visual_search({"knowledgeRequest": more}, picture)
        actions = _actions(reply)
        assert list(actions) == ["VisualSearch"]
        data = actions["VisualSearch"]["data"]
        assert (data["totalEstimatedMatches"], data["currentOffset"]) == (58, offset)
        seen += [image["imageId"] for image in data["value"]]
        offset = data.get("nextOffset")
    assert seen == [f"sku-{number}" for number in range(2, 60)]


def test_a_site_filter_reaches_the_engine(served: Served, engine: FixedEngine, picture: bytes) -> None:
    """The engine gets crop and site."""
    area = {"left": 0.1, "top": 0.2, "right": 0.3, "bottom": 0.4}
    served.visual_search(
        {"imageInfo": {"cropArea": area}, "knowledgeRequest": {"filters": {"site": "other.example"}}}, picture
    )
    assert engine.requests == [((0.1, 0.2, 0.3, 0.4), "other.example")]


@pytest.fixture
def guarded(engine: FixedEngine, start: Start) -> Served:
    """Return a service with keys: one active, one disabled, one expired, and one with two calls a month."""
    small = Allowance(per_month=2)
    keys = (
        ApiKey(secret=SecretStr(KEY)),
        ApiKey(secret=SecretStr("disabled"), state="disabled"),
        ApiKey(secret=SecretStr("expired"), state="expired"),
        ApiKey(secret=SecretStr("two-a-month"), allowance=small),
    )
    return start(engine, keys=keys)


@pytest.mark.parametrize(
    ("headers", "status", "code", "sub_code"),
    [
        ({}, 401, "InvalidAuthorization", "AuthorizationMissing"),
        ({HEADER: "wrong"}, 401, "InvalidAuthorization", "AuthorizationMissing"),
        (
            {"Ocp-Apim-Subscription-Key": KEY, "Authorization": "x"},
            401,
            "InvalidAuthorization",
            "AuthorizationRedundancy",
        ),
        ({HEADER: "disabled"}, 403, "InsufficientAuthorization", "AuthorizationDisabled"),
        ({HEADER: "expired"}, 403, "InsufficientAuthorization", "AuthorizationExpired"),
    ],
    ids=["missing", "wrong", "redundant", "disabled", "expired"],
)
def test_keys_are_checked(guarded: Served, headers: dict[str, str], status: int, code: str, sub_code: str) -> None:
    """Each problem with a key has its status, code and sub-code (Image Search reference, Error codes)."""
    reply = guarded.send_exactly("GET", "/v7.0/images/trending", b"", headers)
    assert (reply.status, reply.error["code"], reply.error["subCode"]) == (status, code, sub_code)


def test_an_active_key_is_admitted_and_health_needs_none(guarded: Served) -> None:
    """The health check works without a key."""
    assert guarded.send("GET", "/v7.0/images/trending", Ocp_Apim_Subscription_Key=KEY).status == 200
    assert guarded.send("GET", "/healthz").json == {"status": "ok", "pictures": 60, "version": "fixed"}


def test_a_used_up_monthly_quota_is_a_403_with_retry_after(guarded: Served) -> None:
    """With two calls a month, the third is refused until the month ends."""
    replies = [guarded.send("GET", "/v7.0/images/trending", Ocp_Apim_Subscription_Key="two-a-month") for _ in range(3)]
    assert [reply.status for reply in replies] == [200, 200, 403]
    assert replies[2].error["code"] == "RateLimitExceeded"
    assert 0 < int(replies[2].headers["retry-after"]) <= 31 * 86400


def test_more_than_qps_is_a_429_with_retry_after(engine: FixedEngine, start: Start) -> None:
    """Within one second no more than `qps` calls are admitted, and the refusal has a Retry-After."""
    slow = start(engine, allowance=Allowance(qps=2))
    replies: list[Reply] = []

    def refusal() -> Reply | None:
        replies.append(slow.send("GET", "/v7.0/images/trending"))
        return replies[-1] if replies[-1].status != 200 else None

    refused = wait_until(refusal, "a third call came within a second")
    assert len(replies) >= 3
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert refused.error["code"] == "RateLimitExceeded"


def test_too_much_work_at_once_is_a_429(engine: FixedEngine, start: Start, picture: bytes) -> None:
    """While the service is full, the next request is refused; afterwards requests are accepted again."""
    busy, free = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert free.wait(HANG_SECONDS)

    engine.before = hold
    crowded = start(engine, most_in_work=1, workers=2)
    first: list[int] = []
    worker = threading.Thread(target=lambda: first.append(crowded.visual_search(None, picture).status))
    worker.start()
    assert busy.wait(HANG_SECONDS)
    refused = crowded.visual_search(None, picture)
    healthy = crowded.send("GET", "/healthz").status
    free.set()
    worker.join()
    assert (refused.status, refused.headers["retry-after"], healthy, first) == (429, "1", 200, [200])
    assert crowded.visual_search(None, picture).status == 200


def test_a_search_does_not_wait_for_a_picture(engine: FixedEngine, start: Start, picture: bytes) -> None:
    """While the only worker for pictures is busy, searches are answered."""
    busy, free = threading.Event(), threading.Event()

    def hold() -> None:
        busy.set()
        assert free.wait(HANG_SECONDS)

    engine.before = hold
    served = start(engine, workers=1)
    first: list[int] = []
    worker = threading.Thread(target=lambda: first.append(served.visual_search(None, picture).status))
    worker.start()
    assert busy.wait(HANG_SECONDS)
    search_status = served.send("GET", "/v7.0/images/search?q=mug").status
    finished_before = first.copy()
    free.set()
    worker.join()
    assert (search_status, finished_before, first) == (200, [], [200])


def test_plain_http_is_gone_if_https_is_required(engine: FixedEngine, start: Start) -> None:
    """The service sends 410 HttpNotAllowed, like the real service."""
    reply = start(engine, https_only=True).send("GET", "/v7.0/images/trending")
    assert (reply.status, reply.error["subCode"]) == (410, "HttpNotAllowed")


def test_a_bug_is_a_500_with_a_trace_id(
    engine: FixedEngine, start: Start, picture: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets an ErrorResponse without details, and the log has the trace id."""

    def break_down() -> None:
        raise KeyError("secret detail")

    engine.before = break_down
    reply = start(engine).visual_search(None, picture)
    assert (reply.status, reply.error["subCode"]) == (500, "UnexpectedError")
    assert "secret detail" not in reply.body.decode()
    assert reply.headers["bingapis-traceid"] in caplog.text


def test_the_journal_is_a_file_of_lines(engine: FixedEngine, start: Start, picture: bytes, tmp_path: Path) -> None:
    """The file has one JSON line for each request, in the order of the responses, without keys."""
    served = start(engine, journal=tmp_path / "journal.jsonl", faults=False)
    served.visual_search(None, picture, Ocp_Apim_Subscription_Key="secret-of-mine")
    served.send("GET", "/v7.0/images/trending?subscription-key=secret-of-mine")
    text = (tmp_path / "journal.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["path"] for line in lines] == ["/v7.0/images/visualsearch", "/v7.0/images/trending"]
    assert lines[0]["picture"]["bytes"] == len(picture)
    assert "secret-of-mine" not in text
    assert served.send("POST", "/_faults", b"[]").status == 404


def test_thumbnails_of_the_catalogue(engine: FixedEngine, start: Start, picture: bytes, tmp_path: Path) -> None:
    """An image of a response has a small copy at its thumbnailUrl; other tokens have none."""
    file = tmp_path / "mug.png"
    file.write_bytes(picture)
    token = f"own_{0:040x}"
    engine.files[token] = file
    served = start(engine)
    reply = served.send("GET", f"/thumbnails/{token}")
    assert reply.headers["content-type"] == "image/jpeg"
    assert max(Image.open(io.BytesIO(reply.body)).size) <= 474
    assert served.send("GET", "/thumbnails/own_x").status == 404


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("", (200, 200)),
        ("?w=50", (50, 50)),
        ("?h=40", (40, 40)),
        ("?w=50&h=40", (40, 40)),
        ("?w=50&h=40&c=7", (50, 40)),
        ("?w=1000&h=500&c=4", (200, 100)),
    ],
)
def test_thumbnails_have_the_size_that_is_asked_for(
    engine: FixedEngine, start: Start, picture: bytes, tmp_path: Path, query: str, size: tuple[int, int]
) -> None:
    """W and h bound it, c cuts it to these proportions, and it never gets larger than the picture."""
    (tmp_path / "mug.png").write_bytes(picture)
    token = f"own_{0:040x}"
    engine.files[token] = tmp_path / "mug.png"
    served = start(engine)
    assert Image.open(io.BytesIO(served.send("GET", f"/thumbnails/{token}{query}").body)).size == size
    assert served.send("GET", f"/thumbnails/{token}?w=0").error["parameter"] == "w"
    assert served.send("GET", f"/thumbnails/{token}?c=5").error["parameter"] == "c"


def test_an_unwritable_journal_stops_the_start(engine: FixedEngine, start: Start, tmp_path: Path) -> None:
    """A journal that can't be written is an error at the start, not at the first request."""
    with pytest.raises(ServiceError, match="can't be written"):
        start(engine, journal=tmp_path / "nowhere" / "journal.jsonl")
