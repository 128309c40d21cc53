"""Several ways to take the same tokens, measured in turns, so that whatever else the machine does falls on all of them.

What counts is the processor time of this thread. Printed are the least and the median of the rounds, and each one's
ratio to joserfc's decode: a ratio of leasts, since whatever disturbs a round makes it longer.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import jwt as pyjwt
from authsec.jose import PublicKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jwt as joserfc
from joserfc.jwk import RSAKey
from jwt.types import Options

ROUNDS, TOKENS = 60, 200
REFERENCE = "joserfc, decode"
Take = Callable[[str], object]


def arguments(description: str | None) -> argparse.Namespace:
    """The command line: how many `rounds`, and how many `tokens` each of them takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how many a round takes")
    return parser.parse_args()


def native_key(key: PublicKey) -> rsa.RSAPublicKey:
    """The key as an object of `cryptography`."""
    native = serialization.load_pem_public_key(key.to_pem())
    assert isinstance(native, rsa.RSAPublicKey)
    return native


def libraries(key: PublicKey) -> dict[str, Callable[[], Take]]:
    """The libraries, given the key as an object; they decode and verify, and ask nothing about what a token says.

    With them the signature alone, which no one can do without.
    """
    native = native_key(key)
    wrapped = RSAKey.import_key(native)
    unasked: Options = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}

    def bare(token: str) -> None:
        signed, _, signature = token.rpartition(".")
        octets = base64.urlsafe_b64decode(signature + "==")
        native.verify(octets, signed.encode(), padding.PKCS1v15(), hashes.SHA256())

    return {
        REFERENCE: lambda: lambda token: joserfc.decode(token, wrapped, algorithms=["RS256"]),
        "PyJWT, decode": lambda: lambda token: pyjwt.decode(token, native, algorithms=["RS256"], options=unasked),
        "cryptography, signature alone": lambda: bare,
    }


def measure(makers: Mapping[str, Callable[[], Take]], tokens: Sequence[str], rounds: int) -> dict[str, list[float]]:
    """Microseconds a token, of each in each round; a first round does not count."""
    taken: dict[str, list[float]] = {name: [] for name in makers}
    for _ in range(rounds + 1):
        for name, make in makers.items():
            take = make()
            begin = time.thread_time_ns()
            for token in tokens:
                take(token)
            taken[name].append((time.thread_time_ns() - begin) / 1000 / len(tokens))
    return {name: each[1:] for name, each in taken.items()}


def report(taken: Mapping[str, Sequence[float]]) -> None:
    """One line each."""
    print(f"{'least':>8} {'median':>8} {'ratio':>8}   (microseconds; ratio to {REFERENCE!r})")
    for name, each in taken.items():
        ratio = min(each) / min(taken[REFERENCE])
        print(f"{min(each):8.1f} {median(each):8.1f} {ratio:8.2f}   {name}")
