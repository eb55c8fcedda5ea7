"""Allow downloads to connect to public addresses only, checked where the connection is made.

Each host name is resolved once, at every hop of a redirect, and the addresses that were checked are the ones that are
connected to. So a name that resolves differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohappyeyeballs import AddrInfoType
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressRefused(OSError):
    """The address belongs to this machine or to a private network; an OSError like other connection failures."""


def is_public(address: str) -> bool:
    """Return True if an IP address belongs to the public internet.

    Private, loopback, link-local, reserved, multicast and unspecified addresses are not public, and neither are IPv6
    addresses that embed one of those (mapped, compatible, 6to4, Teredo, NAT64).
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (embedded := _embedded_ipv4(ip)) is not None:
        return _is_global(embedded)
    return _is_global(ip)


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return ip.is_global and not (isinstance(ip, IPv6Address) and ip.is_site_local)


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to an IPv6 address end at, or None."""
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class PublicResolver(AbstractResolver):
    """Resolve host names to public addresses only; raises AddressRefused if a name has none."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of `host`."""
        results = await self._resolver.resolve(host, port, family)
        public = [result for result in results if is_public(result["host"])]
        if not public:
            raise AddressRefused(f"{host} is an address of this machine or of a private network")
        return public

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


def public_socket(info: AddrInfoType) -> socket.socket:
    """Create the socket of one connection; raises AddressRefused for literal addresses, which bypass the resolver."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused(f"{address[0]} is an address of this machine or of a private network")
    return socket.socket(family, kind, protocol)
