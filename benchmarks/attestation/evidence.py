"""What it costs to find out whether a caller is the client, beside what JWT libraries take to decode its token.

    uv run --no-sync python -m benchmarks.attestation.evidence

Evidence goes in by the door that a token request uses, `attest`: a pod's projected token, or the assertion of an agent
with a key pair; each is signed with RS256, 2048 bits, and no two are the same. How it is measured, `side_by_side` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from authsec.jose import PrivateKey

from benchmarks.attestation.scene import Scene, assertion, pods_token, scene
from benchmarks.side_by_side import Take, arguments, libraries, measure, report


def main() -> None:
    """Measure, and print."""
    asked = arguments(__doc__)
    cluster, agent = PrivateKey.generate_rsa(), PrivateKey.generate_rsa()
    mounted = [pods_token(cluster) for _ in range(asked.tokens)]
    asserted = [assertion(agent) for _ in range(asked.tokens)]
    with scene(cluster, agent) as its:
        known = {"a pod's token, seen before": _having_seen(its, mounted)}
        new = {"a pod's token": its.fresh}
        report(measure({**known, **new, **libraries(cluster.public)}, mounted, asked.rounds))
        report(measure({"an assertion": its.fresh, **libraries(agent.public)}, asserted, asked.rounds))


def _having_seen(its: Scene, tokens: Sequence[str]) -> Callable[[], Take]:
    ask = its.fresh()
    for token in tokens:
        ask(token)
    return lambda: ask


if __name__ == "__main__":
    main()
