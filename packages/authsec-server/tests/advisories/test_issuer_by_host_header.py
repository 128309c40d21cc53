"""A caller sends another Host header, or forwarded ones, so that the metadata names a place of theirs: a cache would
hand it to every verifier, which would then fetch the intruder's keys. The issuer is a setting.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

PATHS = [
    f"{prefix}/.well-known/{name}"
    for prefix in ("", "/authsec")
    for name in ("oauth-authorization-server", "openid-configuration", "jwks.json")
]
FOREIGN = [
    {"Host": "intruder.example"},
    {"Host": "127.0.0.1.intruder.example"},
    {"Host": "intruder.example:7468"},
]
FORWARDED = [
    {"X-Forwarded-Host": "intruder.example", "X-Forwarded-Proto": "https"},
    {"Forwarded": "host=intruder.example;proto=https"},
    {"Host": "localhost:9"},
]


@pytest.fixture
def its(house: Callable[..., Any]) -> Any:
    return house()


def test_a_foreign_host_gets_no_metadata(its: Any) -> None:
    for path in PATHS:
        for headers in FOREIGN:
            answer = its.door().get(path, headers=headers)
            assert answer.status_code == 421, (path, headers)
            assert "intruder" not in answer.text


def test_the_metadata_is_the_same_for_whoever_asks(its: Any) -> None:
    for path in PATHS:
        plain = its.door().get(path).content
        for headers in FORWARDED:
            assert its.door().get(path, headers=headers).content == plain, (path, headers)
