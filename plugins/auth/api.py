"""What other plugins may know of accounts: the codes that clients are told."""

from __future__ import annotations

from core.errors import declare

INVALID_CREDENTIALS = declare("INVALID_CREDENTIALS", 401, "The address or the password is wrong")
EMAIL_TAKEN = declare("EMAIL_TAKEN", 409, "An account with this address exists already")
SIGNUP_CLOSED = declare("SIGNUP_CLOSED", 403, "Accounts are not opened here, but given")
LINK_INVALID = declare("LINK_INVALID", 410, "The link has been used, has expired or was never made")
