"""Grain directory and grain tables, as the stream reader checks them.

A stream is decoded without any table, but the tables tell whether it is whole: each grain that they name must have come
by, at the place that they name, and no other. To need no memory per grain, both sides are summed up as (number of
grains, sum of sector times grain number) and the sums compared.
"""

from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

ZERO_GRAIN = 1  # an entry that means "zeros" in version 2 and above: as good as none here


class Sums(NamedTuple):
    """The grains of a table or of a file: how many, the sum of their sectors, and that weighted by grain number."""

    grains: int
    sectors: int
    weighted: int

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(self.grains + other.grains, self.sectors + other.sectors, self.weighted + other.weighted)

    def shifted(self, first: int) -> "Sums":
        """The same table's sums where its first entry is grain number `first`."""
        return Sums(self.grains, self.sectors, self.weighted + first * self.sectors)


NOTHING = Sums(0, 0, 0)


def sum_table(entries: Sequence[int]) -> Sums:
    """The sums of one grain table whose first entry is grain 0."""
    if not any(entries):
        return NOTHING
    sectors = [0 if entry <= ZERO_GRAIN else entry for entry in entries]
    return Sums(len(sectors) - sectors.count(0), sum(sectors), sum(map(mul, sectors, range(len(sectors)))))


def sum_directory(directory: Sequence[int], tables: dict[int, Sums], entries: int) -> tuple[Sums, int | None]:
    """Add up the tables that a directory names by sector; also the first sector that is no table's, if any."""
    total = NOTHING
    for number, sector in enumerate(directory):
        if not sector:
            continue
        if sector not in tables:
            return total, sector
        total = total.plus(tables[sector].shifted(number * entries))
    return total, None
