"""The names of the published package, for programs that were written with it."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import authsec_langchain
import pytest
from authsec import AuthSecClient
from authsec.testing import ThrowawayAuthority
from authsec_langchain import AuthsecClient, AuthsecConfig, AuthsecError, DelegationError


def test_a_program_for_the_published_package_gets_its_token(authsec_authority: ThrowawayAuthority) -> None:
    config = AuthsecConfig(base_url=authsec_authority.base_url, client_id=authsec_authority.client_id, timeout=5.0)
    with AuthsecClient(config) as client:
        token = client.get_delegation_token()
        assert client.get_delegation_token() == token
        assert client.get_delegation_token(force_refresh=True) != token
    assert len(authsec_authority.asked) == 2


def test_its_errors_have_their_names_too(client: AuthsecClient, authsec_authority: ThrowawayAuthority) -> None:
    authsec_authority.deny("client_disabled")
    with pytest.raises(DelegationError, match="disabled") as caught:
        client.get_delegation_token()
    assert isinstance(caught.value, AuthsecError)


def pickled(client: AuthsecClient) -> object:
    return pickle.loads(pickle.dumps(client))  # noqa: S301 - our own


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled])
def test_a_copy_is_of_the_same_kind_and_has_no_token(copied: Callable[[Any], Any], client: AuthsecClient) -> None:
    token = client.get_delegation_token()
    assert token.encode() not in pickle.dumps(client)
    twin = copied(client)
    assert type(twin) is AuthsecClient
    assert isinstance(twin, AuthSecClient)
    assert twin.get_delegation_token() != token


def test_everything_that_is_promised_is_there() -> None:
    assert {"AuthsecClient", "AuthsecConfig", "AuthsecCallbackHandler", "AuthsecMiddleware"} < set(
        authsec_langchain.__all__
    )
    assert all(hasattr(authsec_langchain, name) for name in authsec_langchain.__all__)
