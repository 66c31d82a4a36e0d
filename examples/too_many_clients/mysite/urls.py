from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    photo = request.body  # a slow line: the thread waits here, and holds no connection
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO photo (bytes) VALUES (%s)", [len(photo)])
        cursor.execute("SELECT pg_sleep(0.05)")  # stands for a query that takes its time
    cache.set("latest", len(photo))
    return HttpResponse("Thank you\n")


def home(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM photo")
        [photos] = cursor.fetchone()
    return HttpResponse(f"{photos} photos, the latest of {cache.get('latest')} bytes\n")


def ready(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Ready, without a database\n")


urlpatterns = [path("", home), path("upload", upload), path("ready", ready)]
