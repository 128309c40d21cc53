"""Choose the trust store and the proxy of a request, from the settings of the machine."""

from __future__ import annotations

import ssl
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from authsec.config import is_loopback
from authsec.errors import ConfigError


def trust_store(ca_file: str | None) -> ssl.SSLContext:
    """Return the system's trust store, or a trust store with the certificates in the PEM file `ca_file`.

    The checks of certificates, host names and protocol versions are the defaults of `ssl.create_default_context`.
    Raises `ConfigError` for an unreadable file.
    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError):
        raise ConfigError(
            f"AUTHSEC_CA_FILE (ca_file) names {ca_file}, which is not a readable file of PEM certificates.",
            reason="ca_file_invalid",
        ) from None


def proxy_for(target: SplitResult) -> SplitResult | None:
    """Return the proxy in `HTTPS_PROXY`, or None for a direct connection. Raises `ConfigError` for an invalid proxy.

    The connection is direct without `HTTPS_PROXY`, for a host in `NO_PROXY`, and for loopback. Plain http is
    always direct, because a proxy would read the token.
    """
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
