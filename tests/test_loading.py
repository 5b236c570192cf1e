"""Every dialect loads, every bad file ends in one clear line, and no cache is ever stale."""

import csv
import gzip
import io
import os
import random
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ROOT, make_faces

import utils
import fer2013_csv
from utils import InputError

IMAGES, LABELS, USAGE = make_faces(9)
PIXELS = [" ".join(map(str, image.ravel())) for image in IMAGES]
USAGE_NAMES = [utils.USAGES[position] for position in USAGE]


def table(header: str, *columns, end: str = "\n", comma: str = ",") -> bytes:
    rows = [comma.join(map(str, row)) for row in zip(*columns, strict=True)]
    return (end.join([header, *rows]) + end).encode()


FER2013 = table("emotion,pixels,Usage", LABELS, PIXELS, USAGE_NAMES)


def zipped(**files: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_csv", ".csv"), content)
    return memory.getvalue()


DIALECTS = {
    "fer2013.csv": FER2013,
    "icml_face_data.csv": table("emotion, Usage, pixels", LABELS, USAGE_NAMES, PIXELS, comma=", "),
    "Kaggle train.csv": table("emotion,pixels", LABELS, PIXELS),
    "Kaggle test.csv": table("pixels", PIXELS),
    "homework train.csv": table("label,feature", LABELS, PIXELS),
    "homework test.csv": table("id,feature", range(9), PIXELS),
    "quoted": table("emotion,pixels", LABELS, [f'"{text}"' for text in PIXELS]),
    "with pandas' index": table(",emotion,pixels", range(9), LABELS, PIXELS),
    "BOM": b"\xef\xbb\xbf" + FER2013,
    "CRLF": FER2013.replace(b"\n", b"\r\n"),
    "BOM and CRLF": b"\xef\xbb\xbf" + FER2013.replace(b"\n", b"\r\n"),
    "no newline at the end": FER2013.rstrip(b"\n"),
    "blank lines": FER2013.replace(b"\n", b"\n\n"),
    "two spaces, trailing space": table(
        "label,feature", LABELS, [p.replace(" ", "  ") + " " for p in PIXELS]
    ),
    "leading zeros": table("label,feature", LABELS, ["00" + p for p in PIXELS]),
    "tabs between pixels": table("label,feature", LABELS, [p.replace(" ", "\t") for p in PIXELS]),
    "upper case header": FER2013.replace(b"emotion,pixels", b"EMOTION,Pixels"),
    "gz": gzip.compress(FER2013),
    "zip": zipped(fer2013_csv=FER2013),
    "zip made on a Mac": zipped(**{"fer2013_csv": FER2013, "__MACOSX/._fer2013_csv": b"resource"}),
    "zip with a note": zipped(fer2013_csv=FER2013, readme=b"hello"),
}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_gives_the_same_arrays(name, tmp_path):
    path = tmp_path / "any name"
    path.write_bytes(DIALECTS[name])
    for _ in range(2):  # parsed, then from the cache
        faces = utils.load_faces(path)
        assert faces.images.dtype == np.uint8
        np.testing.assert_array_equal(faces.images, IMAGES)
        if "test.csv" in name:
            assert faces.labels is None
        else:
            np.testing.assert_array_equal(faces.labels, LABELS)
        if "Usage" in name or name in ("fer2013.csv", "icml_face_data.csv", "BOM", "gz", "zip"):
            np.testing.assert_array_equal(faces.usage, USAGE)
        assert not faces.drawn


def test_written_faces_load_again(tmp_path):
    units = ["6+12"] * 9
    path = tmp_path / "drawn.csv"
    fer2013_csv.write_csv(path, IMAGES, LABELS, USAGE, units)
    faces = utils.load_faces(path)
    np.testing.assert_array_equal(faces.images, IMAGES)
    np.testing.assert_array_equal(faces.labels, LABELS)
    np.testing.assert_array_equal(faces.usage, USAGE)
    assert faces.drawn


def test_rows_stay_in_order_across_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(fer2013_csv, "BLOCK_BYTES", 20_000)  # two rows a block
    images, labels, usage = make_faces(61, seed=3)
    path = tmp_path / "faces.csv"
    fer2013_csv.write_csv(path, images, labels, usage)
    faces = utils.load_faces(path)
    np.testing.assert_array_equal(faces.images, images)
    np.testing.assert_array_equal(faces.labels, labels)


def changed(row: int, pixels=None, label=None, usage=None, line=None) -> bytes:
    """FER2013 with one row (1-based) changed."""
    lines = FER2013.split(b"\n")
    fields = lines[row].split(b",")
    for position, value in enumerate((label, pixels, usage)):
        if value is not None:
            fields[position] = value(fields[position]) if callable(value) else value
    lines[row] = b",".join(fields) if line is None else line
    return b"\n".join(lines)


HEADERLESS = FER2013.split(b"\n", 1)[1]
GZ = gzip.compress(FER2013)
ZIP = zipped(fer2013_csv=FER2013)
# content of the file, and what its one line must say
BAD = {
    "one pixel too few": (changed(4, pixels=lambda p: p.rsplit(b" ", 1)[0]), "row 4 (line 5): 2303 pixels"),
    "one pixel too many": (changed(9, pixels=lambda p: p + b" 7"), "row 9 (line 10): 2305 pixels"),
    "no pixels": (changed(1, pixels=b""), "row 1 (line 2): 0 pixels"),
    "two rows with each other's pixels": (
        changed(3, pixels=lambda p: p.rsplit(b" ", 1)[0]).replace(b"3,", b"3,1 ", 1), "2303 pixels"),
    "pixel 256": (changed(2, pixels=lambda p: b"256" + p[p.index(b" "):]), "row 2 (line 3): pixel 1 is '256'"),
    "pixel 999": (changed(2, pixels=lambda p: p[: p.rindex(b" ")] + b" 999"), "pixel 2304 is '999'"),
    "pixel 1000": (changed(2, pixels=lambda p: b"1000" + p[p.index(b" "):]), "pixel 1 is '1000'"),
    "pixel of 5000 digits": (changed(2, pixels=lambda p: b"1" * 5000 + p[p.index(b" "):]), "pixel 1 is"),
    "negative pixel": (changed(5, pixels=lambda p: b"-" + p), "row 5 (line 6): pixel 1 is '-"),
    "signed pixel": (changed(5, pixels=lambda p: b"+" + p), "pixel 1 is '+"),
    "fractional pixel": (changed(6, pixels=lambda p: p.replace(b" ", b".5 ", 1)), "row 6 (line 7): pixel 1"),
    "pixel nan": (changed(6, pixels=lambda p: b"nan" + p[p.index(b" "):]), "pixel 1 is 'nan'"),
    "pixel in another script": (changed(6, pixels=lambda p: "٣".encode() + p[p.index(b" "):]), "pixel 1 is '٣'"),
    "hexadecimal pixel": (changed(6, pixels=lambda p: b"0x1" + p[p.index(b" "):]), "pixel 1 is '0x1'"),
    "underscore in a pixel": (changed(6, pixels=lambda p: b"1_0" + p[p.index(b" "):]), "pixel 1 is '1_0'"),
    "unbalanced quote": (changed(7, pixels=lambda p: b'"' + p), "row 7 (line 8): pixel 1"),
    "NUL in a row": (changed(7, pixels=lambda p: b"\0" + p), "row 7 (line 8): pixel 1"),
    "label 7": (changed(8, label=b"7"), "row 8 (line 9): label '7' is not one of 0..6"),
    "label -1": (changed(8, label=b"-1"), "label '-1'"),
    "label missing": (changed(8, label=b""), "row 8 (line 9): label ''"),
    "label 3.0": (changed(8, label=b"3.0"), "label '3.0'"),
    "label happy": (changed(8, label=b"happy"), "label 'happy'"),
    "unknown Usage": (changed(1, usage=b"Train"), "row 1 (line 2): Usage 'Train'"),
    "Usage missing": (changed(1, usage=b""), "Usage ''"),
    "a field too many": (changed(3, usage=b"Training,"), "row 3 (line 4): 4 fields where the header has 3"),
    "a field too few": (changed(3, line=b"3"), "row 3 (line 4): 1 fields"),
    "cut in the last row's pixels": (FER2013[:-3000], "row 9 (line 10): 2 fields"),
    "cut in the last row's Usage": (FER2013[:-4], "row 9 (line 10): Usage 'Train'"),
    "cut in the first row": (FER2013[:500], "row 1 (line 2)"),
    "header twice": (FER2013.replace(b"\n", b"\nemotion,pixels,Usage\n", 1), "row 1 (line 2): label 'emotion'"),
    "two files glued together": (FER2013 + FER2013, "row 10 (line 11): label 'emotion'"),
    "empty": (b"", "is empty"),
    "only a BOM": (b"\xef\xbb\xbf", "no column `pixels`"),
    "only a header": (b"emotion,pixels,Usage\n", "no rows"),
    "a header and blank lines": (b"emotion,pixels,Usage\n\n \n", "no rows"),
    "no header": (HEADERLESS, "no column `pixels`"),
    "no known columns": (b"name,age\nAnn,7\n", "no column `pixels` or `feature`"),
    "label but no pixels": (b"emotion,Usage\n0,Training\n", "no column `pixels`"),
    "two pixel columns": (table("pixels,feature", PIXELS, PIXELS), "two columns for the pixels"),
    "two label columns": (table("emotion,label,pixels", LABELS, LABELS, PIXELS), "two columns for the label"),
    "CR line ends": (FER2013.replace(b"\n", b"\r"), "ends its lines with CR alone"),
    "semicolons": (FER2013.replace(b",", b";"), "no column `pixels`"),
    "UTF-16": (FER2013.decode().encode("utf-16"), "is not a CSV in UTF-8"),
    "Latin-1 header": ("émotion,pixels\n".encode("latin-1"), "is not a CSV in UTF-8"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(500), "is not a CSV"),
    "random bytes": (random.Random(0).randbytes(5000), "is not a CSV"),
    "zeros": (bytes(10_000), "is not a CSV"),
    "gz cut short": (GZ[: len(GZ) // 2], "is damaged or cut short"),
    "gz with a wrong byte": (GZ[:2000] + bytes([GZ[2000] ^ 255]) + GZ[2001:], "faces.csv"),
    "gz without content": (GZ[:10], "is damaged or cut short"),
    "zip cut short": (ZIP[: len(ZIP) // 2], "cannot unpack it"),
    "zip with a wrong byte": (ZIP[:3000] + bytes([ZIP[3000] ^ 255]) + ZIP[3001:], "is damaged"),
    "zip with two CSVs": (zipped(a_csv=FER2013, b_csv=FER2013), "a.csv, b.csv"),
    "zip without a CSV": (zipped(readme=b"hello"), "must hold one .csv"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_file_ends_in_one_clear_line(name, tmp_path):
    content, expected = BAD[name]
    path = tmp_path / "faces.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        utils.load_faces(path)
    message = str(caught.value)
    assert expected in message
    assert str(path) in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written


def test_there_are_at_least_30_kinds_of_bad_file():
    assert len(BAD) >= 30


@pytest.mark.parametrize("kind", ["folder", "absent", "device", "fifo"])
def test_what_is_no_file_ends_in_one_clear_line(kind, tmp_path):
    path = tmp_path / "faces.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    expected = {"folder": "is a folder", "absent": "does not exist"}.get(kind, "not a regular file")
    with pytest.raises(InputError, match=expected):
        utils.load_faces(path)


def test_a_command_ends_in_one_line_and_status_1(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_bytes(BAD["pixel 256"][0])
    command = [sys.executable, str(ROOT / "prepare_data.py"), str(path), "--report-only"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "row 2 (line 3): pixel 1 is '256'" in done.stderr


def reference(content: bytes) -> tuple[list, list, list]:
    """What the standard library reads: pixels, labels and usage, as text and numbers."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True)
    pixels, labels, usage = [], [], []
    for row in rows:
        if not any((value or "").strip() for value in row.values()):
            continue  # a blank line
        row = {name.strip(' "').lower(): value for name, value in row.items()}
        pixels.append([int(value) for value in row["pixels"].split()])
        labels.append(int(row["emotion"]))
        usage.append(row["usage"].strip())
    return pixels, labels, usage


def mutate(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, length = rng.randrange(len(content)), rng.choice((1, 1, 2, 10, 3000))
        piece = content[at : at + length]
        kind = rng.randrange(7)
        if kind == 0:  # other characters
            piece = (
                bytes(rng.choice(b'0123456789 ,\n\r"-.x\t\0\xff') for _ in piece[:3]) + piece[3:]
            )
        elif kind == 1:  # a random byte
            piece = bytes([rng.randrange(256)]) + piece[1:]
        elif kind == 2:  # something lost
            piece = b""
        elif kind == 3:  # something twice
            piece = piece * 2
        elif kind == 4:  # something new
            piece = rng.choice((b" ", b"\n", b",", b"0", b'"', b"\r\n", b"\xef\xbb\xbf")) + piece
        elif kind == 5:  # the rest lost
            content, piece = content[:at], b""
        elif kind == 6:  # one digit for another: still right
            piece = bytes(rng.choice(b"01") if byte in b"0123456789" else byte for byte in piece)
        content = content[:at] + piece + content[at + length :] or b"x"
    return content


def test_fuzz_2000_files_load_right_or_end_in_a_clear_error(tmp_path):
    rng = random.Random(0)
    start = b"\n".join(FER2013.split(b"\n")[:4]) + b"\n"
    path = tmp_path / "faces.csv"
    loaded = refused = 0
    for _ in range(2000):
        content = mutate(start, rng)
        path.write_bytes(content)
        try:
            images, labels, usage, _ = fer2013_csv.parse_csv(path)
        except InputError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        loaded += 1
        pixels, expected_labels, expected_usage = reference(content)
        np.testing.assert_array_equal(images.reshape(len(images), -1), pixels)
        if labels is not None:
            np.testing.assert_array_equal(labels, expected_labels)
        if usage is not None:
            assert [utils.USAGES[position] for position in usage] == expected_usage
    assert loaded > 200 and refused > 200  # else the mutations miss one of the two


# Cache


@pytest.fixture
def cached(faces_csv):
    """A CSV that has been loaded, so that a cache stands beside it."""
    utils.load_faces(faces_csv)
    assert utils._cache_path(faces_csv).exists()
    return faces_csv


def forbid_parsing(monkeypatch):
    def refuse(path):
        raise AssertionError("parsed again")

    monkeypatch.setattr(utils, "parse_csv", refuse)


def test_second_load_is_answered_from_the_cache(cached, monkeypatch):
    forbid_parsing(monkeypatch)
    images, labels, usage = make_faces(420)
    for _ in range(2):
        faces = utils.load_faces(cached)
        np.testing.assert_array_equal(faces.images, images)
        np.testing.assert_array_equal(faces.labels, labels)
        np.testing.assert_array_equal(faces.usage, usage)


def test_settled_file_is_not_even_hashed_again(faces_csv, monkeypatch):
    long_ago = 1_700_000_000
    os.utime(faces_csv, (long_ago, long_ago))
    real = utils.time.time_ns
    monkeypatch.setattr(utils.time, "time_ns", lambda: real() + 10**9)
    utils.load_faces(faces_csv)
    forbid_parsing(monkeypatch)
    monkeypatch.setattr(utils, "sha256_of_file", lambda path: pytest.fail("hashed again"))
    assert len(utils.load_faces(faces_csv).images) == 420


def test_touched_or_copied_file_is_known_by_its_content(cached, monkeypatch, tmp_path):
    forbid_parsing(monkeypatch)
    os.utime(cached, (1, 1))
    assert len(utils.load_faces(cached).images) == 420


@pytest.mark.parametrize("settled", [True, False])
@pytest.mark.parametrize("way", ["in place", "replaced", "truncated", "grown"])
def test_changed_file_is_never_answered_from_the_cache(faces_csv, way, settled, monkeypatch):
    if settled:
        real = utils.time.time_ns
        monkeypatch.setattr(utils.time, "time_ns", lambda: real() + 10**9)
    before = utils.load_faces(faces_csv)
    stat, content = faces_csv.stat(), faces_csv.read_bytes()
    first = content.index(b"\n") + 3
    changed = bytearray(content)
    changed[first] = ord("1") if changed[first] != ord("1") else ord("2")
    end = content.rindex(b"\n", 0, -1) + 1
    if way == "in place":
        with faces_csv.open("r+b") as stream:
            stream.write(changed)
    elif way == "replaced":
        other = faces_csv.with_name("other.csv")
        other.write_bytes(changed)
        other.replace(faces_csv)
    elif way == "truncated":
        with faces_csv.open("r+b") as stream:
            stream.truncate(end)
    elif way == "grown":
        with faces_csv.open("ab") as stream:
            stream.write(content[end:])
    os.utime(faces_csv, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as if nothing had happened
    after = utils.load_faces(faces_csv)
    expected = fer2013_csv.parse_csv(faces_csv)[0]
    np.testing.assert_array_equal(after.images, expected)
    assert not np.array_equal(after.images, before.images)


def test_damaged_cache_is_rebuilt(cached):
    cache = utils._cache_path(cached)
    content = cache.read_bytes()
    images = make_faces(420)[0]
    rng = random.Random(0)
    damages = [content[:0], content[:100], content[: len(content) // 2], content[:-1], b"\n" * 9]
    for _ in range(60):
        at = rng.choice((rng.randrange(600), rng.randrange(len(content))))
        damages.append(
            content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
        )
    for damage in damages:
        cache.write_bytes(damage)
        faces = utils.load_faces(cached)
        np.testing.assert_array_equal(faces.images, images)
        assert faces.sha256 == utils.sha256_of_file(cached)
        assert not faces.drawn


def test_cache_of_another_version_is_rebuilt(cached, monkeypatch):
    monkeypatch.setattr(utils, "CACHE_VERSION", 0)
    parsed = []
    parse = utils.parse_csv
    monkeypatch.setattr(utils, "parse_csv", lambda path: parsed.append(path) or parse(path))
    utils.load_faces(cached)
    utils.load_faces(cached)
    assert len(parsed) == 1


def test_a_file_that_may_be_cut_in_its_last_pixel_is_announced(tmp_path, capsys):
    path = tmp_path / "train.csv"
    path.write_bytes(DIALECTS["Kaggle train.csv"].rstrip(b"\n"))
    utils.load_faces(path)
    assert "ends without a newline" in capsys.readouterr().out
    path.write_bytes(DIALECTS["Kaggle train.csv"])
    utils.load_faces(path)
    assert "ends without a newline" not in capsys.readouterr().out


def test_folder_without_permission_costs_the_cache_only(faces_csv, monkeypatch):
    def refuse(path, write):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(utils, "write_whole", refuse)
    assert len(utils.load_faces(faces_csv).images) == 420
    assert not utils._cache_path(faces_csv).exists()


def test_a_recorded_command_can_be_run_again(monkeypatch):
    """By a shell, whatever its arguments hold; and the cores are those that it may use."""
    monkeypatch.setattr(sys, "argv", ["/x/saliency.py", "--data", "my faces/it's.csv"])
    record = utils.provenance(SimpleNamespace(seed=1))
    assert shlex.split(record["command"]) == ["python", "saliency.py", *sys.argv[1:]]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert utils.provenance(SimpleNamespace(seed=1))["machine"].endswith(", 1 cores")
