"""The last packets of a stream, kept once for all who may ask for them again."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """A ring of the last `capacity` items by extended sequence number; `capacity` is a power of two."""

    __slots__ = ("_items", "_mask", "_sequences", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity & (capacity - 1):
            raise ValueError(f"capacity {capacity} is not a power of two")
        self.capacity = capacity
        self._mask = capacity - 1
        self._sequences = [-1] * capacity
        self._items: list[T | None] = [None] * capacity

    def put(self, sequence: int, item: T) -> None:
        """Keep `item`; it takes the place of the one `capacity` numbers before."""
        index = sequence & self._mask
        self._sequences[index] = sequence
        self._items[index] = item

    def get(self, sequence: int) -> T | None:
        """The item with this number, or None when it never came or is too old."""
        index = sequence & self._mask
        return self._items[index] if self._sequences[index] == sequence else None

    def __contains__(self, sequence: int) -> bool:
        return self._sequences[sequence & self._mask] == sequence

    def clear(self) -> None:
        """Forget everything."""
        self._sequences = [-1] * self.capacity
        self._items = [None] * self.capacity
