"""The pages of the example site: one read from SQLite, one streamed, one a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http import HttpRequest


def page(request: HttpRequest) -> HttpResponse:
    """Count the visits in SQLite."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS visit (path TEXT)")
        cursor.execute("INSERT INTO visit VALUES (%s)", [request.path])
        cursor.execute("SELECT count(*) FROM visit")
        visits = cursor.fetchone()[0]
    links = " ".join(
        f'<a href="{link}">{link}</a>' for link in ("stream", "file", "shop/", "api/")
    )
    return HttpResponse(f"<h1>A Freedom site</h1><p>Visit {visits}. {links}</p>\n")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Send many chunks, each made when it is asked for."""

    def chunks() -> Iterator[str]:
        for number in range(1000):
            yield f"chunk {number:>6} " + "." * 1000 + "\n"

    return StreamingHttpResponse(chunks(), content_type="text/plain")


def file(request: HttpRequest) -> FileResponse:
    """Send this very file."""
    return FileResponse(open(__file__, "rb"), content_type="text/plain")


urlpatterns = [path("", page), path("stream", stream), path("file", file)]
