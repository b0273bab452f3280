"""The messages that accounts send: plain text, with the link where there is one."""

from __future__ import annotations

from typing import TypedDict

from core.config import settings
from core.trust.limits import Rate, take

LETTERS = Rate(10, 3600, "letters")


class Letter(TypedDict):
    to: str
    subject: str
    text: str


def may_write_to(address: str) -> bool:
    """Count one message to an address: whoever asks for many of them fills nobody's mailbox."""
    return take(f"auth.letters:{address}", LETTERS).allowed


# No name in what goes to an address that nobody has shown to be theirs: a stranger chose it, and may have put a message
# of their own in it.
def verify(to: str, link: str) -> Letter:
    text = f"Hello,\n\nto open your account, follow this link within 24 hours:\n\n{link}"
    return _letter(to, "Confirm your address", text + "\n\nIf you did not ask for an account, do nothing.")


def taken(to: str) -> Letter:
    text = (
        "Hello,\n\nsomebody asked for an account with this address, which has one already. If it was you, sign in, or"
        f" reset the password:\n\n{settings().front_url}/auth/forgot\n\nIf it was not you, do nothing."
    )
    return _letter(to, "You have an account already", text)


def reset(to: str, name: str, link: str) -> Letter:
    text = f"Hello {name},\n\nto choose a new password, follow this link within an hour:\n\n{link}"
    return _letter(to, "Reset your password", text + "\n\nIf you did not ask for this, do nothing.")


def forced_reset(to: str, name: str, link: str) -> Letter:
    text = f"Hello {name},\n\nfor the safety of your account its password is good no more, and you were signed out."
    text += f" To choose another password, follow this link within an hour:\n\n{link}"
    text += f"\n\nLater, have another one sent:\n\n{settings().front_url}/auth/forgot"
    return _letter(to, "Choose a new password", text)


def invitation(to: str, name: str, link: str) -> Letter:
    text = f"Hello {name},\n\nan account has been made for you. To choose its password, follow this link:\n\n{link}"
    return _letter(to, "Your invitation", text + "\n\nIt can be used for seven days.")


def new_address(to: str, link: str) -> Letter:
    text = f"Hello,\n\nto use this address for your account, follow this link within an hour:\n\n{link}"
    return _letter(to, "Confirm your new address", text + "\n\nIf you did not ask for this, do nothing.")


def address_changed(to: str, name: str, new: str) -> Letter:
    text = f"Hello {name},\n\nyour account now uses the address {new}. This one is no longer in use."
    return _letter(to, "Your address was changed", text + "\n\nIf that was not you, write to us at once.")


def _letter(to: str, subject: str, text: str) -> Letter:
    support = settings().support_email
    return Letter(to=to, subject=subject, text=f"{text}\n" + (f"\nQuestions: {support}\n" if support else ""))
