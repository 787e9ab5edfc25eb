"""The core's long-term memory: chroma and SQLite take what is stored, and give it back."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from .base import Patches, Repair, local_time, plain, write_json
from .probing import anything, bare, fails, quiet, settle
from .vectors import Chroma, InMemory, Sqlite, Store

logger = logging.getLogger(__name__)
MODULE = "coda.components.memory.long_term"
MODELS = "coda.components.memory.models"


def _store_of(memory: Any) -> Store:
    """The database behind a LongTermMemory, as the core chooses it."""
    kind = memory.config.vector_db_type
    if kind == "chroma" and hasattr(memory, "collection"):
        return Chroma(memory.collection)
    if kind == "sqlite" and hasattr(memory, "conn"):
        return Sqlite(memory.conn)
    return InMemory(memory.vectors, memory.contents, memory.vector_metadata)


def _memory(row: dict[str, Any]) -> Any:
    models = import_module(MODELS)
    about = models.MemoryMetadata(**row["metadata"])
    vector = row["vector"]
    return models.Memory(
        id=row["id"],
        content=row["content"],
        metadata=about,
        embedding=None if vector is None else [float(value) for value in vector],
        created_at=about.timestamp,
    )


class _Collection:
    """Takes what chroma's collections take, and keeps it."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def add(self, *, metadatas: list[Any], **_more: Any) -> None:
        self.taken.extend(metadatas)

    upsert = add


def _stores_times(module: ModuleType) -> bool:
    models = import_module(MODELS)
    collection = _Collection()
    memory = bare(
        module.LongTermMemory,
        config=anything(vector_db_type="chroma"),
        collection=collection,
    )
    about = models.MemoryMetadata(source_type=models.MemoryType.FACT)
    probe = models.Memory(id="probe", content="", metadata=about, embedding=[1.0])
    with quiet(module):
        settle(lambda: memory._store_in_vector_db(probe))
    return fails(lambda: json.dumps(collection.taken), TypeError)


def _store_plainly(module: ModuleType, patches: Patches) -> None:
    async def _store_in_vector_db(self: Any, memory: Any) -> None:
        import numpy as np

        vector = memory.embedding
        await _store_of(self).put(
            memory.id,
            memory.content,
            memory.metadata.model_dump(mode="json"),
            None if vector is None else np.asarray(vector, np.float32),
        )

    async def get_memory(self: Any, memory_id: str) -> Any:
        if memory_id not in self.metadata.get("memories", {}):
            return None
        row = await _store_of(self).get(memory_id)
        if row is None:
            return None
        memory = _memory(row)
        memory.update_access()
        return memory

    patches.set(module.LongTermMemory, "_store_in_vector_db", _store_in_vector_db)
    patches.set(module.LongTermMemory, "get_memory", get_memory)


class _Vector(list[float]):
    """As much of an array as the core needs."""

    def tolist(self) -> list[float]:
        return list(self)


class _Opposite:
    """A collection that holds one memory, as unlike the question as can be."""

    def query(self, **_asked: Any) -> dict[str, Any]:
        about = {"source_type": "fact", "timestamp": "2000-01-01T00:00:00", "importance": 0.5}
        return {
            "ids": [["probe"]],
            "documents": [[""]],
            "metadatas": [[about]],
            "distances": [[4.0]],
            "embeddings": [[[-1.0]]],
        }


def _finds_nothing(module: ModuleType) -> bool:
    memory = bare(
        module.LongTermMemory, config=anything(vector_db_type="chroma"), collection=_Opposite()
    )
    asked = _Vector([1.0])
    with quiet(module):
        found = settle(lambda: memory._query_chroma(asked, anything(query="", limit=1)))
    return not found


def _find_by_likeness(module: ModuleType, patches: Patches) -> None:
    async def found(self: Any, vector: Any, query: Any) -> list[Any]:
        import numpy as np

        wanted = np.asarray(vector, np.float32)
        rows = await _store_of(self).near(wanted, min(2 * query.limit, 50))
        return list(_results(rows, wanted))

    for name in ("_query_chroma", "_query_sqlite"):
        patches.set(module.LongTermMemory, name, found)


def _results(rows: Iterable[dict[str, Any]], wanted: Any) -> Iterable[Any]:
    """What was found, with the cosine of the vectors as relevance, whatever the database uses."""
    models = import_module(MODELS)
    for row in rows:
        likeness = _likeness(wanted, row["vector"])
        if likeness is None:
            logger.warning("memory %s was made by another embedding model; skipped", row["id"])
            continue
        try:
            memory = _memory(row)
        except ValueError as error:  # one damaged memory must not hide the others
            logger.warning("memory %s cannot be read and is skipped: %s", row["id"], error)
            continue
        yield models.MemoryResult(
            memory=memory, relevance_score=likeness, time_decay_factor=1.0, final_score=likeness
        )


def _likeness(one: Any, other: Any) -> float | None:
    """Cosine of two vectors, 0 where it is negative; None when they do not compare."""
    import numpy as np

    other = np.asarray(other, np.float32)
    if one.shape != other.shape:
        return None
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return min(1.0, max(0.0, float(one @ other) / lengths)) if lengths else 0.0


def _forgets_sources(module: ModuleType) -> bool:
    about: list[Any] = []

    async def store(memory: Any) -> None:
        about.append(memory.metadata)

    async def embed(_content: str) -> Any:
        return _Vector([1.0])

    memory = bare(
        module.LongTermMemory,
        config=anything(vector_db_type="", max_memories=9),
        metadata={"memories": {}},
        _store_in_vector_db=store,
        _generate_embedding=embed,
        _save_metadata=lambda: None,
    )
    kind = import_module(MODELS).MemoryType.FACT
    with quiet(module):
        settle(lambda: memory.store_memory("", kind, 0.5, {"source": "a probe"}))
    return "a probe" not in json.dumps(about[0].model_dump(mode="json"))


def _keep_sources(module: ModuleType, patches: Patches) -> None:
    original = module.LongTermMemory.store_memory

    async def store_memory(
        self: Any, content: str, memory_type: Any, importance: float, metadata: dict[str, Any]
    ) -> Any:
        fields = import_module(MODELS).MemoryMetadata.model_fields
        known = {key: value for key, value in metadata.items() if key in fields}
        more = {key: plain(value) for key, value in metadata.items() if key not in fields}
        if more:
            known["additional"] = {**known.get("additional", {}), **more}
        return await original(self, content, memory_type, importance, known)

    patches.set(module.LongTermMemory, "store_memory", store_memory)


def _cannot_be_saved(module: ModuleType) -> bool:
    """Whether memories, as the models hold them, keep a backup from being written."""
    models = import_module(MODELS)
    about = models.MemoryMetadata(source_type=models.MemoryType.FACT)
    probe = models.Memory(id="probe", content="", metadata=about)

    async def get(_memory_id: str) -> Any:
        return probe

    memory = bare(
        module.LongTermMemory,
        config=models.LongTermMemoryConfig(),
        metadata={"memories": {"probe": {}}},
        get_memory=get,
    )
    with quiet(module), TemporaryDirectory() as folder:
        return not settle(lambda: memory.backup_memories(str(Path(folder) / "probe.json")))


def _save_plainly(module: ModuleType, patches: Patches) -> None:
    async def backup_memories(self: Any, backup_path: str) -> bool:
        memories = [await self.get_memory(name) for name in list(self.metadata["memories"])]
        backup = {
            "version": "2.0.0",
            "timestamp": local_time(),
            "config": plain(self.config),
            "metadata": self.metadata,
            "memories": [memory.model_dump(mode="json") for memory in memories if memory],
        }
        try:
            await asyncio.to_thread(write_json, Path(backup_path), backup)
        except (OSError, TypeError, ValueError):
            logger.exception("the memories could not be saved to %s", backup_path)
            return False
        return True

    def _save_metadata(self: Any) -> None:
        try:
            write_json(Path(self.metadata_path), self.metadata)
        except (OSError, TypeError, ValueError):
            logger.exception("the list of memories could not be saved")

    patches.set(module.LongTermMemory, "backup_memories", backup_memories)
    patches.set(module.LongTermMemory, "_save_metadata", _save_metadata)


REPAIRS = (
    Repair(
        "memories-cannot-be-stored",
        "Nothing is kept in long-term memory: the database refuses times (chroma and SQLite).",
        MODULE,
        _stores_times,
        _store_plainly,
    ),
    Repair(
        "memories-are-never-found",
        "A search of the long-term memory finds nothing: one unlike memory hides all others.",
        MODULE,
        _finds_nothing,
        _find_by_likeness,
    ),
    Repair(
        "facts-forget-their-source",
        "Where a fact came from is dropped when it is stored.",
        MODULE,
        _forgets_sources,
        _keep_sources,
    ),
    Repair(
        "memories-cannot-be-saved",
        "A backup of the memories fails, and a failed save tears the list of memories.",
        MODULE,
        _cannot_be_saved,
        _save_plainly,
    ),
)
