"""Judges what a run has found, once: its alerts become messages that wait, in one commit with how far was judged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.alerts.conditions import RunFacts, holds, holds_of_run, run_text
from pipeline.alerts.messages import Hits, change_message, run_message
from pipeline.changes.change import Change
from pipeline.config import AlertSettings
from pipeline.state.notices import Notices

WAYS = ("command", "webhook", "mail")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPlace:
    """What is judged: the run of a job, by its folder, and where its changes end in changes.jsonl, in bytes."""

    job: str
    run: int
    end: int


def judge(
    alerts: Sequence[AlertSettings], notices: Notices, changes: Iterable[Change], facts: RunFacts, place: JudgedPlace
) -> list[AlertSettings]:
    """Commit the messages about new changes and about the run; return the alerts that fired.

    An alert on a run fires when its condition begins to hold, and again only after it has ceased to.
    """
    hits = [Hits() for _ in alerts]
    for change in changes:
        for alert, hit in zip(alerts, hits, strict=True):
            if holds(alert.condition, change):
                hit.add(change)
    held = {alert.title for alert in alerts if holds_of_run(alert.condition, facts)}
    begun = held - notices.raised()
    fired: list[tuple[AlertSettings, dict[str, Any]]] = []
    for alert, hit in zip(alerts, hits, strict=True):
        if hit.count:
            fired.append((alert, change_message(alert, hit, place.job, place.run)))
        elif alert.title in begun:
            fired.append((alert, run_message(alert, run_text(alert.condition, facts), place.job, place.run)))
    messages = [(alert.title, way, message) for alert, message in fired for way in ways_of(alert)]
    notices.add(messages, judged=place.end, raised=held)
    return [alert for alert, _ in fired]


def ways_of(alert: AlertSettings) -> list[str]:
    """Return the ways by which an alert sends a message; an exit code sends none."""
    has_way = {"command": alert.command, "webhook": alert.webhook or alert.webhook_env, "mail": alert.mail}
    return [way for way in WAYS if has_way[way]]
