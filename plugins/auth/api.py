"""What other plugins may know of accounts: the codes that clients are told."""

from __future__ import annotations

from core.errors import declare

INVALID_CREDENTIALS = declare("INVALID_CREDENTIALS", 401, "The address or the password is wrong")
SESSION_ENDED = declare("SESSION_ENDED", 401, "The session has ended; sign in again")
SESSION_COMPROMISED = declare("SESSION_COMPROMISED", 401, "A used token came back, so the session was ended")
RESET_REQUIRED = declare("RESET_REQUIRED", 403, "The password must be reset by mail before it is good again")
SIGNUP_CLOSED = declare("SIGNUP_CLOSED", 403, "Accounts are not opened here, but given")
WRONG_PASSWORD = declare("WRONG_PASSWORD", 403, "The current password is not right")
EMAIL_TAKEN = declare("EMAIL_TAKEN", 409, "An account with this address exists already")
LAST_ADMIN = declare("LAST_ADMIN", 409, "Somebody must remain who administrates")
LINK_INVALID = declare("LINK_INVALID", 410, "The link has been used, has expired or was never made")
TOO_MANY_ATTEMPTS = declare("TOO_MANY_ATTEMPTS", 429, "Too many failed attempts; wait, or reset the password by mail")
