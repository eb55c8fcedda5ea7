"""The terms of a job, from its config: what counts as done, how fast it goes, what it may spend."""

from __future__ import annotations

import os
import time
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import orjson
from pydantic import SecretStr

from pipeline.config import Config, LimitsConfig, read_key
from pipeline.errors import ConfigError
from pipeline.fetch.policy import RateLimit
from pipeline.fetch.quota import Quota, QuotaLimits, account, state_folder
from pipeline.manifest.search import ImageSource, SearchCursor
from pipeline.prepare.rules import rules_from
from pipeline.providers.base import Provider
from pipeline.providers.bing.settings import LocalSettings
from pipeline.resume.changes import ChangeDetector
from pipeline.state.ledger import Ledger


def rate_of(config: Config) -> RateLimit:
    """Return the rate of a job's calls.

    Of the embedded service, each core reads one picture's text while another one waits: what waits longer would only
    run into `request_timeout`, as a page full of text takes many seconds.
    """
    limits = config.limits
    reads = isinstance(config.provider, LocalSettings) and config.provider.text
    most = 2 * (os.cpu_count() or 1) if reads else 0
    return RateLimit(qps=limits.qps, concurrency=limits.concurrency or most, guard=limits.guard)


def open_quota(config: Config, key: SecretStr | None) -> Quota:
    """Open the count of calls of this key, shared by all jobs of this user."""
    limits = config.limits
    per_run, said = run_cap(limits)
    caps = QuotaLimits(per_run=per_run, run_cap=said, per_day=limits.calls_per_day, per_month=limits.calls_per_month)
    service = config.provider.endpoint or f"{config.provider.name} {Path(config.output.dir).resolve()}"
    name = account(key.get_secret_value() if key else "", service)
    return Quota(quota_path(), name, caps)


def used_calls(config: Config) -> tuple[int, int]:
    """Return the calls counted today and this month for the job's key; none where there is no key or no count."""
    try:
        key = read_key(config.provider)
    except ConfigError:
        return 0, 0
    if not quota_path().exists():
        return 0, 0
    with closing(open_quota(config, key)) as quota:
        return quota.used()


def quota_path() -> Path:
    """Return where the calls of all jobs of this user are counted."""
    return state_folder() / "calls.db"


def settings_digest(config: Config, provider: Provider) -> bytes:
    """Return a digest of all that is asked beside the row: the service, its settings, how pictures are prepared."""
    rules = rules_from(config.prepare, provider.limits)
    asked = config.provider.model_dump(mode="json", exclude={"endpoint", "key_env", "key_file"})
    return blake2b(orjson.dumps([provider.identity, asked, rules]), digest_size=16).digest()


def make_detector(config: Config, provider: Provider, ledger: Ledger) -> ChangeDetector:
    """Return the probe of a job: what counts as done under this config."""
    return ChangeDetector(ledger, settings_digest(config, provider), not_before=oldest_answer(config))


def oldest_answer(config: Config) -> float:
    """Return the Unix time before which answers are asked again (`output.refresh`), 0 for never."""
    return 0.0 if config.output.refresh is None else time.time() - config.output.refresh


def find(config: Config, provider: Provider) -> SearchCursor:
    """Begin the search of a job; raises ConfigError where the provider has none, ManifestError for a bad one."""
    if not isinstance(provider, ImageSource):
        raise ConfigError("manifest", [f"the provider {provider.name!r} finds no images; give a path"])
    return SearchCursor(provider, config.manifest)


def run_cap(limits: LimitsConfig) -> tuple[int, str]:
    """Return the most calls a run may make, 0 for any number, and what says so: calls_per_run or max_cost."""
    most = limits.calls_per_run
    caps = [(most, f"limits.calls_per_run = {most}")] if most else []
    if limits.max_cost and limits.cost_per_1000_calls:
        paid = int(limits.max_cost * 1000 / limits.cost_per_1000_calls)
        caps.append((paid, f"limits.max_cost = {limits.max_cost:g}, which pays for {paid} calls,"))
    return min(caps, default=(0, ""))
