from freedom_middleware import Application, CloseGuard, Mount
from freedom_middleware.testing import hello
from freedom_middleware.tree import children_of, draw, walk


def test_it_walks_outermost_first_with_labels_and_names():
    application = CloseGuard(Mount(hello, {"/a": Mount(None, {"/b": hello})}))

    nodes = [(node.depth, node.label, node.name) for node in walk(application)]

    assert nodes == [
        (0, "", "CloseGuard"),
        (1, "", "Mount"),
        (2, "/a", "Mount"),
        (3, "/b", "hello"),
        (3, "*", "404 Not Found"),
        (2, "*", "hello"),
    ]


def test_it_draws_what_it_walked():
    application = CloseGuard(
        Mount(
            hello,
            {"/a": Mount(None, {"/b": hello}), "/long": "freedom_middleware.testing:hello"},
        )
    )

    assert draw(application) == (
        "CloseGuard\n"
        "└─ Mount\n"
        "   ├─ /a     Mount\n"
        "   │  ├─ /b  hello\n"
        "   │  └─ *   404 Not Found\n"
        "   ├─ /long  freedom_middleware.testing:hello\n"
        "   └─ *      hello"
    )


def test_any_object_may_name_its_children():
    class Layer:
        def __call__(self, environ, start_response):
            return hello(environ, start_response)

        def wsgi_children(self):
            return [("", hello)]

    assert draw(Layer()).endswith("Layer\n└─ hello")


def test_an_adapter_is_not_shown_beside_what_it_adapts():
    inner = Mount(None, {"/a": hello})

    assert draw(Application(inner)) == draw(inner)


def test_a_name_stands_above_what_it_names():
    inner = Mount(None, {})

    assert draw(Application(inner, name="shop")) == "shop\n└─ Mount\n   └─ *  404 Not Found"
    assert list(children_of(Application(hello, name="shop"))) == []


def test_an_application_below_itself_is_named_and_not_entered():
    mount = Mount(None, {})
    mount.mounts["/again"] = mount

    assert [node.depth for node in walk(mount)] == [0, 1, 2, 2, 1]


def test_a_leaf_is_one_line():
    assert draw(hello) == "hello"
