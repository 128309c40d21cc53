"""Build the objects that the packages of the server need, once for each process.

The objects are built in groups. Each group uses only earlier groups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from authsec_server.accounts.authentication import AdminKeys, LocalOperator
from authsec_server.accounts.second_step import Sealing
from authsec_server.apis import service as apis
from authsec_server.apis.authentication import ApiCredentials
from authsec_server.app.people import People, people_of, sealing_of
from authsec_server.app.readiness_probe import ReadinessProbe, not_compared, older, sealing_time, undelivered
from authsec_server.app.runtime import Runtime
from authsec_server.attestation.client_search import ClientSearch
from authsec_server.attestation.cluster import Clusters
from authsec_server.attestation.explain.service import TokenExplainer
from authsec_server.attestation.workloads import Workloads
from authsec_server.audit import service as audit
from authsec_server.audit.live import LiveAuditLog
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.outside import Comparison
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.sinks import CheckpointDelivery, checkpoint_delivery
from authsec_server.clients.enrolment_api import Enrolling
from authsec_server.db import Database
from authsec_server.delegations import live_tokens
from authsec_server.delegations.dry_run_impact import ImpactProvider
from authsec_server.delegations.model import Terms
from authsec_server.issuers.cluster_client import ClusterApis
from authsec_server.issuers.key_sets import KeySets
from authsec_server.keys import service as keys
from authsec_server.keys.feed_keys import FeedKeys
from authsec_server.keys.key_ring import SigningKeyRing
from authsec_server.keys.master_key import load_master_key
from authsec_server.keys.sealing_key_file import load_sealing_key
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.keys.signer import Signer
from authsec_server.outbound import Outbound, outbound_of
from authsec_server.revocations.feed import Feed
from authsec_server.revocations.live import LiveFeed
from authsec_server.revocations.subscribers import SubscriberTracker
from authsec_server.settings import Settings
from authsec_server.tokens.decision import LifetimeLimits
from authsec_server.tokens.introspection import Introspection
from authsec_server.tokens.issue import DelegationTokens
from authsec_server.tokens.limits import TokenLimits
from authsec_server.tokens.own_tokens import OwnTokens
from authsec_server.tokens.revocation import SelfRevocation
from authsec_server.web.health import Liveness, Readiness
from authsec_server.web.request_log import RequestLog
from authsec_server.web.throttle import Share
from authsec_server.web.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityKeys:
    """The authority's own keys. `issuer_key` proves the issuer that the database stores for commands.

    `sealing` encrypts the secrets of second factors.
    """

    signer: Signer
    key_ring: SigningKeyRing
    feed_keys: FeedKeys
    sealing_keyring: SealingKeys
    sealing: Sealing
    nonce_key: bytes = field(repr=False)
    slug_key: bytes = field(repr=False)
    issuer_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The objects that verify workload proofs: key sets of trusted issuers, cluster APIs and outbound requests."""

    outbound: Outbound
    key_sets: KeySets
    cluster_apis: ClusterApis
    workloads: Workloads
    client_search: ClientSearch
    token_explainer: TokenExplainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """The live streams: events of the audit log, and revocations of the feed."""

    audit_log: LiveAuditLog
    feed: Feed
    live_feed: LiveFeed
    subscriber_tracker: SubscriberTracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """All services of the authority.

    `site` is the unit of work for the admin API, where an admin key identifies the principal.
    """

    settings: Settings
    share: Share
    runtime: Runtime
    database: Database
    terms: Terms
    readiness: Readiness
    liveness: Liveness
    probe: ReadinessProbe
    authority_keys: AuthorityKeys
    trust: Trust
    people: People
    streams: Streams
    sealer: Sealer
    dropper: Dropper
    checkpoint_delivery: CheckpointDelivery
    comparison: Comparison
    site: UnitOfWork
    api_credentials: ApiCredentials
    tokens: DelegationTokens
    own_tokens: OwnTokens
    self_revocation: SelfRevocation
    introspection: Introspection
    enrolling: Enrolling
    request_log: RequestLog


def services_of(
    settings: Settings, database: Database, comparison: Comparison, local_operator: bool, runtime: Runtime
) -> Services:
    """Build the services for this database. With `local_operator`, every caller is the operator on this machine."""
    issuer, now, monotonic, token_bytes = settings.issuer, runtime.now, runtime.monotonic, runtime.token_bytes
    share = Share(settings.workers)
    admin_keys = AdminKeys(database, now=now, monotonic=monotonic, share=share)
    authority_keys = authority_keys_of(settings, database, runtime)
    comparison.keys, comparison.issuer = authority_keys.sealing_keyring.by_kid, issuer
    trust = _trust(settings, database, runtime)
    readiness, liveness = Readiness(monotonic), Liveness()
    terms = Terms(max_token_lifetime=settings.max_token_lifetime, default_audience=settings.default_audience)
    site = UnitOfWork(
        database=database,
        now=now,
        token_bytes=token_bytes,
        authenticate=LocalOperator() if local_operator else admin_keys,
        impact=ImpactProvider(terms=terms),
        count_refusal=audit.count_not_permitted,
        complete=authority_keys.key_ring.complete,
    )
    own_tokens = OwnTokens(issuer=issuer, keys=authority_keys.key_ring.verification_keys)
    checkpoint_delivery = checkpoints_of(settings, trust.outbound, runtime)
    if not local_operator:
        checkpoint_delivery.check()
        authority_keys.sealing_keyring.check()
    readiness.notes += [lambda: undelivered(checkpoint_delivery), lambda: not_compared(comparison)]
    readiness.checks.append(lambda: older(comparison))

    def give(checkpoint: Checkpoint) -> None:
        comparison.note(checkpoint)
        checkpoint_delivery.give(checkpoint)

    probe = ReadinessProbe(
        database,
        readiness,
        liveness,
        now=now,
        monotonic=monotonic,
        is_older=lambda: comparison.problem is not None,
    )
    sealer = Sealer(
        database,
        issuer=issuer,
        signing_key=authority_keys.sealing_keyring.signing_key,
        keys=authority_keys.sealing_keyring.by_kid,
        now=now,
        give=give,
        token_keys=keys.signing_kids,
        paused=lambda: comparison.problem is not None or database.was_promoted,
        pass_time=sealing_time,
    )
    return Services(
        request_log=RequestLog(settings.log_granted),
        settings=settings,
        share=share,
        runtime=runtime,
        database=database,
        terms=terms,
        readiness=readiness,
        liveness=liveness,
        probe=probe,
        authority_keys=authority_keys,
        trust=trust,
        people=people_of(settings, site, trust.outbound, authority_keys.sealing, local_operator, runtime),
        streams=_streams(settings, database, authority_keys.feed_keys, readiness, comparison, runtime),
        sealer=sealer,
        checkpoint_delivery=checkpoint_delivery,
        comparison=comparison,
        dropper=Dropper(
            database=database,
            sealer=sealer,
            issuer=issuer,
            keys=authority_keys.sealing_keyring.by_kid,
        ),
        site=site,
        api_credentials=ApiCredentials(database, now=now, monotonic=monotonic, share=share),
        tokens=_tokens(settings, database, authority_keys.signer, trust.workloads, runtime),
        own_tokens=own_tokens,
        self_revocation=SelfRevocation(
            database,
            tokens=own_tokens,
            address_limit=settings.address_limit,
            now=now,
            monotonic=monotonic,
            share=share,
        ),
        introspection=Introspection(database=database, own_tokens=own_tokens, now=now),
        enrolling=Enrolling(
            database, issuer=issuer, now=now, monotonic=monotonic, token_bytes=token_bytes, share=share
        ),
    )


def checkpoints_of(settings: Settings, outbound: Outbound, runtime: Runtime) -> CheckpointDelivery:
    """Return the sender of audit log checkpoints to the file or address that the settings name."""
    return checkpoint_delivery(
        settings.audit_checkpoints, settings.audit_checkpoints_token_file, outbound, now=runtime.now
    )


def authority_keys_of(settings: Settings, database: Database, runtime: Runtime) -> AuthorityKeys:
    """Load the keys of this database. Raises `StartupRefused` if the master key does not decrypt the keys."""
    master_key = load_master_key(settings, database, runtime.token_bytes)
    signer = Signer(database, master_key)
    return AuthorityKeys(
        signer=signer,
        key_ring=SigningKeyRing(
            database=database,
            signer=signer,
            master_key=master_key,
            settings=settings,
            token_bytes=runtime.token_bytes,
            wanted=apis.signing_algorithms,
        ),
        feed_keys=FeedKeys(
            database,
            master_key,
            max_age=timedelta(seconds=settings.signing_key_max_age),
            token_bytes=runtime.token_bytes,
        ),
        sealing_keyring=SealingKeys(
            database,
            master_key,
            token_bytes=runtime.token_bytes,
            file=load_sealing_key(settings.sealing_key_file) if settings.sealing_key_file else None,
        ),
        sealing=sealing_of(master_key, runtime.token_bytes),
        nonce_key=master_key.derive("DPoP nonces"),
        slug_key=master_key.derive("unknown slugs"),
        issuer_key=master_key.issuer_key(),
    )


def _trust(settings: Settings, database: Database, runtime: Runtime) -> Trust:
    issuer, now, monotonic = settings.issuer, runtime.now, runtime.monotonic
    outbound = outbound_of(settings, monotonic)
    key_sets = KeySets(database, outbound, now=now, monotonic=monotonic)
    cluster_apis = ClusterApis(outbound, credentials_dir=settings.credentials_dir, now=now, monotonic=monotonic)
    clusters = Clusters(cluster_apis, seconds=settings.lookup_seconds, monotonic=monotonic)
    workloads = Workloads(
        key_sets.find,
        issuer=issuer,
        trust_domain=settings.trust_domain,
        held_key=key_sets.held,
        clusters=clusters,
    )
    return Trust(
        outbound=outbound,
        key_sets=key_sets,
        cluster_apis=cluster_apis,
        workloads=workloads,
        client_search=ClientSearch(
            database=database, workloads=workloads, trust_domain=settings.trust_domain, now=now, monotonic=monotonic
        ),
        token_explainer=TokenExplainer(
            database,
            key_sets.find,
            # Without a cache: each trial asks the cluster.
            clusters=Clusters(cluster_apis, seconds=0, monotonic=monotonic),
            issuer=issuer,
            trust_domain=settings.trust_domain,
            monotonic=monotonic,
            share=Share(settings.workers),
        ),
    )


def _streams(
    settings: Settings,
    database: Database,
    feed_keys: FeedKeys,
    readiness: Readiness,
    comparison: Comparison,
    runtime: Runtime,
) -> Streams:
    def ending() -> bool:
        return readiness.draining

    feed = Feed(
        database=database,
        issuer=settings.issuer,
        signing_key=feed_keys.signing_key,
        now=runtime.now,
        monotonic=runtime.monotonic,
        withheld=lambda: comparison.problem,
    )
    known = partial(live_tokens.audiences, default_audience=settings.default_audience)
    return Streams(
        audit_log=LiveAuditLog(database, now=runtime.now, ending=ending),
        feed=feed,
        live_feed=LiveFeed(feed, ending=ending),
        subscriber_tracker=SubscriberTracker(database, known=known, now=runtime.now),
    )


def _tokens(
    settings: Settings, database: Database, signer: Signer, workloads: Workloads, runtime: Runtime
) -> DelegationTokens:
    share = Share(settings.workers)
    return DelegationTokens(
        database=database,
        signer=signer,
        workloads=workloads,
        limits=LifetimeLimits(
            default_audience=settings.default_audience, max_token_lifetime=settings.max_token_lifetime
        ),
        rates=TokenLimits(
            address=share.of(settings.address_limit),
            unproved=share.of(settings.unproved_limit),
            client=share.of(settings.client_limit),
            clock=runtime.monotonic,
        ),
        issuer=settings.issuer,
        trust_domain=settings.trust_domain,
        now=runtime.now,
        monotonic=runtime.monotonic,
        token_bytes=runtime.token_bytes,
    )
