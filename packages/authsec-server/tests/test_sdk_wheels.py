"""/authsec/sdk/: the wheels that agents install from the authority. Here they are small files."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from authsec_server.sdk_wheels import load_wheels
from fake_wheels import FILES, fake_wheels
from starlette.testclient import TestClient

House = Any
SDK = "/authsec/sdk/"
FIRST = next(iter(FILES))


@pytest.fixture
def stranger(house: Callable[..., House], tmp_path: Path) -> TestClient:
    """A client without credentials, at an authority with wheels."""
    opened = house(wheels=load_wheels(fake_wheels(tmp_path)), public_url="https://authsec.example.com")
    door: TestClient = opened.door()
    door.headers["Host"] = "authsec.example.com"
    return door


def test_the_list_names_each_wheel_with_version_hash_and_url(stranger: TestClient) -> None:
    answer = stranger.get(SDK)
    assert answer.status_code == 200
    assert answer.json()["wheels"][1] == {
        "name": "authsec-autogen",
        "version": "1.2.0+authsec",
        "file": "authsec_autogen-1.2.0+authsec-py3-none-any.whl",
        "sha256": sha256(b"for AutoGen").hexdigest(),
        "url": "https://authsec.example.com/authsec/sdk/authsec_autogen-1.2.0%2Bauthsec-py3-none-any.whl",
    }
    assert [each["name"] for each in answer.json()["wheels"]] == ["authsec", "authsec-autogen", "authsec-langchain-sdk"]
    assert stranger.get("/authsec/sdk").json() == answer.json()


def test_each_url_of_the_list_has_the_bytes_of_its_hash(stranger: TestClient) -> None:
    for each in stranger.get(SDK).json()["wheels"]:
        for path in (each["url"].removeprefix("https://authsec.example.com"), SDK + each["file"]):
            answer = stranger.get(path)
            assert sha256(answer.content).hexdigest() == each["sha256"]
            assert answer.headers["content-type"] == "application/zip"
            assert answer.headers["content-length"] == str(len(FILES[each["file"]]))


def test_a_wheel_is_cached_and_compared_by_its_hash(stranger: TestClient) -> None:
    first = stranger.get(SDK + FIRST)
    assert first.headers["cache-control"] == stranger.get(SDK).headers["cache-control"] == "public, max-age=300"
    assert first.headers["etag"] == f'"{sha256(FILES[FIRST]).hexdigest()}"'
    again = stranger.get(SDK + FIRST, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert stranger.get(SDK + FIRST, headers={"If-None-Match": '"another"'}).status_code == 200


def test_head_says_the_length_and_sends_nothing(stranger: TestClient) -> None:
    answer = stranger.head(SDK + FIRST)
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(len(FILES[FIRST])), b"")


def test_the_name_of_an_older_wheel_leads_to_the_list(stranger: TestClient) -> None:
    answer = stranger.get(SDK + "authsec-1.1.0+authsec-py3-none-any.whl")
    assert (answer.status_code, answer.json()["reason"]) == (404, "not_found")
    assert "GET /authsec/sdk/ lists the wheels" in answer.json()["details"]


def test_a_server_of_a_checkout_says_how_to_build_the_wheels(house: Callable[..., House]) -> None:
    door = house().door()
    for path in (SDK, "/authsec/sdk", SDK + FIRST):
        answer = door.get(path)
        assert (answer.status_code, answer.json()["reason"]) == (404, "wheels_not_built_in")
        assert "uv build --all-packages" in answer.json()["details"]


def test_wheels_of_some_packages_only_are_no_wheels(tmp_path: Path) -> None:
    """A line that names two of them would take the third from the public index, where it is somebody else's."""
    files = dict(FILES)
    del files[FIRST]
    assert load_wheels(fake_wheels(tmp_path, files)) == []
