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
    assert "cost              0.3 EUR  (an estimate; " in plan.text()
    report = await run(config)
    assert (report.exit_code, report.traffic.sends, round(report.traffic.cost, 6)) == (0, 3, 0.9)
    assert set(service.keys) == {KEY}
    assert all(body["image"].startswith("/9j/") for body in service.bodies)  # JPEG: the only format it reads
    records = {record["id"]: record for record in lines_of(tmp_path / "out" / "insights.jsonl")}
    assert records["r1"]["best_query"]["text"] == "what is it? in 30"
    assert records["r1"]["calls"]["trace_ids"] == ["id3"]
    assert records["r1"]["calls"]["usage"] == {"tokens_out": 30, "cost": 0.3, "currency": "EUR"}
    written = orjson.loads((tmp_path / "out" / "run.json").read_bytes())
    assert written["calls"]["cost"] == pytest.approx(0.9)
    used = {"provider": "example", "model": "", "feature": "", "units": 0.0, "tokens_in": 0, "tokens_out": 90}
    assert written["usage"] == [{**used, "cost": 0.9, "currency": "EUR"}]
    assert ", 3 calls, cost 0.9 EUR, " in report.summary()

    assert ((again := await run(config)).traffic.sends, again.tally.done_before, make_plan(config).calls) == (0, 3, 0)
    before = (tmp_path / "out" / "insights.jsonl").read_bytes()
    assert (await renormalise(config)).rebuilt == 3
    assert (tmp_path / "out" / "insights.jsonl").read_bytes() == before


async def test_a_plan_learns_what_calls_use(tmp_path: Path, service: Describing) -> None:
    """The mean of earlier calls takes the place of the estimate, also in a new job, but not for other prices."""
    config = job(tmp_path, service.endpoint)
    await run(config, limit=2)
    fresh = job(tmp_path, service.endpoint, f"output.dir={tmp_path}/new")
    for lasting, calls in ((config, 1), (fresh, 3)):
        plan = make_plan(lasting)
        assert (plan.calls, round(plan.cost, 6)) == (calls, 0.25 * calls)  # 20 and 30 tokens were used
        assert "(the mean of 2 such calls, give or take 39%)" in plan.text()
    assert "(an estimate; " in make_plan(job(tmp_path, service.endpoint, "provider.price=0.02")).text()


async def test_money_stops_a_run(tmp_path: Path, service: Describing) -> None:
    """The cap holds for what calls are expected to cost, and what they really cost counts for the next ones."""
    config = job(tmp_path, service.endpoint, "limits.max_cost=0.5", "limits.concurrency=1")
    report = await run(config)
    assert (report.exit_code, report.traffic.sends) == (5, 2)  # 0.2 and 0.3 were spent; 0.1 more is too much
    assert "max_cost" in str(report.cause)


async def test_a_cap_that_pays_for_no_call_says_so(tmp_path: Path, service: Describing) -> None:
    """Nothing is sent, and the message names what one call costs."""
    report = await run(job(tmp_path, service.endpoint, "limits.max_cost=0.05"))
    assert (report.exit_code, report.traffic.sends, report.traffic.money) == (5, 0, "")
    assert str(report.cause) == "limits.max_cost = 0.05 pays for no call: one is expected to cost 0.1; raise it"


def test_a_price_per_call_is_refused_beside_the_providers_own(tmp_path: Path, service: Describing) -> None:
    """It would have no effect."""
    with pytest.raises(ConfigError, match="cost_per_1000_calls has no effect: example knows its prices"):
        job(tmp_path, service.endpoint, "limits.cost_per_1000_calls=1.5")


def test_its_table_is_checked_like_any_other(tmp_path: Path, service: Describing) -> None:
    """Keys of its own are known, others are refused with their path."""
    with pytest.raises(ConfigError) as refused:
        job(tmp_path, service.endpoint, "provider.prise=1", "provider.price=true")
    assert sorted(refused.value.problems) == [
        "provider.price: must be a number (it is true)",
        "provider.prise: there is no such key; did you mean 'price'?",
    ]
