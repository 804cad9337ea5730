"""Loaded before any test: torch's threads sleep while they wait, as in every command of ours."""

from __future__ import annotations

from edgeswap_runtime.backends.threads import let_waiting_threads_sleep

let_waiting_threads_sleep()
