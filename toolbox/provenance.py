"""Where the numbers of a record come from."""

import contextlib
import functools
import os
import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from toolbox.dataset.faces import Faces

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("keras", "tensorflow", "numpy", "scikit-learn", "pandas", "matplotlib")


def provenance(args, faces: Faces | None = None) -> dict:
    """Command, arguments, data, versions, code and machine of this run, as JSON holds them."""
    record = {
        "command": shlex.join(["python", Path(sys.argv[0]).name, *sys.argv[1:]]),
        "arguments": {name: _plain(value) for name, value in vars(args).items()},
        "seed": args.seed,
        "versions": {name: _version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "git": _commit(),
        "machine": _machine(),
    }
    if faces is not None:
        file = {"file": faces.path.name, "sha256": faces.sha256, "synthetic": faces.synthetic}
        record["data"] = file | {"rows": len(faces.images)}
    return record


def _version(package: str) -> str:
    """Of an installed package; TensorFlow also comes under other names, such as tensorflow-cpu."""
    try:
        return version(package)
    except PackageNotFoundError:
        return version(packages_distributions()[package][0])


def _commit() -> str | None:
    """The commit of the code, with `-dirty` if a Python file differs from it; None without git."""
    with contextlib.suppress(OSError):  # no git on this machine
        ask = functools.partial(subprocess.run, cwd=ROOT, capture_output=True, text=True)
        if not ask(["git", "ls-files", "--", "utils.py"]).stdout:  # within another repository
            return None
        commit = ask(["git", "rev-parse", "--short=12", "HEAD"]).stdout.strip()
        changed = ask(["git", "status", "--porcelain", "--", "*.py"]).stdout.strip()
        return commit + ("-dirty" if commit and changed else "") or None
    return None


def _machine() -> str:
    """System, processor, its bfloat16 instructions, and the cores that this run may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # taskset's, on Linux
    cores = len(affinity(0)) if affinity else os.cpu_count()
    named = re.search(r"^model name\s*: (.+)$", _cpuinfo(), re.MULTILINE)
    processor = named[1].strip() if named else platform.processor() or platform.machine()
    fast = bfloat16_instructions()
    flags = f" ({', '.join(fast)})" if fast else ""
    return f"{platform.system()} {platform.machine()}, {processor}{flags}, {cores} cores"


def bfloat16_instructions() -> list[str]:
    """What this processor multiplies bfloat16 matrices by, in Linux's names; [] elsewhere."""
    known = ("amx_bf16", "avx512_bf16")
    return [flag for flag in known if re.search(rf"\b{flag}\b", _cpuinfo())]


def _cpuinfo() -> str:
    with contextlib.suppress(OSError):  # Linux alone has it
        return Path("/proc/cpuinfo").read_text()
    return ""


def _plain(value):
    """A value as JSON holds it; a path inside this repository is relative to it."""
    if isinstance(value, (tuple, list)):
        return [_plain(part) for part in value]
    if isinstance(value, Path):
        return str(value.relative_to(ROOT) if value.is_relative_to(ROOT) else value)
    return value
