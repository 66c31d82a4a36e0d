"""What changes the body on its way: gzip, rewriters, injectors."""

from pathlib import Path

from .registry import Subject

subject = Subject("Compression and rewriting")

subject.wraps("Paste", "paste.gzipper:middleware", name="gzipper")
subject.wraps("Paste", "paste.gzipper:make_gzip_middleware", {}, name="make_gzip_middleware")
subject.wraps("Paste", "paste.pony:PonyMiddleware")
subject.wraps("Paste", "paste.cowbell:MoreCowbell")


for how in ("", " lazily"):

    @subject.of("WebOb", f"wsgify.middleware that compresses{how}")
    def encodes(application, lazy=bool(how)):
        from webob.dec import wsgify

        @wsgify.middleware
        def compressing(request, application):
            response = request.get_response(application)
            response.encode_content("gzip", lazy=lazy)
            return response

        return compressing(application)


@subject.of("diazo", "DiazoMiddleware")
def diazo(application):
    from diazo.wsgi import DiazoMiddleware

    # By URL: a path is asked of the application too, or not, as a hash has it.
    rules, theme = Path("rules.xml").absolute(), Path("theme.html").absolute()
    rules.write_text(
        f'<rules xmlns="http://namespaces.plone.org/diazo"><theme href="{theme.as_uri()}"/>'
        '<replace css:theme="body" css:content="body"'
        ' xmlns:css="http://namespaces.plone.org/diazo/css"/></rules>'
    )
    theme.write_text("<html><head></head><body></body></html>")
    return DiazoMiddleware(application, {}, rules.as_uri(), read_network=True)


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
