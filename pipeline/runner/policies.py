"""The policies of a job, from its config: what counts as done, how fast it goes, what it may spend, when it ends."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import time as time_of_day
from hashlib import blake2b
from pathlib import Path

import orjson
from pydantic import SecretStr

from pipeline.config import Config, LimitsConfig, read_key
from pipeline.errors import ConfigError
from pipeline.fetch.learned_usage import LearnedUsage
from pipeline.fetch.policy import FetchPolicy, RateLimit, RetryPolicy
from pipeline.fetch.quota import Quota, QuotaLimits, Spent, account, state_folder
from pipeline.local.backend import Backend
from pipeline.manifest.search import ImageSource, SearchCursor
from pipeline.prepare.fit_rules import rules_from
from pipeline.providers.base import Provider
from pipeline.records import STANDARD_FORMATS
from pipeline.resume.changes import ChangeDetector
from pipeline.state.known_rows import KnownRows


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """When a run ends: after `max_runtime` seconds (0 for never), or at a local time of day."""

    max_runtime: float = 0.0
    stop_at: time_of_day | None = None


def deadline_of(limits: LimitsConfig) -> Deadline:
    """Return when a run ends."""
    return Deadline(max_runtime=limits.max_runtime, stop_at=limits.stop_at)


def fetch_policy(config: Config, backend: Backend) -> FetchPolicy:
    """Return how fast a job sends, and how it tries again; a service that bounds its own work is sent no more."""
    limits = config.limits
    concurrency = limits.concurrency or backend.max_concurrency
    amount = limits.tokens_per_minute or limits.units_per_minute
    rate = RateLimit(qps=limits.qps, concurrency=concurrency, guard=limits.guard, amount_per_minute=amount)
    return FetchPolicy(rate=rate, retry=RetryPolicy(**config.retry.model_dump()))


def open_quota(config: Config, key: SecretStr | None) -> Quota:
    """Open the count of calls of this key, shared by all jobs of this user."""
    limits = config.limits
    caps = QuotaLimits(
        per_run=limits.calls_per_run,
        per_day=limits.calls_per_day,
        per_month=limits.calls_per_month,
        cost_per_day=limits.cost_per_day,
        cost_per_month=limits.cost_per_month,
        cost_in_all=limits.cost_in_all,
    )
    folder = Path(config.output.dir).resolve()
    name = account(
        key.get_secret_value() if key else "", config.provider.endpoint or f"{config.provider.name} {folder}"
    )
    return Quota(quota_path(), name, caps, job=str(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedQuota:
    """What was counted so far: `calls` of the job's key today and this month, what they cost, what such calls use."""

    calls: tuple[int, int] = (0, 0)
    spent: Spent = field(default_factory=Spent)
    learned: LearnedUsage | None = None


def used_quota(config: Config, provider: Provider) -> UsedQuota:
    """Return what was counted so far; nothing was where there is no count, or no key to count for."""
    if not quota_path().exists():
        return UsedQuota()
    try:
        key = read_key(config.provider)
    except ConfigError:
        key = None
    with closing(open_quota(config, key)) as quota:
        return UsedQuota(calls=quota.used(), spent=quota.spent(), learned=quota.learned(usage_key(config, provider)))


def quota_path() -> Path:
    """Return where the calls of all jobs of this user are counted."""
    return state_folder() / "calls.db"


def call_price(limits: LimitsConfig) -> float:
    """Return the price of a call, for services that don't say what a call costs."""
    return limits.cost_per_1000_calls / 1000


def settings_digest(config: Config, provider: Provider) -> bytes:
    """Return a digest of all that is sent beside the row: the service, its settings, how pictures are prepared."""
    rules = asdict(rules_from(config.prepare, provider.limits))
    formats = rules.pop("formats")
    if formats != STANDARD_FORMATS:
        rules["formats"] = sorted(formats)
    settings = config.provider.model_dump(mode="json", exclude=set(config.provider.keys_without_effect))
    return blake2b(orjson.dumps([provider.service_id, settings, rules]), digest_size=16).digest()


def usage_key(config: Config, provider: Provider) -> str:
    """Return a name for calls that use the same: what is asked, of whom, at which prices, with pictures of which size.

    A call of one job then teaches what a call of another will use.
    """
    settings = config.provider.model_dump(mode="json", exclude={"endpoint", "key_env", "key_file"})
    return blake2b(settings_digest(config, provider) + orjson.dumps(settings), digest_size=16).hexdigest()


def make_detector(config: Config, provider: Provider, known_rows: KnownRows) -> ChangeDetector:
    """Return what detects the changes of a job: what counts as done under this config."""
    return ChangeDetector(known_rows, settings_digest(config, provider), not_before=oldest_answer(config))


def oldest_answer(config: Config) -> float:
    """Return the Unix time before which answers are too old (`output.refresh`), 0 for never."""
    return 0.0 if config.output.refresh is None else time.time() - config.output.refresh


def search_cursor(config: Config, provider: Provider) -> SearchCursor:
    """Begin the search of a job; raises ConfigError where the provider has none, or the search breaks a rule."""
    if not isinstance(provider, ImageSource):
        raise ConfigError("manifest", [f"the provider {provider.name!r} finds no images; give a path"])
    return SearchCursor(provider, config.manifest)
