"""An API in FastAPI, which is ASGI."""

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/items")
async def items(request: Request) -> dict[str, str]:
    return {"served at": request.url.path}
