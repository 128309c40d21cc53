"""A worker of an API: verifies the tokens on its standard input again and again, and prints what comes of it.

Usage: verifying_worker.py ISSUER AUDIENCE SHARED_FILE
"""

from __future__ import annotations

import json
import sys
import time

from authsec import InvalidToken, RevocationsUnavailable, TokenVerifier


def main(issuer: str, audience: str, shared_file: str) -> None:
    tokens = sys.stdin.readline().split()
    verifier = TokenVerifier(issuer, audience, shared_file=shared_file)
    last = ""
    while True:
        outcomes = [outcome(verifier, token) for token in tokens]
        health = verifier.health().revocations
        assert health is not None
        said = json.dumps({"outcomes": outcomes, "role": health.role.partition(" /")[0]})
        if said != last:
            print(said, flush=True)
        last = said
        time.sleep(0.02)


def outcome(verifier: TokenVerifier, token: str) -> str:
    try:
        verifier.verify(token)
    except (InvalidToken, RevocationsUnavailable) as error:
        return error.reason
    return "accepted"


if __name__ == "__main__":
    main(*sys.argv[1:])
