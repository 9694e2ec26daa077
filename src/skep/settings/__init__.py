"""The settings of a Skep process, and the one place that reads the environment."""

from __future__ import annotations

from skep.settings.documents import commented_file, settings_reference, write_commented_file
from skep.settings.interfaces import (
    CommandLine,
    InvalidSettingsError,
    NoCurrentFolderError,
    NoHomeFolderError,
    Origin,
    Problem,
    SettingsFileExistsError,
    SettingsFileMissingError,
    SettingsFileUnreadableError,
    SettingsFileUnwritableError,
)
from skep.settings.locate import FILE_NAME
from skep.settings.models import (
    OPEN_SECTIONS,
    CacheSettings,
    DatabaseSettings,
    EmbeddingSettings,
    GatewaySettings,
    IndexSettings,
    LogSettings,
    MetricsSettings,
    SearchSettings,
    ServerSettings,
    Settings,
    SpendSettings,
    TracingSettings,
    WatchSettings,
)
from skep.settings.rows import Row, all_rows, nearest_word, shown
from skep.settings.service import load_settings, value_of, with_overrides
from skep.settings.vocabulary import OpenSection, Secret
from skep.settings.webhooks import signing_keys
from skep.settings.yamlfile import Broken, Fault, ListNode, MapNode, Node, Scalar, plain_value, read_yaml

__all__ = [
    "FILE_NAME",
    "OPEN_SECTIONS",
    "Broken",
    "CacheSettings",
    "CommandLine",
    "DatabaseSettings",
    "EmbeddingSettings",
    "Fault",
    "GatewaySettings",
    "IndexSettings",
    "InvalidSettingsError",
    "ListNode",
    "LogSettings",
    "MapNode",
    "MetricsSettings",
    "NoCurrentFolderError",
    "NoHomeFolderError",
    "Node",
    "OpenSection",
    "Origin",
    "Problem",
    "Row",
    "Scalar",
    "SearchSettings",
    "Secret",
    "ServerSettings",
    "Settings",
    "SettingsFileExistsError",
    "SettingsFileMissingError",
    "SettingsFileUnreadableError",
    "SettingsFileUnwritableError",
    "SpendSettings",
    "TracingSettings",
    "WatchSettings",
    "all_rows",
    "commented_file",
    "load_settings",
    "nearest_word",
    "plain_value",
    "read_yaml",
    "settings_reference",
    "shown",
    "signing_keys",
    "value_of",
    "with_overrides",
    "write_commented_file",
]
