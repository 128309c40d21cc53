"""What it costs to find out whether a caller is the client, beside what JWT libraries take to decode its token.

    uv run --no-sync python benchmarks/attestation/evidence.py

Evidence goes in by the door that a token request uses, `attest`: a pod's projected token, or the assertion of an agent
with a key pair; each is signed with RS256, 2048 bits, and no two are the same. A library is given the key as an object,
and decodes and verifies the same tokens. It asks nothing about what they say.

All take turns, a round each, so that whatever else the machine does falls on all of them. What counts is the processor
time of this thread. Printed are the least and the median of the rounds, and each one's ratio to joserfc's decode of the
same tokens: a ratio of leasts, since whatever disturbs a round makes it longer.
"""

from __future__ import annotations

import argparse
import base64
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import jwt as pyjwt
from authsec.jose import PrivateKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from joserfc import jwt as joserfc
from joserfc.jwk import RSAKey
from scene import Scene, assertion, pods_token, scene

ROUNDS, TOKENS = 60, 200
REFERENCE = "joserfc, decode"
Take = Callable[[str], object]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how many a round takes")
    asked = parser.parse_args()
    cluster, agent = PrivateKey.generate_rsa(), PrivateKey.generate_rsa()
    mounted = [pods_token(cluster) for _ in range(asked.tokens)]
    asserted = [assertion(agent) for _ in range(asked.tokens)]
    with scene(cluster, agent) as its:
        print(f"{'least':>8} {'median':>8} {'ratio':>8}   (microseconds; ratio to {REFERENCE!r})")
        known = {"a pod's token, seen before": _having_seen(its, mounted)}
        new = {"a pod's token": its.fresh}
        _report(_measure({**known, **new, **_libraries(cluster)}, mounted, asked.rounds))
        _report(_measure({"an assertion": its.fresh, **_libraries(agent)}, asserted, asked.rounds))


def _having_seen(its: Scene, tokens: Sequence[str]) -> Callable[[], Take]:
    ask = its.fresh()
    for token in tokens:
        ask(token)
    return lambda: ask


def _libraries(key: PrivateKey) -> dict[str, Callable[[], Take]]:
    """The libraries, and the signature alone, which no one can do without."""
    native = serialization.load_pem_public_key(key.public.to_pem())
    assert isinstance(native, rsa.RSAPublicKey)
    wrapped = RSAKey.import_key(native)
    unasked = dict.fromkeys(("verify_aud", "verify_exp", "verify_iat", "verify_nbf"), False)

    def bare(token: str) -> None:
        signed, _, signature = token.rpartition(".")
        octets = base64.urlsafe_b64decode(signature + "==")
        native.verify(octets, signed.encode(), padding.PKCS1v15(), hashes.SHA256())

    return {
        REFERENCE: lambda: lambda token: joserfc.decode(token, wrapped, algorithms=["RS256"]),
        "PyJWT, decode": lambda: lambda token: pyjwt.decode(token, native, algorithms=["RS256"], options=unasked),
        "cryptography, signature alone": lambda: bare,
    }


def _measure(makers: Mapping[str, Callable[[], Take]], tokens: Sequence[str], rounds: int) -> dict[str, list[float]]:
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


def _report(taken: Mapping[str, Sequence[float]]) -> None:
    for name, each in taken.items():
        ratio = min(each) / min(taken[REFERENCE])
        print(f"{min(each):8.1f} {median(each):8.1f} {ratio:8.2f}   {name}")


if __name__ == "__main__":
    main()
