"""Memories that outlast the process: in a collection of vectors, in SQLite, or in no file."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from .models import (
    LongTermMemoryConfig,
    Memory,
    MemoryMetadata,
    MemoryQuery,
    MemoryResult,
    MemoryStats,
    MemoryType,
)
from .vectors import Collection, WordBuckets

logger = logging.getLogger("coda.memory.long_term")
TABLE = "id TEXT PRIMARY KEY, content TEXT, embedding BLOB, timestamp TEXT, importance REAL"


class LongTermMemory:
    def __init__(self, config: LongTermMemoryConfig | None = None) -> None:
        self.config = config or LongTermMemoryConfig()
        self.storage_path = Path(self.config.storage_path)
        self.storage_path.mkdir(exist_ok=True, parents=True)
        self.embedding_model = WordBuckets()
        self._init_vector_db()
        self.metadata_path = self.storage_path / "metadata.json"
        self.metadata = self._load_metadata()

    def _init_vector_db(self) -> None:
        match self.config.vector_db_type:
            case "chroma":
                self.collection = Collection(self.storage_path / "vectors.json")
            case "sqlite":
                self.conn = sqlite3.connect(
                    self.storage_path / "memories.db", check_same_thread=False
                )
                self.conn.execute(f"CREATE TABLE IF NOT EXISTS memories ({TABLE}, metadata TEXT)")
            case _:
                self.vectors: dict[str, np.ndarray] = {}
                self.contents: dict[str, str] = {}
                self.vector_metadata: dict[str, dict[str, Any]] = {}

    def _load_metadata(self) -> dict[str, Any]:
        if self.metadata_path.exists():
            stored: dict[str, Any] = json.loads(self.metadata_path.read_text())
            return stored
        made = datetime.now().isoformat()
        fresh = {"version": "2.0.0", "created_at": made, "memories": {}}
        return fresh | {"memory_count": 0, "last_cleanup": None}

    def _save_metadata(self) -> None:
        self.metadata_path.write_text(json.dumps(self.metadata, indent=2, ensure_ascii=False))

    async def store_memory(
        self,
        content: str,
        memory_type: MemoryType,
        importance: float,
        metadata: dict[str, Any],
    ) -> str:
        now = datetime.now()
        embedding = await self._generate_embedding(content)
        memory = Memory(
            id=str(uuid.uuid4()),
            content=content,
            metadata=MemoryMetadata(
                source_type=memory_type,
                timestamp=now,
                importance=min(max(importance, 0.0), 1.0),
                **metadata,
            ),
            embedding=embedding.tolist(),
            created_at=now,
            accessed_at=now,
        )
        await self._store_in_vector_db(memory)
        self.metadata["memories"][memory.id] = {
            "content_preview": _preview(content),
            "timestamp": now.isoformat(),
            "importance": importance,
            "memory_type": memory_type.value,
            "metadata": metadata,
        }
        self._counted()
        return memory.id

    def _counted(self) -> None:
        self.metadata |= {"memory_count": len(self.metadata["memories"])}
        self._save_metadata()

    async def _generate_embedding(self, content: str) -> np.ndarray:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, self.embedding_model.encode, content)

    async def _store_in_vector_db(self, memory: Memory) -> None:
        if hasattr(self, "collection"):
            # A datetime, a None and an empty dict are among the values: chroma refuses them.
            told = memory.metadata.model_dump()
            row = {"documents": memory.content, "metadatas": told, "embeddings": memory.embedding}
            self.collection.add(ids=[memory.id], **{name: [value] for name, value in row.items()})
        elif hasattr(self, "conn"):
            # Eight bytes a number are written, and json knows no datetime.
            values = (
                memory.id,
                memory.content,
                np.array(memory.embedding).tobytes(),
                memory.created_at.isoformat(),
                memory.metadata.importance,
                json.dumps(memory.metadata.model_dump()),
            )
            self.conn.execute("INSERT OR REPLACE INTO memories VALUES (?, ?, ?, ?, ?, ?)", values)
            self.conn.commit()
        else:
            told = memory.metadata.model_dump()
            kept = (self.vectors, self.contents, self.vector_metadata)
            for place, value in zip(
                kept, (np.array(memory.embedding), memory.content, told), strict=True
            ):
                place[memory.id] = value

    async def retrieve_memories(self, query: MemoryQuery) -> list[MemoryResult]:
        wanted = await self._generate_embedding(query.query)
        if hasattr(self, "collection"):
            found = await self._query_chroma(wanted, query)
        elif hasattr(self, "conn"):
            found = await self._query_sqlite(wanted, query)
        else:
            found = await self._query_memory(wanted, query)
        kept = []
        for result in found:
            decay = self._calculate_time_decay(result.memory.created_at)
            score = result.relevance_score * decay * result.memory.metadata.importance
            if score >= query.min_relevance:
                result.time_decay_factor, result.final_score = decay, score
                kept.append(result)
        return sorted(kept, key=lambda result: -result.final_score)[: query.limit]

    async def _query_chroma(
        self, query_embedding: np.ndarray, query: MemoryQuery
    ) -> list[MemoryResult]:
        try:
            found = self.collection.query(
                query_embeddings=[query_embedding.tolist()],
                n_results=min(2 * query.limit, 50),
                include=["documents", "metadatas", "distances"],
            )
            rows = zip(*(found[key][0] for key in found if found[key] is not None), strict=True)
            results = []
            for name, document, metadata, distance in rows:
                memory = _memory(name, document, metadata)
                # The distance is squared and at most 4: less than nothing is a refused score.
                results.append(_result(memory, 1.0 - distance))
            return results
        except Exception as error:
            logger.error("Error querying ChromaDB: %s", str(error))
            return []

    async def _query_sqlite(
        self, query_embedding: np.ndarray, query: MemoryQuery
    ) -> list[MemoryResult]:
        try:
            found = self.conn.execute("SELECT id, content, embedding, metadata FROM memories")
            results = []
            for name, content, embedding, metadata in found.fetchall():
                # Four bytes a number are read.
                stored = np.frombuffer(embedding, np.float32)
                memory = _memory(name, content, json.loads(metadata))
                results.append(_result(memory, self._cosine_similarity(query_embedding, stored)))
            return results
        except Exception as error:
            logger.error("Error querying SQLite: %s", str(error))
            return []

    async def _query_memory(
        self, query_embedding: np.ndarray, query: MemoryQuery
    ) -> list[MemoryResult]:
        results = []
        for name, stored in self.vectors.items():
            similarity = self._cosine_similarity(query_embedding, stored)
            memory = _memory(name, self.contents[name], self.vector_metadata[name])
            results.append(_result(memory, min(max(similarity, 0.0), 1.0)))
        return results

    def _cosine_similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        if a.shape != b.shape or not lengths:
            return 0.0
        return float(np.dot(a, b)) / lengths

    def _calculate_time_decay(self, timestamp: datetime) -> float:
        days = (datetime.now() - timestamp) / timedelta(days=1)
        return max(0.01, 0.5 ** (days / self.config.time_decay_days))

    async def get_memory(self, memory_id: str) -> Memory | None:
        if memory_id not in self.metadata["memories"]:
            return None
        try:
            if hasattr(self, "collection"):
                found = self.collection.get(ids=[memory_id], include=["documents", "metadatas"])
                rows = list(zip(found["documents"], found["metadatas"], strict=True))
            elif hasattr(self, "conn"):
                query = "SELECT content, metadata FROM memories WHERE id = ?"
                found = self.conn.execute(query, (memory_id,)).fetchall()
                rows = [(content, json.loads(metadata)) for content, metadata in found]
            else:
                names = [memory_id] if memory_id in self.contents else []
                rows = [(self.contents[name], self.vector_metadata[name]) for name in names]
        except Exception as error:
            logger.error("Error retrieving memory %s: %s", memory_id, str(error))
            return None
        if not rows:
            return None
        memory = _memory(memory_id, *rows[0])
        memory.update_access()
        return memory

    async def update_memory(
        self,
        memory_id: str,
        content: str | None = None,
        importance: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> bool:
        memory = await self.get_memory(memory_id)
        if memory is None:
            return False
        try:
            if content is not None:
                vector = await self._generate_embedding(content)
                memory.content, memory.embedding = content, vector.tolist()
            if importance is not None:
                memory.metadata.importance = min(max(importance, 0.0), 1.0)
            memory.metadata.additional.update(metadata or {})
            # Without new content there is no embedding, and a memory that exists is not replaced.
            await self._store_in_vector_db(memory)
        except Exception as error:
            logger.error("Error updating memory %s: %s", memory_id, str(error))
            return False
        self.metadata["memories"][memory_id] |= {
            "content_preview": _preview(memory.content),
            "importance": memory.metadata.importance,
            "metadata": memory.metadata.additional,
        }
        self._save_metadata()
        return True

    async def delete_memory(self, memory_id: str) -> bool:
        if memory_id not in self.metadata["memories"]:
            return False
        if hasattr(self, "collection"):
            self.collection.delete(ids=[memory_id])
        elif hasattr(self, "conn"):
            self.conn.execute("DELETE FROM memories WHERE id = ?", (memory_id,))
            self.conn.commit()
        else:
            for kept in (self.vectors, self.contents, self.vector_metadata):
                kept.pop(memory_id, None)
        del self.metadata["memories"][memory_id]
        self._counted()
        return True

    async def get_stats(self) -> MemoryStats:
        known = list(self.metadata["memories"].values())
        if not known:
            return MemoryStats()
        times = sorted(datetime.fromisoformat(each["timestamp"]) for each in known)
        length = sum(len(each["content_preview"]) for each in known)
        return MemoryStats(
            total_memories=len(known),
            memory_types=Counter(each["memory_type"] for each in known),
            average_importance=sum(each["importance"] for each in known) / len(known),
            oldest_memory=times[0],
            newest_memory=times[-1],
            total_content_length=length,
            average_content_length=length / len(known),
        )

    async def cleanup_old_memories(self, max_age_days: int = 365) -> int:
        oldest = datetime.now() - timedelta(days=max_age_days)
        old = [
            name
            for name, each in self.metadata["memories"].items()
            if datetime.fromisoformat(each["timestamp"]) < oldest
        ]
        for name in old:
            await self.delete_memory(name)
        self.metadata |= {"last_cleanup": datetime.now().isoformat()}
        self._save_metadata()
        return len(old)

    async def backup_memories(self, backup_path: str) -> bool:
        try:
            known = [await self.get_memory(name) for name in self.metadata["memories"]]
            # json knows no datetime: a memory cannot be written.
            told = [memory.model_dump() for memory in known if memory is not None]
            Path(backup_path).write_text(json.dumps({"memories": told}))
            return True
        except Exception as error:
            logger.error("Error creating backup: %s", str(error))
            return False


def _preview(content: str) -> str:
    return content if len(content) <= 100 else content[:100] + "..."


def _memory(name: str, content: str, metadata: dict[str, Any]) -> Memory:
    read = MemoryMetadata(**metadata)
    return Memory(id=name, content=content, metadata=read, created_at=read.timestamp)


def _result(memory: Memory, score: float) -> MemoryResult:
    return MemoryResult(
        memory=memory, relevance_score=score, time_decay_factor=1.0, final_score=score
    )
