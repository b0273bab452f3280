"""The ways in which passwords are hashed: the first makes new hashes, each verifies its own.

A hash names its own way by its first characters (the PHC string format, and what bcrypt had before it). One that
another system made verifies here, and is replaced by one of ours when its owner next signs in.
"""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from argon2 import PasswordHasher


class Hasher(Protocol):
    """``prefixes`` begin the hashes that it knows. Both methods are slow on purpose: keep them off the loop."""

    prefixes: tuple[str, ...]

    def verify(self, known: str, password: bytes) -> bool: ...

    def outdated(self, known: str) -> bool:
        """Whether a hash that verified should be made anew."""
        ...


class Argon2id:
    """RFC 9106, at OWASP's least: 19 MiB, two passes, one lane."""

    prefixes: tuple[str, ...] = ("$argon2id$",)

    def hash(self, password: bytes) -> str:
        return self._engine().hash(password)

    def verify(self, known: str, password: bytes) -> bool:
        from argon2.exceptions import InvalidHashError, VerificationError

        try:
            return self._engine().verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    def outdated(self, known: str) -> bool:
        return self._engine().check_needs_rehash(known)

    def decoy(self) -> str:
        """A hash that no password has, as dear to verify as a real one."""
        engine = self._engine()
        salt, digest = (b64encode(bytes(size)).decode().rstrip("=") for size in (engine.salt_len, engine.hash_len))
        cost = f"m={engine.memory_cost},t={engine.time_cost},p={engine.parallelism}"
        return f"$argon2id$v=19${cost}${salt}${digest}"

    @staticmethod
    @lru_cache(maxsize=1)
    def _engine() -> PasswordHasher:
        from argon2 import PasswordHasher

        return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16)


class Bcrypt:
    """What many systems left behind. It reads 72 bytes: a longer password is refused, never compared in part."""

    prefixes: tuple[str, ...] = ("$2a$", "$2b$", "$2y$")
    LONGEST = 72

    def verify(self, known: str, password: bytes) -> bool:
        import bcrypt

        # It ends at the first NUL, and older systems cut what is longer: neither is the password that was typed.
        if len(password) > self.LONGEST or b"\0" in password:
            return False
        try:
            return bcrypt.checkpw(password, known.encode("ascii"))
        except ValueError:  # no hash of its own
            return False

    def outdated(self, known: str) -> bool:
        return True


NEW = Argon2id()
HASHERS: tuple[Hasher, ...] = (NEW, Bcrypt())


def hasher_of(known: str) -> Hasher | None:
    """Who can verify this hash; ``None`` for one that nobody here understands."""
    return next((hasher for hasher in HASHERS if known.startswith(hasher.prefixes)), None)
