"""What type checkers make of decorated tools. Read by mypy (see `files` in the root's pyproject.toml), never run."""

from __future__ import annotations

from typing import assert_type

from authsec import AuthSecClient

authsec = AuthSecClient()


@authsec.delegated
def plain(customer_id: str, *, delegation_token: str) -> int:
    return len(customer_id + delegation_token)


@authsec.delegated(scope="customers:read")
async def scoped(customer_id: str, *, delegation_token: str) -> int:
    return len(customer_id + delegation_token)


@authsec.delegated(on_denied="tell_model")
def telling(customer_id: str, *, delegation_token: str) -> int:
    return len(customer_id + delegation_token)


@authsec.delegated(on_denied="tell_model")
async def telling_async(customer_id: str, *, delegation_token: str) -> int:
    return len(customer_id + delegation_token)


@authsec.delegated(on_denied=lambda text: {"error": text})
def shaping(customer_id: str, *, delegation_token: str) -> int:
    return len(customer_id + delegation_token)


class Crm:
    @authsec.delegated
    def method(self, customer_id: str, *, delegation_token: str) -> int:
        return len(customer_id + delegation_token)

    @classmethod
    @authsec.delegated(on_denied="tell_model")
    def of_class(cls, customer_id: str, *, delegation_token: str) -> int:
        return len(customer_id + delegation_token)


async def results() -> None:
    assert_type(plain("42"), int)
    assert_type(await scoped("42"), int)
    assert_type(telling("42"), int | str)
    assert_type(await telling_async("42"), int | str)
    assert_type(shaping("42"), int | dict[str, str])
    assert_type(Crm().method("42"), int)
    assert_type(Crm.of_class("42"), int | str)
