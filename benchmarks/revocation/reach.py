"""How long a revocation takes to reach every API that follows the feed, and whether any accepts again what it refused.

    uv run --no-sync python benchmarks/revocation/reach.py                                # some twenty minutes
    uv run --no-sync python benchmarks/revocation/reach.py quiet --database sqlite        # one scene
    uv run --no-sync python benchmarks/revocation/reach.py --revocations 100 --verifiers 10

50 verifiers in five processes, each with a connection of its own to the feed, are asked about four tokens all the time,
over loopback. An administrator revokes a trust delegation, disables a client or takes back a token, and does the next
when all have refused. A time is from the moment that the request is sent until a verifier has refused. Scenes:

quiet  one server that does nothing else
load   one server that agents ask for tokens, 100 a second
kill   two servers on one database behind a TCP switch; ten times one gets SIGKILL the moment it has answered
cut    the verifiers are cut off for four seconds, then for longer than the stale limit
dead   the only server gets SIGKILL and stays away

Times are told and not judged. It ends with 1 if a verifier accepts what it had refused as revoked, refuses what nobody
revoked, or accepts anything beyond the stale limit without the authority.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from statistics import quantiles

from authsec.verifier.revocations.policy import SHORTEST_STALE
from resources import RuleBroken
from scenes import SCENES, Asked, Line


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", nargs="*", metavar="scene", help=f"{', '.join(SCENES)}; all, if none is named")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="one of the two, instead of both")
    parser.add_argument("--revocations", type=int, default=1000, help="in a scene; in kill a fifth of them")
    parser.add_argument("--verifiers", type=int, default=50, help="in all")
    parser.add_argument("--processes", type=int, default=5, help="of verifiers")
    parser.add_argument("--lap", type=float, default=5.0, help="milliseconds after which a token is asked about again")
    parser.add_argument("--stale-after", type=float, default=10.0, help="seconds")
    parser.add_argument("--load", type=float, default=100.0, help="token requests a second, in the scene load")
    asked = parser.parse_args()
    if unknown := set(asked.scenes) - set(SCENES):
        parser.error(f"no such scene: {', '.join(sorted(unknown))}")
    if asked.stale_after < SHORTEST_STALE or min(asked.verifiers, asked.processes, asked.revocations) < 1:
        parser.error(f"--stale-after is at least {SHORTEST_STALE}, and one of everything is the least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # servers and databases are ended on the way out
    print(f"{'p50':>8} {'p99':>8} {'most':>8} {'times':>7}   (milliseconds)")
    try:
        for database in [asked.database] if asked.database else ("sqlite", "postgresql"):
            for scene in asked.scenes or SCENES:
                print(f"{database}, {scene}", flush=True)
                for line in SCENES[scene](_asked(asked, database, scene)):
                    _report(line)
    except RuleBroken as broken:
        sys.exit(f"A rule is broken: {broken}.")


def _asked(asked: argparse.Namespace, database: str, scene: str) -> Asked:
    return Asked(
        database=database,
        revocations=asked.revocations // 5 if scene == "kill" else asked.revocations,
        verifiers=asked.verifiers,
        processes=min(asked.processes, asked.verifiers),
        lap=asked.lap / 1000,
        stale_after=asked.stale_after,
        load=asked.load,
    )


def _report(line: Line) -> None:
    if not line.seconds:
        print(f"{'':>34}   {line.what}", flush=True)
        return
    p50, p99, most = _summary(line.seconds)
    print(f"{p50:8.0f} {p99:8.0f} {most:8.0f} {len(line.seconds):7}   {line.what}", flush=True)


def _summary(seconds: Sequence[float]) -> tuple[float, float, float]:
    cuts = quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [seconds[0]] * 99
    return 1000 * cuts[49], 1000 * cuts[98], 1000 * max(seconds)


if __name__ == "__main__":
    main()
