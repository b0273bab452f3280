"""One operation of the OpenAPI document: its parameters, body and every status that it may answer with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from core import errors
from core.config import BoardSettings
from core.errors import Code
from core.web.cookies import ACCESS_COOKIE
from core.web.csrf import SAFE
from core.web.endpoint import Endpoint
from core.web.forms import FORM, takes_form
from core.web.replies import JSON, PROBLEM_JSON, Problem
from core.web.schemas import Schema, resolve, sample

SchemaOf = Callable[[Any], Schema]

_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag that you read: if it has changed since, nothing is done (412).",
    "schema": {"type": "string", "pattern": '^"[!#-~]{1,64}"$', "examples": ['"3"']},
}
PARAMETERS: dict[str, Schema] = {
    "TenantID": {
        "name": "X-Tenant-ID",
        "in": "header",
        "description": "The tenant, by id or slug, where neither the host nor the token says it.",
        "schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "examples": ["default"]},
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Any text of your own: the same request with the same key is done once and answered again.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "IfMatch": _IF_MATCH,
    "IfMatchRequired": {**_IF_MATCH, "required": True},
}
_NUMBER: Schema = {"schema": {"type": "integer", "minimum": 0}}
HEADERS: dict[str, Schema] = {
    "X-Request-ID": {"description": "Names this request in our logs.", "schema": {"type": "string"}},
    "Location": {"description": "The address of what is new.", "schema": {"type": "string"}},
    "LocationRequired": {"description": "The address of what is new.", "required": True, "schema": {"type": "string"}},
    "ETag": {"description": "The version, for If-Match and If-None-Match.", "schema": {"type": "string"}},
    "Retry-After": {"description": "Seconds to wait.", **_NUMBER},
    "RateLimit-Limit": {"description": "Requests in the nearest limit's window.", **_NUMBER},
    "RateLimit-Remaining": {"description": "Requests left in it.", **_NUMBER},
    "RateLimit-Reset": {"description": "Seconds until it is full again.", **_NUMBER},
}

EVERYWHERE = (
    errors.MALFORMED_REQUEST,
    errors.MISSING_HOST,
    errors.BODY_TOO_LARGE,
    errors.RATE_LIMITED,
    errors.DATABASE_UNAVAILABLE,
    errors.REDIS_UNAVAILABLE,
    errors.DOCUMENTS_UNAVAILABLE,
    errors.MIGRATIONS_PENDING,
    errors.BUSY,
    errors.FEATURE_OFF,
)
SCHEMES: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "csrf": {
        "type": "apiKey",
        "in": "header",
        "name": "X-CSRF-Token",
        "description": "Goes with the cookie on whatever changes something; a session's own, handed out on sign-in.",
    },
}
SIGNED_IN = (errors.TOKEN_MISSING, errors.TOKEN_INVALID, errors.TOKEN_EXPIRED)
IN_TENANT = (errors.TENANT_MISMATCH, errors.UNKNOWN_TENANT)
KEYED = (errors.IDEMPOTENCY_IN_PROGRESS, errors.IDEMPOTENCY_KEY_REUSED)
CONDITIONAL = (errors.PRECONDITION_FAILED, errors.PRECONDITION_REQUIRED)
WITH_BODY = (errors.MALFORMED_BODY, errors.UNSUPPORTED_MEDIA_TYPE, errors.VALIDATION_FAILED)


def schemes(board: BoardSettings) -> dict[str, Schema]:
    """The ways of signing in; what the cookie is called depends on where the board runs."""
    cookie = {"type": "apiKey", "in": "cookie", "name": ACCESS_COOKIE.name_on(board)}
    return {**SCHEMES, "cookie": {**cookie, "description": "The access token, where a browser keeps it."}}


class Responses:
    """Problem responses, each kept once and referred to by the operations that share it."""

    def __init__(self) -> None:
        self.shared: dict[str, Schema] = {}
        self._names: dict[tuple[str, ...], str] = {}

    def of(self, codes: Iterable[Code], problem: Schema) -> dict[str, Schema]:
        """One response for each status among ``codes``."""
        by_status: dict[int, list[Code]] = {}
        for code in sorted(set(codes), key=lambda code: (code.status, code.name)):
            by_status.setdefault(code.status, []).append(code)
        return {str(status): self._reference(status, codes, problem) for status, codes in by_status.items()}

    def _reference(self, status: int, codes: list[Code], problem: Schema) -> Schema:
        names = tuple(code.name for code in codes)
        if names not in self._names:
            same = sum(name.partition("-")[0] == str(status) for name in self.shared)
            name = self._names[names] = f"{status}-{same + 1}" if same else str(status)
            headers = ["X-Request-ID", *(["Retry-After"] if status in (429, 503) else [])]
            self.shared[name] = {
                "description": ". ".join(code.title for code in codes) + ".",
                "headers": _headers(headers),
                "content": {PROBLEM_JSON: {"schema": problem, "example": _example(codes[0])}},
                "x-codes": list(names),
            }
        return {"$ref": f"#/components/responses/{self._names[names]}"}


def describe(
    endpoint: Endpoint, method: str, responses: Responses, schema_of: SchemaOf, components: dict[str, Schema]
) -> Schema:
    """The operation for one method of an endpoint, all but its ``operationId``."""
    signature = endpoint.signature
    made: Schema = {
        "tags": [endpoint.plugin],
        "summary": endpoint.summary.rstrip("."),
        "x-access": _access(endpoint),
    }
    if endpoint.description:
        made["description"] = endpoint.description
    parameters = [_path_parameter(name, schema_of(kind)) for name, kind in signature.path.items()]
    if signature.query is not None:
        parameters += _query_parameters(schema_of(signature.query), components)
    parameters += [{"$ref": f"#/components/parameters/{name}"} for name in _header_parameters(endpoint)]
    if parameters:
        made["parameters"] = parameters
    if signature.body is not None:
        schema = schema_of(signature.body)
        example = sample(schema, components)
        also = (FORM,) if takes_form(endpoint.marks) else endpoint.marks.notes.get("media", ())
        kinds = (JSON, *((also,) if isinstance(also, str) else also))
        content = {kind: {"schema": schema, "example": example} for kind in kinds}
        made["requestBody"] = {"required": True, "content": content}
    if consumes := endpoint.marks.notes.get("consumes"):
        made["requestBody"] = {"required": True, "content": {kind: {"schema": {"type": "string"}} for kind in consumes}}
    made["responses"] = {
        str(signature.status): _success(endpoint, signature.status, signature.reply, schema_of, components),
        **{
            str(wrapper.status): _success(endpoint, wrapper.status, reply, schema_of, components)
            for wrapper, reply in signature.others.items()
        },
        **responses.of(_codes(endpoint, method), schema_of(Problem)),
    }
    if not endpoint.public:
        made["security"] = [{"bearer": []}, {"cookie": []} if method in SAFE else {"cookie": [], "csrf": []}]
    return made


def _access(endpoint: Endpoint) -> str:
    marks = endpoint.marks
    if marks.access == "requires":
        if marks.scoped:
            return f"needs {marks.permission}, in general or on some"
        return f"needs {marks.permission}" + (f" on {marks.id_parameter}" if marks.id_parameter else "")
    return "anyone" if endpoint.public else "anyone who is signed in"


def _path_parameter(name: str, schema: Schema) -> Schema:
    if schema.get("type") == "string" and "format" not in schema:
        schema = {**schema, "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: Schema, components: dict[str, Schema]) -> list[Schema]:
    whole = resolve(schema, components)
    made = []
    for name, part in whole["properties"].items():
        said = {"description": part["description"]} if "description" in part else {}
        required = {"required": True} if name in whole.get("required", ()) else {}
        schema = _without_null(part)
        parted = {"style": "form", "explode": False} if schema.pop("x-comma", False) else {}
        made.append({"name": name, "in": "query", **said, **required, **parted, "schema": schema})
    return made


def _without_null(schema: Schema) -> Schema:
    """A query string cannot say null: leaving the parameter out does."""
    kept = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    options = [option for option in kept.pop("anyOf", ()) if option.get("type") != "null"]
    if len(options) == 1:
        return {**options[0], **kept}
    if options:
        kept["anyOf"] = options
    if "enum" in kept:
        kept["enum"] = [value for value in kept["enum"] if value is not None]
    return kept


def _header_parameters(endpoint: Endpoint) -> Iterable[str]:
    if not endpoint.marks.tenantless:
        yield "TenantID"
    if endpoint.keyed:
        yield "IdempotencyKey"
    if _conditional(endpoint):
        marked = errors.PRECONDITION_REQUIRED in endpoint.marks.notes.get("refuses", ())
        yield "IfMatchRequired" if marked else "IfMatch"


def _conditional(endpoint: Endpoint) -> bool:
    """Whether the view heeds ``If-Match``: it calls ``if_match``, or is marked with what that refuses."""
    calls = getattr(endpoint.view, "__code__", None)
    marked = set(CONDITIONAL) & set(endpoint.marks.notes.get("refuses", ()))
    return bool(marked) or (calls is not None and "if_match" in calls.co_names)


def _codes(endpoint: Endpoint, method: str) -> list[Code]:
    """Every code that the operation may be refused with, as far as it is known."""
    signature = endpoint.signature
    found = [*EVERYWHERE, *endpoint.marks.notes.get("refuses", ())]
    if not endpoint.public:
        found += SIGNED_IN
        if method not in SAFE:
            found.append(errors.CSRF_FAILED)
    if endpoint.marks.permission is not None:
        found.append(errors.FORBIDDEN)
    if not endpoint.marks.tenantless:
        found += IN_TENANT
    if signature.path:
        found.append(errors.NOT_FOUND)
    if signature.query is not None:
        found += [errors.VALIDATION_FAILED, errors.URI_TOO_LONG]
        if "cursor" in signature.query.__struct_fields__:
            found.append(errors.INVALID_CURSOR)
    if signature.body is not None:
        found += WITH_BODY
    if endpoint.keyed:
        found += KEYED
    if method != "GET":
        found.append(errors.CONFLICT)
    if _conditional(endpoint):
        found += CONDITIONAL
    return found


def _success(endpoint: Endpoint, status: int, reply: Any, schema_of: SchemaOf, components: dict[str, Schema]) -> Schema:
    signature = endpoint.signature
    names = ["X-Request-ID", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"]
    names += {200: ["ETag"], 202: ["Location"]}.get(status, [])
    headers = _headers(names)
    if status == 201:
        headers |= {"Location": {"$ref": "#/components/headers/LocationRequired"}, **_headers(["ETag"])}
    said = {200: "Done.", 201: "It is there now.", 202: "It has begun.", 204: "Done; there is nothing to say."}
    made: Schema = {"description": said.get(status, "Done."), "headers": headers}
    if reply is not None:
        schema = schema_of(reply)
        made["content"] = {JSON: {"schema": schema, "example": sample(schema, components)}}
    elif signature.raw and endpoint.marks.notes.get("produces"):
        made["content"] = {media: {} for media in endpoint.marks.notes["produces"]}
    return made


def _headers(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _example(code: Code) -> Schema:
    return {
        "type": f"urn:pegboard:error:{code.name}",
        "title": code.title,
        "status": code.status,
        "code": code.name,
        "detail": code.title,
        "errors": [],
        "request_id": "0c6d6e5b8f0b4d0e9f3f0a4f6f0c7a51",
    }
