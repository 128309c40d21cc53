"""A token that a platform keeps in a file.

The program or the environment names the file. The file is read for each proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from authsec.credentials.files import file_named_by, is_a_secret, missing_file, pasted_secret, read_regular
from authsec.credentials.source import Proof, ProofRequest, WrongProofAudience, broken_proof
from authsec.credentials.workload_token import MOST_BYTES, WorkloadToken
from authsec.errors import ConfigError
from authsec.safe_text import plain

_IF_REFUSED = (
    "Check that the issuer of this token is a trusted issuer, and that the token matches a proof "
    "on the agent's page. If the agent is unattested, it needs no proof. In that case, remove the token."
)


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file with one line: a JWT that a platform made for this workload. The platform renews the JWT in this file.

    The file may be a link, as in every Kubernetes volume. The file's permissions are not checked: the kubelet
    uses mode 0644, and a container has one user.
    """

    path: str | Path
    found_by: str = "AuthSecClient(credential=…)"

    def proof(self, request: ProofRequest) -> Proof | None:
        if is_a_secret(self.path):
            raise pasted_secret(self.found_by)
        token = read_token(Path(self.path), self.found_by)
        if isinstance(token, str):
            raise broken_proof(token)
        audience, source = request.audience(), f"token file {self.path} ({self.found_by})"
        if not token.is_for(audience):
            text = _for_somebody_else(self.path, token, audience)
            raise WrongProofAudience(text, made_for=token.audiences(), source=source)
        return Proof(
            authorization=f"Bearer {token.value}",
            source=source,
            if_refused=f"{_expired(token, request.now)}{_IF_REFUSED}",
        )

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same file for every agent
        return f"the token file {self.path}"


@dataclass(frozen=True, slots=True)
class TokenFileFromEnvironment:
    """The token file that `AUTHSEC_WORKLOAD_TOKEN_FILE` names."""

    def proof(self, request: ProofRequest) -> Proof | None:
        path = file_named_by("AUTHSEC_WORKLOAD_TOKEN_FILE")
        if isinstance(path, ConfigError):
            raise path
        return TokenFile(path, found_by="AUTHSEC_WORKLOAD_TOKEN_FILE").proof(request) if path else None

    def looked_at(self, request: ProofRequest) -> str:  # noqa: ARG002 - the same variable for every agent
        return "AUTHSEC_WORKLOAD_TOKEN_FILE (not set)"


def read_token(path: Path, found_by: str) -> WorkloadToken | str:
    """Return the token in the file, or a message with the problem. The message quotes nothing from the file."""
    try:
        # A complete read has at most MOST_BYTES and a line end. One byte more shows that the file is too long.
        read = read_regular(path, at_most=MOST_BYTES + 2)
    except FileNotFoundError:
        return f"{missing_file(path, found_by)}, and is the volume mounted?"
    except OSError as error:
        return f"The token file {path} cannot be read: {error.strerror}."
    if read is None:
        return f"{path} is not a file: name the file with the token."
    if not read.content.strip():
        return f"The token file {path} is empty. The program that writes the token has not done so yet, or has failed."
    token = WorkloadToken.of(read.content.decode("ascii", "replace"))
    if token is None:
        return (
            f"The token file {path} does not contain a token: one line is expected, a JWT (three parts joined by "
            f"dots) of at most {MOST_BYTES} bytes."
        )
    return token


def volume_snippet(audience: str) -> str:
    """Return the lines of a pod manifest that mount a token for `audience`. This package reads the mounted file."""
    return f"""\
    spec:
      containers:
        - volumeMounts:
            - {{name: authsec, mountPath: /var/run/secrets/authsec, readOnly: true}}
      volumes:
        - name: authsec
          projected:
            sources:
              - serviceAccountToken: {{audience: "{plain(audience, 200)}", expirationSeconds: 3600, path: token}}"""


def _for_somebody_else(path: str | Path, token: WorkloadToken, audience: str) -> str:
    text = (
        f"The token in {path} has the audience {token.audiences_in_words()}, so this authority would refuse the "
        f"token. The token must have the audience {plain(audience, 200)}. If the trusted issuer needs another "
        "audience, set AUTHSEC_PROOF_AUDIENCE. If AUTHSEC_BASE_URL is the wrong authority, correct "
        "AUTHSEC_BASE_URL instead."
    )
    if "kubernetes.io" not in token.claims:
        return text
    return f"{text} In the pod's manifest:\n{volume_snippet(audience)}"


def _expired(token: WorkloadToken, now: int) -> str:
    """Return a sentence if the token has expired by this machine's clock, or an empty string.

    This clock may be wrong. So the sentence is shown only after the authority has refused the token. A sentence
    about a wrong clock is shown with it.
    """
    over = token.seconds_over(now)
    if not over:
        return ""
    return f"By this machine's clock the token expired {over // 60} min ago: check why the file is no longer renewed. "
