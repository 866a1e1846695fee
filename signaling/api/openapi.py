"""The OpenAPI document of the API, from its operations and the types that they take and give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from signaling.api.operation import JSON_LINES, Operation

_PROBLEM = "application/problem+json"
_ERRORS = {
    "400": "The request cannot be read",
    "401": "No token, or one that is not valid here",
    "403": "The token is not for this",
    "404": "There is nothing of this name",
    "409": "It does not fit now",
    "413": "The body is too long",
    "415": "The body is not application/json",
    "422": "A value is not accepted",
    "429": "Too many requests: see Retry-After",
    "503": "No place, or the records cannot be used now: see Retry-After",
}


class Problem(msgspec.Struct):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str = ""


def document(operations: Sequence[Operation], prefix: str) -> dict[str, Any]:
    """The document, of version 3.1."""
    bodies = [operation.body for operation in operations if operation.body]
    answers = [operation.answer for operation in operations if operation.answer]
    queries = [operation.query for operation in operations if operation.query]
    types: list[type] = list(dict.fromkeys([*bodies, *answers, *queries, Problem]))
    references, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    schemas: dict[type, dict[str, Any]] = dict(zip(types, references, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        described = _described(operation, schemas, components)
        paths.setdefault(prefix + operation.path, {})[operation.method.lower()] = described
    for name in {query.__name__ for query in queries}:
        del components[name]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Clarion",
            "version": version("clarion"),
            "description": "Rooms, the people in them, and the records of a Clarion server. "
            "A token opens it: one with `roomAdmin` for its room, one with `serverAdmin` for everything.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _described(
    operation: Operation, schemas: dict[type, dict[str, Any]], components: dict[str, Any]
) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "responses": _responses(operation, schemas),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query:
        properties = components[operation.query.__name__]["properties"]
        parameters += [
            {"name": name, "in": "query", "required": False, "schema": schema} for name, schema in properties.items()
        ]
    if parameters:
        described["parameters"] = parameters
    if operation.body:
        content = {"application/json": {"schema": schemas[operation.body]}}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _responses(operation: Operation, schemas: dict[type, dict[str, Any]]) -> dict[str, Any]:
    if operation.answer is None:
        responses: dict[str, Any] = {"204": {"description": "Done"}}
    else:
        # Of JSON Lines the schema of one line says little about the whole.
        schema = {"type": "string"} if operation.media_type == JSON_LINES else schemas[operation.answer]
        content = {operation.media_type: {"schema": schema}}
        responses = {str(operation.status): {"description": "Done", "content": content}}
    for status, description in _ERRORS.items():
        if (operation.body or status not in {"413", "415"}) and (
            operation.body or operation.query or "{" in operation.path or status != "422"
        ):
            responses[status] = {"description": description, "content": {_PROBLEM: {"schema": schemas[Problem]}}}
    return responses
