"""Every dialect loads, and every bad file ends in one clear line."""

import bz2
import contextlib
import csv
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, make_faces

import utils
from toolbox.dataset import archives, csv_rows, fer2013_csv
from utils import InputError

IMAGES, LABELS, USAGE = make_faces(9)
PIXELS = [" ".join(map(str, image.ravel())) for image in IMAGES]
USAGE_NAMES = [utils.USAGES[position] for position in USAGE]


def table(header: str, *columns, end: str = "\n", comma: str = ",") -> bytes:
    rows = [comma.join(map(str, row)) for row in zip(*columns, strict=True)]
    return (end.join([header, *rows]) + end).encode()


FER2013 = table("emotion,pixels,Usage", LABELS, PIXELS, USAGE_NAMES)


def zipped(method: int = zipfile.ZIP_DEFLATED, **files: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_csv", ".csv"), content)
    return memory.getvalue()


def tarred(mode: str = "w", **files: bytes) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo("fer2013/" + name.replace("_csv", ".csv"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return memory.getvalue()


def one_by_one(start: int, prefix: str = "pixel", end: str = "\n") -> bytes:
    """Each pixel in its own column."""
    names = [f"{prefix}{number}" for number in range(start, start + 2304)]
    return table(",".join(["emotion", *names, "usage"]), LABELS, PIXELS_IN_COMMAS, USAGE_NAMES)


PIXELS_IN_COMMAS = [text.replace(" ", ",") for text in PIXELS]
LISTS = [f"[{text.replace(' ', ', ')}]" for text in PIXELS]
NAMED = [utils.CLASSES[label] for label in LABELS]
ANY_NAME = ("anger", "Disgusted", "FEARFUL", "happiness", "Sadness", "surprised", "neutral")
with np.printoptions(threshold=9999):
    ARRAYS = [f'"{image}"' for image in IMAGES]
CONTEST = {"README": b"notes, with, commas\n" * 5, "fer2013_csv": FER2013, "fer2013.bib": b"@"}


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
    "no newline at the end": FER2013.rstrip(b"\n"),
    "blank lines": FER2013.replace(b"\n", b"\n\n"),
    "two spaces, trailing space": table(
        "label,feature", LABELS, [p.replace(" ", "  ") + " " for p in PIXELS]
    ),
    "leading zeros": table("label,feature", LABELS, ["00" + p for p in PIXELS]),
    "tabs between pixels": table("label,feature", LABELS, [p.replace(" ", "\t") for p in PIXELS]),
    "upper case header": FER2013.replace(b"emotion,pixels", b"EMOTION,Pixels"),
    "gz": gzip.compress(FER2013),
    "gz in gz": gzip.compress(gzip.compress(FER2013)),
    "xz": lzma.compress(FER2013),
    "bz2": bz2.compress(FER2013),
    "zip": zipped(fer2013_csv=FER2013),
    "zip with LZMA": zipped(zipfile.ZIP_LZMA, fer2013_csv=FER2013),
    "zip with bzip2": zipped(zipfile.ZIP_BZIP2, fer2013_csv=FER2013),
    "zip made on a Mac": zipped(**{"fer2013_csv": FER2013, "__MACOSX/._fer2013_csv": b"resource"}),
    "zip with a note": zipped(fer2013_csv=FER2013, readme=b"hello"),
    "zip with other tables": zipped(test_csv=b"", icml_face_data_csv=FER2013, train_csv=b""),
    "tar": tarred(**CONTEST),
    "tar.gz, as the contest packs it": tarred("w:gz", **CONTEST),
    "tar.xz": tarred("w:xz", **CONTEST),
    "semicolons": FER2013.replace(b",", b";"),
    "tabs": FER2013.replace(b",", b"\t"),
    "UTF-16": FER2013.decode().encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + FER2013.decode().encode("utf-16-be"),
    "UTF-16, tabs, CRLF, gz": gzip.compress(
        FER2013.decode().replace(",", "\t").replace("\n", "\r\n").encode("utf-16")
    ),
    "all fields quoted": b'"'
    + FER2013.strip().replace(b",", b'","').replace(b"\n", b'"\n"')
    + b'"',
    "commas in quotes": table(
        '"a ""note"", free",emotion,pixels', ['"seen, ""twice"""'] * 9, LABELS, PIXELS
    ),
    "commas in quotes with semicolons": table(
        "note;emotion;pixels", ['"a;b"'] * 9, LABELS, PIXELS, comma=";"
    ),
    "float labels": table("label,feature", [f"{label}.0" for label in LABELS], PIXELS),
    "names": table("emotion,pixels", NAMED, PIXELS),
    "other names": table("emotion,pixels", [ANY_NAME[label] for label in LABELS], PIXELS),
    "lists": table("emotion,pixels", LABELS, [f'"{text}"' for text in LISTS]),
    "lists in semicolons": table("emotion;pixels", LABELS, LISTS, comma=";"),
    "lists of text": table(
        "emotion;pixels", LABELS, [str(text.split()) for text in PIXELS], comma=";"
    ),
    "lists of NumPy's numbers": table(
        "emotion;pixels", LABELS, [str(list(image.ravel())) for image in IMAGES], comma=";"
    ),
    "arrays over many lines": table("emotion,pixels,Usage", LABELS, ARRAYS, USAGE_NAMES),
    "commas between pixels": table("emotion,pixels", LABELS, [f'"{p}"' for p in PIXELS_IN_COMMAS]),
    "float pixels": table(
        "emotion,pixels", LABELS, [" ".join(f"{v}.0" for v in p.split()) for p in PIXELS]
    ),
    "pixel0, pixel1, ... and Usage": one_by_one(0),
    "1, 2, ... and Usage": one_by_one(1, ""),
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
        if b"sage" in archives.open_table(path, DIALECTS[name]).readline().replace(b"\0", b""):
            np.testing.assert_array_equal(faces.usage, USAGE)
        else:
            assert faces.usage is None
        assert not faces.synthetic


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Train Test Test", [0, 3, 3]),  # merged
        ("training test", [0, 3]),
        ("train val test", [0, 1, 2]),  # as FER+ and others call the three
        ("TRAINING Validation Testing", [0, 1, 2]),
        ("train valid", [0, 3]),  # merged, under another name
        ("Training PublicTest validation", [0, 1, 3]),
        ("PrivateTest test", [2, 3]),
    ],
)
def test_splits_under_other_names(words, expected, tmp_path):
    path = tmp_path / "faces.csv"
    names = words.split()
    path.write_bytes(
        table("emotion,pixels,Usage", LABELS[: len(names)], PIXELS[: len(names)], names)
    )
    assert utils.load_faces(path).usage.tolist() == expected


def test_rows_stay_in_order_across_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", 20_000)  # two rows a block
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


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


HEADERLESS = FER2013.split(b"\n", 1)[1]
GZ = gzip.compress(FER2013)
ZIP = zipped(fer2013_csv=FER2013)
# content of the file, and what its one line must say
BAD = {
    "one pixel too few": (changed(4, pixels=lambda p: p.rsplit(b" ", 1)[0]), "line 5: 2303 pixels"),
    "one pixel too many": (changed(9, pixels=lambda p: p + b" 7"), "line 10: 2305 pixels"),
    "no pixels": (changed(1, pixels=b""), "line 2: 0 pixels"),
    "two rows with each other's pixels": (
        changed(3, pixels=lambda p: p.rsplit(b" ", 1)[0]).replace(b"3,", b"3,1 ", 1), "2303 pixels"),
    "pixel 256": (changed(2, pixels=lambda p: b"256" + p[p.index(b" "):]), "line 3: pixel 1 is '256'"),
    "pixel 1000": (changed(2, pixels=lambda p: b"1000" + p[p.index(b" "):]), "pixel 1 is '1000'"),
    "pixel of 5000 digits": (changed(2, pixels=lambda p: b"1" * 5000 + p[p.index(b" "):]), "pixel 1 is"),
    "negative pixel": (changed(5, pixels=lambda p: b"-" + p), "line 6: pixel 1 is '-"),
    "signed pixel": (changed(5, pixels=lambda p: b"+" + p), "pixel 1 is '+"),
    "fractional pixel": (changed(6, pixels=lambda p: p.replace(b" ", b".5 ", 1)), "line 7: pixel 1"),
    "pixel nan": (changed(6, pixels=lambda p: b"nan" + p[p.index(b" "):]), "pixel 1 is 'nan'"),
    "pixel in another script": (changed(6, pixels=lambda p: "٣".encode() + p[p.index(b" "):]), "pixel 1 is '٣'"),
    "underscore in a pixel": (changed(6, pixels=lambda p: b"1_0" + p[p.index(b" "):]), "pixel 1 is '1_0'"),
    "unbalanced quote": (changed(7, pixels=lambda p: b'"' + p), "line 8: its quotes"),
    "quote within a field": (changed(7, pixels=lambda p: b'1" ' + p), "line 8: pixel 1 is"),
    "quotes in two rows": (FER2013.replace(b"\n1,", b'\n"1,'), "line 3: "),
    "NUL in a row": (changed(7, pixels=lambda p: b"\0" + p), "line 8: pixel 1"),
    "label 7": (changed(8, label=b"7"), "line 9: label '7' is not one of 0..6"),
    "label -1": (changed(8, label=b"-1"), "label '-1'"),
    "label missing": (changed(8, label=b""), "line 9: label ''"),
    "label bored": (changed(8, label=b"bored"), "label 'bored'"),
    "unknown Usage": (changed(1, usage=b"Trial"), "line 2: Usage 'Trial'"),
    "Usage missing": (changed(1, usage=b""), "Usage ''"),
    "a field too many": (changed(3, usage=b"Training,"), "line 4: 4 fields where the header has 3"),
    "a field too few": (changed(3, line=b"3"), "line 4: 1 fields"),
    "cut in the last row's pixels": (FER2013[:-3000], "line 10: 2 fields"),
    "cut in the last row's Usage": (FER2013[:-5], "line 10: Usage 'Trai'"),
    "cut in the first row": (FER2013[:500], "line 2"),
    "header twice": (FER2013.replace(b"\n", b"\nemotion,pixels,Usage\n", 1), "line 2: label 'emotion'"),
    "two files glued together": (FER2013 + FER2013, "line 11: label 'emotion'"),
    "empty": (b"", "is empty"),
    "only a BOM": (b"\xef\xbb\xbf", "no column `pixels`"),
    "only a header": (b"emotion,pixels,Usage\n", "no rows"),
    "a header and blank lines": (b"emotion,pixels,Usage\n\n \n", "no rows"),
    "no header": (HEADERLESS, "no column `pixels`"),
    "no known columns": (b"name,age\nAnn,7\n", "no column `pixels` or `feature`"),
    "two pixel columns": (table("pixels,feature", PIXELS, PIXELS), "two columns for the pixels, pixels, feature;"),
    "two label columns": (table("emotion,label,pixels", LABELS, LABELS, PIXELS), "two columns for the label, emotion, label;"),
    "votes without labels": (table("pixels,votes_happy", PIXELS, ["1"] * 9), "votes but no labels"),
    "votes for a number": (table("emotion,pixels,votes_1", LABELS, PIXELS, LABELS), "'1' is no name of a class"),
    "CR line ends": (FER2013.replace(b"\n", b"\r"), "ends its lines with CR alone"),
    "bars": (FER2013.replace(b",", b"|"), "no column `pixels`"),
    "names in Latin-1": (table("emotion,pixels", ["Fröhlich"] * 9, PIXELS).decode().encode("latin-1"), "not in UTF-8"),
    "UTF-16 cut short": (FER2013.decode().encode("utf-16")[:-3], "begins as UTF-16"),
    "UTF-16 without its mark": (FER2013.decode().encode("utf-16-le"), "is not a CSV in UTF-8"),
    "Latin-1 header": ("émotion,pixels\n".encode("latin-1"), "is not a CSV in UTF-8"),
    "a pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "a web page": (b"<!DOCTYPE html>\n<html>\n", "is a web page"),
    "a PNG": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(500), "is not a CSV"),
    "random bytes": (random.Random(0).randbytes(5000), "is not a CSV"),
    "zeros": (bytes(10_000), "is not a CSV"),
    "images of another size": (
        table("emotion,pixels", LABELS, [" ".join(text.split()[:1024]) for text in PIXELS]), "in every row"),
    "fractions": (table("emotion,pixels", LABELS, [f"0.5 {text}" for text in PIXELS]), "in every row"),
    "arrays that NumPy cut": (
        table("emotion,pixels", LABELS, [f'"{image}"' for image in IMAGES]), "cut short by `...`"),
    "pixel0 ... pixel2302": (one_by_one(0).replace(b"pixel2303", b"last"), "no column `pixels`"),
    "a row over 1 MB": (FER2013 + b"1" * (3 << 20), "line 11 is over 1 MB"),
    "gz cut short": (GZ[: len(GZ) // 2], "cannot unpack it (Compressed file ended"),
    "gz with a wrong byte": (flipped(GZ, 2000), "faces.csv"),
    "gz without content": (GZ[:10], "cannot unpack it"),
    "xz cut short": (lzma.compress(FER2013)[:-20], "cannot unpack it"),
    "bz2 with a wrong byte": (flipped(bz2.compress(FER2013), 3000), "cannot unpack it"),
    "zip cut short": (ZIP[: len(ZIP) // 2], "cannot unpack it"),
    "zip with a wrong byte": (flipped(ZIP, 3000), "cannot unpack it"),
    "zip with a wrong byte in LZMA": (
        flipped(zipped(zipfile.ZIP_LZMA, fer2013_csv=FER2013), 3000), "cannot unpack it"),
    "zip with a wrong byte in bzip2": (
        flipped(zipped(zipfile.ZIP_BZIP2, fer2013_csv=FER2013), 3000), "cannot unpack it"),
    "zip with two CSVs": (zipped(a_csv=FER2013, b_csv=FER2013), "a.csv, b.csv"),
    "zip without a CSV": (zipped(readme=b"hello"), "holds no .csv"),
    "empty zip": (zipped(), "holds no .csv"),
    "tar with two CSVs": (tarred(a_csv=FER2013, b_csv=FER2013), "fer2013/a.csv, fer2013/b.csv"),
    "tar without a CSV": (tarred("w:gz", readme=b"hello"), "holds no .csv"),
    "tar cut short": (tarred("w", **CONTEST)[:9000], "cannot unpack it"),
    "tar.gz cut short": (tarred("w:gz", **CONTEST)[:9000], "cannot unpack it"),
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
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written


@pytest.mark.parametrize("kind", ["folder", "absent", "device", "fifo"])
def test_what_is_no_file_ends_in_one_clear_line(kind, tmp_path):
    path = tmp_path / "faces.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    expected = {"folder": "is a folder", "absent": "does not exist"}.get(kind, "not a regular file")
    with pytest.raises(InputError, match=expected):
        utils.load_faces(path)
    with pytest.raises(InputError, match=r"~nobody-here/x\.csv does not exist"):
        utils.load_faces(Path("~nobody-here/x.csv"))


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_UNPACKED", 10**7)
    monkeypatch.setattr(archives, "LARGEST_FILE", 10**7)
    row = FER2013.split(b"\n")[1] + b"\n"
    bomb = FER2013 + row * 2000
    for content in (gzip.compress(bomb), lzma.compress(bomb), zipped(fer2013_csv=bomb)):
        path = tmp_path / "faces.csv"
        path.write_bytes(content)
        with pytest.raises(InputError, match="unpacks to more than"):
            utils.load_faces(path)
    path.write_bytes(bytes(10**7 + 1))
    with pytest.raises(InputError, match="is larger than"):
        utils.load_faces(path)


@pytest.mark.parametrize("kind", ["zip", "lzma", "bzip2", "tar", "tar.gz", "xz"])
def test_fuzz_archives_load_right_or_end_in_a_clear_error(kind, tmp_path):
    """Single bits flipped anywhere, and in the directory of a zip, which is at its end."""
    start = b"\n".join(FER2013.split(b"\n")[:2]) + b"\n"
    content = {
        "zip": lambda: zipped(fer2013_csv=start),
        "lzma": lambda: zipped(zipfile.ZIP_LZMA, fer2013_csv=start),
        "bzip2": lambda: zipped(zipfile.ZIP_BZIP2, fer2013_csv=start),
        "tar": lambda: tarred("w", fer2013_csv=start),
        "tar.gz": lambda: tarred("w:gz", fer2013_csv=start),
        "xz": lambda: lzma.compress(start),
    }[kind]()
    rng = random.Random(0)
    path = tmp_path / "faces.csv"
    for _ in range(300):
        at = rng.choice(
            (rng.randrange(len(content)), rng.randrange(len(content) - 80, len(content)))
        )
        damaged = content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :]
        with contextlib.suppress(InputError):
            faces = fer2013_csv.parse_csv(path, damaged)
            assert kind == "tar" or np.array_equal(faces.images, IMAGES[:1])  # tar has no checksums


def test_a_command_ends_in_one_line_and_status_1(tmp_path):
    path = tmp_path / "faces.csv"
    path.write_bytes(BAD["pixel 256"][0])
    command = [sys.executable, str(ROOT / "prepare_data.py"), str(path), "--report-only"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "line 3: pixel 1 is '256'" in done.stderr


def reference(content: bytes) -> tuple[list, list, list]:
    """What the standard library reads: pixels, labels and usage, as text and numbers."""
    rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig")), skipinitialspace=True)
    pixels, labels, usage = [], [], []
    for row in rows:
        if not any((value or "").strip() for value in row.values()):
            continue  # a blank line
        row = {name.strip(' "').lower(): value for name, value in row.items()}
        pixels.append([int(float(value)) for value in row["pixels"].split()])
        labels.append(int(float(row["emotion"])))
        usage.append(row["usage"].strip().lower())
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
            _, _, images, labels, usage, *_ = fer2013_csv.parse_csv(path)
        except InputError:
            refused += 1
            continue
        loaded += 1
        pixels, expected_labels, expected_usage = reference(content)
        np.testing.assert_array_equal(images.reshape(len(images), -1), pixels)
        if labels is not None:
            np.testing.assert_array_equal(labels, expected_labels)
        if usage is not None:
            assert [utils.USAGES[position].lower() for position in usage] == expected_usage
    assert loaded > 200 and refused > 200  # else the mutations miss one of the two


def test_a_file_that_may_be_cut_in_its_last_pixel_is_announced(tmp_path, capsys):
    path = tmp_path / "train.csv"
    path.write_bytes(DIALECTS["Kaggle train.csv"].rstrip(b"\n"))
    utils.load_faces(path)
    assert "ends without a newline" in capsys.readouterr().out
    path.write_bytes(DIALECTS["Kaggle train.csv"])
    utils.load_faces(path)
    assert "ends without a newline" not in capsys.readouterr().out
