"""What changes the body on its way: gzip, rewriters, injectors."""

from .registry import Subject

subject = Subject("Compression and rewriting")

subject.wraps("Paste", "paste.gzipper:middleware", name="gzipper")
subject.wraps("Paste", "paste.gzipper:make_gzip_middleware", {}, name="make_gzip_middleware")
subject.wraps("Paste", "paste.pony:PonyMiddleware")
subject.wraps("Paste", "paste.cowbell:MoreCowbell")


@subject.of("WebOb", "wsgify.middleware that compresses")
def encodes(application):
    from webob.dec import wsgify

    @wsgify.middleware
    def compressing(request, application):
        response = request.get_response(application)
        response.encode_content("gzip", lazy=False)
        return response

    return compressing(application)


@subject.of("WebOb", "wsgify.middleware that compresses lazily")
def encodes_lazily(application):
    from webob.dec import wsgify

    @wsgify.middleware
    def compressing(request, application):
        response = request.get_response(application)
        response.encode_content("gzip", lazy=True)
        return response

    return compressing(application)


@subject.of("repoze.xmliter", "lazy()")
def xmliter(application):
    from lxml import etree
    from repoze.xmliter.decorator import lazy

    @lazy(serializer=etree.tostring)
    def parsed(body):
        return etree.HTML(b"".join(body) or b"<html/>")

    def layer(environ, start_response):
        return parsed(application(environ, start_response))

    return layer


@subject.of("diazo", "XSLTMiddleware")
def diazo(application):
    from diazo.wsgi import DiazoMiddleware

    with open("rules.xml", "w") as rules:
        rules.write(
            '<rules xmlns="http://namespaces.plone.org/diazo"><theme href="theme.html"/>'
            '<replace css:theme="body" css:content="body"'
            ' xmlns:css="http://namespaces.plone.org/diazo/css"/></rules>'
        )
    with open("theme.html", "w") as theme:
        theme.write("<html><head></head><body></body></html>")
    return DiazoMiddleware(application, {}, "rules.xml")


@subject.of("fanstatic", "Fanstatic")
def fanstatic(application):
    from fanstatic import Fanstatic

    return Fanstatic(application)


@subject.of("fanstatic", "Injector")
def fanstatic_injector(application):
    from fanstatic import Injector

    return Injector(application)


subject.wraps("tw2.core", "tw2.core:make_middleware")
subject.wraps("xhtml2pdf", "xhtml2pdf.wsgi:PisaMiddleware")
subject.wraps("dulwich", "dulwich.web:GunzipFilter")
subject.wraps("dulwich", "dulwich.web:LimitedInputFilter")
