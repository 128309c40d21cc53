"""The token that Kubernetes mounts into every pod is sent to the authority.

It is made for the cluster's own API server: whoever receives it, logs it or is broken into can act in the cluster as
the pod. So it is never sent, whichever way it is come by; the person is shown the volume with a token of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, ConfigError
from authsec.credentials import ProjectedToken
from fake_authority import refused
from workload_tokens import CLUSTER, ProjectedVolume, service_account_token


@pytest.fixture
def automounted(tmp_path: Path) -> ProjectedVolume:
    made = ProjectedVolume(tmp_path / "kubernetes.io" / "serviceaccount")
    made.write(service_account_token(CLUSTER))
    return made


def test_it_is_seen_and_not_sent(
    automounted: ProjectedVolume, tmp_path: Path, make_client: Any, authority: Any
) -> None:
    source = ProjectedToken(path=tmp_path / "authsec" / "token", automounted=automounted.path)
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError) as caught:
        make_client(credential=source).get_token()
    assert all("Authorization" not in seen.headers for seen in authority.seen)
    text = str(caught.value)
    assert f"the pod's default token at {automounted.path} was found but not sent" in text
    assert f'- serviceAccountToken: {{audience: "{authority.issuer}", expirationSeconds: 3600, path: token}}' in text
    assert "mountPath: /var/run/secrets/authsec" in text


def test_the_volume_is_shown_even_if_the_issuer_cannot_be_learned(
    automounted: ProjectedVolume, tmp_path: Path, make_client: Any, authority: Any
) -> None:
    source = ProjectedToken(path=tmp_path / "authsec" / "token", automounted=automounted.path)
    authority.documents["/authsec/.well-known/oauth-authorization-server"] = refused(500, "unavailable")
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError, match='audience: "<the authority\'s issuer>"'):
        make_client(credential=source).get_token()


def test_nor_is_it_when_somebody_names_it(
    automounted: ProjectedVolume, client: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_WORKLOAD_TOKEN_FILE", str(automounted.path))
    with pytest.raises(ConfigError, match=f"has the audience {CLUSTER}") as caught:
        client.get_token()
    assert authority.token_requests == []
    assert "serviceAccountToken" in str(caught.value)
