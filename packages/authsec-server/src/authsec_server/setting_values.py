"""The types of settings that are lists, hosts, networks and URLs. Each refuses a wrong value with a sentence."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

_HOST = re.compile(r"[A-Za-z0-9_-]+([.][A-Za-z0-9_-]+)*")  # a name, or an IPv4 address


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for network in value:
        ipaddress.ip_network(network)
    return value


def _host_names(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(_HOST.fullmatch, value)):
        raise ValueError("name hosts without scheme and port, like keycloak.example.com")
    return value


def _hosts_or_networks(value: tuple[str, ...]) -> tuple[str, ...]:
    for host in value:
        if not _HOST.fullmatch(host):
            ipaddress.ip_network(host)
    return value


def _spiffe_trust_domain(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9._-]{1,255}", value):  # SPIFFE-ID section 2.1
        raise ValueError("a trust domain may have only lower-case letters, digits, '.', '-' and '_'")
    return value


def _root_url(value: str, info: ValidationInfo) -> str:
    if not value:
        return value
    parts = urlsplit(value)  # RFC 8414 section 2: no query, no fragment
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"{info.field_name} must look like https://authsec.example.com")
    if parts.path not in {"", "/"}:
        raise ValueError(f"{info.field_name} must be the server's root, without a path")
    return value.rstrip("/")


CommaSeparated = Annotated[tuple[str, ...], BeforeValidator(_split)]
Networks = Annotated[CommaSeparated, AfterValidator(_networks)]
HostNames = Annotated[CommaSeparated, AfterValidator(_host_names)]
HostsOrNetworks = Annotated[CommaSeparated, AfterValidator(_hosts_or_networks)]
TrustDomain = Annotated[str, AfterValidator(_spiffe_trust_domain)]
RootUrl = Annotated[str, AfterValidator(_root_url)]
