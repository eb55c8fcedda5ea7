"""Keeps keys out of the journal and the access log, in whichever header, parameter or path a caller has put one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlencode

from pipeline.guards.printable import printable
from pipeline.service.http.common_parameters import PARAMETERS
from pipeline.service.http.faults import FAULT_HEADER
from pipeline.service.http.routes import FOLDER
from pipeline.service.http.wire_names import HEADERS, PATH_PREFIXES

HIDDEN = "***"
# Headers that are shown.
_SHOWN_HEADERS = frozenset(
    {"accept", "accept-encoding", "accept-language", "connection", "content-encoding", "content-length", "content-type"}
    | {"expect", "host", "origin", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "transfer-encoding"}
    | {"user-agent", FAULT_HEADER.lower(), HEADERS.client_id.lower(), HEADERS.location.lower()}
)
# The parts of the paths that exist. Whatever else stands in a path may be a key, or a token that opens something.
_SHOWN_PARTS = frozenset(
    {part.lower() for prefix in PATH_PREFIXES for part in prefix.split("/")}
    | {"", FOLDER, "details", "healthz", "search", "thumbnails", "trending", "visualsearch"}
)
# A value that is shorter than this is in many texts by chance, and no key.
_MIN_SECRET_CHARS = 4


def shown_path(path: str) -> str:
    """Return a path with the parts that belong to endpoints; every other part may be a key."""
    return "/".join(part if part.lower() in _SHOWN_PARTS else HIDDEN for part in path.split("/"))


class Redactor:
    """Hides the service's own keys, and whatever a request itself calls a key."""

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._keys = tuple(keys)

    def query(self, query: str, headers: Mapping[str, str]) -> str:
        """Return a query string with the values of documented parameters, if none holds a key."""
        secrets = self._secrets(query, headers)
        pairs = parse_qsl(query, keep_blank_values=True, errors="backslashreplace")
        return urlencode([self._parameter(name, value, secrets) for name, value in pairs])

    def headers(self, query: str, headers: Mapping[str, str]) -> dict[str, str]:
        """Return the usual headers, if they hold no key; of all others, that there are some: a name may be the key."""
        secrets = self._secrets(query, headers)
        usual = {str(name): value for name, value in headers.items() if name.lower() in _SHOWN_HEADERS}
        shown = {name: self._value(value, secrets) for name, value in usual.items()}
        return shown if len(usual) == len(headers) else {**shown, HIDDEN: HIDDEN}

    def _secrets(self, query: str, headers: Mapping[str, str]) -> frozenset[str]:
        own = (value for name, value in headers.items() if name.lower() not in _SHOWN_HEADERS)
        parameters = parse_qsl(query, errors="backslashreplace")
        others = (value for name, value in parameters if name.lower() not in PARAMETERS)
        return frozenset(self._long_enough((*self._keys, *own, *others)))

    def _parameter(self, name: str, value: str, secrets: frozenset[str]) -> tuple[str, str]:
        """Return a documented parameter, and nothing of any other: its name may be the key."""
        if name.lower() not in PARAMETERS:
            return HIDDEN, HIDDEN
        return name, self._value(value, secrets)

    @staticmethod
    def _long_enough(values: Iterable[str]) -> Iterator[str]:
        return (value.strip() for value in values if len(value.strip()) >= _MIN_SECRET_CHARS)

    @staticmethod
    def _value(value: str, secrets: frozenset[str]) -> str:
        plain = f"{value} {unquote(value)}"
        return HIDDEN if any(secret in plain for secret in secrets) else printable(value)
