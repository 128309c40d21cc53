"""`AuthSecClient.delegated` below LangChain's `@tool`."""

from __future__ import annotations

from authsec_langchain import AuthsecClient
from langchain_core.tools import tool


def test_a_docstring_that_tells_of_the_token_is_read_by_nobody(client: AuthsecClient) -> None:
    """LangChain compares it with the signature, which has no such parameter."""

    @tool(parse_docstring=True)
    @client.delegated(scope="customers:read")
    def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record.

        Args:
            customer_id: Whose.
            delegation_token: Says who asks.
        """
        return f"{customer_id} {len(delegation_token) > 100}"

    assert fetch_customer.description == "Fetch a customer's record."
    assert {name: shown["description"] for name, shown in fetch_customer.args.items()} == {"customer_id": "Whose."}
    assert fetch_customer.invoke({"customer_id": "42"}) == "42 True"
