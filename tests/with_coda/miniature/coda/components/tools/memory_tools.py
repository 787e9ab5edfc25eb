"""Tools for a memory that has other methods than the core's memory."""

from __future__ import annotations

from typing import Any

from .base_tool import BaseTool, create_simple_tool_definition, optional, required
from .models import ToolCategory, ToolDefinition

Given = dict[str, Any]


class MemoryTool(BaseTool):
    """Not in the core: what its five memory tools have in common."""

    def _memory(self, context: Given | None) -> Any:
        memory = self.get_context_value(context, "memory_manager")
        if not memory:
            raise ValueError("Memory manager not available in context")
        return memory


class StoreMemoryTool(MemoryTool):
    def _create_definition(self) -> ToolDefinition:
        share = {"default": 0.5, "minimum": 0.0, "maximum": 1.0}
        return create_simple_tool_definition(
            "store_memory",
            "Keep something in the long-term memory",
            ToolCategory.MEMORY,
            parameters=[
                required("content", "string", "What to keep"),
                optional("category", "string", "What it is", default="general"),
                optional("tags", "array", "Words to find it by"),
                optional("importance", "float", "From 0 to 1", **share),
            ],
            timeout_seconds=10.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        memory = self._memory(context)
        try:
            name = await memory.store_memory(
                content=self.validate_string_not_empty(parameters["content"], "content"),
                category=parameters["category"],
                tags=parameters.get("tags", []),
                importance=parameters["importance"],
                source="tool_store_memory",
            )
        except Exception as error:
            raise ValueError(f"Failed to store memory: {error}") from error
        return f"Successfully stored memory with ID: {name}"


class SearchMemoryTool(MemoryTool):
    def _create_definition(self) -> ToolDefinition:
        share = {"default": 0.3, "minimum": 0.0, "maximum": 1.0}
        return create_simple_tool_definition(
            "search_memory",
            "Look for memories",
            ToolCategory.MEMORY,
            parameters=[
                optional("query", "string", "What to look for"),
                optional("tags", "array", "Words that it was kept with"),
                optional("category", "string", "What it is"),
                optional("limit", "integer", "At most", default=10, minimum=1, maximum=50),
                optional("min_relevance", "float", "From 0 to 1", **share),
            ],
            timeout_seconds=15.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        memory = self._memory(context)
        asked = {key: parameters.get(key) for key in ("query", "category")}
        filters = {"tags": parameters.get("tags", []), "category": asked["category"]}
        filters |= {"min_relevance": parameters["min_relevance"]}
        try:
            found = await memory.search_memories(
                query=asked["query"], limit=parameters["limit"], **filters
            )
            told = [self._told(each) for each in found]
        except Exception as error:
            raise ValueError(f"Failed to search memories: {error}") from error
        answer = {"memories": told, "total_found": len(told), "search_query": asked["query"]}
        return answer | {"filters": filters}

    def _told(self, memory: Any) -> Given:
        same = ("id", "content", "category", "tags", "importance")
        last = memory.last_accessed
        return {name: getattr(memory, name) for name in same} | {
            "relevance_score": getattr(memory, "relevance_score", None),
            "created_at": memory.created_at.isoformat(),
            "last_accessed": last.isoformat() if last else None,
        }


class GetMemoryStatsTool(MemoryTool):
    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "get_memory_stats",
            "Tell how much is remembered",
            ToolCategory.MEMORY,
            parameters=[
                optional(f"include_{part}", "boolean", f"Tell of the {part}", default=True)
                for part in ("categories", "tags", "recent")
            ],
            timeout_seconds=10.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> Given:
        """Reads names that the core's memory has no values under."""
        stats = await self._memory(context).get_memory_stats()
        told = {key: stats.get(key, 0) for key in ("total_memories", "total_size_bytes")}
        told["average_importance"] = stats.get("average_importance", 0.0)
        told |= {key: stats.get(key) for key in ("oldest_memory", "newest_memory")}
        if parameters["include_categories"]:
            told["categories"] = stats.get("category_distribution", {})
        if parameters["include_tags"]:
            told["top_tags"] = stats.get("top_tags", [])
        if parameters["include_recent"]:
            told["recent_activity"] = stats.get("recent_activity", {})
        return told


class DeleteMemoryTool(MemoryTool):
    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "delete_memory",
            "Forget one memory",
            ToolCategory.MEMORY,
            parameters=[
                required("memory_id", "string", "Which one"),
                required("confirm", "boolean", "That it is meant"),
            ],
            timeout_seconds=10.0,
            is_dangerous=True,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        if not parameters["confirm"]:
            raise ValueError("Confirmation required to delete memory")
        name = self.validate_string_not_empty(parameters["memory_id"], "memory_id")
        try:
            done = await self._memory(context).delete_memory(name)
        except Exception as error:
            raise ValueError(f"Failed to delete memory: {error}") from error
        return f"Successfully deleted memory: {name}" if done else f"Memory not found: {name}"


class UpdateMemoryTool(MemoryTool):
    def _create_definition(self) -> ToolDefinition:
        return create_simple_tool_definition(
            "update_memory",
            "Change one memory",
            ToolCategory.MEMORY,
            parameters=[
                required("memory_id", "string", "Which one"),
                optional("content", "string", "What it says from now on"),
                optional("tags", "array", "Words to find it by"),
                optional("importance", "float", "From 0 to 1", minimum=0.0, maximum=1.0),
            ],
            timeout_seconds=10.0,
        )

    async def _execute_impl(self, parameters: Given, context: Given | None = None) -> str:
        name = self.validate_string_not_empty(parameters["memory_id"], "memory_id")
        new = {key: parameters.get(key) for key in ("content", "tags", "importance")}
        if not new["content"] and not new["tags"] and new["importance"] is None:
            raise ValueError(
                "At least one field (content, tags, or importance) must be provided for update"
            )
        memory = self._memory(context)
        try:
            done = await memory.update_memory(memory_id=name, **new)
        except Exception as error:
            raise ValueError(f"Failed to update memory: {error}") from error
        return f"Successfully updated memory: {name}" if done else f"Memory not found: {name}"
