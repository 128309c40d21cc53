"""Build the OpenAPI 3.1 document of the admin API from its operations.

The document has no secrets, so anybody may read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal, NotRequired

import anyio
from pydantic import BaseModel, TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.web import etags
from authsec_server.web.dry_run import NAME as DRY_RUN
from authsec_server.web.dry_run import DryRun
from authsec_server.web.operations import API, AnyOperation, Parameter

PATH = f"{API}/openapi.json"
_IN_PATH = re.compile(r"\{([a-z_]+)\}")
SCHEME = "adminKey"
Json = dict[str, Any]


class Problem(TypedDict):
    """The body of an error response: a sentence, a stable code, the remedy, and whether a retry can help.

    `field` is the member, parameter or header that breaks a rule. The `changed_…` members describe the changes
    that others made after the caller read the object.
    """

    error: str
    reason: str
    details: str
    retryable: bool
    request_id: str
    field: NotRequired[str]
    changed_by: NotRequired[str]
    changed_at: NotRequired[str]
    changed_fields: NotRequired[list[str]]


class OpenApiDocument(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
    components: dict[str, Any]


def route(operations: Sequence[AnyOperation]) -> Route:
    """Return a route that serves the document. The first request builds the document, to keep the start fast."""
    made: list[Response] = []
    making = anyio.Lock()

    async def answer(_request: Request) -> Response:
        async with making:
            if not made:
                made.append(await run_in_threadpool(lambda: JSONResponse(document(operations))))
        return made[0]

    return Route(PATH, answer, methods=["GET"])


def document(operations: Sequence[AnyOperation]) -> Json:
    """Return the OpenAPI document, including the operation that returns this document."""
    schemas, components = _schemas(operations)
    paths: dict[str, Json] = {PATH: {"get": _itself(schemas)}}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "AuthSec admin API",
            "version": "1",
            "description": (
                "Manage agents, their permissions and how long these are valid. Names are ids or slugs. "
                "With `?dry_run=1`, a request shows the effects of a change and changes nothing."
            ),
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": _problems(operations, schemas[Problem, "serialization"]),
            "securitySchemes": {
                SCHEME: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An admin key: authsec_… (`authsec admin create-key NAME`).",
                }
            },
        },
        "security": [{SCHEME: []}],
    }


Key = tuple[Any, Literal["validation", "serialization"]]


def _schemas(operations: Sequence[AnyOperation]) -> tuple[dict[Key, Json], Json]:
    """Return a schema reference for each type of body and answer, and the schemas that the references name."""
    shapes: dict[Key, TypeAdapter[Any]] = {}
    for shape in (Problem, DryRun, OpenApiDocument, *(each.answer for each in operations)):
        shapes[shape, "serialization"] = TypeAdapter(shape)
    for body in (each.body for each in operations if each.has_body):
        shapes[body, "validation"] = TypeAdapter(body)
    made, definitions = TypeAdapter.json_schemas(
        [(key, key[1], adapter) for key, adapter in shapes.items()], ref_template="#/components/schemas/{model}"
    )
    return {key: made[key, key[1]] for key in shapes}, definitions["$defs"]


def _itself(schemas: Mapping[Key, Json]) -> Json:
    return {
        "operationId": "openapi",
        "summary": "This document",
        "security": [],
        "responses": {"200": _json("This document.", schemas[OpenApiDocument, "serialization"])},
    }


def _operation(operation: AnyOperation, schemas: Mapping[Key, Json]) -> Json:
    refused = {str(status): {"$ref": f"#/components/responses/{_called(status)}"} for status in _refusals(operation)}
    described: Json = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "description": f"{operation.description}\n\nNeeds the role {operation.least.name.lower()}.".strip(),
        "tags": [operation.path.removeprefix(API).split("/")[1]],
        "security": [{SCHEME: [operation.least.name.lower()]}],  # OpenAPI 3.1 section 4.8.30: the required roles
        "parameters": _parameters(operation),
        "responses": _successes(operation, schemas) | refused,
    }
    if operation.has_body:
        required = any(each.is_required() for each in _fields(operation.body))
        content = {"application/json": {"schema": schemas[operation.body, "validation"]}}
        described["requestBody"] = {"required": required, "content": content}
    return described


def _fields(body: type[BaseModel]) -> Sequence[Any]:
    return list(body.model_fields.values())


def _successes(operation: AnyOperation, schemas: Mapping[Key, Json]) -> Json:
    answer, rehearsed = schemas[operation.answer, "serialization"], schemas[DryRun, "serialization"]
    done = _json(operation.summary, answer)
    headers: Json = {}
    if operation.revised and operation.method != "DELETE":
        tag = {"type": "string", "pattern": f"^{etags.OURS}$"}
        headers["ETag"] = {"description": "The value for If-Match.", "schema": tag}
    if operation.location:
        headers["Location"] = {"description": "The address of the new object.", "schema": {"type": "string"}}
    if headers and not operation.changes:
        done["headers"] = headers
    if not operation.changes:
        return {str(operation.status): done}
    if operation.status == 200:
        return {
            "200": _json(f"{operation.summary}; or the result of the dry run.", {"anyOf": [answer, rehearsed]}, headers)
        }
    return {str(operation.status): done | {"headers": headers}, "200": _json("The result of the dry run.", rehearsed)}


def _json(description: str, schema: Json, headers: Json | None = None) -> Json:
    described: Json = {"description": description, "content": {"application/json": {"schema": schema}}}
    return described | ({"headers": headers} if headers else {})


def _problems(operations: Sequence[AnyOperation], problem: Json) -> Json:
    """Return the OpenAPI response object of each error status. The keys are component names, such as `NotFound`."""
    statuses = sorted({status for each in operations for status in _refusals(each)})
    return {_called(status): _json(HTTPStatus(status).phrase, problem) for status in statuses}


def _called(status: int) -> str:
    return HTTPStatus(status).name.title().replace("_", "")


def _refusals(operation: AnyOperation) -> list[int]:
    """Return the error statuses that the operation can have."""
    statuses = {400, 401, 403, 421, 429, 503, *operation.refusals}
    if _IN_PATH.search(operation.path):
        statuses.add(404)
    if operation.has_body:
        statuses.add(404)  # an object that the body names may not exist
    if operation.method != "GET":
        statuses |= {408, 413}
    if operation.changes:
        statuses.add(409)
    if operation.may_want_revision:
        statuses.add(412)
    if operation.wants_revision:
        statuses.add(428)
    return sorted(statuses)


def _parameters(operation: AnyOperation) -> list[Json]:
    found: list[Json] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "The id or slug of the object.",
            "schema": {"type": "string"},
        }
        for name in _IN_PATH.findall(operation.path)
    ]
    found += [_query(each) for each in operation.query]
    if operation.changes:
        asked = "With 1, the request shows what would change and what would stop, and changes nothing."
        found.append(_query(Parameter(name=DRY_RUN, description=asked, schema={"enum": ["1"], "type": "string"})))
    if operation.may_want_revision:
        tag = {"type": "string", "pattern": rf"^(\*|{etags.ACCEPTED})$"}
        described = "The ETag that you read; or * to overwrite later edits."
        header = {"name": "If-Match", "in": "header", "required": operation.wants_revision}
        found.append({**header, "description": described, "schema": tag})
    return found


def _query(parameter: Parameter) -> Json:
    schema = dict(parameter.schema)
    return {
        "name": parameter.name,
        "in": "query",
        "required": False,
        "description": parameter.description,
        "schema": schema,
    }
