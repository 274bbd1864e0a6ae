"""A service with FastAPI, as one would write it.

Without `from __future__ import annotations`: FastAPI could not evaluate names of a function.
"""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from cartsnitch_common.db.database import Database
from cartsnitch_common.db.models import Store


def application(db: Database) -> FastAPI:
    """A service with its routes."""
    app = FastAPI(lifespan=db.lifespan)

    @app.post("/stores/{slug}")
    async def add(
        slug: str,
        session: Annotated[AsyncSession, Depends(db.session)],
        commit: bool = True,  # noqa: FBT001, FBT002 - a parameter of the address
        wait: float = 0,
    ) -> str:
        session.add(Store(name=slug.title(), slug=slug))
        await session.flush()
        await asyncio.sleep(wait)
        if commit:
            await session.commit()
        return slug

    @app.get("/stores")
    async def names(session: Annotated[AsyncSession, Depends(db.read_session)]) -> list[str]:
        return list(await session.scalars(select(Store.name).order_by(Store.name)))

    @app.post("/sync/stores/{slug}")
    def add_sync(slug: str, session: Annotated[Session, Depends(db.sync_session)]) -> str:
        session.add(Store(name=slug.title(), slug=slug))
        session.commit()
        return slug

    @app.get("/sync/stores")
    def names_sync(session: Annotated[Session, Depends(db.sync_read_session)]) -> list[str]:
        return list(session.scalars(select(Store.name).order_by(Store.name)))

    return app
