"""Many changes in one request: each on its own, with a result for each, or all of them or none (``atomic``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from core.data.faults import as_refusal
from core.data.repeating import is_repeatable, repeatable
from core.errors import CONFLICT, PRECONDITION_FAILED, PRECONDITION_REQUIRED, VALIDATION_FAILED, FieldFault, Refused
from core.trust.identity import current_principal
from core.trust.permissions import check_for
from core.web.bodies import Body
from core.web.openapi import refuses
from core.web.replies import ProblemField, etag_of
from core.web.resource.changing import Changes
from core.web.resource.patches import patch_type
from core.web.resource.reading import Views, typed
from core.web.validation import check_storable, fault_of, refusal_of

if TYPE_CHECKING:
    from core.web.resource.declaration import Resource

MOST = 500
_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
Op = Literal["create", "replace", "patch", "delete", "restore"]
STATUS = {"create": 201, "delete": 204}


class Operation(Body):
    """One change. ``id`` and, for replace and patch, ``if_match`` (an ETag, or ``*``) name the row and its version."""

    op: Op
    id: UUID | None = None
    if_match: str | None = None
    body: Annotated[dict[str, Any], Meta(description="as create, replace and patch take it")] | None = None


class Operations(Body):
    """``atomic``: all of them or none."""

    operations: Annotated[
        list[Operation],
        Meta(min_length=1, max_length=MOST, examples=[[{"op": "delete", "id": _ID, "if_match": '"3"'}]]),
    ]
    atomic: bool = False


class Failure(msgspec.Struct, frozen=True):
    """Why a row was not changed, as in a problem document."""

    code: str
    detail: str
    errors: tuple[ProblemField, ...] = ()


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the operation of this number: the status that it would have had by itself."""

    index: int
    status: int
    id: UUID | None = None
    etag: str | None = None
    error: Failure | None = None


class Results(msgspec.Struct, frozen=True):
    results: Annotated[list[Result], Meta(examples=[[{"index": 0, "status": 204, "id": _ID}]])]
    succeeded: int
    failed: Annotated[int, Meta(examples=[0])]


def bulk_view(resource: Resource) -> None:
    changes = Changes(resource)

    def view(body: Operations) -> Results:
        results = []
        for index, operation in enumerate(body.operations):
            try:
                with resource.store.attempt():
                    results.append(_done(resource, changes, index, operation))
            except Exception as exc:
                refusal = exc if isinstance(exc, Refused) else as_refusal(exc)
                if refusal is None or refusal.code.status >= 500:
                    raise
                if body.atomic:
                    raise _whole(index, refusal) from None
                results.append(_failed(index, operation, refusal))
        failed = sum(result.error is not None for result in results)
        return Results(results, len(results) - failed, failed)

    plural = resource.plural.replace("_", " ")
    doc = f"Change many {plural} at once.\n\nEach for itself, with a result for each; with `atomic`, all or none."
    typed(view, f"bulk_{resource.plural}", doc, body=Operations, reply=Results)
    if all(is_repeatable(rule) for rule in resource.rules.values()):
        view = repeatable(view)
    marked = refuses(VALIDATION_FAILED, CONFLICT)(view)
    resource.routes.post(f"{resource.path}/bulk")(resource.guarded("bulk", marked))


def _done(resource: Resource, changes: Changes, index: int, operation: Operation) -> Result:
    op = operation.op
    if op not in resource.actions:
        raise _fault("op", "NOT_A_CHOICE", f"there is no {op} here")
    if op == "create":
        access = resource.permission("create")
        if isinstance(access, str):
            check_for(current_principal(), access)
        entity = changes.create(_parsed(operation, resource.create))
        return Result(index, 201, entity.id, _tag(resource, entity))
    if operation.id is None:
        raise _fault("id", "REQUIRED", "is required")
    entity = changes.locked(op, operation.id, "include" if op == "restore" else "exclude")
    _check_version(resource, operation, entity)
    if op == "replace":
        changes.replace(entity, _parsed(operation, resource.body))
    elif op == "patch":
        assert resource.body is not None
        changes.patch(entity, _parsed(operation, patch_type(resource.body)))
    else:
        getattr(changes, op)(entity)
    return Result(index, STATUS.get(op, 200), entity.id, None if op == "delete" else _tag(resource, entity))


def _parsed(operation: Operation, kind: Any) -> Any:
    if operation.body is None:
        raise _fault("body", "REQUIRED", "is required")
    try:
        made = msgspec.convert(operation.body, kind)
    except msgspec.ValidationError as exc:
        fault = fault_of(exc)
        raise refusal_of(fault._replace(field=f"$.body{fault.field.removeprefix('$')}")) from None
    check_storable(made, "$.body")
    return made


def _check_version(resource: Resource, operation: Operation, entity: Any) -> None:
    if not resource.store.versioned:
        return
    if operation.if_match is None:
        if operation.op in ("replace", "patch"):
            raise Refused(PRECONDITION_REQUIRED, "send if_match with the ETag that you read, or *")
    elif operation.if_match not in ("*", etag_of(entity.version)):
        raise Refused(PRECONDITION_FAILED)


def _tag(resource: Resource, entity: Any) -> str | None:
    return etag_of(entity.version) if resource.store.versioned else None


def _fault(field: str, code: str, detail: str) -> Refused:
    return refusal_of(FieldFault(f"$.{field}", code, detail))


def _failed(index: int, operation: Operation, refusal: Refused) -> Result:
    errors = tuple(ProblemField(*fault) for fault in refusal.fields)
    failure = Failure(refusal.code.name, refusal.detail or refusal.code.title, errors)
    return Result(index, refusal.code.status, operation.id, error=failure)


def _whole(index: int, refusal: Refused) -> Refused:
    """The refusal of all because of one: where that stands in the request, and its own code."""
    place = f"$.operations[{index}]"
    faults = [FieldFault(place + each.field.removeprefix("$"), each.code, each.detail) for each in refusal.fields]
    told = refusal.detail or refusal.code.title
    return Refused(
        refusal.code, f"{place}: {told}; nothing was changed", fields=faults or [FieldFault(place, "INVALID", told)]
    )


VIEWS: Views = {"bulk": bulk_view}
