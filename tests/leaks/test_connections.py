"""What else can hold connections is read from settings, as far as they say it."""

import os
import subprocess
import sys

import pytest

from freedom_middleware.leaks.connections import Database, held_elsewhere, servers


def said(folder, environ=None):
    return [str(server) for server in servers(folder, environ or {})]


class TestGunicorn:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("workers = 4\nthreads = 32", "4 processes x 32 threads, so 128 requests"),
            ("", "1 process x 1 thread, so 1 request at a time."),
            (
                "workers = some_function()",
                "? processes x 1 thread; the rest is computed when it",
            ),
            ("workers = 2\nworker_class = 'gevent'", "2 processes x 1000 greenlets, so 2000"),
            (
                "workers = 3\nworker_class = 'eventlet'\nworker_connections = 50",
                "3 processes x 50 greenlets, so 150 requests",
            ),
            ("workers = 1 + 2 * 3", "7 processes x 1 thread"),
            ("workers = 'two' + 1", "? processes"),
            ("workers = 7 - 1", "? processes"),
        ],
    )
    def test_its_file_is_read(self, tmp_path, text, says):
        (tmp_path / "gunicorn.conf.py").write_text(text)

        [line] = said(tmp_path)

        assert line.startswith("gunicorn (gunicorn.conf.py): ")
        assert says in line

    def test_the_usual_sum_of_processors_is_understood(self, tmp_path):
        (tmp_path / "gunicorn.conf.py").write_text(
            "import multiprocessing\nworkers = multiprocessing.cpu_count() * 2 + 1"
        )

        assert f": {2 * os.cpu_count() + 1} processes" in said(tmp_path)[0]

    @pytest.mark.parametrize(
        ("environ", "says"),
        [
            ({"WEB_CONCURRENCY": "3"}, "(WEB_CONCURRENCY): 3 processes x 1 thread"),
            ({"WEB_CONCURRENCY": "many"}, "(WEB_CONCURRENCY): ? processes"),
            ({"GUNICORN_CMD_ARGS": "-w 2 --threads=8"}, "CMD_ARGS): 2 processes x 8 threads"),
            ({"GUNICORN_CMD_ARGS": "-k gevent --worker-connections 9"}, "x 9 greenlets"),
            ({"GUNICORN_CMD_ARGS": "--bind :80"}, None),
            ({"GUNICORN_CMD_ARGS": "'"}, None),
            ({"GUNICORN_CMD_ARGS": "--workers"}, None),
            ({}, None),
        ],
    )
    def test_so_are_its_variables(self, tmp_path, environ, says):
        lines = said(tmp_path, environ)

        assert says in lines[0] if says else lines == []

    def test_the_variable_wins_over_the_file_and_names_another(self, tmp_path):
        (tmp_path / "gunicorn.conf.py").write_text("workers = 4")
        (tmp_path / "production.py").write_text("workers, threads = 5, 5\nthreads = 6")

        assert ": 9 processes" in said(tmp_path, {"GUNICORN_CMD_ARGS": "-w 9"})[0]
        assert said(tmp_path, {"GUNICORN_CMD_ARGS": "-c production.py"}) == [
            "gunicorn (production.py): 1 process x 6 threads, so 6 requests at a time."
        ]


class TestUwsgi:
    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("processes = 4\nthreads = 2", "4 processes x 2 threads, so 8 requests"),
            ("workers = 3\nmaster", "3 processes x 1 thread, so 3"),
            ("gevent = 100\nthreads = 2", "1 process x 100 greenlets, so 100"),
            ("processes = %k", "? processes x 1 thread"),
            ("processes = 1\nprocesses = 2", "2 processes"),
        ],
    )
    def test_its_ini_is_read(self, tmp_path, text, says):
        (tmp_path / "site.ini").write_text(f"[uwsgi]\n{text}\n")

        [line] = said(tmp_path)

        assert line.startswith("uWSGI (site.ini): ")
        assert says in line

    @pytest.mark.parametrize("text", ["[pytest]\nx = 1", "no section", b"[uwsgi]\nx=\xff"])
    def test_another_ini_is_passed_over(self, tmp_path, text):
        (tmp_path / "other.ini").write_bytes(text if isinstance(text, bytes) else text.encode())

        assert said(tmp_path) == []


ASK = """
import os, sys
from pathlib import Path
from django.conf import settings
settings.configure(DATABASES={databases})
settings.DATABASES
from freedom_middleware.leaks.connections import databases, held_elsewhere
for database in databases():
    print(database)
for heading, items in held_elsewhere(Path.cwd(), os.environ):
    print(heading, *items, sep="\\n")
assert "django.db" not in sys.modules
"""


def ask(folder, databases, **environ):
    """Ask in a process that has such a site."""
    done = subprocess.run(
        [sys.executable, "-c", ASK.replace("{databases}", repr(databases))],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env={**os.environ, **environ},
    )
    return done.stdout


POSTGRES = {"ENGINE": "django.db.backends.postgresql"}


class TestDatabases:
    def test_one_connection_for_each_request_at_a_time(self, tmp_path):
        told = ask(tmp_path, {"default": POSTGRES}, GUNICORN_CMD_ARGS="-w 4 --threads 32")

        assert (
            "Database 'default' (PostgreSQL): up to 128 connections from gunicorn"
            " (GUNICORN_CMD_ARGS), one for each request at a time; it takes 100 unless it was"
            " told otherwise (SHOW max_connections). That is too many.\n"
        ) in told
        assert "CONN_MAX_AGE" not in told
        assert "SELECT state, count(*) FROM pg_stat_activity GROUP BY state" in told

    def test_few_are_not_too_many(self, tmp_path):
        told = ask(tmp_path, {"default": POSTGRES}, GUNICORN_CMD_ARGS="-w 4 --threads 25")

        assert "up to 100 connections" in told
        assert "too many" not in told

    @pytest.mark.parametrize(
        ("age", "says"),
        [
            (None, "CONN_MAX_AGE = None keeps a connection in each thread, for good.\n"),
            (60, "CONN_MAX_AGE = 60 keeps a connection in each thread, for 60 seconds, and"),
        ],
    )
    def test_what_is_kept_is_said(self, tmp_path, age, says):
        assert says in ask(tmp_path, {"default": POSTGRES | {"CONN_MAX_AGE": age}})

    def test_greenlets_keep_what_nobody_uses_again(self, tmp_path):
        told = ask(
            tmp_path,
            {"default": POSTGRES | {"CONN_MAX_AGE": 60}},
            GUNICORN_CMD_ARGS="-k gevent",
        )

        assert "keeps is not used again. Set it to 0." in told

    @pytest.mark.parametrize(
        ("pool", "most"),
        [(True, 4), ({"max_size": 10}, 10), ({"min_size": 2}, 2), ({"max_size": None}, 4)],
    )
    def test_a_pool_counts_for_each_process(self, tmp_path, pool, most):
        database = POSTGRES | {"OPTIONS": {"pool": pool}}

        told = ask(tmp_path, {"default": database}, GUNICORN_CMD_ARGS="-w 4 --threads 9")

        assert f"up to {4 * most} connections from gunicorn" in told
        assert f"a pool of {most} in each process" in told

    def test_each_database_is_told_and_one_without_limit_is_not(self, tmp_path):
        told = ask(
            tmp_path,
            {
                "default": {"ENGINE": "django.db.backends.sqlite3"},
                "shop": {"ENGINE": "django.db.backends.mysql"},
                "old": {"ENGINE": "django.db.backends.oracle"},
                "none": {},
            },
            GUNICORN_CMD_ARGS="--workers some",
        )

        first, second = told.splitlines()[:2]
        assert first == repr(
            Database("shop", "MySQL", 151, "SHOW VARIABLES LIKE 'max_connections'", 0, None)
        )
        assert "alias='old', product='Oracle', limit=None" in second
        assert "SHOW PROCESSLIST" in told

    def test_what_is_computed_is_not_guessed(self, tmp_path):
        told = ask(tmp_path, {"default": POSTGRES}, WEB_CONCURRENCY="many")

        assert "up to" not in told

    def test_where_nothing_is_known_that_is_said(self, tmp_path):
        told = ask(tmp_path, {"old": {"ENGINE": "django.db.backends.oracle"}})

        assert "How many requests are served at a time is not known here" in told
        assert "Database 'old' (Oracle): SHOW PARAMETER sessions says how many" in told


def test_without_a_framework_there_is_nothing_of_databases(tmp_path):
    [(_, held), (_, following)] = held_elsewhere(tmp_path, {})

    assert len(held) == len(following) == 2
