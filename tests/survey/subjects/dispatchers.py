"""What chooses among applications, and the mounts of frameworks."""

import importlib

from tests.leaks import layers

from .registry import Sends, Subject

subject = Subject("Dispatchers and mounts")

subject.of("Werkzeug", "DispatcherMiddleware")(layers.dispatcher)
subject.of("Paste", "URLMap")(layers.urlmap)
subject.of("Paste", "Cascade of one")(layers.paste_cascade)
subject.of("WebOb", "wsgify.middleware")(layers.wsgify)
subject.of("cheroot", "PathInfoDispatcher")(layers.cheroot)
subject.wraps("CherryPy", "cherrypy._cpwsgi:VirtualHost")
subject.wraps("CherryPy", "cherrypy._cpwsgi:InternalRedirector")


def not_found(environ, start_response):
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"not here"]


@subject.of("Paste", "Cascade")
def cascade(application):
    from paste.cascade import Cascade

    return Cascade([not_found, application])


@subject.of("Paste", "Cascade, refused by it")
def cascade_before(application):
    from paste.cascade import Cascade

    return Cascade([application, not_found])


@subject.of("Flask", "with DispatcherMiddleware in wsgi_app")
def flask_dispatcher(application):
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    site = Flask("site", root_path="/")
    site.wsgi_app = DispatcherMiddleware(application, {"/site": site.wsgi_app})
    return site


@subject.of("Flask", "a wrapped wsgi_app")
def flask_wrapped(application):
    from flask import Flask
    from werkzeug.middleware.proxy_fix import ProxyFix

    site = Flask("site", root_path="/")
    site.wsgi_app = ProxyFix(application)
    return site


@subject.of("Werkzeug", "Response.from_app in a view of Flask")
def flask_view(application):
    from flask import Flask, request
    from werkzeug.wrappers import Response

    site = Flask("site", root_path="/")

    @site.route("/", methods=["GET", "POST"])
    def view():
        return Response.from_app(application, request.environ)

    return site


@subject.of("Werkzeug", "Response.from_app")
def werkzeug_request(application):
    from werkzeug.wrappers import Request, Response

    @Request.application
    def view(request):
        return Response.from_app(application, request.environ)

    return view


@subject.of("Werkzeug", "Response.from_app(buffered=True)")
def werkzeug_buffered(application):
    from werkzeug.wrappers import Request, Response

    @Request.application
    def view(request):
        return Response.from_app(application, request.environ, buffered=True)

    return view


@subject.of("bottle", "mount")
def bottle_mount(application):
    import bottle

    site = bottle.Bottle()
    site.mount("/inside/", application)
    return Sends(site, PATH_INFO="/inside/")


@subject.of("bottle", "an application as the body of a view")
def bottle_view(application):
    import bottle

    site = bottle.Bottle()

    @site.route("/", method=["GET", "POST"])
    def view():
        response = bottle.HTTPResponse()

        def start_response(status, headers, exc_info=None):
            response.status = status
            for name, value in headers:
                response.add_header(name, value)
            return lambda data: None

        response.body = application(bottle.request.environ, start_response)
        return response

    return site


def pyramid_with(wrap, application):
    from pyramid.config import Configurator

    with Configurator() as config:
        config.add_route("all", "/*subpath")
        config.add_view(wrap(application), route_name="all")
        return config.make_wsgi_app()


@subject.of("pyramid", "wsgiapp")
def pyramid_wsgiapp(application):
    from pyramid.wsgi import wsgiapp

    return pyramid_with(wsgiapp, application)


@subject.of("pyramid", "wsgiapp2")
def pyramid_wsgiapp2(application):
    from pyramid.wsgi import wsgiapp2

    return pyramid_with(wsgiapp2, application)


@subject.of("CherryPy", "tree.graft")
def graft(application):
    from cherrypy._cptree import Tree

    tree = Tree()
    tree.graft(application, "")
    return tree


@subject.of("CherryPy", "wsgi.pipeline")
def pipeline(application):
    import cherrypy
    from cherrypy._cpwsgi import ExceptionTrapper, InternalRedirector

    assert cherrypy
    return ExceptionTrapper(InternalRedirector(application))


@subject.of("Routes", "RoutesMiddleware")
def routes(application):
    from routes import Mapper
    from routes.middleware import RoutesMiddleware

    mapper = Mapper()
    mapper.connect("home", "/", controller="home")
    return RoutesMiddleware(application, mapper)


@subject.of("selector", "Selector")
def selector(application):
    from selector import Selector

    return Selector([("/", {"GET": application, "POST": application, "HEAD": application})])


@subject.of("selector", "EnvironDispatcher")
def environ_dispatcher(application):
    from selector import EnvironDispatcher

    return EnvironDispatcher([(lambda environ: True, application)])


@subject.of("selector", "MiddlewareComposer")
def composer(application):
    from selector import MiddlewareComposer
    from werkzeug.middleware.proxy_fix import ProxyFix

    return MiddlewareComposer(application, [(lambda environ: True, ProxyFix)])


@subject.of("PasteDeploy", "a urlmap from an ini file")
def deployed(application):
    from paste.deploy.loadwsgi import loadapp

    import tests.survey.subjects.dispatchers as here

    here.deployed_application = application
    with open("site.ini", "w") as ini:
        ini.write(
            "[composite:main]\nuse = egg:Paste#urlmap\n/ = site\n\n"
            "[app:site]\npaste.app_factory = tests.survey.subjects.dispatchers:make_deployed\n"
        )
    return loadapp("config:site.ini", relative_to=".")


def make_deployed(global_conf):
    return deployed_application


deployed_application = None


@subject.of("PasteDeploy", "a pipeline from an ini file")
def deployed_pipeline(application):
    from paste.deploy.loadwsgi import loadapp

    import tests.survey.subjects.dispatchers as here

    here.deployed_application = application
    with open("pipeline.ini", "w") as ini:
        ini.write(
            "[pipeline:main]\npipeline = gzip evalerror site\n\n"
            "[filter:gzip]\nuse = egg:Paste#gzip\n\n"
            "[filter:evalerror]\nuse = egg:Paste#evalerror\n\n"
            "[app:site]\npaste.app_factory = tests.survey.subjects.dispatchers:make_deployed\n"
        )
    return loadapp("config:pipeline.ini", relative_to=".")


@subject.of("python-socketio", "WSGIApp")
def socketio(application):
    import socketio

    return socketio.WSGIApp(socketio.Server(async_mode="threading"), application)


@subject.of("python-engineio", "WSGIApp")
def engineio(application):
    import engineio

    return engineio.WSGIApp(engineio.Server(async_mode="threading"), application)


@subject.of("spyne", "WsgiMounter beside it")
def spyne(application):
    from spyne.util.wsgi_wrapper import WsgiMounter

    mounter = WsgiMounter({})
    mounter.mounts[""] = application
    return mounter


@subject.of("rutter", "URLMap")
def rutter(application):
    from rutter.urlmap import URLMap

    table = URLMap()
    table["/"] = application
    return table


@subject.of("Zope", "httpexceptions")
def zope(application):
    from ZPublisher.httpexceptions import HTTPExceptionHandler

    return HTTPExceptionHandler(application)


@subject.of("httpexceptor", "HTTPExceptor")
def httpexceptor(application):
    from httpexceptor import HTTPExceptor

    return HTTPExceptor(application)


@subject.of("TurboGears2", "StaticsMiddleware")
def tg_statics(application):
    from tg.support.middlewares import StaticsMiddleware

    return StaticsMiddleware(application, ".")


@subject.of("TurboGears2", "SeekableRequestBodyMiddleware")
def tg_seekable(application):
    from tg.support.middlewares import SeekableRequestBodyMiddleware

    return SeekableRequestBodyMiddleware(application)


class Session:
    """What SQLAlchemy's scoped session is to the middleware."""

    def remove(self):
        pass

    def close_all(self):
        pass


@subject.of("TurboGears2", "DBSessionRemoverMiddleware")
def tg_remover(application):
    from tg.support.middlewares import DBSessionRemoverMiddleware

    return DBSessionRemoverMiddleware(Session(), application)


@subject.of("TurboGears2", "MingSessionRemoverMiddleware")
def tg_ming(application):
    from tg.support.middlewares import MingSessionRemoverMiddleware

    return MingSessionRemoverMiddleware(Session(), application)


@subject.of("TurboGears2", "RegistryManager")
def tg_registry(application):
    from tg.support.registry import RegistryManager

    return RegistryManager(application)


@subject.of("TurboGears2", "RegistryManager(streaming)")
def tg_registry_streaming(application):
    from tg.support.registry import RegistryManager

    return RegistryManager(application, streaming=True)


for part in (
    "mw.debug_filter:WsgiDavDebugFilter",
    "mw.cors:Cors",
    "error_printer:ErrorPrinter",
):

    @subject.of("WsgiDAV", part.partition(":")[2])
    def wsgidav(application, part=part):
        module, _, name = part.partition(":")
        layer = getattr(importlib.import_module(f"wsgidav.{module}"), name)
        return layer(None, application, {"verbose": 1, "cors": {"allow_origin": "*"}})


@subject.of("pydap", "ServerSideFunctions")
def pydap(application):
    from pydap.wsgi.ssf import ServerSideFunctions

    return Sends(ServerSideFunctions(application), PATH_INFO="/data.dods")


subject.wraps("tiddlyweb", "tiddlyweb.web.wsgi:SimpleLog")
subject.wraps("tiddlyweb", "tiddlyweb.web.wsgi:TransformProtect")
subject.wraps("tiddlyweb", "tiddlyweb.web.wsgi:EncodeUTF8")
subject.wraps("tiddlyweb", "tiddlyweb.web.wsgi:PermissionsExceptor")
subject.wraps("tiddlyweb", "tiddlyweb.web.wsgi:Header")
subject.wraps("tiddlyweb", "tiddlyweb.web.query:Query")


@subject.of("tiddlyweb", "Negotiate")
def negotiate(application):
    from tiddlyweb.web.negotiate import Negotiate

    return Sends(Negotiate(application), **{"tiddlyweb.config": {"extension_types": {}}})
