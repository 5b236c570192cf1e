"""Pieces of the report, as Markdown."""

import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote


class Missing(NamedTuple):
    """What no run has made yet."""

    what: str
    command: str

    def __str__(self) -> str:
        return f"*Not available yet: {self.what}. To make it, run `{self.command}`.*"


def percent(fraction: float) -> str:
    """0.621 -> 62.1 %"""
    return f"{100 * fraction:.1f} %"


def table(header: list[str], rows: list[list]) -> str:
    """A Markdown table; "|" and line ends in a cell do no harm."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def bullets(lines: list[str]) -> str:
    """One bullet per line."""
    return "\n".join(f"- {line}" for line in lines)


def picture(path: Path, caption: str, folder: Path) -> str:
    """A picture with its caption, linked from `folder`; "" if there is no such picture."""
    if not path.exists():
        return ""
    link = quote(Path(os.path.relpath(path, folder)).as_posix())
    return f"![{caption}]({link})\n\n*{caption}*"


def _cell(value) -> str:
    return " ".join(str(value).split()).replace("|", r"\|")
