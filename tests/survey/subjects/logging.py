"""What writes down, counts or times requests."""

import io

from .registry import Subject

subject = Subject("Logging and counting")

subject.wraps("Paste", "paste.translogger:TransLogger", setup_console_handler=False)
subject.wraps("wsgilog", "wsgilog:WsgiLog", log=True, tostream=False)
subject.wraps("web.py", "web.httpserver:LogMiddleware")
subject.wraps(
    "oslo.middleware",
    "oslo_middleware.stats:StatsMiddleware",
    {
        "name": "survey",
        "stats_host": "127.0.0.1",
    },
)
subject.wraps("osprofiler", "osprofiler.web:WsgiMiddleware", "secret", enabled=True)


@subject.of("wsgi-request-logger", "WSGILogger")
def request_logger(application):
    from requestlogger import ApacheFormatter, WSGILogger

    return WSGILogger(application, [], ApacheFormatter())


@subject.of("prometheus-client", "a mount beside it")
def prometheus(application):
    from prometheus_client import make_wsgi_app
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    return DispatcherMiddleware(application, {"/metrics": make_wsgi_app()})


@subject.of("prometheus-flask-exporter", "around a replaced wsgi_app")
def prometheus_flask(application):
    from flask import Flask
    from prometheus_client import CollectorRegistry
    from prometheus_flask_exporter import PrometheusMetrics

    site = Flask("site", root_path="/")
    PrometheusMetrics(site, registry=CollectorRegistry())
    site.wsgi_app = application
    return site


@subject.of("WebOb", "wsgify.middleware that logs")
def wsgify_log(application):
    from webob.dec import wsgify

    @wsgify.middleware
    def logs(request, application, stream):
        response = request.get_response(application)
        stream.write(f"{request.path} {response.status}\n")
        return response

    return logs(stream=io.StringIO())(application)
