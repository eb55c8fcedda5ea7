"""Which addresses a download may connect to, decided where the connection is made.

A name is looked up once, and the very addresses found are checked and connected to, on every hop of a redirect: a name
that answers differently a second time (DNS rebinding) wins nothing.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from aiohappyeyeballs import AddrInfoType
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))


class AddressRefused(OSError):
    """The address belongs to this machine or to a private network; an OSError, as connecting raises them."""


def is_public(address: str) -> bool:
    """Tell whether an IP address lies in the public internet, whatever it is wrapped in.

    Refused: private, loopback, link-local, reserved, multicast, unspecified; also an IPv6 address that carries such an
    IPv4 address (mapped, compatible, 6to4, Teredo, NAT64).
    """
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (inner := _inner(ip)) is not None:
        return _is_global(inner)
    return _is_global(ip)


def _is_global(ip: IPv4Address | IPv6Address) -> bool:
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified:
        return False
    return ip.is_global and not (isinstance(ip, IPv6Address) and ip.is_site_local)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to."""
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


class PublicResolver(AbstractResolver):
    """Looks names up and leaves out every address that is not public; raises AddressRefused when none is left."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the public addresses of `host`."""
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if not public:
            raise AddressRefused(f"{host} is an address of this machine or of a private network")
        return public

    async def close(self) -> None:
        """Close the resolver below."""
        await self._resolver.close()


def public_socket(info: AddrInfoType) -> socket.socket:
    """Create the socket for one connection, or raise AddressRefused: literal addresses never meet the resolver."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        raise AddressRefused(f"{address[0]} is an address of this machine or of a private network")
    return socket.socket(family, kind, protocol)
