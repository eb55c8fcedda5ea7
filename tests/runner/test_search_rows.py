"""Rows from an image search and from what is trending, over real sockets: pages, duplicates, resuming, refusals."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest
from aiohttp import web

from pipeline.commands.check import check
from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.errors import ConfigError, Misconfigured
from pipeline.runner.job import run
from tests.clocks import leap
from tests.running import KEY, KEY_ENV, Service, draw, lines_of, load, run_once, running_service, write_manifest

MUGS = 6


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a catalogue of many mugs, with few pictures, and one lamp."""
    folder = tmp_path_factory.mktemp("catalogue")
    for number in range(4):
        draw(folder / f"p{number}.png", number)
    rows = [
        {"id": f"m{n}", "image": f"p{n % 3}.png", "title": f"Mug {n}", "page_url": f"https://shop.example/{n}"}
        for n in range(MUGS)
    ]
    return write_manifest(folder / "catalogue.csv", [*rows, {"id": "lamp", "image": "p3.png", "title": "Lamp"}])


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory, catalogue: Path) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service"), catalogue) as service:
        yield service


@pytest.fixture
def service(shared_service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Return the service with no fault to come and an empty journal; the key is in the environment."""
    monkeypatch.setenv(KEY_ENV, KEY)
    shared_service.faults()
    os.truncate(shared_service.journal, 0)
    return shared_service


def job(tmp_path: Path, endpoint: str, source: str, *sets: str) -> Config:
    """Load a config whose rows come from `source`, a line of its manifest table."""
    (tmp_path / "job.toml").write_text(
        f"""
        [manifest]
        {source}
        [provider]
        name = "bing"
        endpoint = "{endpoint}"
        key_env = "{KEY_ENV}"
        [limits]
        qps = 0
        pacer = "process"
        [retry]
        first_wait = "10ms"
        max_wait = "50ms"
        [output]
        dir = "{tmp_path / "out"}"
        """
    )
    return load(tmp_path / "job.toml", *sets)


def searches(service: Service) -> list[str]:
    """Return the queries of the searches that arrived."""
    return [seen["query"] for seen in service.seen() if seen["path"].endswith("/images/search")]


@dataclass(slots=True)
class Pages:
    """A service whose searches answer with these pages by offset, in the order they were asked; others with nothing.

    While a search is answered, `takes` seconds pass on the run's clock.
    """

    pages: Mapping[int, dict[str, Any]]
    takes: float = 0.0
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Answer any call; each gets its own line in `asked`."""
        is_search = request.path.endswith("/images/search")
        content = await request.read()
        said = f"search {request.query['offset']} {request.query['count']}" if is_search else content[-300:].decode()
        self.asked.append(said)
        if is_search:
            leap(self.takes)
            await anyio.sleep(0.01)  # for what is due by then
        body = self.pages[int(request.query["offset"])] if is_search else {"_type": "ImageKnowledge", "tags": []}
        return web.Response(body=orjson.dumps(body), content_type="application/json")


@asynccontextmanager
async def serving(pages: Pages) -> AsyncIterator[Pages]:
    """Serve pages on a free loopback port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pages.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pages.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v7.0"
        yield pages
    finally:
        await runner.cleanup()


def page(*ids: str, after: int | None = None) -> dict[str, Any]:
    """Return an answer with these images, each with a token."""
    images = [{"imageId": each, "imageInsightsToken": f"token_{each}", "name": f"Image {each}"} for each in ids]
    return {"_type": "Images", "value": images} | ({} if after is None else {"nextOffset": after})


async def test_what_a_search_finds_becomes_rows(tmp_path: Path, service: Service) -> None:
    """Each image is asked by its token and carries where it is from; the next night makes no call at all."""
    config = job(tmp_path, service.endpoint, 'search = { q = "mug", count = 5 }')
    before = make_plan(config)
    assert (before.rows, before.calls, before.is_open) == (0, 1, True)
    assert "has to be asked first" in before.text()
    assert service.seen() == []
    report = await run(config)
    records = {record["id"]: record for record in lines_of(tmp_path / "out" / "insights.jsonl")}
    assert (report.exit_code, report.traffic.sends, len(records)) == (0, 6, 5)
    mug = records["m0"]
    assert mug["sent"]["form"] == "token"
    assert mug["carry"] == {"name": "Mug 0", "host_page_url": "https://shop.example/0", "query": "mug"}
    assert mug["status"] == "ok"
    again = await run(config)
    assert (again.traffic.sends, again.tally.done_before, len(service.seen())) == (0, 5, 6)
    after = make_plan(config)
    assert (after.rows, after.done, after.calls, after.is_open) == (5, 5, 0, False)


async def test_pages_follow_the_next_offset_up_to_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page holds 150 at most; the last is no longer than needed, and is not asked for before its rows are."""
    monkeypatch.setenv(KEY_ENV, KEY)
    ids = [f"i{n}" for n in range(160)]
    async with serving(Pages({0: page(*ids[:150], after=163), 163: page(*ids[150:], after=173)})) as served:
        config = job(tmp_path, served.url, 'search = { q = "x", count = 155 }')
        assert (await run(config, limit=1)).exit_code == 0
        plan = make_plan(config)
        assert (plan.rows, plan.done, plan.is_open) == (150, 1, True)
        assert served.asked[0] == "search 0 150"
        assert len(served.asked) == 2
        report = await run(config)
        assert [asked for asked in served.asked if "search" in asked] == ["search 0 150", "search 163 5"]
    assert (report.tally.seen, report.exit_code) == (155, 0)
    assert len({record["id"] for record in lines_of(tmp_path / "out" / "insights.jsonl")}) == 155


async def test_what_a_search_says_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """About the search in search.json, over all pages; about an image in its record, which renormalise keeps."""
    monkeypatch.setenv(KEY_ENV, KEY)
    first, second = page("a", after=7), page("b")
    first["value"][0] |= {"width": 300, "insightsMetadata": {"shoppingSourcesCount": 2}, "accentColor": "1E40AF"}
    first |= {"totalEstimatedMatches": 9, "webSearchUrl": "https://s.example/?q=x", "relatedSearches": [{"text": "y"}]}
    first["pivotSuggestions"] = [{"pivot": "red", "suggestions": [{"text": "blue x"}]}]
    second |= {"totalEstimatedMatches": 8, "relatedSearches": [{"text": "y"}, {"text": "z"}]}
    second |= {"queryExpansions": [{"text": "x pro", "displayText": "pro"}], "similarTerms": [{"text": "w"}], "new": 1}
    async with serving(Pages({0: first, 7: second})) as served:
        config = job(tmp_path, served.url, 'search = { q = "x", count = 9 }')
        await run(config)
    summary = orjson.loads((tmp_path / "out" / "search.json").read_bytes())
    texts = {name: [query["text"] for query in summary.pop(name)] for name in ("related_searches", "similar_terms")}
    assert texts == {"related_searches": ["y", "z"], "similar_terms": ["w"]}
    assert [query["display_text"] for query in summary.pop("expansions")] == ["pro"]
    assert [(pivot["text"], pivot["suggestions"][0]["text"]) for pivot in summary.pop("pivots")] == [("red", "blue x")]
    assert summary == {
        "schema": "1",
        "query": "x",
        "total": 8,
        "web_search_url": "https://s.example/?q=x",
        "categories": [],
        "unavailable": [],
        "other": [{"where": "new", "value": 1}],
    }
    before = lines_of(tmp_path / "out" / "insights.jsonl")
    image = next(record for record in before if record["id"] == "a")["search_result"]
    assert (image["counts"], image["accent_color"], image["width"]) == ({"shopping": 2}, "#1e40af", 300)
    assert (await renormalise(config)).rebuilt == 2
    assert lines_of(tmp_path / "out" / "insights.jsonl") == before


async def test_an_end_before_the_count_is_the_end(tmp_path: Path, service: Service) -> None:
    """Filters go along; where fewer images are there than asked for, the run is done all the same."""
    source = 'search = { q = "lamp", count = 50, aspect = "Wide", max_width = 100 }'
    report = await run(job(tmp_path, service.endpoint, source))
    assert (report.exit_code, report.tally.ok) == (0, 1)
    assert searches(service) == ["q=lamp&aspect=Wide&maxWidth=100&count=50&offset=0"]


async def test_images_of_overlapping_pages_are_rows_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets are the service's own, pages may overlap, and one that brings nothing new is the last."""
    monkeypatch.setenv(KEY_ENV, KEY)
    pages = {0: page("a", "b", after=7), 7: page("b", "c", "a", after=11), 11: page("c", after=15)}
    async with serving(Pages(pages)) as served:
        report = await run(job(tmp_path, served.url, 'search = { q = "x", count = 90 }'))
    assert report.exit_code == 0
    searched = [asked for asked in served.asked if asked.startswith("search")]
    assert searched == ["search 0 90", "search 7 88", "search 11 87"]
    assert sorted(r["id"] for r in lines_of(tmp_path / "out" / "insights.jsonl")) == ["a", "b", "c"]
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []


async def test_the_quota_may_end_between_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages are charged like any call; whatever was paid for is not asked again by the runs that follow."""
    monkeypatch.setenv(KEY_ENV, KEY)
    pages = {0: page("a", "b", after=2), 2: page("c", "d", after=4), 4: page("e")}
    codes: list[int] = []
    async with serving(Pages(pages)) as served:
        config = job(tmp_path, served.url, 'search = { q = "x" }', "limits.calls_per_run=3", "output.max_failed='0%'")
        while not codes or codes[-1] == 5:
            codes.append((await run(config)).exit_code)
    assert codes == [5, 5, 0]
    assert len(served.asked) == len(set(served.asked)) == 3 + 5
    assert sorted(r["id"] for r in lines_of(tmp_path / "out" / "insights.jsonl")) == ["a", "b", "c", "d", "e"]


async def test_a_page_in_flight_is_not_lost_to_the_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run waits for the page it has paid for, and the next one begins with it."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with serving(Pages({0: page("a", "b")}, takes=30)) as served:
        short = job(tmp_path, served.url, 'search = { q = "x" }', "limits.max_runtime='20s'")
        assert (await run(short)).exit_code == 6
        assert served.asked == ["search 0 35"]
        report = await run(job(tmp_path, served.url, 'search = { q = "x" }'))
    assert (report.exit_code, report.traffic.sends) == (0, 2)
    assert served.asked.count("search 0 35") == 1


async def test_old_pages_are_refreshed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With output.refresh a search is asked again when its answer is older, and new images are rows."""
    monkeypatch.setenv(KEY_ENV, KEY)
    async with serving(Pages({0: page("a")})) as served:
        config = job(tmp_path, served.url, 'search = { q = "x" }')
        assert (await run(config)).exit_code == 0
        served.pages = {0: page("a", "b")}
        assert (await run(config)).traffic.sends == 0
        refreshing = job(tmp_path, served.url, 'search = { q = "x" }', "output.refresh='0s'")
        assert make_plan(refreshing).is_open
        assert (await run(refreshing)).traffic.sends == 3
    assert [r["id"] for r in lines_of(tmp_path / "out" / "insights.jsonl")] == ["a", "b"]


async def test_what_can_not_be_asked_about_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without token and URL, or whose URL is a path of this machine, is a failure by its rank."""
    monkeypatch.setenv(KEY_ENV, KEY)
    (tmp_path / "secret.png").write_bytes(b"no picture of the service's")
    found = page("a")
    found["value"] += [{"imageId": "b", "contentUrl": str(tmp_path / "secret.png")}, {"name": "nothing"}]
    async with serving(Pages({0: found})) as served:
        report = await run(job(tmp_path, served.url, 'search = { q = "x" }', "output.max_failed='100%'"))
    assert (report.exit_code, report.tally.empty) == (1, 1)
    failures = lines_of(tmp_path / "out" / "failures.jsonl")
    assert [(failure["code"], failure["line"], failure["stage"]) for failure in failures] == [
        ("missing-image", 2, "manifest"),
        ("missing-image", 3, "manifest"),
    ]


async def test_nothing_may_be_trending(tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service where nothing was searched has nothing to tell, which is no error; then it has."""
    monkeypatch.setenv(KEY_ENV, KEY)
    with running_service(tmp_path / "service", catalogue) as fresh:
        config = job(tmp_path, fresh.endpoint, "trending = true")
        report = await run(config)
        assert (report.exit_code, report.tally.seen, report.traffic.sends) == (0, 0, 1)
        assert (await run(job(tmp_path, fresh.endpoint, 'search = { q = "lamp" }'))).exit_code == 0
        assert (await run(config)).traffic.sends == 0
        assert (await run(job(tmp_path, fresh.endpoint, "trending = true", "output.refresh='0s'"))).exit_code == 0
        assert [seen["path"] for seen in fresh.seen()].count("/v7.0/images/trending") == 2
    record = next(r for r in lines_of(tmp_path / "out" / "insights.jsonl") if r["id"] == "lamp")
    assert record["carry"] == {"name": "Lamp", "query": "lamp", "category": "Popular searches"}


async def test_a_refused_search_ends_the_run_with_the_services_reason(tmp_path: Path, service: Service) -> None:
    """One call, exit 2, no failure is written: there are no rows that could fail."""
    config = job(tmp_path, service.endpoint, 'search = { q = "mug", image_content = "Face" }')
    report = await run(config)
    assert isinstance(report.cause, Misconfigured)
    assert "faces" in str(report.cause)
    assert (report.exit_code, len(service.seen())) == (2, 1)
    assert lines_of(tmp_path / "out" / "failures.jsonl") == []
    assert make_plan(config).is_open


async def test_a_search_without_an_answer_ends_the_run(tmp_path: Path, service: Service) -> None:
    """After all tries, exit 3; when the service is back, the run goes on."""
    service.faults({"kind": "error", "status": 500, "times": 100})
    config = job(tmp_path, service.endpoint, 'search = { q = "lamp" }', "retry.attempts=2")
    report = await run(config)
    assert (report.exit_code, report.reason, len(service.seen())) == (3, "search-failed", 2)
    service.faults()
    assert (await run(config)).tally.ok == 1


async def test_a_refused_key_ends_a_search_too(tmp_path: Path, service: Service) -> None:
    """One call, exit 4."""
    service.faults({"kind": "error", "status": 401, "code": "InvalidAuthorization", "times": 100})
    report = await run(job(tmp_path, service.endpoint, 'search = { q = "lamp" }'))
    assert (report.exit_code, len(service.seen())) == (4, 1)


LOCAL = """
[manifest]
{source}
[provider]
name = "local"
text = false
{provider}
[limits]
qps = 0
[output]
dir = "{out}"
"""


def local_job(tmp_path: Path, source: str, provider: str = "") -> Config:
    text = LOCAL.format(source=source, provider=provider, out=tmp_path / "out")
    (tmp_path / "local.toml").write_text(text)
    return load(tmp_path / "local.toml")


async def test_the_embedded_service_is_searched_in_the_named_catalogue(tmp_path: Path, catalogue: Path) -> None:
    """What it finds it can be asked about, by the tokens that it gave, on the next night too."""
    config = local_job(tmp_path, 'search = { q = "mug", count = 4 }', f'catalogue = "{catalogue}"')
    assert (await run(config, limit=1)).exit_code == 0
    report = await run(config)
    assert (report.exit_code, report.tally.done_before, report.tally.ok) == (0, 1, 3)
    assert {r["provider"] for r in lines_of(tmp_path / "out" / "insights.jsonl")} == {"local"}
    assert (await run(config)).traffic.sends == 0


async def test_the_embedded_service_needs_a_catalogue_to_search_in(tmp_path: Path) -> None:
    """There is no manifest that could be it: said by check and by run, before anything is sent."""
    config = local_job(tmp_path, 'search = { q = "mug" }')
    report = await run(config)
    assert isinstance(report.cause, ConfigError)
    assert "provider.catalogue: is missing" in str(report.cause)
    assert report.exit_code == 2
    with pytest.raises(ConfigError, match=r"provider\.catalogue: is missing"):
        list(check(config))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("", "manifest: needs one of path, search and trending (it has none)"),
        ('path = "m.csv"\nsearch = { q = "x" }', "manifest: needs one of path, search and trending"),
        ('trending = true\nsearch = { q = "x" }', "(it has search and trending)"),
        ('search = { q = "x" }\nformat = "csv"\ncarry = ["t"]', "manifest: carry, format belongs to path"),
        ('search = { q = " " }', "manifest.search.q: must be one line of text that isn't empty"),
        ("search = {}", "manifest.search.q: is missing"),
        ('search = { q = "x", colour = "Red" }', "manifest.search.colour: there is no such key; did you mean 'color'?"),
        ('search = { q = "x", color = "Rot" }', "manifest.search.color: is no color"),
        ('search = { q = "x", count = 0 }', "manifest.search.count: must be at least 1 (it is 0)"),
        ('search = { q = "x", height = 5, min_height = 5 }', "manifest.search.min_height: excludes height"),
        ('search = "x"', "manifest.search: must be a table"),
    ],
    ids=lambda text: text[:40],
)
def test_wrong_sources_are_told(tmp_path: Path, source: str, said: str) -> None:
    """Exactly one source, and every rule of its filters, before anything is sent."""
    with pytest.raises(ConfigError) as caught:
        job(tmp_path, "http://127.0.0.1:9", source)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "market", "said"),
    [
        ('search = { q = "x", image_type = "Shopping" }', "de-DE", "manifest.search: image_type"),
        (f'search = {{ q = "{"x" * 1600}" }}', "en-US", "manifest.search: the query has"),
    ],
    ids=["shopping", "long query"],
)
def test_rules_that_need_the_provider_are_told_without_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, market: str, said: str
) -> None:
    """Commands check and plan refuse them, as run does."""
    monkeypatch.setenv(KEY_ENV, KEY)
    config = job(tmp_path, "http://127.0.0.1:9", source, f"provider.market={market}")
    attempts: list[Callable[[], object]] = [lambda: make_plan(config), lambda: list(check(config))]
    for attempt in attempts:
        with pytest.raises(Exception, match=said):
            attempt()
    report = anyio.run(run, config)
    assert (report.exit_code, report.traffic.sends) == (2, 0)


def test_check_names_the_source(tmp_path: Path, service: Service) -> None:
    """Without a call it says what can be asked for; with one it does the first row."""
    config = job(tmp_path, service.endpoint, 'search = { q = "lamp" }')
    assert "manifest  a search can be asked for" in list(check(config))
    assert service.seen() == []
    assert "1 record written" in list(check(config, run_once))[-1]
