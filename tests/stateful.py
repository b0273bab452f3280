"""Schemathesis' state machine on its way through commerce: what one reply tells, the next request uses."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
import psycopg
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from core.data import DEFAULT, new_id
from core.ops.processes import Process

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
STEPS = 12
TENANT = {"$ref": "#/components/parameters/TenantID"}
TEA = {"sku": "TEA-250", "name": "Green tea, 250 g", "price": 1250, "currency": "EUR"}
EMPTY_SHOP = """
    set session_replication_role = replica;
    truncate commerce_customers, commerce_products, commerce_accounts, commerce_postings, core_imports, core_idempotency
        cascade
"""


def administrators_token(board: Process, superuser: psycopg.Connection) -> str:
    account = {"email": "alice@example.com", "password": "correct horse battery", "display_name": "Alice"}
    signed_in = httpx.post(f"{board.url}/api/auth/register", json=account, timeout=10).json()
    superuser.execute(
        "insert into core_role_assignments (id, tenant_id, principal_id, role, created_at, updated_at)"
        " values (%s, %s, %s, 'admin', now(), now())",
        (new_id(), DEFAULT.id, signed_in["user"]["id"]),
    )
    return str(signed_in["access_token"])


def links_followed(
    board: Process, token: str, superuser: psycopg.Connection, *, walks: int
) -> Counter[tuple[str, int]]:
    """How often a link led to each operation, with the status that it answered.

    The walks are the same each time. Fails with the first reply that is a 5xx, or not as the document says.
    """
    headers = {"Authorization": f"Bearer {token}", "X-Tenant-ID": "default"}
    shop = httpx.Client(base_url=f"{board.url}/api/commerce", headers=headers, timeout=10)
    followed: Counter[tuple[str, int]] = Counter()
    machine: Any = _schema(board).as_state_machine()

    class Walk(machine):  # type: ignore[misc]
        def setup(self) -> None:
            # What an earlier walk left would make the draws of this one depend on it.
            superuser.execute(EMPTY_SHOP)
            self.product = shop.post("/products", json=TEA).raise_for_status().json()["id"]

        def before_call(self, case: Any) -> None:
            if _operation(case) == "commerce_create_order":
                case.body["lines"] = [{"product_id": self.product}]  # a link tells one id, and an order needs two

        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            return {"headers": headers}

        def after_call(self, response: Any, case: Any) -> None:
            super().after_call(response, case)
            if self.recorder.cases[case.id].is_transition_applied:
                followed[_operation(case), response.status_code] += 1

        def validate_response(self, response: Any, case: Any, **more: Any) -> None:
            case.validate_response(response, checks=CHECKS)

    with shop:
        Walk.run(
            settings=settings(
                max_examples=walks,
                stateful_step_count=STEPS,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
        )
    return followed


def _schema(board: Process) -> Any:
    document = httpx.get(f"{board.url}/openapi.json").json()
    for item in document["paths"].values():
        for operation in item.values():
            # A walk begins with what asks for nothing that only a reply could tell, and none here tells a tenant.
            operation["parameters"] = [each for each in operation.get("parameters", ()) if each != TENANT]
    schema = schemathesis.openapi.from_dict(document).include(path_regex="^/api/commerce/")
    schema.config.update(base_url=board.url)
    # PostgreSQL keeps no NUL; that one is refused (422) is tested with the bodies.
    schema.config.generation.update(modes=[GenerationMode.POSITIVE], allow_x00=False)
    schema.config.phases.stateful.inference.algorithms = []  # the links of the document alone
    return schema


def _operation(case: Any) -> str:
    return str(case.operation.definition.raw["operationId"])
