"""The same small application in each framework: it tells where it thinks that it is."""

from pathlib import Path

ASSETS = str(Path(__file__).parent / "assets")


def flask(name, **config):
    from flask import Flask, jsonify, redirect, request, session, url_for

    app = Flask(name, static_folder=ASSETS, static_url_path="/static")
    app.config.update(SECRET_KEY=f"the key of {name}", **config)

    @app.get("/")
    def count():
        session["visits"] = session.get("visits", 0) + 1
        return str(session["visits"])

    @app.get("/where/")
    def where():
        return jsonify(
            url_for=url_for("item", number=7),
            external=url_for("item", number=7, _external=True),
            static=url_for("static", filename="a.txt"),
            path=request.path,
            script_root=request.script_root,
            url=request.url,
        )

    @app.get("/item/<int:number>")
    def item(number):
        return f"item {number}"

    @app.get("/go")
    def go():
        return redirect(url_for("item", number=7))

    @app.get("/go-by-path")
    def go_by_path():
        return redirect("/item/7")

    return app


def pyramid():
    from pyramid.config import Configurator
    from pyramid.httpexceptions import HTTPFound
    from pyramid.response import Response

    def where(request):
        return Response(
            json_body={
                "route_url": request.route_url("item", number=7),
                "route_path": request.route_path("item", number=7),
                "static": request.static_url(f"{ASSETS}/a.txt"),
                "resource_url": request.resource_url(request.context, "named"),
                "url": request.url,
            }
        )

    config = Configurator()
    config.add_route("where", "/where/")
    config.add_view(where, route_name="where")
    config.add_route("item", "/item/{number}")
    config.add_view(
        lambda request: Response(f"item {request.matchdict['number']}"), route_name="item"
    )
    config.add_route("go", "/go")
    config.add_view(
        lambda request: HTTPFound(request.route_url("item", number=7)), route_name="go"
    )
    config.add_route("go-by-path", "/go-by-path")
    config.add_view(lambda request: HTTPFound("/item/7"), route_name="go-by-path")
    config.add_view(lambda context, request: Response("a view by its name"), name="named")
    config.add_view(lambda context, request: Response("front"))
    config.add_static_view("static", ASSETS)
    config.add_notfound_view(lambda request: Response("none", 404), append_slash=True)
    return config.make_wsgi_app()


def bottle():
    from bottle import Bottle, redirect, request

    app = Bottle()

    @app.get("/where/")
    def where():
        return {"get_url": app.get_url("item", number=7), "url": request.url}

    @app.get("/item/<number:int>", name="item")
    def item(number):
        return f"item {number}"

    @app.get("/go")
    def go():
        redirect(app.get_url("item", number=7))

    @app.get("/go-relative")
    def go_relative():
        redirect("item/7")

    @app.get("/go-by-path")
    def go_by_path():
        redirect("/item/7")

    return app


def falcon():
    import falcon

    class Where:
        def on_get(self, request, response):
            response.media = {
                "relative_uri": request.relative_uri,
                "uri": request.uri,
                "prefix": request.prefix,
                "root_path": request.root_path,
            }

    class Item:
        def on_get(self, request, response, number):
            response.text = f"item {number}"

    class Go:
        def on_get(self, request, response):
            raise falcon.HTTPFound(request.prefix + "/item/7")

    class GoEncoded:
        def on_get(self, request, response):
            raise falcon.HTTPFound(falcon.uri.encode(request.prefix + "/item/7"))

    class GoByPath:
        def on_get(self, request, response):
            raise falcon.HTTPFound("/item/7")

    app = falcon.App()
    app.add_route("/where", Where())
    app.add_route("/item/{number}", Item())
    app.add_route("/go", Go())
    app.add_route("/go-encoded", GoEncoded())
    app.add_route("/go-by-path", GoByPath())
    return app


def fastapi():
    from fastapi import FastAPI, Request
    from fastapi.responses import RedirectResponse

    app = FastAPI(title="The API")

    @app.get("/where")
    def where(request: Request):
        return {
            "url_for": str(request.url_for("item", number=7)),
            "url": str(request.url),
            "root_path": request.scope["root_path"],
        }

    @app.get("/item/{number}")
    def item(number: int):
        return {"item": number}

    @app.get("/go")
    def go(request: Request):
        return RedirectResponse(request.url_for("item", number=7))

    @app.get("/go-by-path")
    def go_by_path():
        return RedirectResponse("/item/7")

    return app
