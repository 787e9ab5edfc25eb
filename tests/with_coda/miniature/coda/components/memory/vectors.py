"""In place of chromadb and sentence-transformers: words in buckets, vectors in a JSON file.

The core imports the libraries; this module has no counterpart there. The collection refuses what
chroma refuses, with chroma's words, and measures squared Euclidean distances as chroma does.
"""

from __future__ import annotations

import json
import re
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

DIMENSIONS = 384
KINDS = "a str, int, float, bool, SparseVector, list, or None"


class WordBuckets:
    """An embedding model: one bucket for each word, normalized; float32, as the real one's."""

    def encode(self, text: str) -> np.ndarray:
        vector = np.zeros(DIMENSIONS, np.float32)
        for word in re.findall(r"\w+", text.lower()):
            vector[zlib.crc32(word.encode()) % DIMENSIONS] += 1.0
        length = float(np.linalg.norm(vector))
        return vector / length if length else vector


class Collection:
    """A collection of chroma, as far as the core uses one; a memory that exists is not replaced
    by ``add``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, dict[str, Any]] = (
            json.loads(path.read_text()) if path.exists() else {}
        )

    def count(self) -> int:
        return len(self._rows)

    def add(self, ids: list, embeddings: list, metadatas: list, documents: list) -> None:
        for row in self._checked(ids, embeddings, metadatas, documents, "add"):
            self._rows.setdefault(row["id"], row)
        self._save()

    def upsert(self, ids: list, embeddings: list, metadatas: list, documents: list) -> None:
        for row in self._checked(ids, embeddings, metadatas, documents, "upsert"):
            before = self._rows.get(row["id"], {"metadata": {}})
            self._rows[row["id"]] = row | {"metadata": before["metadata"] | row["metadata"]}
        self._save()

    def update(
        self,
        ids: list,
        embeddings: list | None = None,
        metadatas: list | None = None,
        documents: list | None = None,
    ) -> None:
        if embeddings is not None:
            _check_embeddings(embeddings, "update")
        for metadata in metadatas or ():
            _check_metadata(metadata, "update")
        for place, name in enumerate(ids):
            row = self._rows.get(name)
            if row is None:
                continue
            if embeddings is not None:
                row["embedding"] = list(map(float, embeddings[place]))
            if metadatas is not None:
                row["metadata"] |= metadatas[place]
            if documents is not None:
                row["document"] = documents[place]
        self._save()

    def get(self, ids: list | None = None, include: tuple | list = ("metadatas", "documents")):
        rows = [row for name, row in self._rows.items() if ids is None or name in ids]
        return {
            "ids": [row["id"] for row in rows],
            "documents": [row["document"] for row in rows] if "documents" in include else None,
            "metadatas": [row["metadata"] for row in rows] if "metadatas" in include else None,
            "embeddings": np.array([row["embedding"] for row in rows])
            if "embeddings" in include
            else None,
        }

    def query(self, query_embeddings: list, n_results: int, include: tuple | list = ()) -> dict:
        del include
        wanted = np.asarray(query_embeddings[0])
        near = sorted(
            (float(((wanted - np.asarray(row["embedding"])) ** 2).sum()), name)
            for name, row in self._rows.items()
        )[:n_results]
        rows = [self._rows[name] for _, name in near]
        return {
            "ids": [[row["id"] for row in rows]],
            "documents": [[row["document"] for row in rows]],
            "metadatas": [[row["metadata"] for row in rows]],
            "distances": [[distance for distance, _ in near]],
        }

    def delete(self, ids: list) -> None:
        for name in ids:
            self._rows.pop(name, None)
        self._save()

    def _checked(
        self, ids: list, embeddings: list, metadatas: list, documents: list, action: str
    ) -> list[dict[str, Any]]:
        _check_embeddings(embeddings, action)
        for metadata in metadatas:
            _check_metadata(metadata, action)
        return [
            {
                "id": name,
                "embedding": list(map(float, embedding)),
                "metadata": dict(metadata),
                "document": document,
            }
            for name, embedding, metadata, document in zip(
                ids, embeddings, metadatas, documents, strict=True
            )
        ]

    def _save(self) -> None:
        self._path.write_text(json.dumps(self._rows))


def _check_embeddings(embeddings: list, action: str) -> None:
    if any(embedding is None for embedding in embeddings):
        raise ValueError(
            "Expected embeddings to be a list of floats or ints, a list of lists, a numpy array, "
            f"or a list of numpy arrays, got {embeddings} in {action}."
        )


def _check_metadata(metadata: dict[str, Any], action: str) -> None:
    if not metadata:
        raise ValueError(
            f"Expected metadata to be a non-empty dict, got 0 metadata attributes in {action}."
        )
    for key, value in metadata.items():
        if isinstance(value, datetime | dict):
            kind = type(value).__name__
            raise ValueError(
                f"Expected metadata value to be {KINDS}, got {value} which is a {kind} in {action}."
            )
        if value == []:
            raise ValueError(
                f"Expected metadata list value for key '{key}' to be non-empty in {action}."
            )
        if value is None:
            raise TypeError("argument 'metadatas': Cannot convert Python object to MetadataValue")
