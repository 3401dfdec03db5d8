"""Choice of the proxy for a request. Pure.

``HTTP_PROXY``, ``HTTPS_PROXY`` and ``ALL_PROXY`` name proxies, ``NO_PROXY`` lists hosts that
are reached without one; lower case wins, as in curl. Loopback addresses are hosts like any
other: whoever wants them direct lists them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

__all__ = ["proxy_url"]


def proxy_url(scheme: str, host: str, port: int, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for an origin; ``None`` to connect directly.

    Args:
        scheme: ``http`` or ``https``.
        host: Name or literal address, without brackets.
        port: Its port.
        environ: Variables of the executor.
    """
    proxy = _variable(environ, f"{scheme}_proxy") or _variable(environ, "all_proxy")
    if not proxy or _is_excluded(host, port, _variable(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if value is None:
        value = environ.get(name.upper(), "")
    return value.strip()


def _is_excluded(host: str, port: int, no_proxy: str) -> bool:
    host = host.rstrip(".").lower()
    return any(
        _matches(entry.strip().lower(), host, port) for entry in no_proxy.split(",") if entry
    )


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    address = _address(host)
    if address is not None:
        network = _network(entry)
        if network is not None:
            return address in network
    name, _, tail = entry.rpartition(":")
    if name and tail.isdecimal() and "]" not in tail and (":" not in name or name[:1] == "["):
        if int(tail) != port:
            return False
        entry = name
    entry = entry.strip("[]").removeprefix("*").strip(".")
    if not entry:
        return False
    # A suffix is for names, not for addresses: 1.1 shall not match 10.1.1.1.
    return host == entry or (address is None and host.endswith(f".{entry}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
