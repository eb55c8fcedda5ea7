"""A whole run with the embedded service: what is written in the pictures stands in their records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import load_config, run
from pipeline.local.backend import backend_of
from pipeline.runner.policies import fetch_policy
from tests.running import lines_of
from tests.sheets import CARDS, SIGNS, png

CONFIG = """
[manifest]
path = "{pictures}"
[provider]
name = "local"
[limits]
qps = 0
[output]
dir = "{out}"
"""


async def test_records_hold_what_is_written_in_the_pictures(tmp_path: Path) -> None:
    """Switched on after a run without it, text is asked for again: regions, words, boxes, addresses."""
    pictures, out = tmp_path / "pictures", tmp_path / "out"
    pictures.mkdir()
    (pictures / "card.png").write_bytes(png(CARDS[0].draw()))
    (pictures / "sign.png").write_bytes(png(SIGNS[0].draw()))
    (tmp_path / "job.toml").write_text(CONFIG.format(pictures=pictures, out=out))
    first = await run(load_config(tmp_path / "job.toml", ["provider.text=false"]))
    assert (first.exit_code, first.traffic.sends) == (0, 2)
    for record in lines_of(out / "insights.jsonl"):
        assert {"kind": "text", "reason": "text recognition is switched off"} in record["unavailable"]
    second = await run(load_config(tmp_path / "job.toml"))
    assert (second.exit_code, second.traffic.sends) == (0, 2)
    card, sign = sorted(lines_of(out / "insights.jsonl"), key=lambda record: str(record["id"]))
    assert (card["text"]["full"], sign["text"]["full"]) == (CARDS[0].text, SIGNS[0].text)
    assert [uri["kind"] for uri in card["uris"]] == ["phone", "mail", "web"]
    lines = [line for region in card["text"]["regions"] for line in region["lines"]]
    assert [word["text"] for word in lines[0]["words"]] == ["CHARLENE", "WHITNEY"]
    assert all(len(part["box"]) == 4 for line in lines for part in (line, *line["words"]))
    assert card["text"]["origin"] == "pixels"
    assert {"text", "uris"}.isdisjoint(each["kind"] for each in card["unavailable"])


@pytest.mark.parametrize(
    ("sets", "most"),
    [([], 2 * (os.cpu_count() or 1)), (["provider.text=false"], 0), (["limits.concurrency=5"], 5)],
    ids=["reads", "reads nothing", "said"],
)
def test_no_more_are_in_flight_than_the_cores_soon_read(tmp_path: Path, sets: list[str], most: int) -> None:
    """What waits behind many pages full of text would run into the timeout; 0 goes by rate and latency."""
    (tmp_path / "job.toml").write_text(CONFIG.format(pictures=tmp_path, out=tmp_path / "out"))
    config = load_config(tmp_path / "job.toml", sets)
    assert fetch_policy(config, backend_of(config)).rate.concurrency == most
