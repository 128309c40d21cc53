"""How to reach the authority: whose certificates count, and by way of which proxy.

One answer for all who speak to it, agents and APIs. What they ask, and how long they wait, is theirs.
"""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3
from urllib3.util import make_headers

from authsec.config import is_loopback
from authsec.errors import ConfigError


def trust_store(ca_file: str | None) -> ssl.SSLContext:
    """The system's trust store, or the PEM file in its place. Raises `ConfigError`.

    Checked certificates, host names and protocol versions are the defaults of `ssl.create_default_context`.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise ConfigError(
            f"AUTHSEC_CA_FILE (ca_file) names {ca_file}, which cannot be read as a file of PEM certificates.",
            reason="ca_file_invalid",
        ) from None


def open_pool(url: str, trust: ssl.SSLContext | None) -> urllib3.PoolManager:
    """Connections for one exchange with the host of `url`. `trust` is needed for https only."""
    proxy = proxy_for(urlsplit(url))
    if proxy is None:
        return urllib3.PoolManager(num_pools=1, ssl_context=trust)
    userinfo, _, address = proxy.netloc.rpartition("@")
    return urllib3.ProxyManager(
        proxy._replace(netloc=address).geturl(),
        num_pools=1,
        proxy_headers=make_headers(proxy_basic_auth=unquote(userinfo)) if userinfo else None,
        proxy_ssl_context=trust,
        ssl_context=trust,
    )


def proxy_for(target: SplitResult) -> SplitResult | None:
    """`HTTPS_PROXY` unless `NO_PROXY` names the host. Plain http is never proxied: a proxy would read the token."""
    host = str(target.hostname)
    if target.scheme != "https" or is_loopback(host) or proxy_bypass(target.netloc):
        return None
    proxy = getproxies_environment().get("https")
    if not proxy:
        return None
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError(
            "HTTPS_PROXY must be the address of an HTTP proxy, as in http://proxy.example.com:3128.",
            reason="proxy_invalid",
        )
    return parts
