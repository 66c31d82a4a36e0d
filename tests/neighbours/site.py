"""A Freedom site in one module, for tests within the process: settings, routes and views."""

import io
import os

from django.db import connection
from django.http import FileResponse, HttpResponse, StreamingHttpResponse
from django.urls import path

SECRET_KEY = "a test's"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["SITE_DATABASE"]}
}
USE_TZ = True


def page(request):
    return HttpResponse([b"one,", b"two"], content_type="text/plain")


def stream(request):
    return StreamingHttpResponse(iter([b"one,", b"two"]), content_type="text/plain")


def file(request):
    return FileResponse(io.BytesIO(b"one,two"), content_type="text/plain")


def rows(request):
    """Stream a query that is still running while the response is sent."""

    def stream():
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10000)"
                " SELECT i FROM n"
            )
            while row := cursor.fetchone():
                yield f"{row[0]}\n"

    return StreamingHttpResponse(stream(), content_type="text/plain")


urlpatterns = [
    path("rows", rows),
    path("page", page),
    path("stream", stream),
    path("file", file),
]
