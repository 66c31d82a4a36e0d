from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect
from django.template import engines
from django.templatetags.static import static
from django.urls import path, reverse


def where(request):
    return JsonResponse(
        {
            "SCRIPT_NAME": request.META["SCRIPT_NAME"],
            "path": request.path,
            "path_info": request.path_info,
            "full": request.get_full_path(),
            "absolute": request.build_absolute_uri(),
            "reverse": reverse("item", args=[7]),
            "static": static("admin/css/base.css"),
            "template": engines["django"]
            .from_string("{% load static %}{% url 'item' 7 %} {% static 'a.css' %}")
            .render({}, request),
        }
    )


def item(request, number):
    return HttpResponse(f"item {number}")


def go(request):
    return redirect("item", 7)


def form(request):
    if request.method == "POST":
        return HttpResponse(f"got {request.POST['word']}")
    return HttpResponse(get_token(request))


urlpatterns = [
    path("where/", where),
    path("item/<int:number>/", item, name="item"),
    path("go/", go),
    path("form/", form),
    path("private/", login_required(item), {"number": 1}),
    path("private-by-path/", login_required(item, login_url="/admin/login/"), {"number": 1}),
    path("admin/", admin.site.urls),
]
