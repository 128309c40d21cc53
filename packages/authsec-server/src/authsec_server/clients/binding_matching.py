"""Which trust source vouches for a proof of selectors: which fit at all, and which one is chosen. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from authsec_server import naming
from authsec_server.clients.model import Platform, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.sources import service as sources
from authsec_server.sources.model import Provenance, SourceKind, TrustSource, by_lookup, provable, provenance

FITTING: Mapping[Platform, tuple[SourceKind, ...]] = {
    Platform.KUBERNETES: (SourceKind.KUBERNETES, SourceKind.SPIFFE),
    Platform.DOCKER: (SourceKind.SPIFFE,),
    Platform.UNIX: (SourceKind.SPIFFE,),
    Platform.SPIFFE: (SourceKind.SPIFFE,),
    Platform.OIDC: (SourceKind.OIDC,),
}
"""The kinds of source that can know the workloads of each platform; the others need none."""
_NAMED = 5  # in a message that lists sources


def fits(platform: Platform, selectors: Sequence[Selector], source: TrustSource, trust_domain: str) -> bool:
    """Whether such a workload can be one of the source's at all. `trust_domain` is that of the clients' SPIFFE IDs."""
    return not _misfit(platform, selectors, source, trust_domain)


def proves(platform: Platform, selectors: Sequence[Selector], source: TrustSource, trust_domain: str) -> bool:
    """Whether the source fits, and can prove each of the selectors. Of nothing to prove, nothing is proved."""
    able = all(provenance(source, each.key) is not Provenance.NEVER for each in selectors)
    return bool(selectors) and able and fits(platform, selectors, source, trust_domain)


def chosen(
    platform: Platform, selectors: Sequence[Selector], registered: Sequence[TrustSource], trust_domain: str
) -> TrustSource | None:
    """The one source that is meant where none is named; None where none of those registered fits.

    Raises `Invalid` where several could be meant, and where the one that fits does not prove a selector as it is set
    up.
    """
    fitting = [source for source in registered if fits(platform, selectors, source, trust_domain)]
    able = [source for source in fitting if proves(platform, selectors, source, trust_domain)]
    if len(able) > 1:
        names = ", ".join(f"{source.name!r} ({source.slug})" for source in able[:_NAMED])
        more = f" and {len(able) - _NAMED} more" if len(able) > _NAMED else ""
        raise Invalid(
            "source",
            f"{len(able)} trust sources could vouch for these selectors: {names}{more}.",
            "Name one: the proof rests on that one alone.",
        )
    if fitting and not able:
        require_provable(selectors, fitting[0])
    return able[0] if able else None


def require_suitable(platform: Platform, selectors: Sequence[Selector], source: TrustSource, trust_domain: str) -> None:
    """Raise `Invalid` unless the source that was named fits, and can prove all selectors."""
    if problem := _misfit(platform, selectors, source, trust_domain):
        raise Invalid("source", f"The trust source {source.name!r} ({source.slug}) {problem}", what_fits(platform))
    require_provable(selectors, source)


def require_provable(selectors: Sequence[Selector], source: TrustSource) -> None:
    """Raise `Invalid` at the first selector that the source does not prove as it is set up; it names all of these."""
    never = [index for index, each in enumerate(selectors) if provenance(source, each.key) is Provenance.NEVER]
    if never:
        keys = [selectors[index].key for index in never]
        raise Invalid(
            f"selectors.{never[0]}",
            f"The trust source {source.name!r} ({source.slug}) does not prove {' and '.join(keys)} as it is set "
            "up, and so this proof would not get the client in.",
            what_proves(keys, source),
        )


def lacking(
    platform: Platform, selectors: Sequence[Selector], registered: Sequence[TrustSource], trust_domain: str
) -> str:
    """What keeps a proof that rests on no source from having one of those registered; empty if none fits at all."""
    fitting = [source for source in registered if fits(platform, selectors, source, trust_domain)]
    for source in fitting:
        if proves(platform, selectors, source, trust_domain):
            return (
                f"The trust source {source.name!r} could vouch for it, and nobody has said yet that it shall. Bind it "
                f"on that source's page, or with `authsec trust bind {source.slug}`."
            )
    try:
        for source in fitting:
            require_provable(selectors, source)
    except Invalid as problem:
        return f"{problem.message} {problem.remedy}"
    return ""


def what_proves(keys: Sequence[str], source: TrustSource) -> str:
    """What would prove these selectors, which this source does not prove as it is set up."""
    named = " and ".join(keys)
    if source.kind is SourceKind.KUBERNETES and all(map(by_lookup, keys)):
        with_what = "" if source.cluster else " --from-kubeconfig --credentials FILE_NAME"
        return (
            f"A cluster's token says {', '.join(provable(source))}. To prove {named}, turn on pod look-up on that "
            f"source's page, or with `authsec trust edit {source.slug} --pod-lookup{with_what}`; or have SPIRE vouch "
            "for it: register its trust domain as a trust source, and name that one. Or leave it out."
        )
    if source.kind is SourceKind.OIDC:
        return f"It maps claims to {', '.join(provable(source))}. Have it map one to {named}, or leave this one out."
    return "Leave it out."


def what_fits(platform: Platform) -> str:
    """What vouches for this platform's workloads and how to register it, without a full stop."""
    kinds = " or ".join(f"{_article(kind)} {kind.shown}" for kind in FITTING[platform])
    return f"{platform.shown} workloads are vouched for by {kinds}: authsec trust add"


def _misfit(platform: Platform, selectors: Sequence[Selector], source: TrustSource, trust_domain: str) -> str:
    """Why the source cannot know such a workload, behind "The source …"; empty if it can."""
    if source.kind not in FITTING.get(platform, ()):
        return f"is {_article(source.kind)} {source.kind.shown}: it knows no {platform.shown} workloads."
    if platform is Platform.SPIFFE:
        return _of_another_domain(selectors, source)
    if platform is Platform.OIDC:
        return _of_another_issuer(selectors, source)
    if source.kind is SourceKind.SPIFFE and source.issuer != trust_domain:
        return (
            f"is the trust domain {source.issuer}, whose SPIRE cannot give a workload this client's SPIFFE ID: that is "
            f"in {trust_domain or 'another one'} (AUTHSEC_SERVER_TRUST_DOMAIN). With the platform spiffe, give the "
            "SPIFFE ID that it has there instead."
        )
    return ""


def _of_another_domain(selectors: Sequence[Selector], source: TrustSource) -> str:
    for selector in selectors:
        if selector.value.removeprefix("spiffe://").partition("/")[0] != source.issuer:
            return f"is the trust domain {source.issuer}, and {quoted(selector.value)} is an ID of another."
    return ""


def _of_another_issuer(selectors: Sequence[Selector], source: TrustSource) -> str:
    """Selectors of `github:…` mean a source that speaks of `github:…`, whichever of them it knows."""
    spoken = {_vocabulary(key) for key in source.claims}
    for selector in selectors:
        if _vocabulary(selector.key) not in spoken:
            return f"makes no selector {_vocabulary(selector.key)}:… of its tokens, such as {selector.key}."
    return ""


def _vocabulary(key: str) -> str:
    return key.partition(":")[0]


def _article(kind: SourceKind) -> str:
    return "an" if kind is SourceKind.OIDC else "a"


def sourced(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> Proof:
    """The proof with its trust source: `named` by id or slug, else the only one registered that can prove it.

    One that is disabled is taken, too: it was registered for such workloads, and its word counts again some day. Where
    none fits, the proof has none: the client cannot prove itself by it yet. `trust_domain` is that of the clients'
    SPIFFE IDs. Raises `Invalid`.
    """
    if proof.kind is not ProofKind.SELECTORS:
        if named is not None:
            raise Invalid("source", f"{platform_of(proof).shown} needs no trust source.", "Leave it out.")
        return proof
    source = _source(tx, proof, named, trust_domain)
    return proof if source is None else replace(proof, source_id=source.id, source_enabled=source.enabled)


def lacks(tx: Tx, proof: Proof, trust_domain: str) -> str:
    """What keeps this proof, which rests on no source, from having one of those there are; empty if none fits."""
    return lacking(platform_of(proof), proof.selectors, _fitting(tx, platform_of(proof)), trust_domain)


def _fitting(tx: Tx, platform: Platform) -> list[TrustSource]:
    return sources.of_kinds(tx, FITTING[platform])


def _source(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> TrustSource | None:
    platform = platform_of(proof)
    if named is None:
        return chosen(platform, proof.selectors, _fitting(tx, platform), trust_domain)
    source = sources.find(tx, named)
    if source is None:
        raise Invalid("source", f"There is no trust source {naming.quoted(named)}.", "See the list: authsec trust list")
    require_suitable(platform, proof.selectors, source, trust_domain)
    return source
