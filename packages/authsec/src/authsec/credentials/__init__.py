"""How an agent proves itself: sources of proof, asked in order until one says "mine".

`AuthSecClient(credential=…)` names one source, and no other is asked. Without it (`default_sources`):

1. what the environment names for AuthSec: a file with a token (`AUTHSEC_WORKLOAD_TOKEN_FILE`), then a private key
   (`AUTHSEC_AGENT_KEY_FILE`);
2. in a Kubernetes pod, the projected service-account token of the volume on the agent's Connect page;
3. where a SPIFFE Workload API is (`SPIFFE_ENDPOINT_SOCKET`), a JWT-SVID for the authority;
4. in a job of GitHub Actions with `permissions: id-token: write`, the job's OpenID Connect token for the authority;
5. the key file in the config folder that bears the agent's id;
6. as the last resort, a client secret in the file that the environment names (`AUTHSEC_AGENT_SECRET_FILE`).

What somebody set up for AuthSec comes before what a platform offers everyone on it; but a secret, the weakest proof,
is only sent where there is no other. A source answers None for "not mine" (nothing here for this agent), a `Proof`, or
raises `ConfigError` for "mine, but broken", with the way to mend it: what was meant as the agent's proof is never
skipped in silence. One that cannot be asked at the moment raises `TransportError`. An agent for which no source has
anything sends none, which only suffices for one that an administrator made *unattested*.

No variable holds a token itself. Environments are inherited by every child process, shown by `docker inspect` and in
crash reports, and never change while a program runs; workload tokens live for an hour.
"""

from __future__ import annotations

from authsec.credentials.github import GitHubActions
from authsec.credentials.key_file import KeyFile, KeyFileFromEnvironment, KeyFileInConfigFolder
from authsec.credentials.kubernetes import ProjectedToken
from authsec.credentials.secret_file import SecretFile, SecretFileFromEnvironment
from authsec.credentials.source import CredentialSource, Proof, ProofRequest, find_proof
from authsec.credentials.spiffe import SpiffeWorkloadApi
from authsec.credentials.token_file import TokenFile, TokenFileFromEnvironment

__all__ = [
    "CredentialSource",
    "GitHubActions",
    "KeyFile",
    "KeyFileFromEnvironment",
    "KeyFileInConfigFolder",
    "ProjectedToken",
    "Proof",
    "ProofRequest",
    "SecretFile",
    "SpiffeWorkloadApi",
    "TokenFile",
    "TokenFileFromEnvironment",
    "default_sources",
    "find_proof",
]


def default_sources() -> tuple[CredentialSource, ...]:
    """Where an agent without an explicit credential looks, in this order."""
    return (
        TokenFileFromEnvironment(),
        KeyFileFromEnvironment(),
        ProjectedToken(),
        SpiffeWorkloadApi(),
        GitHubActions(),
        KeyFileInConfigFolder(),
        SecretFileFromEnvironment(),
    )
