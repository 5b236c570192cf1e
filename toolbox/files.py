"""Files that are whole or absent, never half-written; and mistakes that the user can mend."""

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from toolbox.late import Figure, Late

matplotlib = Late("matplotlib")
LONGEST_STEM = 150  # bytes
# Names of fonts with the letters of China, Japan or Korea.
OTHER_LETTERS = r"CJK|Hei\b|YaHei|PingFang|Hiragino|Gothic|Arial Unicode"


class InputError(ValueError):
    """Something the user can mend. `utils.run` prints it as one line and exits with status 1."""


def atomic_write(path: Path | str, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file, then rename it to `path`.

    A device or a pipe of that name is written to, never replaced; a link stays, and its target is
    replaced. Removes what killed runs left of their attempts. Raises OSError that names `path`.
    """
    path = Path(path)
    try:
        with contextlib.suppress(FileExistsError):  # of a parent that is no folder: ENOTDIR follows
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if is_special(path):
            _write_to_special_file(path, write)
            return
        target = real_path(path) if path.is_symlink() else path
        if target.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        _remove_leftovers(target)
        # The suffix comes last: Keras and matplotlib choose the format by it.
        temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
        try:
            write(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:  # a full disk names no file
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None


def is_special(path: Path) -> bool:
    """Whether it is a device, a pipe or the like."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _write_to_special_file(path: Path, write: Callable[[Path], None]) -> None:
    """Copy what `write` makes to a device or a pipe, which cannot be sought in."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / path.name
        write(temporary)
        with temporary.open("rb") as source, path.open("wb") as sink:
            shutil.copyfileobj(source, sink)


def _remove_leftovers(path: Path) -> None:
    """Remove the temporary files of `path` whose process is gone."""
    if os.name != "posix":  # elsewhere os.kill would end the process that it asks for
        return
    for old in path.parent.glob(f".{glob.escape(path.stem)}.*{glob.escape(path.suffix)}"):
        number = old.name[len(path.stem) + 2 : len(old.name) - len(path.suffix)]
        if number.isdecimal() and not _is_alive(int(number)):
            old.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write `text` in UTF-8, whole or not at all."""
    atomic_write(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path | str, record: dict) -> None:
    """Write indented JSON, each list of numbers on one line. Raises ValueError for NaN."""
    text = json.dumps(record, indent=2, allow_nan=False)
    text = re.sub(r"\[\n[\d\s,.eE+-]+\]", lambda match: " ".join(match[0].split()), text)
    write_text(path, text + "\n")


def real_path(path: Path) -> Path:
    """Where links lead; `Path.resolve` fails on a circle of them."""
    return Path(os.path.realpath(path))


def as_text(path: Path) -> str:
    """A path that any file can hold: of a name that is no UTF-8, the odd bytes as \\udce9."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def require_file(path: Path, what: str) -> None:
    """Raise InputError unless `path` is a regular file; what: such as "a picture"."""
    if not path.is_file():
        problem = "is not a regular file" if path.exists() else "does not exist"
        raise InputError(f"{as_text(path)} {problem}; name {what}")


def stem_of(path: Path) -> str:
    """Its name without the ending, short enough for the names of other files to begin with it.

    A name of over LONGEST_STEM bytes is cut, and ends in a hash of the whole, so that no two are
    the same.
    """
    stem = as_text(Path(path.stem)).encode()
    if len(stem) > LONGEST_STEM:
        stem = stem[: LONGEST_STEM - 9] + b"-" + hashlib.sha256(stem).hexdigest()[:8].encode()
    return stem.decode(errors="ignore")


def plain(name: str) -> str:
    """A name as text of a figure: its dollar signs are no formula, and all of it can be drawn."""
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in name)
    if shown.startswith("_"):
        shown = f" {shown}"  # matplotlib's legends leave out what begins with one
    return shown.replace("$", r"\$")


def save_figure(figure: Figure, path: Path | str) -> None:
    """Write a figure as PNG and say so."""
    look = {"dpi": 150, "metadata": {"Software": None}}
    family = _fonts()
    for text in figure.findobj(matplotlib.text.Text):
        text.set_family(family)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # boxes show that no font here has the letters
        atomic_write(path, lambda temporary: figure.savefig(temporary, **look))
    print(f"wrote {path}")


def _fonts() -> list[str]:
    """Matplotlib's own font, then those of this machine that have the letters it lacks."""
    installed = matplotlib.font_manager.fontManager.get_font_names()
    return ["DejaVu Sans", *(name for name in sorted(installed) if re.search(OTHER_LETTERS, name))]


def is_disk_full(error: Exception) -> bool:
    """Whether that is what went wrong."""
    return getattr(error, "errno", None) == errno.ENOSPC


def refuse_overwriting(inputs: list[Path | None], outputs: list[Path]) -> None:
    """Raise InputError if one of `outputs` is a file that the run reads."""
    read = {real_path(path) for path in inputs if path}
    for path in outputs:
        if real_path(path) in read:
            raise InputError(f"{path} is an input and would be overwritten; name another")


def output_folder(base: Path, synthetic: bool) -> Path:
    """What is made from synthetic faces is kept apart, in `base`/sample."""
    return base / "sample" if synthetic else base


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal; "" if there is no such regular file."""
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
