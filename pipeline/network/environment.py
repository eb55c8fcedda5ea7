"""What the environment says of the way to a service: a proxy, and the certificates that are trusted."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from pipeline.errors import ConfigError

_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")  # the first that is set counts


def proxy_for(endpoint: str) -> URL | None:
    """Return the proxy of HTTPS_PROXY for an endpoint, None where there is none or NO_PROXY names the host.

    Only https:// goes through a proxy, in a tunnel (CONNECT): the proxy sees the host's name, never the key. Raises
    ConfigError where the variable holds no URL of a proxy that can be used; the message doesn't show it.
    """
    service = URL(endpoint)
    text = getproxies().get("https", "").strip()
    if service.scheme != "https" or not text or proxy_bypass(f"{service.host}:{service.port}"):
        return None
    try:
        proxy = URL(text if "://" in text else f"http://{text}")
    except ValueError:
        proxy = URL()
    if proxy.scheme != "http" or not proxy.host:
        raise ConfigError("HTTPS_PROXY", ["must be a URL such as http://user:password@proxy.example.com:3128"])
    return proxy


def tls_context(endpoint: str) -> ssl.SSLContext | bool:
    """Return what an endpoint's certificate is checked against; raises ConfigError where a file can't be read."""
    if not endpoint.startswith("https:"):
        return True
    name = next((name for name in _CA_VARIABLES if os.environ.get(name)), None)
    if name is None:
        return True
    path = Path(os.environ[name]).expanduser()
    try:
        is_folder = path.is_dir()
        context = ssl.create_default_context(
            cafile=None if is_folder else str(path), capath=str(path) if is_folder else None
        )
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(name, [f"{path} can't be read as certificates in PEM form ({exc.strerror or exc})"]) from exc
    context.set_alpn_protocols(["http/1.1"])
    return context


def open_session(address: str, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """Return a session for single requests to an address, by its proxy and certificates; raises ConfigError.

    It keeps no cookies, and doesn't read ~/.netrc, as aiohttp's own trust_env would.
    """
    proxy, context = proxy_for(address), tls_context(address)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=timeout,
        proxy=proxy,
        trust_env=False,
    )
