"""The form of a trusted issuer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from authsec import strict_json

from authsec_server.console.forms import Form
from authsec_server.failures import Invalid
from authsec_server.issuers.model import (
    ClusterApi,
    KeysFrom,
    ProposedTrustedIssuer,
    TrustedIssuer,
    TrustedIssuerEdit,
    TrustedIssuerKind,
)
from authsec_server.issuers.secret_scan import EXPOSED, holds_private_key

_OF_CLUSTER = ("api_server", "api_ca", "credentials", "token_review", "pod_lookup")
_TEXTS = ("name", "issuer", "keys_from", "keys_url", "given_keys", "ca", "claims", "audience", *_OF_CLUSTER[:3])
MOST_KEYS = 256 * 1024  # bytes of a JWK Set


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedTrustedIssuer:
    """The form of a trusted issuer, filled with typed or stored values."""

    kind: str
    name: str = ""
    slug: str = ""
    issuer: str = ""
    keys_from: str = ""
    keys_url: str = ""
    given_keys: str = field(default="", repr=False)  # somebody pastes private ones
    ca: str = ""
    audience: str = ""
    preset: str = ""
    claims: str = ""
    api_server: str = ""
    api_ca: str = ""
    credentials: str = ""
    token_review: bool = False
    pod_lookup: bool = False

    @classmethod
    def of(cls, trusted_issuer: TrustedIssuer) -> TypedTrustedIssuer:
        """Return the form filled with the stored trusted issuer."""
        return cls(
            kind=trusted_issuer.kind,
            name=trusted_issuer.name,
            slug=trusted_issuer.slug,
            issuer=trusted_issuer.issuer,
            keys_from=trusted_issuer.keys_from,
            keys_url=trusted_issuer.keys_url,
            given_keys=""
            if trusted_issuer.given_keys is None
            else strict_json.dumps(dict(trusted_issuer.given_keys)).decode(),
            ca=trusted_issuer.ca,
            audience=trusted_issuer.audience,
            claims="\n".join(f"{selector} = {claim}" for selector, claim in sorted(trusted_issuer.claims.items())),
            **_of_cluster(trusted_issuer.cluster),
        )

    @classmethod
    def read(cls, form: Form, kind: str) -> TypedTrustedIssuer:
        """Return the form as typed."""
        usual = KeysFrom.DISCOVERY if kind == TrustedIssuerKind.OIDC else KeysFrom.GIVEN
        typed: dict[str, Any] = {name: form.text(name).replace("\r\n", "\n") for name in ("slug", "preset", *_TEXTS)}
        typed["keys_from"] = form.text("keys_from", usual)
        return cls(
            kind=kind,
            token_review=form.ticked("token_review"),
            pod_lookup=form.ticked("pod_lookup"),
            **typed,
        )

    def shown(self, name: str) -> str:
        """Return the field's text if it may be sent back to the browser: never a private key pasted by mistake."""
        text: str = getattr(self, name)
        return "" if holds_private_key(text) else text

    @property
    def texts(self) -> dict[str, str]:
        """Return each text field that can be edited."""
        return {name: getattr(self, name) for name in _TEXTS}

    @property
    def asked(self) -> ProposedTrustedIssuer:
        """Return the registration request. Raises `Invalid`."""
        return ProposedTrustedIssuer(slug=self.slug or None, preset=self.preset, kind=self.kind, **self._values())

    @property
    def changes(self) -> TrustedIssuerEdit:
        """Return the edit request. Raises `Invalid`."""
        return TrustedIssuerEdit(**self._values())

    def _values(self) -> dict[str, Any]:
        given = self.keys_from == KeysFrom.GIVEN
        return {
            "name": self.name,
            "issuer": self.issuer,
            "keys_from": self.keys_from,
            # What belongs to another choice may still stand in the form, where script does not hide it.
            "keys_url": self.keys_url if self.keys_from == KeysFrom.URL else "",
            "given_keys": self._keys() if given else None,
            "ca": "" if given else self.ca,
            "audience": self.audience,
            "claims": self._claims(),
            **{name: getattr(self, name) for name in _OF_CLUSTER if self.kind == TrustedIssuerKind.KUBERNETES},
        }

    def _keys(self) -> Mapping[str, Any]:
        if not self.given_keys:
            raise Invalid("given_keys", "Keys are to be pasted, and there are none.", "Paste the JWK Set.")
        if holds_private_key(self.given_keys):
            raise Invalid("given_keys", f"This is a PRIVATE key, or holds one. {EXPOSED}", "Paste the public JWK Set.")
        try:
            keys = strict_json.loads(self.given_keys.encode(), max_bytes=MOST_KEYS)
        except strict_json.StrictJsonError as error:
            raise Invalid("given_keys", f"This is not JSON: {error}.", 'A JWK Set begins with {"keys": [') from None
        if not isinstance(keys, dict):
            raise Invalid("given_keys", "This is no JWK Set.", 'A JWK Set begins with {"keys": [')
        return keys

    def _claims(self) -> dict[str, str]:
        claims: dict[str, str] = {}
        for line in filter(None, (line.strip() for line in self.claims.split("\n"))):
            selector, equals, claim = (part.strip() for part in line.partition("="))
            if not (selector and equals and claim):
                raise Invalid("claims", f"{line[:60]!r} is no line such as github:repository = repository.")
            claims[selector] = claim
        return claims


def _of_cluster(cluster: ClusterApi | None) -> dict[str, Any]:
    if cluster is None:
        return {}
    said = (cluster.url, cluster.ca, cluster.credentials, cluster.reviews, cluster.pods)
    return dict(zip(_OF_CLUSTER, said, strict=True))
