"""sqladmin, whose admin is a Starlette application, on SQLite with a leak planted by one line; run by uvicorn."""

from __future__ import annotations

import os
from pathlib import Path

from sqladmin import Admin, ModelView
from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from asgi_memprof import MemProfMiddleware
from benchmarks.routes import control, work


class Base(DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    books: Mapped[list[Book]] = relationship(back_populates="author")


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    author: Mapped[Author] = relationship(back_populates="books")


class AuthorAdmin(ModelView, model=Author):
    column_list = ("id", "name")


class BookAdmin(ModelView, model=Book):
    column_list = ("id", "title", "author")


folder = Path(os.environ["BENCH_FOLDER"])
engine = create_engine(f"sqlite:///{folder / 'db.sqlite3'}", connect_args={"check_same_thread": False})
Base.metadata.create_all(engine)
with Session(engine) as session:
    for number in range(1, 31):
        session.add(Author(name=f"author {number}", books=[Book(title=f"book {number}.{k}") for k in range(3)]))
    session.commit()

# The planted leak, in one line.
Admin.details = work.keeping(Admin.details, 10_000)


async def begin(request: Request) -> PlainTextResponse:
    return PlainTextResponse(control.begin(bool(request.path_params["grows"])))


def found(_: Request) -> PlainTextResponse:
    return PlainTextResponse(control.found())


async def windows(_: Request) -> PlainTextResponse:
    return PlainTextResponse(control.windows())


app = Starlette(
    routes=[
        Route("/control/begin/{grows:int}", begin, methods=["POST"]),
        Route("/control/found", found),
        Route("/control/windows", windows),
        Route("/control/cookie", lambda _: PlainTextResponse("none=none")),
    ],
    middleware=[Middleware(MemProfMiddleware, profiler=control.profiler)],
)
admin = Admin(app, engine)
admin.add_view(AuthorAdmin)
admin.add_view(BookAdmin)
