"""The authority's certificate: what it says, who vouches for it here, and what is wrong with it."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authsec.config import AuthSecConfig, export_line
from authsec.doctor.findings import Finding
from authsec.errors import ConfigError
from authsec.http_client import trust_store
from authsec.safe_text import plain
from authsec.terminal import Grade

_SOON: Final = timedelta(days=14)
_IGNORE_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, for which Python has no name
_EXPIRED, _NOT_YET = 10, 9  # X509_V_ERR_… of OpenSSL
_OTHER_NAME: Final = {62, 64}
_UNKNOWN_SIGNER: Final = {18, 19, 20, 21}

Connect = Callable[[], socket.socket]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Certificate:
    names: tuple[str, ...]
    signer: str
    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, read: Mapping[str, Any]) -> _Certificate:
        """From what `SSLSocket.getpeercert` gives."""
        signer = {name: value for part in read.get("issuer", ()) for name, value in part}
        named = [str(value) for _, value in read.get("subjectAltName", ())]
        return cls(
            names=tuple(plain(name, 80) for name in named),
            signer=plain(signer.get("commonName") or signer.get("organizationName") or "nobody named", 80),
            begins=datetime.fromtimestamp(ssl.cert_time_to_seconds(read["notBefore"]), UTC),
            ends=datetime.fromtimestamp(ssl.cert_time_to_seconds(read["notAfter"]), UTC),
        )

    def told(self) -> tuple[str, ...]:
        names = ", ".join(self.names[:5]) + (f" and {len(self.names) - 5} more" if len(self.names) > 5 else "")
        return (f"for {names or 'no name'}, signed by {self.signer}", f"valid {_day(self.begins)} to {_day(self.ends)}")


def certificate(connect: Connect, host: str, config: AuthSecConfig, now: datetime) -> Finding:
    """What the server at the other end of `connect` shows, verified as the SDK verifies it."""
    try:
        trust = trust_store(config.ca_file)
    except ConfigError as error:
        return Finding.failed("certificate", error, "Correct AUTHSEC_CA_FILE, or unset it to use the system's store.")
    store = _store(config.ca_file)
    try:
        with connect() as plain_socket, trust.wrap_socket(plain_socket, server_hostname=host) as secured:
            shown, version = _Certificate.of(secured.getpeercert() or {}), secured.version()
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, _presented(connect), host, config, now)
    except (OSError, ValueError) as error:
        return _no_tls(error)
    facts = (*shown.told(), f"trusted by {store}, over {version}")
    if shown.ends - now > _SOON:
        return Finding(step="certificate", facts=facts)
    return Finding(
        step="certificate",
        grade=Grade.AMBER,
        facts=(*facts, f"it ends in {(shown.ends - now).days} days"),
        reason="certificate_ends_soon",
        remedy="Have whoever runs the authority renew its certificate.",
    )


def _untrusted(
    error: ssl.SSLCertVerificationError, shown: _Certificate | None, host: str, config: AuthSecConfig, now: datetime
) -> Finding:
    code = error.verify_code
    facts = [f"not trusted: {plain(error.verify_message, 120)}", *(shown.told() if shown else ())]
    remedy = "Have whoever runs the authority mend its certificate."
    if code in {_EXPIRED, _NOT_YET}:
        facts.append(f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC")
        remedy = "If this machine's clock is right, have whoever runs the authority renew its certificate."
    elif code in _OTHER_NAME:
        remedy = f"Use a name in AUTHSEC_BASE_URL that the certificate is for; {host} is none."
    elif code in _UNKNOWN_SIGNER:
        facts.append(f"looked for its signer in {_store(config.ca_file)}")
        remedy = (
            "Let AUTHSEC_CA_FILE name the PEM file of the authority that signed it; or have the server send the "
            f"certificates in between.\n    {export_line('AUTHSEC_CA_FILE', '/path/to/ca.pem')}"
        )
    return Finding(
        step="certificate",
        grade=Grade.BAD,
        facts=tuple(facts),
        reason="certificate_untrusted",
        remedy=remedy,
    )


def _no_tls(error: OSError | ValueError) -> Finding:
    slow = isinstance(error, TimeoutError)
    why = "no answer in time" if slow else plain(getattr(error, "reason", None) or type(error).__name__, 80)
    return Finding(
        step="certificate",
        grade=Grade.BAD,
        facts=(f"no TLS connection could be made: {why}",),
        reason="tls_failed",
        remedy="See whether this port speaks https at all, and AUTHSEC_BASE_URL has the right scheme and port.",
    )


def _presented(connect: Connect) -> _Certificate | None:
    """The certificate that was not trusted, to be read. Nothing is sent over these connections.

    Python reads only what it has verified; so the certificate is fetched first, then trusted as the only one there is.
    None where that fails, as with a server that shows another one each time.
    """
    try:
        with connect() as plain_socket, _unverifying().wrap_socket(plain_socket) as secured:
            der = secured.getpeercert(binary_form=True) or b""
        with connect() as plain_socket, _trusting_only(der).wrap_socket(plain_socket) as secured:
            return _Certificate.of(secured.getpeercert() or {})
    except (OSError, ValueError, KeyError):  # what cannot be read is not described
        return None


def _unverifying() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _trusting_only(der: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_IGNORE_TIME)
    context.load_verify_locations(cadata=der)
    return context


def _store(ca_file: str | None) -> str:
    """Which certificates count here, and whether there are any: slim images come without."""
    if ca_file:
        return f"the file of AUTHSEC_CA_FILE ({plain(ca_file, 200)})"
    paths = ssl.get_default_verify_paths()
    found = [each for each in (paths.cafile, paths.capath) if each and os.path.exists(each)]
    return f"the system's trust store ({', '.join(found)})" if found else "the system's trust store, WHICH IS EMPTY"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"
