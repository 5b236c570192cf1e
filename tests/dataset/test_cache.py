"""Nothing but its content decides whether a CSV is read again, and no cache is in the way."""

import os
import random
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT, make_faces

from toolbox import files
from toolbox.dataset import cache, fer2013_csv


@pytest.fixture
def cached(faces_csv):
    """A CSV that has been loaded, so that there is a cache beside it."""
    cache.load(faces_csv)
    assert cache.cache_path(faces_csv).is_file()
    return faces_csv


@pytest.fixture
def parsed(monkeypatch):
    """The files that are parsed from here on."""
    names = []

    def parse(path, content):
        names.append(path)
        return fer2013_csv.parse_csv(path, content)

    monkeypatch.setattr(cache, "parse_csv", parse)
    return names


def test_second_load_is_answered_from_the_cache(cached, parsed):
    images, labels, usage = make_faces(420)
    for _ in range(2):
        os.utime(cached, (1, 1))  # its times are nothing to go by
        faces = cache.load(cached)
        np.testing.assert_array_equal(faces.images, images)
        np.testing.assert_array_equal(faces.labels, labels)
        np.testing.assert_array_equal(faces.usage, usage)
        assert faces.sha256 == files.sha256_of_file(cached)
    assert not parsed


@pytest.mark.parametrize("way", ["in place", "replaced", "truncated", "grown"])
def test_changed_file_is_never_answered_from_the_cache(cached, way):
    before = cache.load(cached)
    stat, content = cached.stat(), cached.read_bytes()
    first = content.index(b"\n") + 3
    changed = bytearray(content)
    changed[first] = ord("1") if changed[first] != ord("1") else ord("2")
    end = content.rindex(b"\n", 0, -1) + 1
    if way == "in place":  # the same size too
        with cached.open("r+b") as stream:
            stream.write(changed)
    elif way == "replaced":
        other = cached.with_name("other.csv")
        other.write_bytes(changed)
        other.replace(cached)
    elif way == "truncated":
        with cached.open("r+b") as stream:
            stream.truncate(end)
    elif way == "grown":
        with cached.open("ab") as stream:
            stream.write(content[end:])
    os.utime(cached, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as if nothing had happened
    after = cache.load(cached)
    expected = fer2013_csv.parse_csv(cached).images
    np.testing.assert_array_equal(after.images, expected)
    assert not np.array_equal(after.images, before.images)


def test_a_file_that_changes_while_it_is_parsed_is_not_mistaken_for_another(faces_csv, monkeypatch):
    def parse(path, content):
        path.write_bytes(content.replace(b"emotion", b"label"))
        return fer2013_csv.parse_csv(path, content)

    before = faces_csv.read_bytes()
    monkeypatch.setattr(cache, "parse_csv", parse)
    first = cache.load(faces_csv)
    monkeypatch.setattr(cache, "parse_csv", fer2013_csv.parse_csv)
    assert cache.load(faces_csv).sha256 != first.sha256
    faces_csv.write_bytes(before)
    assert cache.load(faces_csv).sha256 == first.sha256


def test_damaged_cache_is_rebuilt(tmp_path):
    images, labels, usage = make_faces(14)
    csv = tmp_path / "faces.csv"
    fer2013_csv.write_csv(csv, images, labels, usage)
    cache.load(csv)
    path = cache.cache_path(csv)
    content = path.read_bytes()
    rng = random.Random(0)
    damages = [content[:0], content[:100], content[: len(content) // 2], content[:-1], b"\n" * 9]
    for _ in range(150):
        places = rng.randrange(600), rng.randrange(len(content)), -1 - rng.randrange(700)
        at = rng.choice(places) % len(content)
        flipped = bytes([content[at] ^ (1 << rng.randrange(8))])
        damages.append(content[:at] + flipped + content[at + 1 :])
    for damage in damages:
        path.write_bytes(damage)
        faces = cache.load(csv)
        np.testing.assert_array_equal(faces.images, images)
        np.testing.assert_array_equal(faces.labels, labels)
        np.testing.assert_array_equal(faces.usage, usage)
        assert not faces.synthetic


def test_foreign_caches_are_ignored(cached, parsed, tmp_path, monkeypatch):
    path = cache.cache_path(cached)
    other = tmp_path / "other.csv"
    fer2013_csv.write_csv(other, *make_faces(7, seed=1))
    cache.load(other)
    cache.cache_path(other).replace(path)  # another file's
    assert len(cache.load(cached).images) == 420
    np.save(path.open("wb"), np.zeros(3))
    assert len(cache.load(cached).images) == 420
    monkeypatch.setattr(cache, "VERSION", 0)
    assert len(cache.load(cached).images) == 420
    assert parsed == [other, cached, cached, cached]
    cache.load(cached)
    assert len(parsed) == 4


def test_a_file_without_labels_stays_without(tmp_path, parsed):
    path = tmp_path / "test.csv"
    fer2013_csv.write_csv(path, make_faces(7)[0])
    for _ in range(2):
        faces = cache.load(path)
        assert faces.labels is None and faces.usage is None
    assert len(parsed) == 1


def test_a_pipe_in_place_of_the_cache_does_not_hang_and_stays(faces_csv):
    os.mkfifo(cache.cache_path(faces_csv))
    assert len(cache.load(faces_csv).images) == 420
    assert cache.cache_path(faces_csv).is_fifo()


def test_folder_without_permission_costs_the_cache_only(faces_csv, monkeypatch):
    def refuse(path, write):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "atomic_write", refuse)
    assert len(cache.load(faces_csv).images) == 420
    assert not cache.cache_path(faces_csv).exists()


def test_two_processes_at_once(faces_csv):
    code = (
        "import sys, pathlib, utils; print(len(utils.load_faces(pathlib.Path(sys.argv[1])).images))"
    )
    command = [sys.executable, "-c", code, str(faces_csv)]
    runs = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    assert [run.communicate()[0] for run in runs] == ["420\n", "420\n"]
    assert {path.name for path in faces_csv.parent.iterdir()} == {"faces.csv", "faces.csv.cache"}
