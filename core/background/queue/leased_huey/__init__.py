"""Huey's own API on leases: for code that was written for Huey. The board's own tasks do not go through here."""
