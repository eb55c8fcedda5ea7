"""Names callers, so that limits can be shared among them: by their key, or else by their address."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

# One customer of a network has at least this many bits of an IPv6 address to choose from.
_IPV6_PREFIX = 64


def caller_at(address: str | None) -> str:
    """Return the name of the caller at an IP address: itself, or the network that an IPv6 address is in."""
    try:
        parsed = ip_address((address or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    return str(parsed if isinstance(parsed, IPv4Address) else IPv6Network((int(parsed), _IPV6_PREFIX), strict=False))
