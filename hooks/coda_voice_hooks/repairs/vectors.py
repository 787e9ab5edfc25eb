"""The three databases behind Coda's long-term memory, each with the same three verbs.

A row is ``{"id", "content", "metadata", "vector"}``: metadata as JSON holds it, the vector as
float32 or None.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from typing import Any, Protocol

Row = dict[str, Any]
ENCODED = ("topics", "speakers", "turn_ids", "additional")
"""Fields of a memory's metadata that chroma has no type for."""
AS_JSON = "_json"
"""Behind the name of such a field: a core that is not mended passes it over, and reads the rest."""


class Store(Protocol):
    """Where memories are."""

    async def put(self, name: str, content: str, about: dict[str, Any], vector: Any) -> None:
        """Store a memory, or replace it; without a vector the one that is there stays."""

    async def get(self, name: str) -> Row | None:
        """One memory."""

    async def near(self, vector: Any, most: int) -> list[Row]:
        """Memories that may be like the vector, at least the ``most`` nearest."""


class Chroma:
    """A collection of chroma's. Its calls take milliseconds and so leave the event loop."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    async def put(self, name: str, content: str, about: dict[str, Any], vector: Any) -> None:
        flat = {
            key: value for key, value in about.items() if key not in ENCODED and value is not None
        }
        flat |= {key + AS_JSON: json.dumps(about[key]) for key in ENCODED if about.get(key)}
        if vector is None:
            await asyncio.to_thread(self._collection.update, ids=[name], metadatas=[flat])
            return
        await asyncio.to_thread(
            self._collection.upsert,
            ids=[name],
            embeddings=[vector.tolist()],
            metadatas=[flat],
            documents=[content],
        )

    async def get(self, name: str) -> Row | None:
        rows = await asyncio.to_thread(self._read, [name])
        return rows[0] if rows else None

    async def near(self, vector: Any, most: int) -> list[Row]:
        return await asyncio.to_thread(self._near, vector.tolist(), max(1, most))

    def _near(self, vector: list[float], most: int) -> list[Row]:
        found = self._collection.query(query_embeddings=[vector], n_results=most, include=[])
        names = found["ids"][0]
        return self._read(names) if names else []

    def _read(self, names: list[str]) -> list[Row]:
        return _rows(
            self._collection.get(ids=names, include=["documents", "metadatas", "embeddings"])
        )


def _rows(found: Any) -> list[Row]:
    """Chroma's columns as rows."""
    columns = zip(
        found["ids"], found["documents"], found["metadatas"], found["embeddings"], strict=True
    )
    return [
        {
            "id": name,
            "content": content,
            "metadata": {
                key.removesuffix(AS_JSON): json.loads(value) if key.endswith(AS_JSON) else value
                for key, value in about.items()
            },
            "vector": vector,
        }
        for name, content, about, vector in columns
    ]


class Sqlite:
    """The core's table ``memories``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def put(self, name: str, content: str, about: dict[str, Any], vector: Any) -> None:
        told = json.dumps(about)
        with self._connection as connection:
            if vector is None:
                connection.execute(
                    "UPDATE memories SET content = ?, importance = ?, metadata = ? WHERE id = ?",
                    (content, about["importance"], told, name),
                )
                return
            values = (
                name,
                content,
                vector.tobytes(),
                about["timestamp"],
                about["importance"],
                told,
            )
            connection.execute("INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?, ?, ?)", values)

    async def get(self, name: str) -> Row | None:
        rows = self._read("WHERE id = ?", name)
        return rows[0] if rows else None

    async def near(self, vector: Any, most: int) -> list[Row]:
        return self._read("")

    def _read(self, where: str, *values: str) -> list[Row]:
        import numpy as np

        read = f"SELECT id, content, metadata, embedding FROM memories {where}"
        return [
            {
                "id": name,
                "content": content,
                "metadata": json.loads(about),
                "vector": np.frombuffer(vector, np.float32),
            }
            for name, content, about, vector in self._connection.execute(read, values)
        ]


class InMemory:
    """The core's dictionaries, gone at its end."""

    def __init__(
        self, vectors: dict[str, Any], contents: dict[str, str], about: dict[str, dict[str, Any]]
    ) -> None:
        self._vectors, self._contents, self._about = vectors, contents, about

    async def put(self, name: str, content: str, about: dict[str, Any], vector: Any) -> None:
        self._contents[name], self._about[name] = content, about
        if vector is not None:
            self._vectors[name] = vector

    async def get(self, name: str) -> Row | None:
        return self._row(name) if name in self._contents else None

    async def near(self, vector: Any, most: int) -> list[Row]:
        return [self._row(name) for name in self._contents]

    def _row(self, name: str) -> Row:
        return {
            "id": name,
            "content": self._contents[name],
            "metadata": self._about[name],
            "vector": self._vectors.get(name),
        }
