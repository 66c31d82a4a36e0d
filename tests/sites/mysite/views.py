import time
from tempfile import TemporaryFile

import journal
from django.db import connection
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse

CHUNK = b"chunk " * 1000


def page(request):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'page '")
        (word,) = cursor.fetchone()
    return HttpResponse(word * (size_of(request) // len(word)))


def stream(request):
    return StreamingHttpResponse(chunks(size_of(request) // len(CHUNK)))


def slow(request):
    """Takes ten seconds, unless the server notices that the client has left."""
    return StreamingHttpResponse(chunks(1000, seconds=0.01))


def chunks(number, seconds=0):
    for _ in range(number):
        time.sleep(seconds)
        yield CHUNK
    journal.note("read whole")


def file(request):
    opened = TemporaryFile()  # noqa: SIM115 - the response closes it
    opened.truncate(size_of(request))
    return FileResponse(opened)


def size_of(request):
    return int(request.GET.get("size", 198_000))


def fail(request):
    raise RuntimeError("the view failed, as it was asked to")


def fail_midway(request):
    def fail_after_one_chunk():
        yield CHUNK
        raise RuntimeError("the stream failed, as it was asked to")

    return StreamingHttpResponse(fail_after_one_chunk())


def upload(request):
    """Reads as much of what is posted as the query says, and passes it on."""
    wanted = request.GET["read"]
    if wanted != "nothing":
        request.read(*[] if wanted == "all" else [int(wanted)])
    return HttpResponse(status=404)


def where(request, name):
    return JsonResponse(
        {
            "script_name": request.META["SCRIPT_NAME"],
            "path_info": request.path_info,
            "path": request.path,
            "name": name,
        }
    )


def not_found(request, exception):
    return HttpResponse(f"the site has no {request.path}", status=404)
