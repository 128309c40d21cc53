"""A cluster is asked before look-ups in it are turned on: else its agents would find out that it is silent."""

from __future__ import annotations

from dataclasses import replace

from authsec_server.failures import Conflict
from authsec_server.sources import parsing
from authsec_server.sources.cluster_apis import ClusterApis
from authsec_server.sources.model import TrustSource


def require_answers(cluster_apis: ClusterApis, source: TrustSource, *, revision: int, changes: parsing.Changes) -> None:
    """Raise `Conflict` if the cluster, asked as it would be with these changes, does not answer; or `Invalid`.

    Never inside a transaction. What the edit refuses in any case is not asked about.
    """
    if revision != source.revision or not cluster_apis.possible:
        return
    edited = replace(source, **parsing.edited(source, changes))
    if not parsing.asks_otherwise(source.cluster, edited.cluster):
        return
    states = cluster_apis.try_out(edited)
    failures = [f"{lookup.shown}: {state.failure}" for lookup, state in states.items() if state.failing]
    if failures:
        raise _unanswered(edited, failures)


def _unanswered(source: TrustSource, failures: list[str]) -> Conflict:
    cluster = source.cluster
    file = cluster.credentials if cluster else ""
    whose = "" if cluster and cluster.reviews else " whose pods are looked up"
    return Conflict(
        f"The cluster does not answer, so nothing was saved: agents of {source.name!r}{whose} would get no token. "
        f"{'. '.join(failures)}.",
        f"In this order: permit it in the cluster, authsec trust rbac {source.slug} | kubectl apply -f -; put that "
        f"account's token into the file {file}; then turn it on. To save it although it does not answer: --anyway on "
        "the command line, the tick in the console's form, anyway in the API.",
        field="anyway",
    )
