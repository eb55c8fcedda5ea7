"""TOML to small frozen value objects; every problem is reported at once, with its key path and a way out."""

from pipeline.config.alerts import AlertSettings
from pipeline.config.conditions import Condition, parse_condition
from pipeline.config.key import key_place, read_headers, read_key, read_keys
from pipeline.config.load import load_config, load_service_config
from pipeline.config.models import (
    Columns,
    Config,
    EmbeddedSettings,
    LimitsConfig,
    ManifestConfig,
    ModelSettings,
    ProviderSettings,
    RetryConfig,
    SearchSettings,
)
from pipeline.config.output import OutputConfig, Share
from pipeline.config.prepare import HeaderSettings, PrepareConfig
from pipeline.config.section import Section
from pipeline.config.service import ServiceConfig
from pipeline.config.values import check_endpoint

__all__ = [
    "AlertSettings",
    "Columns",
    "Condition",
    "Config",
    "EmbeddedSettings",
    "HeaderSettings",
    "LimitsConfig",
    "ManifestConfig",
    "ModelSettings",
    "OutputConfig",
    "PrepareConfig",
    "ProviderSettings",
    "RetryConfig",
    "SearchSettings",
    "Section",
    "ServiceConfig",
    "Share",
    "check_endpoint",
    "key_place",
    "load_config",
    "load_service_config",
    "parse_condition",
    "read_headers",
    "read_key",
    "read_keys",
]
