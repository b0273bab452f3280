"""The board's own routes in the OpenAPI document. They are plain views: no tenant, no limit, no unit of work."""

from __future__ import annotations

from core import errors
from core.errors import Code
from core.web.health import Alive, Readiness
from core.web.operations import Responses, SchemaOf
from core.web.replies import JSON, Problem
from core.web.schemas import Schema

TYPES = (Alive, Readiness)
TAG = "board"


def board_paths(responses: Responses, schema_of: SchemaOf) -> dict[str, Schema]:
    """``/livez``, ``/readyz``, ``/metrics`` and ``/openapi.json``."""

    def operation(name: str, summary: str, content: Schema, *codes: Code) -> Schema:
        return {
            "tags": [TAG],
            "operationId": f"board_{name}",
            "summary": summary,
            "x-access": "anyone",
            "responses": {
                "200": {"description": "Done.", "content": content},
                **responses.of((errors.MISSING_HOST, *codes), schema_of(Problem)),
            },
        }

    alive = operation("livez", "Does this process answer", {JSON: {"schema": schema_of(Alive)}})
    readiness: Schema = {JSON: {"schema": schema_of(Readiness)}}
    ready = operation("readyz", "What is up, and what is down", readiness)
    ready["description"] = "Without Redis or the document store the board is `degraded` and still answers 200."
    ready["responses"]["503"] = {"description": "Nothing can be served: the database is down.", "content": readiness}
    refusals = (errors.TOKEN_MISSING, errors.TOKEN_INVALID, errors.FORBIDDEN)
    text: Schema = {"text/plain": {"schema": {"type": "string"}}}
    metrics = operation("metrics", "Figures for Prometheus", text, *refusals)
    metrics["x-access"] = "METRICS_TOKEN as bearer, or callers on the board's own machine"
    metrics["security"] = [{}, {"bearer": []}]
    described = operation("openapi", "This document", {JSON: {"schema": {"type": "object"}}})
    return {
        "/livez": {"get": alive},
        "/readyz": {"get": ready},
        "/metrics": {"get": metrics},
        "/openapi.json": {"get": described},
    }
