"""The REST API for administrators, at /api/v1: one table of operations, from which routes and OpenAPI are made."""

from __future__ import annotations

from aiohttp import web

from signaling.api import records, rooms
from signaling.api.openapi import document
from signaling.api.operation import Operation, route

OPERATIONS: tuple[Operation, ...] = (*rooms.OPERATIONS, *records.OPERATIONS)
PREFIX = "/api/v1"


def setup(app: web.Application) -> None:
    """Add the routes."""
    described = document(OPERATIONS, PREFIX)

    async def openapi(_request: web.Request) -> web.Response:
        return web.json_response(described)

    app.router.add_get(f"{PREFIX}/openapi.json", openapi)
    for operation in OPERATIONS:
        app.router.add_route(operation.method, PREFIX + operation.path, route(operation))
