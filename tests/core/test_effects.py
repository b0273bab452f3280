"""Effects that happen once: with the unit that commits, in each tenant, and among many at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from flask import Flask

from core.background import once
from core.background.effects import purge
from core.data import DEFAULT, PLATFORM, acting_in, unit, utcnow


def test_the_first_that_commits_is_told_yes(ctx: Flask) -> None:
    with unit():
        assert once("shop.paid:1")
        assert not once("shop.paid:1")
        assert once("shop.paid:2")
    with unit():
        assert not once("shop.paid:1")


def test_what_is_rolled_back_has_not_happened(ctx: Flask) -> None:
    with pytest.raises(RuntimeError, match="no"), unit():
        assert once("shop.paid:1")
        raise RuntimeError("no")
    with unit():
        assert once("shop.paid:1")


def test_each_tenant_has_effects_of_its_own(ctx: Flask) -> None:
    with unit():
        assert once("shop.paid:1")
    with ctx.app_context(), acting_in(PLATFORM), unit():
        assert once("shop.paid:1")


def test_of_many_at_the_same_time_one_is_told_yes(ctx: Flask) -> None:
    together = threading.Barrier(8)

    def ask(_: int) -> bool:
        with ctx.app_context(), acting_in(DEFAULT):
            together.wait(10)
            with unit():
                return once("shop.paid:1")

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(ask, range(8))) == [False] * 7 + [True]


def test_it_has_no_life_outside_a_unit_and_wants_a_key(ctx: Flask) -> None:
    with pytest.raises(LookupError):
        once("shop.paid:1")
    for key in ("", "x" * 201):
        with unit(), pytest.raises(ValueError, match="1 to 200"):
            once(key)


def test_old_ones_are_forgotten(ctx: Flask, superuser: psycopg.Connection) -> None:
    with unit():
        once("shop.paid:1")
        once("shop.paid:2")
    superuser.execute("update core_effects set created_at = now() - interval '31 days' where key = 'shop.paid:1'")
    assert purge() == 1
    assert purge(utcnow() + timedelta(days=31)) == 1
