"""Figures of one run, side by side. A figure alone says more about the machine than about the work: what counts is the ratio."""

import statistics


def spread(values):
    """The median, and between which bounds the middle half lies."""
    low, high = quartiles(values)
    digits = 0 if high >= 100 else 1
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def ratio(ours, theirs):
    """Of figures taken in pairs, each pair at about the same time: so what slowed both is not counted."""
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    low, high = quartiles(each)
    return f"{statistics.median(each):.2f} × ({low:.2f}–{high:.2f})"


def quartiles(values):
    if len(values) < 3:
        return min(values), max(values)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def table(head, rows):
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    for row in [head, ["-" * width for width in widths], *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print()
