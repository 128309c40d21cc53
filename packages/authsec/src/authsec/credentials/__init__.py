"""The agent's proof of identity: an ordered list of sources. The first source that has a proof is used.

`AuthSecClient(credential=…)` names one source, and no other is used. The default order (`default_sources`)
is:

1. files that the environment names for AuthSec: a token (`AUTHSEC_WORKLOAD_TOKEN_FILE`), then a private key
   (`AUTHSEC_AGENT_KEY_FILE`);
2. in a Kubernetes pod, the projected service-account token of the volume on the agent's Connect tab;
3. with a SPIFFE Workload API (`SPIFFE_ENDPOINT_SOCKET`), a JWT-SVID for the authority;
4. in a job of GitHub Actions with `permissions: id-token: write`, the job's OpenID Connect token for the
   authority;
5. the key file in the config folder that has the agent's id as its name;
6. as the last resort, a client secret in the file that the environment names (`AUTHSEC_AGENT_SECRET_FILE`).

Settings for AuthSec have priority over a proof that a platform offers to every workload. A client secret is
the weakest proof, so the SDK sends it only if there is no other proof.

A source returns a `Proof`, or None if it has no proof for this agent. A source raises `ConfigError`, with the
remedy, if it has a proof that cannot be used. So a configured proof is never skipped silently. A source
raises `TransportError` if the platform cannot answer at the moment.

If no source has a proof, the SDK sends the request without one. The authority accepts such a request only for
an agent that an administrator made *unattested*.

No environment variable contains a workload token, for three reasons. Child processes inherit the environment.
`docker inspect` and crash reports show it. A program's environment does not change while the program runs,
but a workload token expires after an hour.

| module | owns |
|---|---|
| `source` | the interface of a source; the search for the first source with a proof |
| `token_file`, `kubernetes`, `spiffe`, `github` | a platform's token: its location, and the meaning of a refusal |
| `workload_token` | the format of a platform's token, and early checks of its claims |
| `svid_process` | the process that sends the request to the SPIFFE Workload API |
| `key_file` | the agent's own key: its location, the life of an assertion, enrolled keys |
| `secret_file` | the client secret |
| `files` | safe reads of a file: size, permissions, a secret that was pasted in place of a path |
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
    """Return the sources for an agent without an explicit credential, in the order of use."""
    return (
        TokenFileFromEnvironment(),
        KeyFileFromEnvironment(),
        ProjectedToken(),
        SpiffeWorkloadApi(),
        GitHubActions(),
        KeyFileInConfigFolder(),
        SecretFileFromEnvironment(),
    )
