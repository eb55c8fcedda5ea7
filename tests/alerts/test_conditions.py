"""Conditions say when somebody is told, and never on first sight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.alerts.conditions import RunFacts, holds, holds_of_run, limit_text, run_text
from pipeline.changes.change import Change, Difference
from pipeline.config.conditions import EXAMPLES, parse_condition
from pipeline.errors import ConfigError
from tests.running import load, write_config


def change(field: str = "offers.price", before: Any = 25.0, after: Any = 18.0, **other: Any) -> Change:
    values: dict[str, Any] = {"kind": "field", "field": field, "item": "https://shop.example.com/x", "currency": "EUR"}
    difference = Difference(**{**values, "before": before, "after": after, **other})
    return Change(id="a", at="2026-11-30T00:00:00Z", run=2, difference=difference)


NEW_PAGE = change("pages", None, "https://shop.example.com/x")


@pytest.mark.parametrize(
    ("condition", "of", "expected"),
    [
        ("price < 20", change(), True),
        ("price < 18", change(), False),
        ("price < 18.01", change(), True),
        ("price < 30", change(), False),  # it was below before
        ("price < 20 EUR", change(), True),
        ("price < 20 usd", change(), False),
        ("price < 20", change(before=None), False),  # first sight
        ("price < 20", change(after=None), False),
        ("price < 20", change(currency="EUR -> USD"), False),
        ("price < 20", change("similar_products.offer.low_price"), True),
        ("price < 20", change("offers.availability", "InStock", "SoldOut"), False),
        ("price > 20", change(before=18.0, after=25.0), True),
        ("price > 20", change(before=21.0, after=25.0), False),
        ("price moves 5%", change(before=100.0, after=95.0), True),
        ("price moves 5%", change(before=100.0, after=105.0), True),
        ("price moves 5%", change(before=100.0, after=95.01), False),
        ("price moves 5%", change(before=0.0, after=95.0), False),
        ("new page", NEW_PAGE, True),
        ("new page on example.com", NEW_PAGE, True),
        ("new page on Shop.Example.com", NEW_PAGE, True),
        ("new page on ample.com", NEW_PAGE, False),
        ("new page", change("pages", "https://shop.example.com/x", None), False),
        ("text contains Sale", change("text", "a mug", "a mug, SALE!"), True),
        ("text contains sale", change("text", "sale of mugs", "sale"), False),
        ("text contains sale", change("caption", None, "sale"), False),
        ("row added", change("", None, "a.jpg", kind="added"), True),
        ("row removed", change("", None, "a.jpg", kind="added"), False),
        ("picture changed", change("", "0", "1", kind="picture"), True),
        ("tags changed", change("tags", None, "t"), True),
        ("offers changed", change(), True),
        ("offers.price changed", change(), True),
    ],
)
def test_a_condition_holds_of_a_change(condition: str, of: Change, expected: bool) -> None:
    """A limit is crossed once: what was beyond it before is no news."""
    assert holds(parse_condition(condition), of) is expected


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ("failed > 10", RunFacts(failed=11, rows=100, idle_seconds=0), True),
        ("failed > 10", RunFacts(failed=10, rows=100, idle_seconds=0), False),
        ("failed > 5%", RunFacts(failed=6, rows=100, idle_seconds=0), True),
        ("failed > 5%", RunFacts(failed=5, rows=100, idle_seconds=0), False),
        ("nothing done for 3d", RunFacts(failed=0, rows=100, idle_seconds=3 * 86400.0), True),
        ("nothing done for 3d", RunFacts(failed=0, rows=100, idle_seconds=3 * 86400.0 - 1), False),
    ],
)
def test_a_condition_holds_of_a_run(condition: str, facts: RunFacts, expected: bool) -> None:
    """Rows that have failed, as a number or a share, and days without a record."""
    assert holds_of_run(parse_condition(condition), facts) is expected
    assert not holds(parse_condition(condition), change())


def test_the_limit_is_named() -> None:
    """A message says what was asked for."""
    facts = RunFacts(failed=6, rows=100, idle_seconds=4 * 86400.0)
    assert limit_text(parse_condition("price < 20.5 eur")) == "below 20.5 EUR"
    assert limit_text(parse_condition("price moves 5%")) == "moved by 5% or more"
    assert run_text(parse_condition("failed > 5%"), facts) == "6 of 100 rows have failed (limit 5%)"
    assert (
        run_text(parse_condition("nothing done for 3d"), facts) == "no record was written for 4.0 days (limit 3 days)"
    )


@pytest.mark.parametrize("text", EXAMPLES)
def test_every_example_is_a_condition(text: str) -> None:
    """What the error message offers is accepted."""
    parse_condition(text)


@pytest.mark.parametrize(
    ("alert", "said"),
    [
        ({"when": "price falls", "exit_code": 20}, r"alerts\[0\]\.when: must be a condition such as 'price < 20'"),
        (
            {"when": "nothing done for 3 moons", "exit_code": 20},
            r"alerts\[0\]\.when: .*write a duration|must be a condition",
        ),
        ({"when": "new page"}, r"alerts\[0\]: needs one of command, webhook, webhook_env, mail, exit_code"),
        ({"when": "new page", "exit_code": 3}, r"exit_code must be 10 to 99"),
        (
            {"when": "new page", "webhook": "http://hooks.example.com/s3cret"},
            r"alerts\[0\]\.webhook: must begin with https://",
        ),
        ({"when": "new page", "mail": "shop"}, r"alerts\[0\]\.mail: must be an address such as"),
        (
            {"when": "new page", "mail": "a@b.c", "smtp": "smtp://u:s3cret@b.c"},
            r"alerts\[0\]\.smtp: must hold no password",
        ),
        ({"when": "new page", "webhook_env": "https://s3cret"}, r"must be the name of an environment variable"),
    ],
)
def test_a_wrong_alert_is_refused(tmp_path: Path, alert: dict[str, object], said: str) -> None:
    """One sentence with the place, and no secret in it."""
    config = write_config(tmp_path / "job.toml", Path("x.csv"), "http://127.0.0.1:1/v7.0")
    lines = [f"{key} = {value!r}".replace("'", '"') for key, value in alert.items()]
    config.write_text(config.read_text() + "\n[[alerts]]\n" + "\n".join(lines) + "\n")
    with pytest.raises(ConfigError, match=said) as raised:
        load(config)
    assert "s3cret" not in str(raised.value).replace("https://s3cret", "") or "webhook_env" in str(raised.value)
