"""Which addresses downloads may connect to, checked where the connection is made.

Each host name is resolved once, at every hop of a redirect, and the addresses that were checked are the ones that are
connected to. So a name that resolves differently the second time (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohappyeyeballs import AddrInfoType
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
# Where clouds tell their machines about themselves, keys included: link-local addresses (AWS, Google, Azure, Oracle and
# others), and those of Azure's fabric, Oracle, Alibaba, AWS over IPv6 and Google over IPv6.
_METADATA = tuple(
    ip_network(text)
    for text in (
        "169.254.0.0/16",
        "fe80::/10",
        "168.63.129.16/32",
        "192.0.0.192/32",
        "100.100.100.200/32",
        "fd00:ec2::/112",
        "fd20:ce::/112",
    )
)


class AddressRefused(OSError):
    """The address may not be connected to; an OSError like other connection failures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRules:
    """Public addresses are allowed, private ones with `allow_private`, and always those that are `named`.

    Link-local addresses and those of clouds' metadata are allowed only if they are named.
    """

    allow_private: bool = False
    named: tuple[IPv4Network | IPv6Network, ...] = ()

    def check(self, address: str) -> None:
        """Raise AddressRefused if an IP address may not be connected to."""
        ip = _actual(address)
        if any(ip in network for network in self.named):
            return
        if _is_metadata(ip):
            raise AddressRefused(
                f"{address} is link-local or tells a cloud's machine about itself; "
                "only prepare.allow_addresses can allow it, by name"
            )
        if not self.allow_private and not is_public(address):
            raise AddressRefused(
                f"{address} is an address of this machine or of a private network; prepare.allow_private would allow it"
            )

    def check_host(self, host: str) -> None:
        """Raise AddressRefused if a host is written as an IP address, in any notation, that may not be connected to.

        For hosts that another machine resolves: of a name it says nothing.
        """
        if host == "localhost" or host.endswith(".localhost"):
            self.check("127.0.0.1")
        try:
            address = str(ip_address(host.partition("%")[0]))
        except ValueError:
            try:
                address = socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f.1, 2130706433
            except OSError:
                return
        self.check(address)

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """Create the socket of one connection; raises AddressRefused for literal addresses, which no resolver sees."""
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)


class CheckedResolver(AbstractResolver):
    """Resolve host names to the addresses that `rules` allow; raises AddressRefused if a name has none."""

    def __init__(self, rules: AddressRules) -> None:
        self._rules = rules
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the allowed addresses of `host`."""
        allowed: list[ResolveResult] = []
        refused: AddressRefused | None = None
        for result in await self._resolver.resolve(host, port, family):
            try:
                self._rules.check(result["host"])
                allowed.append(result)
            except AddressRefused as exc:
                refused = exc
        if refused is not None and not allowed:
            raise refused
        return allowed

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


def is_public(address: str) -> bool:
    """Return True if an IP address belongs to the public internet.

    Private, loopback, link-local, reserved, multicast and unspecified addresses are not public, nor are those of
    clouds' metadata, nor IPv6 addresses that embed one of those (mapped, compatible, 6to4, Teredo, NAT64).
    """
    ip = _actual(address)
    if ip.is_multicast or ip.is_reserved or ip.is_unspecified or _is_metadata(ip):
        return False
    return ip.is_global and not (isinstance(ip, IPv6Address) and ip.is_site_local)


def _actual(address: str) -> IPv4Address | IPv6Address:
    """Return the address at which packets to `address` arrive."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and (embedded := _embedded_ipv4(ip)) is not None:
        return embedded
    return ip


def _embedded_ipv4(ip: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that packets to an IPv6 address end at, or None."""
    if ip.teredo is not None:
        return ip.teredo[1]
    if any(ip in network for network in _NAT64):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour


def _is_metadata(ip: IPv4Address | IPv6Address) -> bool:
    return any(ip in network for network in _METADATA)
