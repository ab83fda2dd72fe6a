"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[object]], align: str = "") -> str:
    """A table in Markdown, without a line feed at its end.

    Args:
        head: titles of the columns.
        rows: one cell for each column.
        align: one letter for each column, "l" (left) or "r" (right). By default the first column stands left and
            the others, which usually hold numbers, right.
    """
    align = align or "l" + "r" * (len(head) - 1)
    rules = [{"l": "---", "r": "---:"}[letter] for letter in align]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in (head, rules, *rows))
