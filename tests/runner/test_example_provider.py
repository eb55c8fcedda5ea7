"""A provider that is only registered runs the whole road: config, plan, run, cost, resume, renormalise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from pipeline import load_config, run
from pipeline.commands.plan import make_plan
from pipeline.commands.renormalise import renormalise
from pipeline.config import Config
from pipeline.errors import ConfigError
from pipeline.providers import PROVIDERS, register
from tests.providers.example import KIND
from tests.running import draw, lines_of

KEY = "example-key-0123456789"


class Describing:
    """The service: describes what it is sent, in as many tokens as the picture's line says."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, str]] = []
        self.keys: list[str | None] = []
        self.endpoint = ""

    async def describe(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.keys.append(request.headers.get("X-Example-Key"))
        tokens = 10 * int(request.query["line"])
        body = {"text": f"{self.bodies[-1]['ask']} in {tokens}", "tokens": tokens}
        return web.json_response(body, headers={"X-Request-Id": f"id{request.query['line']}"})


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Describing]:
    """Serve on loopback, with the provider registered and its key in the environment."""
    monkeypatch.setenv("EXAMPLE_KEY", KEY)
    register("example", KIND)
    describing, app = Describing(), web.Application()
    app.router.add_post("/describe", describing.describe)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    describing.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield describing
    await runner.cleanup()
    PROVIDERS.pop("example")


def job(tmp_path: Path, endpoint: str, *sets: str) -> Config:
    for number in range(3):
        draw(tmp_path / "pictures" / f"p{number}.png", number)
    (tmp_path / "manifest.csv").write_text("id,image\n" + "".join(f"r{n},pictures/p{n}.png\n" for n in range(3)))
    (tmp_path / "job.toml").write_text(
        f'[manifest]\npath = "{tmp_path}/manifest.csv"\n[provider]\nname = "example"\nendpoint = "{endpoint}"\n'
        f'key_env = "EXAMPLE_KEY"\nprice = 0.01\n[limits]\nqps = 0\n[output]\ndir = "{tmp_path}/out"\n'
    )
    return load_config(tmp_path / "job.toml", sets)


async def test_the_whole_road(tmp_path: Path, service: Describing) -> None:
    """Planned, run, paid for by the token, resumed without a call, read again from what is stored."""
    config = job(tmp_path, service.endpoint)
    plan = make_plan(config)
    assert (plan.calls, round(plan.cost, 6), plan.further) == (3, 0.3, 0)
    report = await run(config)
    assert (report.exit_code, report.traffic.sends, round(report.traffic.cost, 6)) == (0, 3, 0.9)
    assert set(service.keys) == {KEY}
    assert all(body["image"].startswith("/9j/") for body in service.bodies)  # JPEG: the only format it reads
    records = {record["id"]: record for record in lines_of(tmp_path / "out" / "insights.jsonl")}
    assert records["r1"]["best_query"]["text"] == "what is it? in 30"
    assert records["r1"]["calls"]["trace_ids"] == ["id3"]
    assert records["r1"]["calls"]["usage"] == {"tokens_out": 30, "cost": 0.3, "currency": "EUR"}
    assert orjson.loads((tmp_path / "out" / "run.json").read_bytes())["calls"]["cost"] == pytest.approx(0.9)

    assert ((again := await run(config)).traffic.sends, again.tally.done_before, make_plan(config).calls) == (0, 3, 0)
    before = (tmp_path / "out" / "insights.jsonl").read_bytes()
    assert (await renormalise(config)).rebuilt == 3
    assert (tmp_path / "out" / "insights.jsonl").read_bytes() == before


async def test_money_stops_a_run(tmp_path: Path, service: Describing) -> None:
    """The cap holds for what calls are expected to cost, and what they really cost counts for the next ones."""
    config = job(tmp_path, service.endpoint, "limits.max_cost=0.5", "limits.concurrency=1")
    report = await run(config)
    assert (report.exit_code, report.traffic.sends) == (5, 2)  # 0.2 and 0.3 were spent; 0.1 more is too much
    assert "max_cost" in str(report.cause)


def test_its_table_is_checked_like_any_other(tmp_path: Path, service: Describing) -> None:
    """Keys of its own are known, others are refused with their path."""
    with pytest.raises(ConfigError) as refused:
        job(tmp_path, service.endpoint, "provider.prise=1", "provider.price=true")
    assert sorted(refused.value.problems) == [
        "provider.price: must be a number (it is true)",
        "provider.prise: there is no such key; did you mean 'price'?",
    ]
