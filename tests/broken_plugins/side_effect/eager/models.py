"""Nobody needs this to know that the plugin exists."""

PERMISSIONS = ("eager:read",)
