"""Request bodies in a cascade at real servers: Django, then Flask, then Flask again."""

import hashlib
import os
from collections import Counter
from http.client import HTTPConnection

import pytest

from .harness import ANSWER_SECONDS

LIMIT = 4_000_000  # of tests/sites/uploads.py
BLOCK = 10_000

NOT_CHUNKED = {"uWSGI"}
"""It hands on no chunked body unless it is told to, and leaves it to the application."""

each_framing = pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])


def post(site, target, body, *, chunked=False):
    """Post *body*; return the status and what came back."""
    connection = HTTPConnection("127.0.0.1", site.port, timeout=ANSWER_SECONDS)
    headers = {"Connection": "close", "Content-Type": "application/octet-stream"}
    if chunked:
        blocks = (body[start : start + BLOCK] for start in range(0, len(body), BLOCK))
        headers["Transfer-Encoding"] = "chunked"
        connection.request("POST", target, blocks, headers, encode_chunked=True)
    else:
        connection.request("POST", target, body, headers)
    with connection.getresponse() as response:
        answer = response.status, response.read().decode()
    connection.close()
    return answer


def told(body):
    return 200, f"{len(body)} {hashlib.sha256(body).hexdigest()}"


class TestRequestBody:
    variant = "alone"

    @each_framing
    @pytest.mark.parametrize("read", ["nothing", "1000", "all"])
    @pytest.mark.parametrize("size", [10, 3_000_000])
    def test_the_last_sees_what_it_would_see_alone(self, site, watch, size, read, chunked):
        chunked = chunked and site.server.name not in NOT_CHUNKED
        body = os.urandom(size)

        alone = post(site, "/uploads/alone/upload/", body, chunked=chunked)
        answer = post(site, f"/uploads/upload/?read={read}", body, chunked=chunked)

        assert answer == alone == told(body)
        seen = Counter(event.what for event in watch.until_closed(4))
        assert seen == {"opened": 4, "closed": 4}

    @each_framing
    def test_above_the_limit(self, site, watch, chunked):
        chunked = chunked and site.server.name not in NOT_CHUNKED
        body = os.urandom(LIMIT + 1)

        assert post(site, "/uploads/upload/?read=nothing", body, chunked=chunked) == told(body)
        status, text = post(site, "/uploads/upload/?read=all", body, chunked=chunked)

        assert (status, text) == (413, "413 Content Too Large\n")
        seen = Counter(event.what for event in watch.until_closed(4))  # Django reads no chunks
        assert seen["opened"] == seen["closed"]


class TestHead:
    variant = "bare"

    def test_the_answer_of_get_without_its_body(self, site):
        get, head = site.get("/uploads/methods"), site.get("/uploads/methods", method="HEAD")

        assert (get.status, get.body) == (200, b"one chunk")
        assert (head.status, head.body) == (200, b"")
        assert dict(head.headers).get("Content-Length") in (None, "9")
