"""Valkey may be killed at any call: before it, before its reply is read, or right after. Whoever called goes on by itself.

The points are those at which processes die (``kill_points``), and so found in the code. The server is one of our own,
with its append-only file, and is back on the same port a moment later. ``tests/soak/test_valkey_kills.py`` meets each
point at every moment.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator

import pytest
from flask import Flask
from grounds import MOMENTS, Ground, mortal, opened
from handover import NOW
from kill_points import CALLS, ENQUEUERS, QUEUE, SIZE, TASKS, WORKERS, all_is_done, done, done_or_not_begun
from kill_points import nothing_is_left, schedule, some
from throwaway import install
from valkey_of_its_own import valkey_ctx, valkey

from core.data import outbox
from core.ops.servers import Valkey
from core.ops.testing import TestServers
