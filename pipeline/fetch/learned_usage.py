"""What calls of one kind used so far, kept as sums: the mean by which `plan` prices the next ones."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from math import sqrt
from typing import Final

from pipeline.records import Usage

TABLE: Final = """
    CREATE TABLE learned (
        settings TEXT PRIMARY KEY,    -- what is asked, of whom, at which prices: a hash
        calls INTEGER NOT NULL,
        tokens_in INTEGER NOT NULL,
        tokens_out INTEGER NOT NULL,
        cost REAL NOT NULL,
        cost_squared REAL NOT NULL    -- the sum of the squares of the costs
    ) WITHOUT ROWID
    """
_ADD: Final = """
    INSERT INTO learned VALUES (?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
        calls = calls + 1, tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out,
        cost = cost + excluded.cost, cost_squared = cost_squared + excluded.cost_squared
    """
_CONFIDENCE: Final = 1.96  # standard errors on either side that 95 of 100 true means lie within


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedUsage:
    """What a call used, as the mean of `calls`; `error` is the share of the cost that the mean may be off by.

    95 of 100 true means lie within that error. It is 1 where too few calls say nothing about it.
    """

    calls: int
    tokens_in: float
    tokens_out: float
    cost: float
    error: float


def add_usage(database: sqlite3.Connection, settings: str, usage: Usage) -> None:
    """Add what a call used to the sums of its settings."""
    cost = usage.cost or 0.0
    database.execute(_ADD, (settings, usage.tokens_in, usage.tokens_out, cost, cost * cost))


def learned_usage(database: sqlite3.Connection, settings: str) -> LearnedUsage | None:
    """Return the mean of what calls with these settings used; None where there were none."""
    sql = "SELECT calls, tokens_in, tokens_out, cost, cost_squared FROM learned WHERE settings = ?"
    row = database.execute(sql, (settings,)).fetchone()
    if row is None:
        return None
    calls, tokens_in, tokens_out, cost, cost_squared = row
    return LearnedUsage(
        calls=calls,
        tokens_in=tokens_in / calls,
        tokens_out=tokens_out / calls,
        cost=cost / calls,
        error=_error(calls, cost, cost_squared),
    )


def _error(calls: int, cost: float, cost_squared: float) -> float:
    """Return the error of the mean cost as a share of it."""
    if calls < 2:
        return 1.0
    if not cost:
        return 0.0
    variance = max(0.0, cost_squared - cost * cost / calls) / (calls - 1)
    return min(1.0, _CONFIDENCE * sqrt(variance / calls) / (cost / calls))
