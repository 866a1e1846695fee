"""The REST API for administrators, at /api/v1: one table of operations, from which routes and OpenAPI are made."""

from __future__ import annotations

from functools import cache
from typing import Any

from aiohttp import web

from signaling.api import records, rooms
from signaling.api.openapi import document
from signaling.api.operation import Operation, route
from signaling.config import API_PREFIX

OPERATIONS: tuple[Operation, ...] = (*rooms.OPERATIONS, *records.OPERATIONS)


@cache
def _described() -> dict[str, Any]:
    return document(OPERATIONS, API_PREFIX)


def setup(app: web.Application) -> None:
    """Add the routes."""
    described = _described()

    async def openapi(_request: web.Request) -> web.Response:
        return web.json_response(described)

    app.router.add_get(f"{API_PREFIX}/openapi.json", openapi)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, API_PREFIX + operation.path, route(operation))
