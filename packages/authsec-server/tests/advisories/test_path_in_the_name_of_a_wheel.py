"""Attack: a request for a wheel names another file of the server.

Wheels are served without credentials. So only the names of those that were read at the start are answered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from authsec_server.sdk_wheels import load_wheels
from fake_wheels import FILES, fake_wheels

House = Any
FIRST = next(iter(FILES))


NAMES = (
    "secret.txt",
    "../secret.txt",
    "..%2fsecret.txt",
    "%2e%2e%2fauthsec.sqlite3",
    "..%5csecret.txt",
    f"x%2f..%2f{FIRST}",
    f"{FIRST}%00.txt",
    f"{FIRST}/",
    FIRST.upper(),
    "later-1.0-py3-none-any.whl",
    "{file}",
)


def test_only_the_names_of_the_wheels_are_answered(house: Callable[..., House], tmp_path: Path) -> None:
    folder = fake_wheels(tmp_path)
    for file in (folder / "secret.txt", folder.parent / "secret.txt"):
        file.write_text("secret")
    door = house(wheels=load_wheels(folder)).door()
    (folder / "later-1.0-py3-none-any.whl").write_text("secret")
    answers = [door.get(f"/authsec/sdk/{name}") for name in NAMES]
    assert {(answer.status_code, answer.json()["reason"]) for answer in answers} == {(404, "not_found")}


def test_a_wheel_that_is_replaced_later_is_not_served(house: Callable[..., House], tmp_path: Path) -> None:
    folder = fake_wheels(tmp_path)
    door = house(wheels=load_wheels(folder)).door()
    (folder / FIRST).write_bytes(b"planted")
    assert door.get(f"/authsec/sdk/{FIRST}").content == FILES[FIRST]


def test_the_urls_of_the_list_do_not_come_from_the_host_header(house: Callable[..., House], tmp_path: Path) -> None:
    opened = house(wheels=load_wheels(fake_wheels(tmp_path)), allowed_hosts="evil.example")
    listed = opened.door().get("/authsec/sdk/", headers={"Host": "evil.example"}).json()["wheels"]
    assert {each["url"].partition("/authsec/")[0] for each in listed} == {"http://127.0.0.1:7468"}
