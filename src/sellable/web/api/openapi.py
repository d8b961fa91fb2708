"""The API described in OpenAPI 3.1, from the endpoints and their structs. One rule: nothing is said twice by hand."""

from __future__ import annotations

import http
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from sellable.web.api.endpoints import ENDPOINTS, Endpoint
from sellable.web.api.shapes import Problem
from sellable.web.console.doors import Role

SCOPES: dict[Role, str] = {"viewer": "read", "operator": "operate", "approver": "approve", "admin": "admin"}
"""Role an endpoint asks for -> the least scope of a token for it."""
ALWAYS = (401, 403, 422, 429, 503)
REFS = "#/components/schemas/{name}"


@cache
def document() -> dict[str, Any]:
    """All of it; the same as long as the process lives."""
    structs = [Problem, *(t for e in ENDPOINTS for t in (e.answers, e.body) if t is not None)]
    _, schemas = msgspec.json.schema_components(dict.fromkeys(structs), ref_template=REFS)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in ENDPOINTS:
        plain = re.sub(r":\w+}", "}", endpoint.path)
        paths.setdefault(plain, {})[endpoint.method.lower()] = _operation(endpoint, plain)
    return {
        "openapi": "3.1.0",
        "info": {"title": "sellable", "version": version("sellable"), "license": {"name": "Apache-2.0"}},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, path: str) -> dict[str, Any]:
    words = " ".join((endpoint.answer.__doc__ or "").split())
    found: dict[str, Any] = {
        "operationId": "_".join(re.findall(r"\w+", path.partition("/v1/")[2])),
        "summary": words,
        "description": f"Scope `{SCOPES[endpoint.role]}`.",
        "parameters": [*_named(path), *_asked(endpoint)],
        "responses": {
            "200": {"description": (endpoint.answers.__doc__ or "").strip(), **_json(endpoint.answers)},
            **{str(status): _problem(status) for status in sorted({*ALWAYS, *endpoint.refuses, *_sent(endpoint)})},
        },
    }
    if endpoint.body is not None:
        needed = any(f.required for f in msgspec.structs.fields(endpoint.body))
        found["requestBody"] = {"required": needed, **_json(endpoint.body)}
    return found


def _sent(endpoint: Endpoint) -> tuple[int, ...]:
    return (400, 411, 413, 415) if endpoint.body is not None else ()


def _named(path: str) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _asked(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for field in msgspec.structs.fields(endpoint.asks):
        schema = msgspec.json.schema(field.type)
        found = {"name": field.encode_name, "in": "query", "required": field.required, "schema": schema}
        if "description" in schema:
            found["description"] = schema.pop("description")
        if not field.required and field.default not in (None, ""):
            schema["default"] = field.default
        yield found


def _json(struct: type[msgspec.Struct]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": {"$ref": REFS.format(name=struct.__name__)}}}}


def _problem(status: int) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": REFS.format(name="Problem")}}}
    return {"description": http.HTTPStatus(status).phrase, "content": content}
