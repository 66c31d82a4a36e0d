"""What shows or keeps an error: in the browser, in a log, in a mail."""

import io
import os

from tests.leaks import layers
from tests.neighbours import layers as neighbours

from .registry import Subject

subject = Subject("Debuggers and error pages")

subject.of("Werkzeug", "DebuggedApplication")(neighbours.werkzeug_debugger)
subject.wraps(
    "Werkzeug",
    "werkzeug.debug:DebuggedApplication",
    evalex=True,
    name="DebuggedApplication(evalex=True)",
)
subject.of("Werkzeug", "ProfilerMiddleware")(layers.profiler)
subject.wraps("Paste", "paste.evalexception:EvalException")
subject.wraps("Paste", "paste.exceptions.errormiddleware:ErrorMiddleware", {}, debug=True)
subject.wraps("Paste", "paste.cgitb_catcher:CgitbMiddleware", {}, name="CgitbMiddleware")
subject.wraps("Paste", "paste.cgitb_catcher:make_cgitb_middleware", {"debug": "true"})
subject.wraps("Paste", "paste.debug.prints:PrintDebugMiddleware")
subject.wraps("Paste", "paste.debug.profile:ProfileMiddleware")
subject.wraps("Paste", "paste.debug.wdg_validate:WDGValidateMiddleware")
subject.wraps(
    "Paste", "paste.errordocument:forward", codes={404: "/error"}, name="errordocument.forward"
)
subject.wraps("Paste", "paste.httpexceptions:HTTPExceptionHandler")
subject.wraps("repoze.debug", "repoze.debug.canary:CanaryMiddleware")
subject.wraps("repoze.debug", "repoze.debug.pdbpm:PostMortemDebug")
subject.wraps(
    "repoze.debug",
    "repoze.debug.responselogger:make_middleware",
    {},
    name="ResponseLoggingMiddleware",
)
subject.wraps("repoze.errorlog", "repoze.errorlog:make_errorlog", {}, name="ErrorLog")
subject.wraps("repoze.profile", "repoze.profile.profiler:AccumulatingProfileMiddleware")
subject.wraps(
    "repoze.profile",
    "repoze.profile:ProfileMiddleware",
    unwind=True,
    name="ProfileMiddleware(unwind=True)",
)
subject.wraps("WebError", "weberror.evalexception:EvalException")
subject.wraps("WebError", "weberror.errormiddleware:ErrorMiddleware", {}, debug=False)
subject.wraps("WebError", "weberror.pdbcapture:PdbCapture")
subject.wraps("backlash", "backlash:DebuggedApplication")
subject.wraps("backlash", "backlash:TraceErrorsMiddleware", [], context_injectors=[])
subject.wraps("backlash", "backlash:TraceSlowRequestsMiddleware", [], context_injectors=[])


@subject.of("wsgi-lineprof", "LineProfilerMiddleware")
def lineprof(application):
    from wsgi_lineprof.middleware import LineProfilerMiddleware

    return LineProfilerMiddleware(application, stream=io.StringIO())


subject.wraps("linesman", "linesman.middleware:make_linesman_middleware", "linesman.db")
subject.wraps("Dozer", "dozer:Dozer")
subject.wraps("Dozer", "dozer:Logview")


@subject.of("Dozer", "Profiler")
def dozer_profiler(application):
    from dozer import Profiler

    os.makedirs("profiles", exist_ok=True)
    return Profiler(application, profile_path="profiles")


@subject.of("CherryPy", "profiler.make_app")
def cherrypy_profiler(application):
    from cherrypy.lib.profiler import make_app

    os.makedirs("profiles", exist_ok=True)
    return make_app(application, path="profiles")


@subject.of("CherryPy", "ExceptionTrapper")
def trapper(application):
    from cherrypy._cpwsgi import ExceptionTrapper

    return ExceptionTrapper(application)
