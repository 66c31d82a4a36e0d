from django.urls import path

from . import views

urlpatterns = [
    path("page/", views.page),
    path("stream/", views.stream),
    path("slow/", views.slow),
    path("file/", views.file),
    path("fail/", views.fail),
    path("fail-midway/", views.fail_midway),
    path("upload/", views.upload),
    path("straße/<name>/", views.where),
]
handler404 = views.not_found
