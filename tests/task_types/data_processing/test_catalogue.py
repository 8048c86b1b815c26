import os
from pathlib import Path

import pytest

from app.task_types.data_processing.catalogue import SHIPPED, SOURCES_FILE_VARIABLE, SourceError, find_source
from tests.task_types.data_processing.conftest import Catalogue

CSV = 'format = "csv"\n'


def found(catalogue: Catalogue, name: str) -> list[str]:
    opened = find_source(name, {SOURCES_FILE_VARIABLE: str(catalogue.path)})
    return [str(file.relative_to(catalogue.folder)) for file in opened.files]


def test_the_sample_is_there_without_any_catalogue() -> None:
    opened = find_source("data_stream_1", {})
    assert opened.files == (SHIPPED.parent / "data_stream_1.csv",)


def test_the_sample_is_there_beside_a_catalogue_of_ones_own(catalogue: Catalogue) -> None:
    catalogue.add("mine", CSV + 'path = "m.csv"', m__csv="a\n1\n")
    assert find_source("data_stream_1", os.environ).files[0].name == "data_stream_1.csv"
    assert found(catalogue, "mine") == ["m.csv"]


def test_an_entry_of_ones_own_replaces_a_shipped_one(catalogue: Catalogue) -> None:
    catalogue.add("data_stream_1", CSV + 'path = "m.csv"', m__csv="a\n1\n")
    assert found(catalogue, "data_stream_1") == ["m.csv"]


def test_paths_are_relative_to_the_catalogue_and_may_match_many_files(catalogue: Catalogue) -> None:
    for name in ("b/2.csv", "a/1.csv", "a/deep/3.csv", "a/note.txt"):
        (catalogue.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (catalogue.folder / name).write_text("a\n1\n")
    catalogue.add("star", CSV + 'path = "*/*.csv"')
    catalogue.add("deep", CSV + 'path = "a/**/*.csv"')
    catalogue.add("list", CSV + 'path = ["b/2.csv", "a/1.csv", "b/*.csv"]')
    catalogue.add("absolute", CSV + f'path = "{catalogue.folder}/b/?.csv"')
    assert found(catalogue, "star") == ["a/1.csv", "b/2.csv"]
    assert found(catalogue, "deep") == ["a/1.csv", "a/deep/3.csv"]
    assert found(catalogue, "list") == ["b/2.csv", "a/1.csv"]
    assert found(catalogue, "absolute") == ["b/2.csv"]


def test_a_file_with_a_star_in_its_name_is_meant_itself(catalogue: Catalogue) -> None:
    for name in ("a*.csv", "ab.csv", "[x].csv"):
        (catalogue.folder / name).write_text("a\n1\n")
    catalogue.add("star", CSV + 'path = "a*.csv"')
    catalogue.add("bracket", CSV + 'path = "[x].csv"')
    assert found(catalogue, "star") == ["a*.csv"]
    assert found(catalogue, "bracket") == ["[x].csv"]


@pytest.mark.parametrize("name", ["nothing", "../data_stream_1", "data_stream_1.csv", "DATA_STREAM_1", "/etc/passwd"])
def test_a_name_that_is_not_in_the_catalogue_is_told_with_those_that_are(catalogue: Catalogue, name: str) -> None:
    catalogue.add("mine", CSV + 'path = "m.csv"', m__csv="a\n1\n")
    with pytest.raises(SourceError, match=r"/input_source: there is no source .* has data_stream_1, mine$"):
        found(catalogue, name)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ('path = "x.csv"', "wrong at format: Field required"),
        ('format = "xml"\npath = "x.csv"', "wrong at format: Input should be 'csv', 'jsonl' or 'parquet'"),
        (CSV + 'path = "x.csv"\nsql = "x"', "wrong at sql: Extra inputs"),
        (CSV + 'path = "x.csv"\ncolumns.a = "int"', "wrong at columns/a"),
        (CSV + 'path = "x.csv"\ndelimiter = "::"', "wrong at delimiter"),
        (CSV + 'path = "x.csv"\nheader = false', "has no header and has to name its columns"),
        (CSV + 'path = "x.csv"\nsteps.validate.rules = [{ column = "a" }]', "wrong at steps/validate/rules/0"),
        (CSV + 'path = "none-*.csv"', "no file that matches 'none-"),
        (CSV + 'path = "none.csv"', r"no file that matches 'none\.csv'"),
        (CSV + 'path = "."', r"no file that matches '\.'"),
    ],
)
def test_a_wrong_entry_is_told_by_its_member(catalogue: Catalogue, entry: str, sentence: str) -> None:
    catalogue.add("mine", entry, x__csv="a\n1\n")
    with pytest.raises(SourceError, match=sentence):
        found(catalogue, "mine")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[sources.a\n", r"sources\.toml is not TOML"),
        (b"\xff\xfe", r"sources\.toml is not TOML"),
        (b"[source.a]\n", r"may have tables named \[sources\.NAME\] only"),
        (b"sources = 5\n", r"may have tables named \[sources\.NAME\] only"),
    ],
)
def test_a_catalogue_that_cannot_be_understood_is_told(catalogue: Catalogue, content: bytes, sentence: str) -> None:
    catalogue.path.write_bytes(content)
    with pytest.raises(SourceError, match=sentence):
        found(catalogue, "mine")


def test_a_catalogue_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"away\.toml cannot be read: No such file or directory"):
        find_source("mine", {SOURCES_FILE_VARIABLE: str(tmp_path / "away.toml")})


@pytest.mark.skipif(os.getuid() == 0, reason="root may read any file")
def test_a_file_without_permission_is_told(catalogue: Catalogue) -> None:
    catalogue.add("mine", CSV + 'path = "m.csv"', m__csv="a\n1\n")
    (catalogue.folder / "m.csv").chmod(0)
    with pytest.raises(SourceError, match=r"m\.csv of the source 'mine' cannot be read: Permission denied"):
        found(catalogue, "mine")
