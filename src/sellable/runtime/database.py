"""The store: short synchronous functions in transactions on a few threads.

Rule: a transaction never spans an await or a remote call. Its function may run again after a conflict or a lost
connection, so it has no effect but through `tx`; what must happen outside is registered with `tx.after_commit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import secrets
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import psycopg
from psycopg.abc import DumperKey
from psycopg.adapt import Dumper, PyFormat
from psycopg.pq import TransactionStatus
from psycopg.rows import namedtuple_row

from sellable.runtime.clock import Clock
from sellable.runtime.queries import Query
from sellable.runtime.seal import Seal

T = TypeVar("T")
P = ParamSpec("P")
Row = Any
"""A named tuple with the columns of the statement."""

TRIES = 5
CONFLICT_PAUSE_SECONDS = 0.01
LOST_PAUSE_SECONDS = 0.1
LOCK_SECONDS = 5.0
STATEMENT_SECONDS = 30.0
IDLE_SECONDS = 60.0
LISTEN_READY_SECONDS = 5.0
STATEMENTS_MAX = 500
"""More than there are named queries: each is planned a few times, then its plan is kept."""

_CONFLICTS = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)
_NETWORK: dict[str, Any] = {
    # A dead network path must not hold a worker for the kernel's default of many minutes.
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

log = logging.getLogger(__name__)


class OutcomeUnknown(Exception):
    """The connection was lost during COMMIT: the transaction may have happened or not. Read back before repeating."""


class ErrorSwallowed(Exception):
    """A transaction function caught a database error without a savepoint; nothing of it was committed."""


class Hints(Protocol):
    """What carries hints between processes in place of LISTEN and NOTIFY: a simulation's own, in process."""

    def tell(self, channel: str, payload: str) -> None:
        """Called after the commit of what it is about."""

    def listen(self, channel: str, callback: Callable[[str], object]) -> None:
        """Call back for each hint from now on."""


class ReadTx:
    """A transaction that may only read. Parameters are the query's %(name)s.

    With `moment` time stands still there for `app_now()`; who does not ask for the time pays nothing for that.
    """

    def __init__(
        self, connection: psycopg.Connection, seal: Seal | None = None, *, moment: str | None = None
    ) -> None:  # fmt: skip
        self._connection = connection
        self._seal = seal
        self._moment = moment
        self._told = moment is None

    @property
    def seal(self) -> Seal:
        """What closes and opens stored bodies. Raises RuntimeError when the store was opened without keys."""
        if self._seal is None:
            raise RuntimeError("stored bodies need a key, and this store was opened without one")
        return self._seal

    def all(self, query: Query, /, **params: Any) -> list[Row]:
        """Every row."""
        return self._execute(query, params).fetchall()

    def one(self, query: Query, /, **params: Any) -> Row | None:
        """The first row, or None."""
        return self._execute(query, params).fetchone()

    def value(self, query: Query, /, **params: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.one(query, **params)
        return None if row is None else row[0]

    def _execute(self, query: Query, params: Mapping[str, Any]) -> psycopg.Cursor[Row]:
        if not self._told and "app_now" in query.text:
            self._connection.execute("SELECT set_config('sellable.now', %s, false)", [self._moment])
            self._told = True
        prepare = False if query.planned_anew else None
        return self._connection.cursor(row_factory=namedtuple_row).execute(query.text.encode(), params, prepare=prepare)


class Tx(ReadTx):
    """A transaction that may write."""

    def __init__(
        self, connection: psycopg.Connection, seal: Seal | None = None, *,
        hints: Hints | None = None, moment: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(connection, seal, moment=moment)
        self._hints = hints
        self.committed_hooks: list[Callable[[], object]] = []
        self._gathered: list[tuple[Callable[[Tx, list[Any]], object], Any]] = []
        self._gathered_early: list[tuple[Callable[[Tx, list[Any]], object], Any]] = []
        self._notices: list[tuple[str, str]] = []

    def run(self, query: Query, /, **params: Any) -> int:
        """Execute and return the number of rows touched."""
        return self._execute(query, params).rowcount

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what is done inside when it raises; the exception goes on."""
        lists: tuple[list[Any], ...] = (
            self.committed_hooks, self._gathered, self._gathered_early, self._notices
        )  # fmt: skip
        before = [len(one) for one in lists]
        try:
            with self._connection.transaction():
                yield
        except BaseException:
            self._told = self._moment is None
            for one, length in zip(lists, before, strict=True):
                del one[length:]
            raise

    def gather(self, fn: Callable[[Tx, list[T]], object], value: T, *, early: bool = False) -> None:
        """Before the commit, call `fn` once with every value given for it, in order: many small writes become one.

        What is gathered `early` comes before the rest: rows that others lock before what the rest locks.
        """
        (self._gathered_early if early else self._gathered).append((fn, value))

    def notify(self, channel: str, payload: str = "") -> None:
        """Wake listeners of a channel when this commits. A hint: it may be lost, equal ones are merged."""
        self._notices.append((channel, payload))

    def notified(self, channel: str) -> None:
        """A statement of this transaction has woken a channel's listeners itself; hints in process are told besides."""
        if self._hints is not None:
            self.after_commit(partial(self._hints.tell, channel, ""))

    def finish(self) -> None:
        """Write what was gathered; the store calls it before the commit."""
        while self._gathered_early or self._gathered:
            work: dict[Callable[[Tx, list[Any]], object], list[Any]] = {}
            for fn, value in [*self._gathered_early, *self._gathered]:
                work.setdefault(fn, []).append(value)
            self._gathered_early.clear()
            self._gathered.clear()
            for fn, values in work.items():
                fn(self, values)
        notices = list(dict.fromkeys(self._notices))
        self._notices.clear()
        if self._hints is not None:
            for channel, payload in notices:
                self.after_commit(partial(self._hints.tell, channel, payload))
        elif notices:
            channels, payloads = zip(*notices, strict=True)
            self._connection.execute(
                "SELECT pg_notify(c, p) FROM unnest(%s::text[], %s::text[]) AS t (c, p)",
                [list(channels), list(payloads)],
            )

    def after_commit(self, fn: Callable[[], object]) -> None:
        """Call `fn` after the commit: on the event loop for `write`, on the same thread for `write_now`.

        A hint only, lost when the process dies; what must happen is a row.
        """
        self.committed_hooks.append(fn)


class Store:
    """A PostgreSQL database behind `threads` connections; `seal` is what stored bodies are closed and opened with.
    With `hints` those carry what LISTEN and NOTIFY would.

    Besides a function's own errors, reads and writes raise psycopg.OperationalError when the database stays away
    and psycopg errors of a conflict that outlived 5 tries.
    """

    def __init__(
        self, url: str, clock: Clock, *, threads: int = 4, seal: Seal | None = None, hints: Hints | None = None
    ) -> None:
        self.url = url
        self.clock = clock
        self.seal = seal
        self._hints = hints
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="store")
        # Last in, first out: a quiet service keeps using the one warm connection.
        self._links: queue.LifoQueue[_Link] = queue.LifoQueue()
        for _ in range(threads):
            self._links.put(_Link(url, clock, seal, hints))
        self._jitter = secrets.SystemRandom().random
        self._ears: _Ears | None = None

    async def write(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run fn(tx, ...) in one READ COMMITTED transaction on a worker thread and return its result once committed.

        Conflicts and connections lost before COMMIT are tried again; raises OutcomeUnknown for one lost during it.
        Cancelling the caller does not stop a transaction under way.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._write, lambda tx: fn(tx, *args, **kwargs), loop.call_soon_threadsafe
        )

    async def write_alone(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` for a function that sends one statement, which commits by itself: one round trip, not three.

        A connection lost meanwhile is tried again too, so the statement must be harmless when it is done twice.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, self._write, lambda tx: fn(tx, *args, **kwargs), loop.call_soon_threadsafe, True
        )

    async def read(self, fn: Callable[Concatenate[ReadTx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run fn(tx, ...) on a worker thread against one snapshot (READ ONLY, REPEATABLE READ)."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._read, lambda tx: fn(tx, *args, **kwargs))

    async def ask(self, query: Query, **params: Any) -> list[Row]:
        """The rows of one statement that reads, without a transaction around it: one round trip, not three."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._persist, lambda link: link.ask(query, params))

    def write_now(self, fn: Callable[Concatenate[Tx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` on the calling thread, for the command line."""
        return self._write(lambda tx: fn(tx, *args, **kwargs), lambda hook: hook())

    def read_now(self, fn: Callable[Concatenate[ReadTx, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`read` on the calling thread, for the command line."""
        return self._read(lambda tx: fn(tx, *args, **kwargs))

    async def listen(self, channel: str, callback: Callable[[str], object]) -> None:
        """Call `callback(payload)` on this event loop for each notification of a channel until the store is closed.

        A hint only. After each connect it is called with "" because something may have been missed. Returns when
        listening, or after 5 s while the database is away (it keeps trying).
        """
        if self._hints is not None:
            self._hints.listen(channel, callback)
            callback("")
            return
        if self._ears is None or self._ears.deaf:
            self._ears = _Ears(self.url)
        await self._ears.add(channel, callback)

    def close(self) -> None:
        """Stop listening, finish what runs, close the connections."""
        if self._ears is not None:
            self._ears.close()
        self._threads.shutdown()
        while not self._links.empty():
            self._links.get().close()

    def _write(self, work: Callable[[Tx], T], call: Callable[[Callable[[], object]], object], alone: bool = False) -> T:
        result, hooks = self._persist(lambda link: link.write_alone(work) if alone else link.write(work))
        for hook in hooks:
            call(hook)
        return result

    def _read(self, work: Callable[[ReadTx], T]) -> T:
        return self._persist(lambda link: link.read(work))

    def _persist(self, attempt: Callable[[_Link], T]) -> T:
        """Try up to 5 times with growing, jittered pauses."""
        for tried in range(1, TRIES + 1):
            link = self._links.get()
            try:
                return attempt(link)
            except _CONFLICTS:
                pause = CONFLICT_PAUSE_SECONDS
                if tried == TRIES:
                    raise
            except psycopg.OperationalError as error:
                pause = LOST_PAUSE_SECONDS
                if link.alive or tried == TRIES:
                    raise
                log.warning("database connection lost, trying again: %s", type(error).__name__)
            finally:
                self._links.put(link)
            time.sleep(pause * 2 ** (tried - 1) * (0.5 + self._jitter()))
        raise AssertionError("unreachable: the last try returns or raises")


class _Link:
    """One connection, opened when first needed and again after a loss, that carries the clock's session settings."""

    def __init__(self, url: str, clock: Clock, seal: Seal | None, hints: Hints | None) -> None:
        self._url = url
        self._clock = clock
        self._seal = seal
        self._hints = hints
        self._connection: psycopg.Connection | None = None
        self._told: dict[str, str] = {}

    @property
    def alive(self) -> bool:
        return self._connection is not None and not self._connection.closed

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def write(self, work: Callable[[Tx], T]) -> tuple[T, Sequence[Callable[[], object]]]:
        connection = self._ready(psycopg.IsolationLevel.READ_COMMITTED, read_only=False)
        tx = self._tx(connection)
        with _undone_on_error(connection):
            result = work(tx)
            tx.finish()
            if connection.info.transaction_status == TransactionStatus.INERROR:
                # PostgreSQL answers COMMIT of a failed transaction with a quiet rollback: never report it as done.
                raise ErrorSwallowed("a database error was caught inside the transaction without a savepoint")
            try:
                connection.commit()
            except psycopg.OperationalError as error:
                # A server that is shut down says so before the connection breaks; asking again shows the break.
                with contextlib.suppress(psycopg.Error):
                    connection.rollback()
                if connection.closed:
                    raise OutcomeUnknown("connection lost during COMMIT") from error
                raise
        return result, tx.committed_hooks

    def read(self, work: Callable[[ReadTx], T]) -> T:
        connection = self._ready(psycopg.IsolationLevel.REPEATABLE_READ, read_only=True)
        with _undone_on_error(connection):
            result = work(ReadTx(connection, self._seal, moment=self._clock.stopped_at()))
            # Not a rollback: at each of those the driver forgets every statement it has prepared.
            connection.commit()
        return result

    def ask(self, query: Query, params: Mapping[str, Any]) -> list[Row]:
        with self._alone(read_only=True) as connection:
            return ReadTx(connection, moment=self._clock.stopped_at()).all(query, **params)

    def write_alone(self, work: Callable[[Tx], T]) -> tuple[T, Sequence[Callable[[], object]]]:
        with self._alone(read_only=False) as connection:
            tx = self._tx(connection)
            result = work(tx)
            tx.finish()
        return result, tx.committed_hooks

    def _tx(self, connection: psycopg.Connection) -> Tx:
        return Tx(connection, self._seal, hints=self._hints, moment=self._clock.stopped_at())

    @contextlib.contextmanager
    def _alone(self, *, read_only: bool) -> Iterator[psycopg.Connection]:
        """The connection while each statement is a transaction of its own."""
        connection = self._ready(psycopg.IsolationLevel.READ_COMMITTED, read_only=read_only)
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False

    def _ready(self, isolation: psycopg.IsolationLevel, *, read_only: bool) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection, self._told = _connect(self._url), {}
        connection = self._connection
        settings = self._clock.settings()
        if settings != self._told:
            # An accelerated clock is told once, one with a dial when somebody has turned it.
            connection.execute(
                "SELECT set_config(n, v, false) FROM unnest(%s::text[], %s::text[]) AS t (n, v)",
                [list(settings), list(settings.values())],
            )
            connection.commit()
            self._told = settings
        if (connection.isolation_level, connection.read_only) != (isolation, read_only):
            connection.isolation_level, connection.read_only = isolation, read_only
        return connection


class _Ears:
    """One connection that listens, and connects again when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._callbacks: dict[str, list[Callable[[str], object]]] = {}
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()

    @property
    def deaf(self) -> bool:
        """The event loop these callbacks belonged to is gone."""
        return self._loop.is_closed()

    async def add(self, channel: str, callback: Callable[[str], object]) -> None:
        self._callbacks.setdefault(channel, []).append(callback)
        self.close()
        self._ready.clear()
        self._task = asyncio.create_task(self._keep_listening(), name="database listener")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ready.wait(), LISTEN_READY_SECONDS)

    def close(self) -> None:
        if self._task is not None and not self.deaf:
            self._task.cancel()

    async def _keep_listening(self) -> None:
        pause = LOST_PAUSE_SECONDS
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, application_name="sellable listener", **_NETWORK
                ) as connection:
                    for channel in self._callbacks:
                        await connection.execute(psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(channel)))
                    pause = LOST_PAUSE_SECONDS
                    self._hear(self._callbacks, "")
                    self._ready.set()
                    async for notice in connection.notifies():
                        self._hear([notice.channel], notice.payload)
            except psycopg.OperationalError as error:
                log.warning("database listener lost, connecting again: %s", type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LISTEN_READY_SECONDS)

    def _hear(self, channels: Iterable[str], payload: str) -> None:
        for channel in channels:
            for callback in self._callbacks[channel]:
                callback(payload)


@contextlib.contextmanager
def _undone_on_error(connection: psycopg.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        # The error itself is what matters; a connection that cannot even roll back is replaced before its next use.
        with contextlib.suppress(psycopg.Error):
            connection.rollback()
        raise


class _ArrayDumper(Dumper):
    """A list as the text of an array. Every statement casts its arrays, so the text is enough.

    The library's own dumper finds out the type of each element, which took a fifth of our processor time under load.
    """

    def get_key(self, obj: list[Any], format: PyFormat) -> DumperKey:
        """Bytes go another way, where the first is no None."""
        return (list, bytes) if obj and type(obj[0]) is bytes else list

    def upgrade(self, obj: list[Any], format: PyFormat) -> Dumper:
        """For an array of bytes."""
        return _BytesDumper(list)

    def dump(self, obj: list[Any]) -> bytes:
        """Elements are text, numbers, instants, bytes, booleans or None. Raises DataError for text with a NUL."""
        text = _texts(obj) or "{" + ",".join([_element(each) for each in obj]) + "}"
        if "\x00" in text:
            raise psycopg.DataError("PostgreSQL text cannot hold NUL")
        return text.encode()


class _BytesDumper(Dumper):
    """A list of bytes as a binary array. As text it would be twice as long, and read character by character there."""

    format = psycopg.pq.Format.BINARY
    oid = psycopg.postgres.types["bytea"].array_oid

    def dump(self, obj: list[bytes | None]) -> bytes:
        """PostgreSQL's form: dimensions, may hold NULLs, type, length, lower bound; then each after its length."""
        parts = [struct.pack("!5i", 1, 1, psycopg.postgres.types["bytea"].oid, len(obj), 1)]
        for each in obj:
            parts += (b"\xff\xff\xff\xff",) if each is None else (len(each).to_bytes(4, "big"), each)
        return b"".join(parts)


def _texts(obj: list[Any]) -> str | None:
    """The array of texts that need no escape, written in one go; None of anything else."""
    try:
        text = '","'.join(obj)
    except TypeError:
        return None
    plain = obj and "\\" not in text and text.count('"') == 2 * (len(obj) - 1)
    return f'{{"{text}"}}' if plain else None


def _element(value: Any) -> str:
    match value:
        case str():
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        case None:
            return "NULL"
        case bytes():
            return '"\\\\x' + value.hex() + '"'
        case _:
            return str(value)


def _connect(url: str) -> psycopg.Connection:
    connection = psycopg.connect(url, application_name="sellable", **_NETWORK)
    connection.adapters.register_dumper(list, _ArrayDumper)
    connection.prepared_max = STATEMENTS_MAX
    for name, seconds in {
        "lock_timeout": LOCK_SECONDS,
        "statement_timeout": STATEMENT_SECONDS,
        # A process that was paused in a transaction must not hold its locks until it wakes.
        "idle_in_transaction_session_timeout": IDLE_SECONDS,
    }.items():
        connection.execute("SELECT set_config(%s, %s, false)", [name, f"{round(seconds * 1000)}ms"])
    connection.execute("SELECT set_config('timezone', 'UTC', false)")
    connection.commit()
    return connection
