"""What else can hold connections: requests at a time, and what the settings say of databases.

Only what is written in files and variables is told; no server is asked, and no database.
"""

from __future__ import annotations

import argparse
import ast
import configparser
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from ..project import parse
from ..settings import PACKAGES, loaded_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Database", "Server", "databases", "held_elsewhere", "servers"]


class Server(NamedTuple):
    """How many requests a server takes at a time, as far as its settings say.

    Attributes:
        source: Where that is written.
        processes: How many; None if it is computed.
        threads: In each of them; None if it is computed.
        is_greenlets: They are greenlets, each with connections of its own.
    """

    source: str
    processes: int | None
    threads: int | None
    is_greenlets: bool = False

    @property
    def requests(self) -> int | None:
        """How many requests at a time."""
        if self.processes is None or self.threads is None:
            return None
        return self.processes * self.threads

    def __str__(self) -> str:
        what = "greenlet" if self.is_greenlets else "thread"
        parts = [
            f"{'?' if number is None else number} {name}{'' if number == 1 else ends}"
            for number, name, ends in (
                (self.processes, "process", "es"),
                (self.threads, what, "s"),
            )
        ]
        total = self.requests
        if total is None:
            return f"{self.source}: {' x '.join(parts)}; the rest is computed when it starts."
        requests = f"{total} request{'' if total == 1 else 's'}"
        return f"{self.source}: {' x '.join(parts)}, so {requests} at a time."


class Database(NamedTuple):
    """What the settings say of one database.

    Attributes:
        alias: Its name in DATABASES.
        product: ``"PostgreSQL"``, or another one.
        limit: How many connections it takes unless told otherwise; None if not known.
        ask: The statement that says how many it takes.
        max_age_seconds: CONN_MAX_AGE; None keeps connections for good.
        pool: The most connections that a pool makes in a process; None without a pool.
    """

    alias: str
    product: str
    limit: int | None
    ask: str
    max_age_seconds: float | None
    pool: int | None


def held_elsewhere(folder: Path, environ: Mapping[str, str]) -> list[tuple[str, list[str]]]:
    """Return what else can hold connections, and what to look at next: headings and items."""
    found = list(servers(folder, environ))
    held = [str(server) for server in found]
    if not found:
        held.append(
            "How many requests are served at a time is not known here: there is no"
            " gunicorn.conf.py, GUNICORN_CMD_ARGS, WEB_CONCURRENCY or uWSGI .ini. Each of them"
            " may hold a connection: processes x threads."
        )
    known = list(databases())
    for database in known:
        held += _about(database, found)
    held.append(
        "Whatever else connects counts too: management commands, task queues, other sites."
    )
    asks = dict.fromkeys(_LOOK[database.product] for database in known)
    following = [
        *asks,
        "Where a CloseGuard stands, freedom_middleware.leaks logs what it had to close.",
        "What no request for / comes to is reached with --path, once for each path.",
    ]
    return [
        ("What else can hold connections", held),
        ("If connections pile up all the same", following),
    ]


# -- servers --

_GREENLETS = ("gevent", "eventlet")


def servers(folder: Path, environ: Mapping[str, str]) -> Iterator[Server]:
    """Yield the servers whose settings are in *folder* and *environ*."""
    gunicorn = _gunicorn(folder, environ)
    if gunicorn:
        yield gunicorn
    for path in sorted(folder.glob("*.ini")):
        uwsgi = _uwsgi(path)
        if uwsgi:
            yield uwsgi


def _gunicorn(folder: Path, environ: Mapping[str, str]) -> Server | None:
    """Read what gunicorn reads, the strongest last: WEB_CONCURRENCY, its file, its variable."""
    arguments = _gunicorn_arguments(environ.get("GUNICORN_CMD_ARGS", ""))
    file = folder / (arguments.pop("config", None) or "gunicorn.conf.py")
    tree = parse(file)
    sources = [
        *(["WEB_CONCURRENCY"] if "WEB_CONCURRENCY" in environ else []),
        *([file.name] if tree else []),
        *(["GUNICORN_CMD_ARGS"] if arguments else []),
    ]
    if not sources:
        return None
    said: dict[str, Any] = {
        "workers": _whole(environ.get("WEB_CONCURRENCY", "1")),
        "threads": 1,
        "worker_class": "sync",
        "worker_connections": 1000,
    }
    for node in tree.body if tree else ():
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in said:
                said[name] = _evaluated(value)
    said |= arguments
    is_greenlets = any(name in str(said["worker_class"]) for name in _GREENLETS)
    threads = said["worker_connections" if is_greenlets else "threads"]
    workers = said["workers"]
    return Server(
        f"gunicorn ({', '.join(sources)})",
        workers if isinstance(workers, int) else None,
        threads if isinstance(threads, int) else None,
        is_greenlets,
    )


def _gunicorn_arguments(text: str) -> dict[str, Any]:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-w", "--workers")
    parser.add_argument("--threads")
    parser.add_argument("-k", "--worker-class")
    parser.add_argument("--worker-connections")
    parser.add_argument("-c", "--config")
    try:
        given, _ = parser.parse_known_args(shlex.split(text))
    except (ValueError, argparse.ArgumentError):
        return {}  # gunicorn will say so itself
    return {
        name: value if name in ("worker_class", "config") else _whole(value)
        for name, value in vars(given).items()
        if value is not None
    }


def _uwsgi(path: Path) -> Server | None:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read(path, "utf-8")
        section = parser["uwsgi"]
    except (configparser.Error, OSError, UnicodeError, KeyError):
        return None
    processes = section.get("processes") or section.get("workers") or "1"
    greenlets = section.get("gevent") or section.get("async")
    threads = greenlets or section.get("threads") or "1"
    return Server(f"uWSGI ({path.name})", _whole(processes), _whole(threads), bool(greenlets))


def _whole(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _evaluated(node: ast.expr) -> Any:
    """Return the value of a constant, or of a sum with the number of processors in it."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Call(func=ast.Attribute(attr="cpu_count"), args=[]):
            return os.cpu_count()
        case ast.BinOp(left=left, op=ast.Add() | ast.Mult() as operator, right=right):
            first, second = _evaluated(left), _evaluated(right)
            if isinstance(first, int) and isinstance(second, int):
                return first + second if isinstance(operator, ast.Add) else first * second
    return None


# -- databases --

_PRODUCTS = {
    "postgresql": ("PostgreSQL", 100, "SHOW max_connections"),
    "postgis": ("PostgreSQL", 100, "SHOW max_connections"),
    "mysql": ("MySQL", 151, "SHOW VARIABLES LIKE 'max_connections'"),
    "oracle": ("Oracle", None, "SHOW PARAMETER sessions"),
}

_LOOK = {
    "PostgreSQL": "SELECT state, count(*) FROM pg_stat_activity GROUP BY state: many 'idle' are"
    " kept by threads or programs, 'idle in transaction' is a transaction that nobody ended.",
    "MySQL": "SHOW PROCESSLIST: many 'Sleep' are kept by threads or programs.",
    "Oracle": "SELECT status, count(*) FROM v$session GROUP BY status.",
}

_POOL_SIZE = 4
"""What psycopg_pool makes if it is not told."""


def databases() -> Iterator[Database]:
    """Yield what the settings say of databases that have a limit, if a framework is loaded."""
    for package in PACKAGES:
        if loaded_settings(package) is None:
            continue
        settings: Any = sys.modules[f"{package}.conf"].settings
        for alias, entry in settings.DATABASES.items():
            engine = str(entry.get("ENGINE", "")).rpartition(".")[2]
            if engine not in _PRODUCTS:
                continue
            options = entry.get("OPTIONS") or {}
            pool = options.get("pool")
            if pool:
                sizes = pool if isinstance(pool, dict) else {}
                pool = sizes.get("max_size") or sizes.get("min_size", _POOL_SIZE)
            yield Database(
                alias, *_PRODUCTS[engine], entry.get("CONN_MAX_AGE", 0), pool or None
            )


def _about(database: Database, found: list[Server]) -> Iterator[str]:
    """Yield what the settings say about one database, in words."""
    name = f"Database {database.alias!r} ({database.product})"
    limit = f"{database.ask} says how many it takes"
    if database.limit is not None:
        limit = f"it takes {database.limit} unless it was told otherwise ({database.ask})"
    for server in found:
        number = server.processes if database.pool is not None else server.requests
        if number is None:
            continue
        most = number * (database.pool or 1)
        each = "one for each request at a time"
        if database.pool is not None:
            each = f"a pool of {database.pool} in each process"
        above = database.limit is not None and most > database.limit
        yield (
            f"{name}: up to {most} connections from {server.source}, {each};"
            f" {limit}.{' That is too many.' if above else ''}"
        )
    if not found:
        yield f"{name}: {limit}."
    age = database.max_age_seconds
    if database.pool is None and age != 0:
        kept = "for good" if age is None else f"for {age} seconds, and longer while it is idle"
        yield f"{name}: CONN_MAX_AGE = {age} keeps a connection in each thread, {kept}."
        if any(server.is_greenlets for server in found):
            yield (
                f"{name}: a greenlet serves one request and is gone, so what CONN_MAX_AGE"
                " keeps is not used again. Set it to 0."
            )
