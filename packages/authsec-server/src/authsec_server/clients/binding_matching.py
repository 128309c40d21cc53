"""Choose the trusted issuer that proves the selectors of a proof.

A trusted issuer fits a proof if the issuer can identify workloads of this platform. A fitting issuer may
still be unable to prove a selector with its current settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from authsec_server import naming
from authsec_server.clients.model import Platform, Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import Provenance, TrustedIssuer, TrustedIssuerKind, by_lookup, provable, provenance
from authsec_server.naming import quoted

FITTING: Mapping[Platform, tuple[TrustedIssuerKind, ...]] = {
    Platform.KUBERNETES: (TrustedIssuerKind.KUBERNETES, TrustedIssuerKind.SPIFFE),
    Platform.DOCKER: (TrustedIssuerKind.SPIFFE,),
    Platform.UNIX: (TrustedIssuerKind.SPIFFE,),
    Platform.SPIFFE: (TrustedIssuerKind.SPIFFE,),
    Platform.OIDC: (TrustedIssuerKind.OIDC,),
}
"""The kinds of trusted issuer that can prove the workloads of each platform. Other platforms need no trusted issuer."""
_NAMED = 5  # trusted issuers named in a message


def fits(platform: Platform, selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, trust_domain: str) -> bool:
    """Return whether the trusted issuer can identify workloads of this platform with such selectors.

    `trust_domain` is the trust domain in the clients' SPIFFE IDs.
    """
    return not _misfit(platform, selectors, trusted_issuer, trust_domain)


def proves(platform: Platform, selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, trust_domain: str) -> bool:
    """Return whether the trusted issuer fits the platform and can prove every selector.

    Without selectors, the result is False.
    """
    able = all(provenance(trusted_issuer, each.key) is not Provenance.NEVER for each in selectors)
    return bool(selectors) and able and fits(platform, selectors, trusted_issuer, trust_domain)


def chosen(
    platform: Platform, selectors: Sequence[Selector], registered: Sequence[TrustedIssuer], trust_domain: str
) -> TrustedIssuer | None:
    """Choose the trusted issuer if the request names none. Return None if no registered issuer fits.

    A disabled issuer is chosen only if no enabled issuer can prove the selectors. Raises `Invalid` if several
    such issuers can prove the selectors. Also raises `Invalid` if issuers fit, but none
    of them can prove all selectors with its current settings.
    """
    fitting = [
        trusted_issuer for trusted_issuer in registered if fits(platform, selectors, trusted_issuer, trust_domain)
    ]
    able = [trusted_issuer for trusted_issuer in fitting if proves(platform, selectors, trusted_issuer, trust_domain)]
    best = preferred(able)
    if len(best) > 1:
        names = ", ".join(f"{trusted_issuer.name!r} ({trusted_issuer.slug})" for trusted_issuer in best[:_NAMED])
        more = f" and {len(best) - _NAMED} more" if len(best) > _NAMED else ""
        raise Invalid(
            "trusted_issuer",
            f"{len(best)} trusted issuers can prove these selectors: {names}{more}.",
            "Name one of these trusted issuers. The proof then depends only on that trusted issuer.",
        )
    if fitting and not able:
        require_provable(selectors, fitting[0])
    return best[0] if best else None


def preferred(trusted_issuers: Sequence[TrustedIssuer]) -> Sequence[TrustedIssuer]:
    """Return the enabled trusted issuers. If all are disabled, return all."""
    return [each for each in trusted_issuers if each.enabled] or trusted_issuers


def require_suitable(
    platform: Platform, selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, trust_domain: str
) -> None:
    """Raise `Invalid` if the trusted issuer does not fit the platform, or cannot prove all selectors."""
    if problem := _misfit(platform, selectors, trusted_issuer, trust_domain):
        raise Invalid(
            "trusted_issuer",
            f"The trusted issuer {trusted_issuer.name!r} ({trusted_issuer.slug}) {problem}",
            what_fits(platform),
        )
    require_provable(selectors, trusted_issuer)


def require_provable(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> None:
    """Raise `Invalid` if the trusted issuer, with its current settings, cannot prove a selector.

    The error names the field of the first such selector. The message lists every such selector.
    """
    never = [index for index, each in enumerate(selectors) if provenance(trusted_issuer, each.key) is Provenance.NEVER]
    if never:
        keys = [selectors[index].key for index in never]
        raise Invalid(
            f"selectors.{never[0]}",
            f"The trusted issuer {trusted_issuer.name!r} ({trusted_issuer.slug}) is not set up to prove "
            f"{' and '.join(keys)}, so the client could not authenticate with this proof.",
            what_proves(keys, trusted_issuer),
        )


def lacking(
    platform: Platform, selectors: Sequence[Selector], registered: Sequence[TrustedIssuer], trust_domain: str
) -> str:
    """Explain why a proof has no trusted issuer, although registered issuers fit. Return "" if no issuer fits."""
    fitting = [
        trusted_issuer for trusted_issuer in registered if fits(platform, selectors, trusted_issuer, trust_domain)
    ]
    able = [trusted_issuer for trusted_issuer in fitting if proves(platform, selectors, trusted_issuer, trust_domain)]
    if able:
        best = preferred(able)[0]
        return (
            f"The trusted issuer {best.name!r} can prove these selectors. Bind the proof on the page "
            f"of the trusted issuer, or with `authsec issuers bind {best.slug}`."
        )
    try:
        for trusted_issuer in fitting:
            require_provable(selectors, trusted_issuer)
    except Invalid as problem:
        return f"{problem.message} {problem.remedy}"
    return ""


def what_proves(keys: Sequence[str], trusted_issuer: TrustedIssuer) -> str:
    """Explain how to prove these selectors. The trusted issuer cannot prove them with its current settings."""
    named = " and ".join(keys)
    if trusted_issuer.kind is TrustedIssuerKind.KUBERNETES and all(map(by_lookup, keys)):
        with_what = "" if trusted_issuer.cluster else " --from-kubeconfig --credentials FILE_NAME"
        return (
            f"A cluster's token proves {', '.join(provable(trusted_issuer))}. To prove {named}, turn on pod look-up on "
            "the page of the trusted issuer, or with "
            f"`authsec issuers edit {trusted_issuer.slug} --pod-lookup{with_what}`. Or add the trust domain "
            "of SPIRE as a trusted issuer, and name that trusted issuer. Or leave out the selector."
        )
    if trusted_issuer.kind is TrustedIssuerKind.OIDC:
        mapped = ", ".join(provable(trusted_issuer))
        return f"The trusted issuer maps claims to {mapped}. Map a claim to {named}, or leave out the selector."
    return f"Leave out {named}."


def what_fits(platform: Platform) -> str:
    """Name the kinds of issuer for this platform, and the command that adds one.

    The text has no full stop at its end.
    """
    kinds = " or ".join(f"{_article(kind)} {kind.shown}" for kind in FITTING[platform])
    return f"{platform.shown} workloads need {kinds}. To add one: `authsec issuers add`"


def _misfit(platform: Platform, selectors: Sequence[Selector], trusted_issuer: TrustedIssuer, trust_domain: str) -> str:
    """Return why the trusted issuer cannot identify workloads with these selectors. Return "" if it can.

    The text continues a sentence that begins with the trusted issuer's name.
    """
    if trusted_issuer.kind not in FITTING.get(platform, ()):
        return (
            f"is {_article(trusted_issuer.kind)} {trusted_issuer.kind.shown}, which cannot prove {platform.shown} "
            "workloads."
        )
    if platform is Platform.SPIFFE:
        return _of_another_domain(selectors, trusted_issuer)
    if platform is Platform.OIDC:
        return _of_another_issuer(selectors, trusted_issuer)
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE and trusted_issuer.issuer != trust_domain:
        return (
            f"is the trust domain {trusted_issuer.issuer}, but this client's SPIFFE ID is in the trust domain "
            f"{trust_domain or '(none)'} (AUTHSEC_SERVER_TRUST_DOMAIN). Use the platform spiffe, with the "
            f"workload's SPIFFE ID in {trusted_issuer.issuer}."
        )
    return ""


def _of_another_domain(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> str:
    for selector in selectors:
        if selector.value.removeprefix("spiffe://").partition("/")[0] != trusted_issuer.issuer:
            return (
                f"is the trust domain {trusted_issuer.issuer}, and {quoted(selector.value)} is an ID of another "
                "trust domain."
            )
    return ""


def _of_another_issuer(selectors: Sequence[Selector], trusted_issuer: TrustedIssuer) -> str:
    """Return the problem if a selector's prefix, such as `github:`, occurs in no selector that the issuer maps.

    Return "" if each selector's prefix occurs.
    """
    spoken = {_vocabulary(key) for key in trusted_issuer.claims}
    for selector in selectors:
        if _vocabulary(selector.key) not in spoken:
            return f"maps no claim to a selector that begins with {_vocabulary(selector.key)}:, such as {selector.key}."
    return ""


def _vocabulary(key: str) -> str:
    return key.partition(":")[0]


def _article(kind: TrustedIssuerKind) -> str:
    return "an" if kind is TrustedIssuerKind.OIDC else "a"


def with_trusted_issuer(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> Proof:
    """Return the proof with its trusted issuer.

    `named` is the id or slug of the issuer. Without `named`, the only enabled issuer that can prove the
    selectors is used. If all such issuers are disabled, the only one is used, because an administrator may enable
    the issuer again. If no issuer fits, the proof gets no issuer, and the client cannot authenticate by the proof yet.
    `trust_domain` is the trust domain in the clients' SPIFFE IDs. Raises `Invalid`.
    """
    if proof.kind is not ProofKind.SELECTORS:
        if named is not None:
            raise Invalid(
                "trusted_issuer",
                f"{platform_of(proof).shown} needs no trusted issuer.",
                "Leave out the trusted issuer.",
            )
        return proof
    trusted_issuer = _trusted_issuer(tx, proof, named, trust_domain)
    return (
        proof
        if trusted_issuer is None
        else replace(proof, trusted_issuer_id=trusted_issuer.id, trusted_issuer_enabled=trusted_issuer.enabled)
    )


def lacks(tx: Tx, proof: Proof, trust_domain: str) -> str:
    """Explain why this proof has no trusted issuer, although registered issuers fit. Return "" if no issuer fits."""
    return lacking(platform_of(proof), proof.selectors, _fitting(tx, platform_of(proof)), trust_domain)


def _fitting(tx: Tx, platform: Platform) -> list[TrustedIssuer]:
    return issuers.of_kinds(tx, FITTING[platform])


def _trusted_issuer(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> TrustedIssuer | None:
    platform = platform_of(proof)
    if named is None:
        return chosen(platform, proof.selectors, _fitting(tx, platform), trust_domain)
    trusted_issuer = issuers.find(tx, named)
    if trusted_issuer is None:
        raise Invalid(
            "trusted_issuer",
            f"There is no trusted issuer {naming.quoted(named)}.",
            "See the list: authsec issuers list",
        )
    require_suitable(platform, proof.selectors, trusted_issuer, trust_domain)
    return trusted_issuer
