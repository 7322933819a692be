"""What outlives the process: the sync position, the session, and the legs to hang up at the next start."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
from typing import TYPE_CHECKING, Final

from sfu.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE_NAME: Final = "focus.sqlite3"
_LOCK_NAME: Final = "focus.lock"

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS legs (key TEXT PRIMARY KEY, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS olm_sessions (
    device_key TEXT, session_id TEXT, pickle TEXT NOT NULL, used INTEGER NOT NULL,
    PRIMARY KEY (device_key, session_id)
);
CREATE TABLE IF NOT EXISTS followed_rooms (room_id TEXT PRIMARY KEY, readers TEXT NOT NULL);
"""


class Store:
    """A small SQLite file. Writes are durable when a method returns: a killed focus must know its legs.

    It holds an access token and keys: nobody else may read it.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        # WAL with NORMAL survives the process being killed; only a power cut may lose the last writes,
        # which costs a redial (FULL would put an fsync of some ms into every join).
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.executescript(_SCHEMA)

    def fact(self, name: str) -> str | None:
        """A remembered fact, such as `since`."""
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_fact(self, name: str, value: str | None) -> None:
        """Remember a fact; None forgets it."""
        if value is None:
            self._connection.execute("DELETE FROM facts WHERE name = ?", (name,))
        else:
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def legs(self) -> Sequence[tuple[str, str]]:
        """All legs kept: (key, record), oldest first."""
        rows = self._connection.execute("SELECT key, record FROM legs ORDER BY rowid").fetchall()
        return [(str(key), str(record)) for key, record in rows]

    def set_leg(self, key: str, record: str) -> None:
        """Keep a leg."""
        self._connection.execute("INSERT OR REPLACE INTO legs VALUES (?, ?)", (key, record))

    def forget_leg(self, key: str) -> None:
        """Forget a leg that has ended."""
        self._connection.execute("DELETE FROM legs WHERE key = ?", (key,))

    def olm_sessions(self, device_key: str) -> Sequence[tuple[str, str]]:
        """Sessions with a device: (session id, pickle), the one used last first."""
        rows = self._connection.execute(
            "SELECT session_id, pickle FROM olm_sessions WHERE device_key = ? ORDER BY used DESC",
            (device_key,),
        ).fetchall()
        return [(str(session_id), str(pickle)) for session_id, pickle in rows]

    def set_olm_session(self, device_key: str, session_id: str, pickle: str) -> None:
        """Keep a session that was just used."""
        self._connection.execute(
            "INSERT OR REPLACE INTO olm_sessions "
            "VALUES (?, ?, ?, (SELECT COALESCE(MAX(used), 0) + 1 FROM olm_sessions))",
            (device_key, session_id, pickle),
        )

    def trim_olm_sessions(self, device_key: str, keep: int) -> None:
        """Forget the sessions with a device but for the `keep` used last."""
        self._connection.execute(
            "DELETE FROM olm_sessions WHERE device_key = ?1 AND session_id NOT IN "
            "(SELECT session_id FROM olm_sessions WHERE device_key = ?1 ORDER BY used DESC LIMIT ?2)",
            (device_key, keep),
        )

    def followed_rooms(self) -> Sequence[tuple[str, str]]:
        """The rooms that an application service follows: (room id, who can read it)."""
        rows = self._connection.execute(
            "SELECT room_id, readers FROM followed_rooms ORDER BY rowid"
        ).fetchall()
        return [(str(room_id), str(readers)) for room_id, readers in rows]

    def set_followed_room(self, room_id: str, readers: str) -> None:
        """Remember a room, and who can read it."""
        self._connection.execute("INSERT OR REPLACE INTO followed_rooms VALUES (?, ?)", (room_id, readers))

    def forget_followed_room(self, room_id: str) -> None:
        """Forget a room that is followed no more."""
        self._connection.execute("DELETE FROM followed_rooms WHERE room_id = ?", (room_id,))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


@contextlib.contextmanager
def open_store(folder: Path) -> Iterator[Store]:
    """The store of a data folder, for one process at a time.

    Raises:
        ConfigError: it can't be read or written, or another focus has it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Held by the open file: it ends with the process, however that ends.
        lock = (folder / _LOCK_NAME).open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"data_dir = {str(folder)!r}: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"data_dir = {str(folder)!r}: another focus is using it") from error
        try:
            store = Store(folder / FILE_NAME)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(f"data_dir = {str(folder)!r}: {FILE_NAME}: {error}") from error
        with contextlib.closing(store):
            yield store
