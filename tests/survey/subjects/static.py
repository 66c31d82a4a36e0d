"""What serves files itself and passes on the rest."""

from tests.leaks import layers

from .registry import Subject

subject = Subject("Files")

subject.of("Werkzeug", "SharedDataMiddleware")(layers.shared_data)
subject.of("whitenoise", "WhiteNoise")(layers.whitenoise)
subject.wraps("servestatic", "servestatic:ServeStatic")
subject.wraps("libsass", "sassutils.wsgi:SassMiddleware", {}, name="SassMiddleware")


def configured():
    from django.conf import settings

    if not settings.configured:
        settings.configure(
            DEBUG=True, STATIC_URL="/static/", STATIC_ROOT="static", SECRET_KEY="survey"
        )


@subject.of("Django", "StaticFilesHandler")
def static_files(application):
    configured()
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    return StaticFilesHandler(application)


@subject.of("dj-static", "Cling")
def dj_static(application):
    configured()
    from dj_static import Cling

    return Cling(application)


@subject.of("static3", "in a Cascade")
def static3(application):
    from paste.cascade import Cascade
    from static import Cling

    return Cascade([Cling("."), application])


@subject.of("web.py", "StaticMiddleware")
def webpy_static(application):
    from web.httpserver import StaticMiddleware

    return StaticMiddleware(application)


@subject.of("CherryPy", "a static mount beside it")
def cherrypy_static(application):
    import os

    import cherrypy
    from cherrypy._cptree import Tree

    tree = Tree()
    tree.mount(
        None, "/static", {"/": {"tools.staticdir.on": True, "tools.staticdir.dir": os.getcwd()}}
    )
    tree.graft(application, "")
    assert cherrypy
    return tree
