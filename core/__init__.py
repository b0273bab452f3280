"""The board: finds plugins, orders, configures and mounts them, and keeps them honest. It never names one."""

API = 1
"""The number of the plugin contract; it changes only when plugins must change."""
