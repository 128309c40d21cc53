"""Find the token in pasted text, or explain what the text is if it is no token. Pure.

The explanations never repeat the pasted text, because people sometimes paste private keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from authsec import strict_json

from authsec_server.issuers.key_set_parsing import EXPOSED, holds_private_key

_PREFIX = re.compile(r"(authorization\s*:\s*)?bearer\s+", re.IGNORECASE)
_PART = r"[A-Za-z0-9_-]+"
_JWTS = re.compile(rf"{_PART}\.{_PART}\.{_PART}(\s+{_PART}\.{_PART}\.{_PART})+")
_OURS = re.compile(r"authsec_[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """The token in the pasted text, and notes about the other text, which was left out."""

    token: str = field(repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoToken:
    """A description of pasted text that is no token, and advice on what to paste instead."""

    said: str
    remedy: str


def read_pasted(text: str) -> Pasted | NoToken:
    """Return the token in the text, or a description of a text that is no token.

    Text that people often copy together with a token is removed.
    """
    token, notes = text.strip(), []
    if prefix := _PREFIX.match(token):
        token = token[prefix.end() :]
        notes.append("`Bearer` was removed: it belongs to the header, not to the token.")
    if len(token) > 1 and token[0] in "\"'" and token[-1] == token[0]:
        token = token[1:-1]
        notes.append("The quotation marks around the token were removed.")
    for looks_like, said, remedy in _ELSE:
        if looks_like(token):
            return NoToken(said=said, remedy=remedy)
    if len(token.split()) > 1:
        token = "".join(token.split())
        notes.append(
            "Spaces and line breaks in the token were removed. Remove them also where the agent reads the token."
        )
    return Pasted(token=token, notes=tuple(notes))


def _is_kubeconfig(text: str) -> bool:
    return "clusters" in text and "contexts" in text and "apiVersion" in text


def _is_json_with(*members: str) -> Callable[[str], bool]:
    def is_it(text: str) -> bool:
        if not text.startswith("{"):
            return False
        try:
            held = strict_json.loads(text.encode())
        except strict_json.StrictJsonError:
            return False  # then it is something else that was pasted
        return isinstance(held, dict) and held.keys() >= set(members)

    return is_it


_ELSE: Sequence[tuple[Callable[[str], bool], str, str]] = (
    (lambda text: not text, "Nothing was pasted.", "Paste the token that the agent sends."),
    (
        _is_kubeconfig,
        "This is a kubeconfig, which contains a person's credentials for the cluster. AuthSec did not store it.",
        "Paste the token of the agent's pod: kubectl exec POD -- cat /var/run/secrets/authsec/token",
    ),
    (
        holds_private_key,
        f"This is a PRIVATE key, not a token. {EXPOSED}",
        "Paste the token that the agent sends.",
    ),
    (
        lambda text: text.startswith("-----BEGIN"),
        "This is a certificate or a public key, not a token.",
        "Enter the keys of a trusted issuer under Edit. Here, paste the token that the agent sends.",
    ),
    (
        lambda text: _OURS.fullmatch(text) is not None,
        f"This is an admin key or a client secret of AuthSec, not a token. {EXPOSED}",
        "Paste the token that the agent gets from its platform.",
    ),
    (
        _is_json_with("keys"),
        "This is a key set, not a token.",
        "Enter the keys of a trusted issuer under Edit. Here, paste the token that the agent sends.",
    ),
    (
        lambda text: text.startswith(("{", "[", "apiVersion:")),
        "This is a document that may contain a token, not the token alone.",
        "Paste only the token, which begins with eyJ. Find the token in status.token of a TokenRequest, in "
        "data.token of a Secret (decode it), or in value of GitHub's answer.",
    ),
    (
        lambda text: text.startswith("ZXlK") and "." not in text,
        "This token is encoded in base64 once more, as in the YAML of a Kubernetes Secret.",
        "Decode it first: base64 -d",
    ),
    (
        lambda text: _JWTS.fullmatch(text) is not None,
        "These are several tokens.",
        "Paste one token.",
    ),
    (
        lambda text: text.count(".") == 4 and text.startswith("eyJ"),
        "This token is encrypted (it has five parts), and this authority has no key to decrypt it.",
        "Configure the issuer to make a signed token (RFC 7515), which has three parts.",
    ),
)
