"""Recurring work: what is declared in code or at run time, when it is due, and exactly one job for each tick."""
