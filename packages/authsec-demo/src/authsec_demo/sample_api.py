"""A sample API that accepts delegation tokens, written as the owner of an API would write it.

The middleware verifies every request, and each endpoint names the action that the request needs:

    GET    /customers/{id}   needs customers:read
    DELETE /customers/{id}   needs customers:delete

The API does not call the authority for each request. The signature and the claims of the token are
sufficient, and the verifier reads the revocation feed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from authsec import TokenVerifier
from authsec.asgi import BearerAuth, identity_of
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Customers:
    """The customers, stored in the API's own SQLite file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS customers (id TEXT PRIMARY KEY, name TEXT, email TEXT)")

    def add(self, customer_id: str, name: str, email: str) -> None:
        """Insert a customer. Raises `sqlite3.IntegrityError` if the id is taken."""
        with self._open() as database:
            database.execute("INSERT INTO customers VALUES (?, ?, ?)", (customer_id, name, email))

    def find(self, customer_id: str) -> dict[str, str] | None:
        """Return the customer, or None if there is none with this id."""
        with self._open() as database:
            row = database.execute("SELECT * FROM customers WHERE id = ?", (customer_id,)).fetchone()
            return dict(row) if row else None

    def delete(self, customer_id: str) -> bool:
        """Delete the customer. Return whether the customer existed."""
        with self._open() as database:
            return database.execute("DELETE FROM customers WHERE id = ?", (customer_id,)).rowcount > 0

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path)) as database, database:
            database.row_factory = sqlite3.Row
            yield database


def sample_customers(folder: Path) -> Customers:
    """Create a customer database in `folder`, with customers 41 and 42."""
    customers = Customers(folder / "customers.sqlite3")
    customers.add("41", "Grace Hopper", "grace@example.com")
    customers.add("42", "Ada Lovelace", "ada@example.com")
    return customers


def create_app(customers: Customers, verifier: TokenVerifier) -> Starlette:
    """Return the API for `customers`. The API accepts requests with tokens that `verifier` accepts."""

    def show(request: Request) -> Response:
        identity_of(request).require("customers:read")
        customer = customers.find(request.path_params["id"])
        return JSONResponse(customer) if customer else _not_found()

    def delete(request: Request) -> Response:
        identity_of(request).require("customers:delete")
        return Response(status_code=204) if customers.delete(request.path_params["id"]) else _not_found()

    return Starlette(
        routes=[
            Route("/customers/{id}", show, methods=["GET"]),
            Route("/customers/{id}", delete, methods=["DELETE"]),
        ],
        middleware=[Middleware(BearerAuth, verifier=verifier)],
    )


def _not_found() -> Response:
    return JSONResponse({"error": "There is no customer with this id.", "reason": "customer_not_found"}, 404)
