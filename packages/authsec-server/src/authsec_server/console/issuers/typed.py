"""The form of a trusted issuer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsec import strict_json

from authsec_server.console.forms import Form
from authsec_server.failures import Invalid
from authsec_server.issuers.model import (
    CLUSTER_TERMS,
    EDITABLE,
    KeysFrom,
    Lookup,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerKind,
    plain_terms,
)
from authsec_server.issuers.secret_scan import EXPOSED, holds_private_key

MOST_KEYS = 256 * 1024  # bytes of a JWK Set


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTrustedIssuer:
    """The values in the form of a trusted issuer, typed by a person or stored. `values` maps field names to values."""

    kind: str
    values: Mapping[str, Any] = field(repr=False)  # somebody pastes private keys

    @classmethod
    def of(cls, trusted_issuer: TrustedIssuer) -> TypedTrustedIssuer:
        """Return the form filled with the stored trusted issuer."""
        its = plain_terms(trusted_issuer)
        given, claims = its["given_keys"], sorted(its["claims"].items())
        its["given_keys"] = "" if given is None else strict_json.dumps(given).decode()
        its["claims"] = "\n".join(f"{selector} = {claim}" for selector, claim in claims)
        return cls(kind=trusted_issuer.kind, values=its)

    @classmethod
    def read(cls, form: Form, kind: str) -> TypedTrustedIssuer:
        """Return the form as typed."""
        usual = KeysFrom.DISCOVERY if kind == TrustedIssuerKind.OIDC else KeysFrom.GIVEN
        typed = {name: form.text(name).replace("\r\n", "\n") for name in (*EDITABLE, "slug", "preset")}
        ticked = {name.value: form.ticked(name) for name in Lookup}
        return cls(kind=kind, values={**typed, **ticked, "keys_from": form.text("keys_from", usual)})

    def __getitem__(self, name: str) -> Any:
        """Return the field's value. Templates use this, too."""
        return self.values[name]

    def shown(self, name: str) -> str:
        """Return the field's text if it may be sent back to the browser.

        If a person pastes a private key by mistake, the result is empty.
        """
        text: str = self[name]
        return "" if holds_private_key(text) else text

    @property
    def texts(self) -> dict[str, str]:
        """Return each text field that can be edited."""
        return {name: self[name] for name in EDITABLE if name not in set(Lookup)}

    @property
    def asked(self) -> ProposedTrustedIssuer:
        """Return the registration request. Raises `Invalid`."""
        return ProposedTrustedIssuer(slug=self["slug"] or None, preset=self["preset"], kind=self.kind, **self.changes)

    @property
    def changes(self) -> dict[str, Any]:
        """Return the edit request. Raises `Invalid`."""
        given, by_url = self["keys_from"] == KeysFrom.GIVEN, self["keys_from"] == KeysFrom.URL
        others = () if self.kind == TrustedIssuerKind.KUBERNETES else CLUSTER_TERMS
        return {
            **{name: self[name] for name in EDITABLE if name not in others},
            # What belongs to another choice may still stand in the form, where script does not hide it.
            "keys_url": self["keys_url"] if by_url else "",
            "given_keys": self._keys() if given else None,
            "ca": "" if given else self["ca"],
            "claims": self._claims(),
        }

    def _keys(self) -> Mapping[str, Any]:
        if not self["given_keys"]:
            raise Invalid("given_keys", "No keys were pasted.", "Paste the JWK Set.")
        if holds_private_key(self["given_keys"]):
            raise Invalid("given_keys", f"This contains a PRIVATE key. {EXPOSED}", "Paste the public JWK Set.")
        try:
            keys = strict_json.loads(self["given_keys"].encode(), max_bytes=MOST_KEYS)
        except strict_json.StrictJsonError as error:
            raise Invalid("given_keys", f"This is not JSON: {error}.", 'A JWK Set begins with {"keys": [') from None
        if not isinstance(keys, dict):
            raise Invalid("given_keys", "This is not a JWK Set.", 'A JWK Set begins with {"keys": [')
        return keys

    def _claims(self) -> dict[str, str]:
        claims: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in self["claims"].split("\n"))):
            selector, equals, claim = (part.strip() for part in line.partition("="))
            if not (selector and equals and claim):
                raise Invalid("claims", f"{line[:60]!r} must have the form github:repository = repository.")
            claims[selector] = claim
        return claims
