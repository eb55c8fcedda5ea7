"""The protocol end to end: what real runs put on the wire, read by Python's own parsers, and what they make of it."""

from __future__ import annotations

import email
import email.policy
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import combinations
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import orjson
import pytest
from anyio.abc import SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from jsonschema import Draft202012Validator
from PIL import Image, ImageDraw

from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.runner.job import run
from pipeline.schema import json_schema
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, running_service, write_config, write_manifest

ANSWERS = Path(__file__).parents[1] / "providers" / "answers"
KEY_HEADER = "Ocp-Apim-Subscription-Key"
NOTHING = {"_type": "ImageKnowledge", "tags": []}
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request as it came off the socket; `message` is all but its first line, read by Python's email parser."""

    method: str
    target: str
    message: EmailMessage

    @property
    def path(self) -> str:
        """The path without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded; a parameter stands once."""
        pairs = parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def part(self, name: str) -> EmailMessage:
        """Return one part of the form."""
        (part,) = (part for part in self.message.iter_parts() if part.get_param("name", header=_DISPOSITION) == name)
        assert isinstance(part, EmailMessage)
        return part

    @property
    def knowledge(self) -> Any:
        """The JSON of the part knowledgeRequest."""
        content = self.part("knowledgeRequest").get_payload(decode=True)
        assert isinstance(content, bytes)
        return orjson.loads(content)


_DISPOSITION = "content-disposition"


@dataclass(slots=True)
class Raw:
    """A service made of a bare socket: it keeps what arrived, and answers by its nature with what `answer` says."""

    answer: Callable[[Arrived], Body]
    arrived: list[Arrived] = field(default_factory=list)
    endpoint: str = ""

    async def serve(self, stream: SocketStream) -> None:
        """Answer the requests of one connection, one after another; each answer tries to set a cookie."""
        incoming = BufferedByteReceiveStream(stream)
        async with stream:
            while True:
                try:
                    head = await incoming.receive_until(b"\r\n\r\n", 65_536)
                except (anyio.IncompleteRead, anyio.EndOfStream):
                    return
                first, _, rest = head.partition(b"\r\n")
                headers = email.message_from_bytes(rest + b"\r\n\r\n", policy=email.policy.HTTP)
                length = int(headers["Content-Length"] or 0)
                body = await incoming.receive_exactly(length) if length else b""
                await stream.send(self._reply(first.decode("ascii"), rest + b"\r\n\r\n" + body))

    def _reply(self, first: str, rest: bytes) -> bytes:
        method, target, version = first.split(" ")
        assert version == "HTTP/1.1"
        message = email.message_from_bytes(rest, policy=email.policy.HTTP)
        assert isinstance(message, EmailMessage)
        arrived = Arrived(method, target, message)
        self.arrived.append(arrived)
        body = orjson.dumps(self.answer(arrived))
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nBingAPIs-TraceId: T1\r\n"
            f"X-MSEdge-ClientID: CLIENT{len(self.arrived)}\r\nSet-Cookie: MUID=1; path=/\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        return f"{head}\r\n".encode() + body


@asynccontextmanager
async def raw_service(answer: Callable[[Arrived], Body]) -> AsyncIterator[Raw]:
    """Listen on a free loopback port until the block ends; every request must be flawless for the email parser."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
    raw = Raw(answer, endpoint=f"http://127.0.0.1:{port}/v7.0")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, raw.serve)
        yield raw
        tasks.cancel_scope.cancel()
    for arrived in raw.arrived:
        for message in arrived.message.walk():
            assert message.defects == []


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the key into the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)


def job(tmp_path: Path, endpoint: str, rows: list[dict[str, str]], /, root: Path | None = None, **keys: Any) -> Config:
    """Load a job over `rows` with these keys of [provider]."""
    manifest = write_manifest(tmp_path / "manifest.csv", rows)
    path = write_config(tmp_path / "job.toml", manifest, endpoint, manifest={"root": str(root or tmp_path)})
    return load(path, *(f"provider.{name}={toml(value)}" for name, value in keys.items()))


def toml(value: Any) -> str:
    """Write a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + "}"
    return orjson.dumps(value).decode()


async def records(config: Config) -> list[dict[str, Any]]:
    """Run the job; every record must be valid."""
    report = await run(config)
    assert (report.cause, report.exit_code) == (None, 0)
    found = lines_of(Path(config.output.dir) / "insights.jsonl")
    for record in found:
        Draft202012Validator(json_schema()).validate(record)
    return sorted(found, key=lambda record: str(record["id"]))


def read(name: str) -> Any:
    """Read an answer of our own that holds every object of the documents."""
    return orjson.loads((ANSWERS / f"{name}.json").read_bytes())


async def test_an_upload_is_a_form_that_pythons_parser_reads(tmp_path: Path) -> None:
    """The picture's own bytes in the part image, the question in knowledgeRequest, all settings in their places."""
    picture = draw(tmp_path / "a.jpg", 1).read_bytes()
    location = {"lat": 47.6, "long": -122.3, "re": 100, "ts": 1_760_000_000, "sp": 2, "head": 90, "alt": 5, "are": 3}
    rows = [{"id": "a", "image": "a.jpg", "crop": "0.1,0.2,0.5,0.6", "site": "shop.example", "market": "de-DE"}]
    settings: dict[str, Any] = {"market": "en-US", "set_lang": "de", "safe_search": "Strict", "no_cache": True}
    settings |= {"client_ip": "192.0.2.7", "location": location, "user_agent": "Catalogue/1.0", "entity_data": True}
    async with raw_service(lambda _: NOTHING) as raw:
        await records(job(tmp_path, raw.endpoint, rows, accept="application/ld+json", **settings))
    (asked,) = raw.arrived
    assert (asked.method, asked.path) == ("POST", "/v7.0/images/visualsearch")
    assert asked.query == {"mkt": "de-DE", "setLang": "de", "safeSearch": "Strict"}
    image = asked.part("image")
    assert (image.get_payload(decode=True), image.get_content_type()) == (picture, "image/jpeg")
    assert image.get_filename() == "image"
    assert asked.knowledge == {
        "imageInfo": {"cropArea": {"top": 0.2, "left": 0.1, "right": 0.5, "bottom": 0.6}},
        "knowledgeRequest": {
            "filters": {"site": "shop.example"},
            "invokedSkillsRequestData": {"enableEntityData": "true"},
        },
    }
    sent = asked.message
    assert (sent[KEY_HEADER], sent["Accept"], sent["Pragma"]) == (KEY, "application/ld+json", "no-cache")
    assert (sent["User-Agent"], sent["X-MSEdge-ClientIP"]) == ("Catalogue/1.0", "192.0.2.7")
    assert sent["X-Search-Location"] == "lat:47.6;long:-122.3;re:100;ts:1760000000;sp:2;head:90;alt:5;are:3"


async def test_tokens_urls_and_languages(tmp_path: Path) -> None:
    """A token with special characters, a URL that the service is to load, a country with languages."""
    token = "ccid_1*mid_2!/+\\._"
    rows = [{"id": "t", "image": f"token:{token}"}, {"id": "u", "image": "https://shop.example/\u00e9.jpg?x=1&y=2"}]
    settings: dict[str, Any] = {"url_form": "url", "cc": "CH", "accept_language": ["de-CH", "fr;q=0.8"]}
    async with raw_service(lambda _: NOTHING) as raw:
        await records(job(tmp_path, raw.endpoint, rows, **settings))
    infos = [asked.knowledge["imageInfo"] for asked in raw.arrived]
    assert sorted(infos, key=str) == [{"imageInsightsToken": token}, {"url": "https://shop.example/\u00e9.jpg?x=1&y=2"}]
    for asked in raw.arrived:
        assert (asked.message["Accept-Language"], asked.query) == ("de-CH, fr;q=0.8", {"cc": "CH"})


async def test_the_first_client_id_is_sent_from_then_on_and_no_cookie(tmp_path: Path) -> None:
    """The first request has none; whatever ids follow, the first is kept, on the next night too; cookies never are."""
    rows = [{"id": str(n), "image": f"token:t{n}"} for n in range(6)]
    async with raw_service(lambda _: NOTHING) as raw:
        await records(job(tmp_path, raw.endpoint, rows[:4]))
        await records(job(tmp_path, raw.endpoint, rows))
    ids = [asked.message["X-MSEdge-ClientID"] for asked in raw.arrived]
    assert ids == [None] + ["CLIENT1"] * 5
    assert all(asked.message["Cookie"] is None for asked in raw.arrived)


async def test_values_are_encoded_on_the_wire(tmp_path: Path) -> None:
    """Commas, colons and slashes arrive as the documents write them: modules=Caption%2CCollections."""
    rows = [{"id": "u", "image": "https://shop.example/a,b.jpg?x=1&y=2", "query": "mug: red/blue"}]
    settings: dict[str, Any] = {"ask": "details", "modules": ["Caption", "Collection"], "url_form": "url"}
    async with raw_service(lambda _: {"_type": "ImageInsights"}) as raw:
        await records(job(tmp_path, raw.endpoint, rows, **settings))
    (asked,) = raw.arrived
    assert "modules=Caption%2CCollections" in asked.target
    assert "imgUrl=https%3A%2F%2Fshop.example%2Fa%2Cb.jpg%3Fx%3D1%26y%3D2" in asked.target
    assert asked.query["q"] == "mug: red/blue"
    assert not {",", ":"} & set(asked.target)


def refusal(parameter: str) -> Body:
    """Return the error that refuses a parameter's value; it means the same with status 200."""
    refused = {"code": "InvalidRequest", "subCode": "ParameterInvalidValue", "message": "No.", "parameter": parameter}
    return {"_type": "ErrorResponse", "errors": [refused]}


@pytest.mark.parametrize(
    "parameter",
    ["Content-Type", "knowledgeRequest.filters.site", "mkt", "safeSearch", "User-Agent", "X-Search-Location"],
)
async def test_a_refused_setting_costs_one_call(tmp_path: Path, parameter: str) -> None:
    """Every other row would be refused too: the run ends, and its message names the parameter."""
    rows = [{"id": str(n), "image": f"token:t{n}"} for n in range(12)]
    async with raw_service(lambda _: refusal(parameter)) as raw:
        report = await run(job(tmp_path, raw.endpoint, rows, site="shop.example", market="en-US"))
    assert (len(raw.arrived), report.exit_code) == (1, 2)
    assert f"parameter {parameter}" in str(report.cause)


async def test_a_refused_setting_of_a_row_costs_its_row(tmp_path: Path) -> None:
    """Its own market and its own site are no settings of the job."""
    rows = [{"id": str(n), "image": f"token:t{n}", "site": "a.example", "market": "de-DE"} for n in range(4)]
    for parameter in ("mkt", "site"):
        async with raw_service(lambda _, name=parameter: refusal(name)) as raw:  # type: ignore[misc] # bound now
            report = await run(job(tmp_path / parameter, raw.endpoint, rows, site="shop.example", market="en-US"))
        assert (len(raw.arrived), report.tally.failed.total(), report.exit_code) == (4, 4, 1)


async def test_a_refused_client_id_is_forgotten(tmp_path: Path) -> None:
    """The call is repeated without it, and all that follow send the new one."""

    def answer(asked: Arrived) -> Body:
        return refusal("X-MSEdge-ClientID") if asked.message["X-MSEdge-ClientID"] == "CLIENT1" else NOTHING

    rows = [{"id": str(n), "image": f"token:t{n}"} for n in range(4)]
    async with raw_service(answer) as raw:
        await records(job(tmp_path, raw.endpoint, rows[:1]))
        await records(job(tmp_path, raw.endpoint, rows))
    ids = [asked.message["X-MSEdge-ClientID"] for asked in raw.arrived]
    assert ids == [None, "CLIENT1", None, "CLIENT3", "CLIENT3"]


async def test_everything_the_documents_know_is_in_the_record(tmp_path: Path) -> None:
    """An answer with every documented object becomes a valid record, its boxes those of the original picture."""
    rows = [{"id": "whole", "image": "token:t"}, {"id": "cut", "image": "token:t", "crop": "0.5,0.25,0.75,0.75"}]
    async with raw_service(lambda _: read("knowledge")) as raw:
        cut, whole = await records(job(tmp_path, raw.endpoint, rows))
    assert len(raw.arrived) == 2
    assert whole["status"] == cut["status"] == "ok"
    assert whole["calls"]["trace_ids"] == ["T1"]
    boxed = [(a["box"], b["box"]) for a, b in zip(whole["tags"], cut["tags"], strict=True) if "box" in a]
    assert boxed
    for original, mapped in boxed:
        assert mapped == [
            {"x": pytest.approx(0.5 + corner["x"] / 4), "y": pytest.approx(0.25 + corner["y"] / 2)}
            for corner in original
        ]


async def test_recognized_entities_take_a_call_of_their_own(tmp_path: Path) -> None:
    """Asked for among other modules, the row takes two calls, whose answers are one record (Image Search reference)."""

    def answer(asked: Arrived) -> Body:
        found: Body = read("recognized_entities" if asked.query["modules"] == "RecognizedEntities" else "insights")
        return found

    modules = ["Tags", "RecognizedEntities", "PagesIncluding"]
    rows = [{"id": "t", "image": "token:ccid_1*mid_2!/+\\._", "query": "sailing dinghy", "crop": "0,0,0.5,1"}]
    async with raw_service(answer) as raw:
        config = job(tmp_path, raw.endpoint, rows, ask="details", modules=modules)
        (record,) = await records(config)
        assert (await run(config)).traffic.sends == 0
    assert [asked.query["modules"] for asked in raw.arrived] == ["Tags,PagesIncluding", "RecognizedEntities"]
    for asked in raw.arrived:
        assert (asked.method, asked.path) == ("GET", "/v7.0/images/details")
        assert {name: value for name, value in asked.query.items() if name != "modules"} == {
            "insightsToken": "ccid_1*mid_2!/+\\._",
            "q": "sailing dinghy",
            "cal": "0.0",
            "cat": "0.0",
            "car": "0.5",
            "cab": "1.0",
            "ct": "0",
        }
    assert (record["calls"]["count"], len(record["calls"]["trace_ids"])) == (2, 2)
    assert record["tags"]
    assert record["pages"]
    assert any(entity.get("group") for entity in record["entities"])


async def test_details_of_an_upload_are_posted(tmp_path: Path) -> None:
    """The picture is the one part of a form, the modules stand in the query."""
    picture = draw(tmp_path / "a.png", 3).read_bytes()
    async with raw_service(lambda _: {"_type": "ImageInsights"}) as raw:
        await records(job(tmp_path, raw.endpoint, [{"id": "a", "image": "a.png"}], ask="details"))
    (asked,) = raw.arrived
    assert (asked.method, asked.query) == ("POST", {"modules": "All"})
    assert asked.part("image").get_payload(decode=True) == picture
    assert len(list(asked.message.iter_parts())) == 1


def similar(ids: range, after: int | None = None) -> Body:
    """Return an answer with these look-alikes; `after` is the offset of the next page."""
    data: dict[str, Any] = {"value": [{"imageId": str(n), "name": f"Image {n}"} for n in ids]}
    if after is not None:
        data["nextOffset"] = after
    action = {"_type": "ImageModuleAction", "actionType": "VisualSearch", "data": data}
    return {
        "_type": "ImageKnowledge",
        "image": {"imageInsightsToken": "known"},
        "tags": [{"displayName": "", "actions": [action]}],
    }


async def test_further_pages_follow_the_next_offset(tmp_path: Path) -> None:
    """Until there are enough: each page is a call, the picture is sent once, and what overlaps stands once."""
    pages = [similar(range(35), 42), similar(range(30, 60), 80), similar(range(60, 95), 120), similar(range(95, 99))]
    draw(tmp_path / "a.png", 3)
    async with raw_service(lambda _: pages[len(raw.arrived) - 1]) as raw:
        config = job(tmp_path, raw.endpoint, [{"id": "a", "image": "a.png"}], max_similar=90)
        (record,) = await records(config)
        assert (await run(config)).traffic.sends == 0
    assert [int(item["image_id"]) for item in record["similar_images"]["items"]] == list(range(95))
    assert record["calls"]["count"] == len(raw.arrived) == 3
    first, *further = raw.arrived
    assert [part.get_param("name", header=_DISPOSITION) for part in first.message.iter_parts()] == ["image"]
    assert [asked.knowledge["knowledgeRequest"]["offset"] for asked in further] == [42, 80]
    assert all(asked.knowledge["imageInfo"] == {"imageInsightsToken": "known"} for asked in further)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a catalogue of pictures that look alike, with pages and prices."""
    folder = tmp_path_factory.mktemp("catalogue")
    rows = []
    for number in range(12):
        draw(folder / f"p{number}.png", number * 256)  # of one colour, so that they look alike
        page = {"page_url": f"https://shop.example/{number}", "price": str(5 + number), "currency": "EUR"}
        rows.append({"id": f"c{number}", "image": f"p{number}.png", "title": f"Mug {number}", "tags": "mug", **page})
    return write_manifest(folder / "catalogue.csv", rows)


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), catalogue) as service:
        yield service


@pytest.fixture
def service(shared_service: Service) -> Service:
    """Return the embedded service with an empty journal."""
    os.truncate(shared_service.journal, 0)
    return shared_service


def uploads(catalogue: Path, **columns: str) -> list[dict[str, str]]:
    """Return rows over some of the catalogue's pictures."""
    return [{"id": f"r{n}", "image": f"p{n}.png", **columns} for n in range(3)]


async def test_details_with_every_module_at_the_embedded_service(
    tmp_path: Path, catalogue: Path, service: Service
) -> None:
    """Two calls a row, one record: pages and prices; that it knows no people stands in `unavailable`."""
    rows = uploads(catalogue, query="mug")
    modules = ["All", "RecognizedEntities"]
    found = await records(job(tmp_path, service.endpoint, rows, catalogue.parent, ask="details", modules=modules))
    asked = [parse_qs(seen["query"])["modules"][0] for seen in service.seen()]
    assert sorted(asked) == ["All"] * 3 + ["RecognizedEntities"] * 3
    for record, row in zip(found, rows, strict=True):
        assert record["calls"]["count"] == 2
        assert record["pages"][0]["host_page_url"] == f"https://shop.example/{row['id'][1:]}"
        assert record["offers"]
        assert "entities" in {missing["kind"] for missing in record["unavailable"]}


def _draw_alike(path: Path, number: int) -> str:
    """Draw one of many pictures that are like each other, and return its name."""
    picture = Image.new("RGB", (120, 90), "white")
    pen, squares = ImageDraw.Draw(picture), [(), *combinations(range(12), 2)][number]
    for place in range(12):
        left, top = place % 4 * 30 + 4, place // 4 * 30 + 4
        draw_one = pen.rectangle if place in squares else pen.ellipse
        draw_one((left, top, left + 22, top + 22), fill=(30, 60, 140))
    picture.save(path)
    return path.name


async def test_pages_of_both_lists_at_the_embedded_service(tmp_path: Path) -> None:
    """36 look-alikes, 35 on the first page: a call for the rest of each list, no item twice, and nothing else lost."""
    rows = [{"id": str(n), "image": _draw_alike(tmp_path / f"{n}.png", n), "price": "9.50"} for n in range(37)]
    write_manifest(tmp_path / "catalogue.csv", rows)
    with running_service(tmp_path / "service", tmp_path / "catalogue.csv", "--no-text") as service:
        config = job(tmp_path, service.endpoint, rows[:1], tmp_path, max_similar=36, max_products=36, count=20)
        (record,) = await records(config)
    assert record["calls"]["count"] == 3
    for name in ("similar_images", "similar_products"):
        ids = [item["image_id"] for item in record[name]["items"]]
        assert len(ids) == len(set(ids)) == record[name]["total"] == 36
        assert "next_offset" not in record[name]
    assert record["offers"]
    assert record["image"]["image_id"] == "0"


async def test_paging_names_a_skill_from_the_second_request_on(tmp_path: Path) -> None:
    """The first request asks for everything; each further page names its skill, and the offset of its list."""
    names = {"VisualSearch": 237, "ProductVisualSearch": 77}

    def answer(asked: Arrived) -> Body:
        skills = asked.knowledge.get("knowledgeRequest", {}).get("invokedSkills")
        actions = [
            {
                "actionType": name,
                "data": {"value": [{"imageId": f"{name}{skills}"}], **({} if skills else {"nextOffset": offset})},
            }
            for name, offset in names.items()
            if not skills or skills == [{"VisualSearch": "SimilarImages"}.get(name, "SimilarProducts")]
        ]
        tags = [{"displayName": "", "actions": actions}, *([] if skills else [{"displayName": "mug"}])]
        return {"_type": "ImageKnowledge", "tags": tags, "image": {"imageInsightsToken": "bcid_1"}}

    async with raw_service(answer) as raw:
        config = job(tmp_path, raw.endpoint, [{"id": "t", "image": "token:a"}], max_similar=9, max_products=9, count=8)
        (record,) = await records(config)
    asked = [arrived.knowledge for arrived in raw.arrived]
    assert asked[0] == {"imageInfo": {"imageInsightsToken": "a"}}
    assert [each["knowledgeRequest"] for each in asked[1:]] == [
        {"invokedSkills": ["SimilarImages"], "offset": 237, "count": 8},
        {"invokedSkills": ["SimilarProducts"], "offset": 77, "count": 8},
    ]
    assert [each["imageInfo"] for each in asked[1:]] == [{"imageInsightsToken": "a"}] * 2
    assert ([tag["name"] for tag in record["tags"]], record["calls"]["count"]) == (["mug"], 3)
    assert [len(record[name]["items"]) for name in ("similar_images", "similar_products")] == [2, 2]
    assert (await renormalise(config)).rebuilt == 1
    assert lines_of(Path(config.output.dir) / "insights.jsonl") == [record]


async def test_every_setting_passes_the_embedded_services_rules(
    tmp_path: Path, catalogue: Path, service: Service
) -> None:
    """All keys at once are a request that the other side, which shares no code with this one, takes as it is meant."""
    location = {"lat": 47.6, "long": -122.3, "re": 100, "sp": 2, "head": 90}
    rows = uploads(catalogue, crop="0.1,0.1,0.9,0.9", site="shop.example", market="de-DE")
    settings = {"market": "en-US", "set_lang": "de", "safe_search": "Off", "entity_data": True, "location": location}
    found = await records(job(tmp_path, service.endpoint, rows, catalogue.parent, client_ip="192.0.2.7", **settings))
    assert [record["market"] for record in found] == ["de-DE"] * 3
    assert [record["sent"]["crop"] for record in found] == [{"left": 0.1, "top": 0.1, "right": 0.9, "bottom": 0.9}] * 3
    assert {seen["status"] for seen in service.seen()} == {200}
    ids = [seen["headers"].get("X-MSEdge-ClientID") for seen in service.seen()]
    assert ids[0] is None
    assert len(set(ids[1:])) == 1
    assert ids[1]
