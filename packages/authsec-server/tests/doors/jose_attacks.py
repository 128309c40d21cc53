"""One list of what is done to signed tokens, for every door that reads one: `ATTACKS`, each made of a good token.

Whoever makes them knows all that is public, and for those that say so holds the issuer's key too: no honest library
would write such a token, and two readers of it would see two.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from authsec.jose import PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from ready_keys import STRANGERS

MALLORY = {"RSA": STRANGERS, "EC": PrivateKey.generate_ec(), "OKP": PrivateKey.generate_ed25519()}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """A token that the door lets in, before it is made: nobody has shown it yet."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    key: PrivateKey

    def token(self, header: Any = None, claims: Any = None, key: PrivateKey | None = None) -> str:
        """Signed as it is, or with other parts: objects or octets."""
        return signed(self.unsigned(header, claims), key or self.key)

    def unsigned(self, header: Any = None, claims: Any = None) -> str:
        """What is signed of it."""
        parts = (self.header if header is None else header, self.claims if claims is None else claims)
        return ".".join(encoded(part if isinstance(part, bytes) else json.dumps(part).encode()) for part in parts)

    @property
    def mallory(self) -> PrivateKey:
        """Somebody else's key of the same kind."""
        return MALLORY[self.key.public.kind]


Make = Callable[[Good], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """`make` turns what would be let in into what must not be."""

    name: str
    make: Make


def encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def signed(unsigned: str, key: PrivateKey) -> str:
    return f"{unsigned}.{encoded(key.sign(unsigned.encode()))}"


def headed(good: Good, header: Mapping[str, Any]) -> str:
    """With these members in its header, signed by whoever may."""
    return good.token({**good.header, **header})


def unsigned_with(good: Good, alg: Any, signature: str) -> str:
    return f"{good.unsigned({**good.header, 'alg': alg})}.{signature}"


def with_mac(good: Good, alg: str, secret: Callable[[PrivateKey], bytes]) -> str:
    text = good.unsigned({**good.header, "alg": alg})
    return f"{text}.{encoded(hmac.new(secret(good.key), text.encode(), f'sha{alg[2:]}').digest())}"


def _der(key: PrivateKey) -> bytes:
    public = load_pem_public_key(key.public.to_pem())
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _member(key: PrivateKey) -> bytes:
    jwk = key.public.to_jwk()
    member = jwk.get("n", jwk.get("x", ""))
    return base64.urlsafe_b64decode(member + "=" * (-len(member) % 4))


SECRETS: Mapping[str, Callable[[PrivateKey], bytes]] = {
    "PEM": lambda key: key.public.to_pem(),
    "PEM without its last line break": lambda key: key.public.to_pem().strip(),
    "DER": _der,
    "JWK": lambda key: json.dumps(key.public.to_jwk()).encode(),
    "number in the JWK": _member,
    "kid": lambda key: key.public.thumbprint().encode(),
    "nothing": lambda _: b"",
}


def _algorithms() -> Iterator[tuple[str, Make]]:
    for alg in ("none", "None", "NONE", "nOnE", ""):
        yield f"alg {alg!r} without signature", lambda good, alg=alg: unsigned_with(good, alg, "")
        yield f"alg {alg!r} with something", lambda good, alg=alg: unsigned_with(good, alg, encoded(b"x"))
        yield f"alg {alg!r} with the good signature", lambda good, alg=alg: headed(good, {"alg": alg})
    for alg in ("HS256", "HS384", "HS512"):
        for name, secret in SECRETS.items():
            yield f"{alg} with the {name}", partial(with_mac, alg=alg, secret=secret)
    for alg in (None, 1, True, ["RS256"], {"alg": "RS256"}, "RS1", "RSA-OAEP", "dir", "ES256K", "A128KW", "HS256\0"):
        yield f"alg {alg!r}", partial(headed, header={"alg": alg})
    for change in (str.lower, lambda alg: f"{alg} ", lambda alg: f" {alg}", lambda alg: f"{alg}\0", lambda alg: [alg]):
        yield "alg spelt otherwise", lambda good, change=change: headed(good, {"alg": change(good.header["alg"])})
    yield "no alg", lambda good: good.token(_without(good.header, "alg"))
    for alg in ("RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"):
        yield f"{alg} with a zero signature", lambda good, alg=alg: unsigned_with(good, alg, encoded(bytes(64)))
        yield f"{alg} without signature", lambda good, alg=alg: unsigned_with(good, alg, "")
        yield f"{alg} over another's key", lambda good, alg=alg: _another_algorithm(good, alg)


def _another_algorithm(good: Good, alg: str) -> str:
    """The header names an algorithm; whoever signs with that of their own key."""
    return good.token({**good.header, "alg": alg}, key=good.mallory)


def _brought_keys() -> Iterator[tuple[str, Make]]:
    def jwk(good: Good) -> dict[str, Any]:
        return {"jwk": {**good.mallory.public.to_jwk(), "kid": good.header["kid"]}}

    brought: dict[str, Callable[[Good], dict[str, Any]]] = {
        "jwk": jwk,
        "jku": lambda _: {"jku": "https://mallory.example/keys.json"},
        "x5u": lambda _: {"x5u": "https://mallory.example/chain.pem"},
        "x5c": lambda good: {"x5c": [base64.b64encode(_der(good.mallory)).decode()]},
        "nothing, but says so": lambda _: {"jwk": None},
    }
    for name, header in brought.items():
        yield (
            f"brings {name}, signed by it",
            lambda good, header=header: good.token({**good.header, **header(good)}, key=good.mallory),
        )
        yield f"brings {name} beside the right key", lambda good, header=header: headed(good, header(good))
    yield "a key in its claims", lambda good: good.token(claims={**good.claims, **jwk(good)}, key=good.mallory)
    yield "another's key under its name", lambda good: good.token(key=good.mallory)


def _names_of_keys() -> Iterator[tuple[str, Make]]:
    tricks: dict[str, Callable[[str], Any]] = {
        "with NUL": lambda kid: f"{kid}\0",
        "with a zero-width space": lambda kid: f"{kid}\u200b",
        "with a combining mark": lambda kid: f"{kid}\u0301",
        "turned around": lambda kid: f"\u202e{kid}",
        "in full width": lambda kid: "".join(chr(ord(char) + 0xFEE0) if char.isalnum() else char for char in kid),
        "in other case": lambda kid: kid.swapcase(),
        "with spaces": lambda kid: f" {kid} ",
        "as a path": lambda kid: f"../keys/{kid}",
        "as a list": lambda kid: [kid],
        "as an object": lambda kid: {"kid": kid},
        "as a number": lambda _: 1,
        "as nothing": lambda _: None,
        "as an address": lambda _: "https://mallory.example/keys.json",
        "as a query": lambda _: "' OR '1'='1",
        "of another key": lambda _: "two",
        "of 9000 letters": lambda _: "k" * 9000,
    }
    for name, trick in tricks.items():
        yield f"kid {name}", lambda good, trick=trick: headed(good, {"kid": trick(good.header["kid"])})
    yield "kid with half a character", lambda good: good.token(_with_member(good.header, '"kid": "\\ud800"'))


def _demands() -> Iterator[tuple[str, Make]]:
    for header in (
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": False},
        {"crit": ["kid"]},
        {"crit": []},
        {"crit": None},
        {"crit": "alg"},
        {"b64": False},
        {"b64": True},
        {"typ": 1},
        {"typ": None},
        {"typ": ["JWT"]},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": "JWT\0"},
        {"cty": {}},
    ):
        yield f"header {header}", partial(headed, header=header)


def _forms() -> Iterator[tuple[str, Make]]:
    def parts(good: Good) -> list[str]:
        return good.token().split(".")

    def flattened(good: Good) -> dict[str, Any]:
        protected, payload, signature = parts(good)
        return {"protected": protected, "payload": payload, "signature": signature, "header": {"kid": "two"}}

    def general(good: Good) -> dict[str, Any]:
        protected, payload, signature = parts(good)
        return {"payload": payload, "signatures": [{"protected": protected, "signature": signature}]}

    for name, form in (("flattened", flattened), ("general", general)):
        yield f"{name} JSON", lambda good, form=form: json.dumps(form(good))
        yield f"{name} JSON, encoded", lambda good, form=form: encoded(json.dumps(form(good)).encode())
    yield "detached payload", lambda good: "{0}..{2}".format(*parts(good))
    yield "detached payload that is empty", lambda good: signed(f"{good.unsigned().split('.')[0]}.", good.key)
    yield (
        "payload that is not encoded",
        lambda good: signed(f"{parts(good)[0]}.{json.dumps(good.claims, separators=(',', ':'))}", good.key),
    )
    yield "two parts", lambda good: good.unsigned()
    yield "four parts", lambda good: f"{good.token()}.{encoded(b'x')}"
    yield "five parts, as encrypted ones have", lambda good: ".".join([*parts(good), *parts(good)[:2]])
    yield "an empty part in front", lambda good: f".{good.token()}"
    yield "an empty part behind", lambda good: f"{good.token()}."
    yield "two tokens", lambda good: f"{good.token()},{good.token()}"
    yield "a token as a claim of nobody's", lambda good: good.token(claims={"token": good.token()}, key=good.mallory)
    yield "a token as the payload", lambda good: good.token(claims=good.token().encode())


def _spellings() -> Iterator[tuple[str, Make]]:
    def trailing_bits(part: str) -> str:
        free = {0: 1, 2: 16, 3: 4}[len(part) % 4]
        return part[:-1] + ALPHABET[ALPHABET.index(part[-1]) ^ (free - 1)] if free > 1 else part + "A"

    spellings: dict[str, Callable[[str], str]] = {
        "padding": lambda part: part + "=" * (-len(part) % 4 or 4),
        "trailing bits": trailing_bits,
        "a line break": lambda part: f"{part[:8]}\n{part[8:]}",
        "a space": lambda part: f"{part[:8]} {part[8:]}",
        "a foreign character": lambda part: f"{part[:8]}!{part[8:]}",
        "a letter of another script": lambda part: f"{part[:8]}\u0430{part[9:]}",
        "NUL": lambda part: f"{part[:8]}\0{part[8:]}",
        "the other alphabet": lambda part: f"{part[:4]}+/{part[6:]}",
    }
    for name, spell in spellings.items():
        for place in range(3):
            yield f"{name} in part {place}", lambda good, spell=spell, place=place: _respelt(good, spell, place)


def _respelt(good: Good, spell: Callable[[str], str], place: int) -> str:
    parts = good.token().split(".")
    parts[place] = spell(parts[place])
    return ".".join(parts)


def _with_member(part: Mapping[str, Any], text: str) -> bytes:
    """The object's JSON with a member more, whether it has one of that name or not."""
    return f"{json.dumps(part)[:-1]}, {text}}}".encode()


def _repetitions() -> Iterator[tuple[str, Make]]:
    for name in ("iss", "sub", "aud", "exp"):
        yield f"{name} twice alike", lambda good, name=name: good.token(claims=_again(good.claims, name))
        yield (
            f"{name} twice, escaped",
            lambda good, name=name: good.token(claims=_again(good.claims, name, f"\\u{ord(name[0]):04x}{name[1:]}")),
        )
        yield (
            f"{name} first as another's",
            lambda good, name=name: good.token(
                claims=f'{{"{name}": "mallory", '.encode() + json.dumps(good.claims).encode()[1:]
            ),
        )
    for name in ("alg", "kid"):
        yield f"{name} twice alike", lambda good, name=name: good.token(_again(good.header, name))
        yield (
            f"{name} first as another's",
            lambda good, name=name: good.token(f'{{"{name}": "none", '.encode() + json.dumps(good.header).encode()[1:]),
        )
    yield (
        "a name twice deep inside",
        lambda good: good.token(claims=_with_member(good.claims, '"a": [{"b": 1, "b": 1}]')),
    )


def _again(part: Mapping[str, Any], name: str, spelt: str = "") -> bytes:
    return _with_member(part, f'"{spelt or name}": {json.dumps(part.get(name))}')


def _times() -> Iterator[tuple[str, Make]]:
    texts = ('"9999999999"', "true", "null", "[9999999999]", "{}", "NaN", "Infinity", "-Infinity", "1e999", "-1", "0")
    for text in (*texts, "-9007199254740993", "9" * 400, str(2**53), str(2**63), '"2999-01-01T00:00:00Z"'):
        for name in ("exp", "iat", "nbf"):
            if name == "exp" or text not in {"-1", "0"}:  # a token that was issued long ago may be good still
                yield f"{name} {text[:20]}", partial(_with_time, name=name, text=text)
    yield "no exp", lambda good: good.token(claims=_without(good.claims, "exp"))


def _with_time(good: Good, name: str, text: str) -> str:
    return good.token(claims=_with_member(_without(good.claims, name), f'"{name}": {text}'))


def _without(part: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != name}


def _payloads() -> Iterator[tuple[str, Make]]:
    for payload in (b"[]", b'"text"', b"null", b"7", b"true", b"{}", b"{", b"{}{}", b"\xff\xfe", b"\x80", b"'{}'"):
        yield f"payload {payload!r}", lambda good, payload=payload: good.token(claims=payload)
        yield f"header {payload!r}", lambda good, payload=payload: good.token(payload)
    before: dict[str, Callable[[bytes], bytes]] = {
        "a byte order mark": lambda text: b"\xef\xbb\xbf" + text,
        "UTF-16": lambda text: text.decode().encode("utf-16"),
        "a comment": lambda text: b"/**/" + text,
        "something behind": lambda text: text + b"x",
        "another object behind": lambda text: text + text,
        "a comma too many": lambda text: text[:-1] + b",}",
        "an overlong character": lambda text: text[:-1] + b', "a": "\xc0\xaf"}',
        "half a character": lambda text: text[:-1] + b', "a": "\\ud800"}',
        "half a character as it is": lambda text: text[:-1] + b', "a": "\xed\xa0\x80"}',
        "NUL in a claim": lambda text: text[:-1] + b', "a": "\\u0000"}',
        "a line break in a claim": lambda text: text[:-1] + b', "a": "\n"}',
    }
    for name, spoil in before.items():
        yield name, lambda good, spoil=spoil: good.token(claims=spoil(json.dumps(good.claims).encode()))


def _bombs() -> Iterator[tuple[str, Make]]:
    """What costs whoever reads it, unless size and depth are bounded first. Encoded, 150 kB are 200."""
    for name, opening, closing in (("lists", "[", "]"), ("objects", '{"a":', "}")):
        for depth in (9, 1500):
            text = f'"deep": {opening * depth}{"1" if name == "objects" else ""}{closing * depth}'
            yield f"{depth} {name} deep", lambda good, text=text: good.token(claims=_with_member(good.claims, text))
            yield f"header {depth} {name} deep", lambda good, text=text: good.token(_with_member(good.header, text))
    yield "a token of 200 kB", lambda good: good.token(claims={**good.claims, "padding": "x" * 150_000})
    yield "a header that fills 200 kB", lambda good: headed(good, {"padding": "x" * 150_000})
    digits = f'"number": {"9" * 150_000}'
    yield "a number that fills 200 kB", lambda good: good.token(claims=_with_member(good.claims, digits))
    yield (
        "8000 claims",
        lambda good: good.token(claims={**good.claims, **{f"c{each}": each for each in range(8_000)}}),
    )
    yield "200 kB of nothing", lambda _: "x" * 200_000
    yield "200 kB of dots", lambda _: "." * 200_000
    yield "a signature that fills 200 kB", lambda good: f"{good.unsigned()}.{encoded(bytes(150_000))}"


def _signatures() -> Iterator[tuple[str, Make]]:
    changes: dict[str, Callable[[bytes], bytes]] = {
        "another bit": lambda signature: bytes([signature[0] ^ 1]) + signature[1:],
        "cut": lambda signature: signature[:-1],
        "longer": lambda signature: signature + b"\0",
        "longer in front": lambda signature: b"\0" + signature,
        "twice": lambda signature: signature + signature,
        "zeros": lambda signature: bytes(len(signature)),
        "ones": lambda signature: b"\xff" * len(signature),
        "its hash": lambda signature: hashlib.sha256(signature).digest(),
    }
    for name, change in changes.items():
        yield (
            f"signature: {name}",
            lambda good, change=change: f"{good.unsigned()}.{encoded(change(good.key.sign(good.unsigned().encode())))}",
        )
    yield (
        "the signature of other claims",
        lambda good: "{}.{}".format(good.unsigned(), good.token(claims={**good.claims, "exp": 1}).rpartition(".")[2]),
    )
    yield (
        "other claims under its signature",
        lambda good: "{}.{}".format(good.unsigned(claims={**good.claims, "extra": 1}), good.token().rpartition(".")[2]),
    )


_GROUPS = (
    _algorithms,
    _brought_keys,
    _names_of_keys,
    _demands,
    _forms,
    _spellings,
    _repetitions,
    _times,
    _payloads,
    _bombs,
    _signatures,
)
ATTACKS = tuple(Attack(name=name, make=make) for group in _GROUPS for name, make in group())
