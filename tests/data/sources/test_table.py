import pandas as pd
import pytest

from kerastune_recipes.data.sources.open import open_dataset
from kerastune_recipes.errors import DataError


@pytest.fixture
def photos(tmp_path, fill):
    return fill(tmp_path / "photos", red=5, green=5)


def rows(count: int = 5) -> list[tuple[str, str]]:
    return [(f"photos/{label}/{number}.png", label) for label in ("red", "green") for number in range(count)]


def problems(ds, **arguments) -> str:
    with pytest.raises(DataError) as caught:
        open_dataset(ds, **arguments)
    return "\n".join(caught.value.problems)


def test_csv_paths_start_at_its_folder(tmp_path, photos):
    pd.DataFrame(rows(), columns=["path", "label"]).to_csv(tmp_path / "labels.csv", index=False)
    dataset = open_dataset(tmp_path / "labels.csv")
    assert dataset.source == str(tmp_path / "labels.csv")
    assert dataset.class_names == ("green", "red")
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert dataset.train.names[0].startswith("photos/red/")
    assert dataset.train.read(0)[0, 0].tolist() == [200, 0, 0]


def test_files_of_other_formats_are_named(tmp_path, photos):
    (photos / "a.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n")
    frame = pd.DataFrame([*rows(), ("photos/a.eps", "red")], columns=["path", "label"])
    frame.to_csv(tmp_path / "labels.csv", index=False)
    assert "a.eps: this image cannot be read: it is PostScript, which is not read" in problems(tmp_path / "labels.csv")


def test_a_column_gives_the_split(tmp_path, photos):
    splits = ["train", "train", "val", "test", "test"] * 2
    frame = pd.DataFrame([(*row, split) for row, split in zip(rows(), splits, strict=True)])
    frame.to_csv(tmp_path / "labels.csv", index=False, header=["path", "label", "split"])
    dataset = open_dataset(str(tmp_path / "labels.csv"))
    assert (dataset.train.counts, dataset.validation.counts, dataset.test.counts) == ((2, 2), (1, 1), (2, 2))
    assert not dataset.held_out


def test_dataframe_paths_start_at_the_working_directory(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset = open_dataset(pd.DataFrame(rows(), columns=["path", "label"]))
    assert dataset.train.counts == (4, 4)


def test_dataframe_with_absolute_paths_and_number_labels(tmp_path, photos):
    frame = pd.DataFrame({"path": [tmp_path / path for path, _ in rows()], "label": [10] * 5 + [9] * 5, "note": "-"})
    assert open_dataset(frame).class_names == ("9", "10")


def test_labels_stay_text(tmp_path, photos):
    lines = [
        "path,label",
        *(f"photos/red/{n}.png,NA" for n in range(2)),
        *(f"photos/green/{n}.png, 01" for n in (0, 1)),
    ]
    (tmp_path / "labels.csv").write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    assert open_dataset(tmp_path / "labels.csv").class_names == ("01", "NA")


def test_missing_columns_are_named(tmp_path):
    (tmp_path / "labels.csv").write_text("pth,clas,more\n")
    text = problems(tmp_path / "labels.csv")
    assert 'labels.csv: there is no column "path"; the columns are pth, clas, more. Did you mean "pth"?' in text
    assert 'there is no column "label"; the columns are pth, clas, more. Rename the column with the class' in text


def test_all_problems_are_reported_together(tmp_path, photos):
    (photos / "red" / "empty.png").touch()
    lines = [
        "path,label,split",
        "photos/red/0.png,red,train",
        "photos/red/0.png,red,test",
        "photos/red/1.png,red,holdout",
        "photos/red/2.png,,train",
        ",red,train",
        "photos/red/absent.png,red,train",
        "photos/red/empty.png,red,train",
        "photos/green/0.png,green,train",
    ]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    text = problems(tmp_path / "labels.csv")
    assert "paths listed more than once" in text
    assert "photos/red/0.png; keep one row for each" in text
    assert "unknown splits: holdout; write train, validation or test" in text
    assert "rows without a label: row 4" in text
    assert "rows without a path: row 5" in text
    assert f"paths without a file: photos/red/absent.png; relative paths start at {tmp_path}" in text
    assert "empty.png: this image cannot be read: it is empty" in text
    assert "classes with one image: green" in text


def test_a_class_only_in_test_rows_is_refused(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame([(*row, "train") for row in rows(4)], columns=["path", "label", "split"])
    frame.loc[len(frame)] = ["photos/red/4.png", "rde", "test"]
    assert 'unknown classes in test: rde; the classes are green, red. Did you mean "red"?' in problems(frame)


def test_test_rows_may_lack_a_class(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame([(*row, "train") for row in rows(4)], columns=["path", "label", "split"])
    frame.loc[len(frame)] = ["photos/red/4.png", "red", "test"]
    assert open_dataset(frame).test.counts == (0, 1)


def test_empty_cells_are_reported(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame([*rows(), ("photos/red/9.png", None)], columns=["path", "label"])
    assert "the DataFrame: rows without a label: row 11; fill in" in problems(frame)


@pytest.mark.parametrize(
    ("labels", "class_names"),
    [
        ([0.0, 1.0], ("0", "1")),
        ([b"ci", b"na"], ("ci", "na")),
        ([["ci"], ["na"]], ("ci", "na")),
        (["ci ", "na"], ("ci", "na")),
        ([True, False], ("False", "True")),
        (pd.array([10, 9], dtype="Int64"), ("9", "10")),
        (pd.Categorical(["ci", "na"]), ("ci", "na")),
    ],
)
def test_cells_of_any_type_are_read_as_their_values(tmp_path, photos, monkeypatch, labels, class_names):
    monkeypatch.chdir(tmp_path)
    paths = pd.DataFrame(rows(), columns=["path", "label"])["path"]
    frame = pd.DataFrame({"path": paths, "label": pd.Series(labels).repeat(5).to_numpy()})
    assert open_dataset(frame).class_names == class_names


@pytest.mark.parametrize("missing", [None, float("nan"), pd.NA, pd.NaT, "", " ", b""])
def test_cells_without_a_value_are_reported(tmp_path, photos, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["path", "label"], dtype=object)
    frame["label"] = [*frame["label"][:8], missing, missing]
    assert problems(frame) == "the DataFrame: rows without a label: row 9, row 10; fill in or remove them."


def test_cells_with_several_values_or_bytes_that_are_no_text_are_refused(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["path", "label"], dtype=object)
    frame["label"] = [["red"], ["red", "wet"], b"\xff", *frame["label"][3:]]
    assert problems(frame) == (
        "the DataFrame: rows with several values of label: row 2 with ['red', 'wet']; an image has one class here, so "
        "choose one, or train one model for each label.\n"
        "the DataFrame: rows whose label is bytes and not UTF-8 text: row 3; decode them."
    )


def test_doubled_columns_are_refused(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["path", "label"])
    for name in ("path", "label"):
        twice = pd.concat([frame, frame[name]], axis=1)
        assert problems(twice) == f'the DataFrame: there are 2 columns "{name}"; remove or rename all but one.'
    twice = pd.concat([frame.assign(split="train")] + 2 * [pd.Series(["train"] * 10, name="split")], axis=1)
    assert 'there are 3 columns "split"' in problems(twice)
    twice = pd.concat([frame[["path"]], frame["path"]], axis=1)
    assert 'unlabeled: the DataFrame: there are 2 columns "path"' in problems(photos, unlabeled=twice)


def test_a_file_that_is_not_a_table_is_refused(tmp_path):
    assert "absent.csv: there is no such file." in problems(tmp_path / "absent.csv")
    (tmp_path / "empty.csv").touch()
    assert "empty.csv: this file cannot be read as a table: it is empty" in problems(tmp_path / "empty.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "binary.csv: this file cannot be read as a table: it begins as UTF-16" in problems(tmp_path / "binary.csv")


def test_a_column_groups_the_images(tmp_path, photos):
    frame = pd.DataFrame(rows(), columns=["path", "label"])
    frame["patient"] = [f"p{number}" for _ in range(2) for number in range(5)]
    frame.to_csv(tmp_path / "labels.csv", index=False)
    dataset = open_dataset(tmp_path / "labels.csv", group_by="patient")
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    assert not set(dataset.train.groups) & set(dataset.validation.groups)
    assert (dataset.facts().groups, dataset.facts().grouped_by) == (5, "patient")


def test_wrong_group_columns_are_refused(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["path", "label"])
    frame["patient"] = [f"p{number}" for _ in range(2) for number in range(5)]
    assert 'there is no column "patiant"; the columns are path, label, patient. Did you mean "patient"?' in problems(
        frame, group_by="patiant"
    )
    assert 'there is no column "1"' in problems(frame, group_by=1)
    assert "group_by must be the name of a column; received a value of type list." in problems(frame, group_by=[0] * 10)
    frame.loc[3, "patient"] = None
    assert "rows without a patient: row 4; fill in or remove them." in problems(frame, group_by="patient")
    assert "classes whose images are all in one group: green (green), red (red)" in problems(
        frame.fillna("p3"), group_by="label"
    )


@pytest.fixture
def pool(tmp_path, paint):
    """Write three blue images and a CSV file that names them."""
    for number in range(3):
        paint(tmp_path / "pool" / f"{number}.png", "blue")
    (tmp_path / "pool.csv").write_text("path,label\n" + "".join(f"pool/{number}.png,red\n" for number in range(3)))
    return tmp_path / "pool.csv"


def test_a_column_of_paths_is_enough_for_unlabeled_images(tmp_path, photos, pool, monkeypatch):
    assert open_dataset(photos, unlabeled=pool).unlabeled.names == ["pool/0.png", "pool/1.png", "pool/2.png"]
    monkeypatch.chdir(tmp_path)
    assert len(open_dataset(photos, unlabeled=pd.read_csv(pool)).unlabeled) == 3
    dataset = open_dataset(photos, unlabeled=["pool/2.png", tmp_path / "pool" / "0.png"])
    assert dataset.unlabeled.names == ["pool/2.png", str(tmp_path / "pool" / "0.png")]
    assert dataset.unlabeled.read(0)[0, 0].tolist() == [0, 0, 200]


def test_wrong_unlabeled_paths_are_refused(tmp_path, photos, pool, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "unlabeled: absent.csv: there is no such file." in problems(photos, unlabeled="absent.csv")
    (tmp_path / "files.csv").write_text("scan\npool/1.png\n")
    assert 'unlabeled: files.csv: there is no column "path"; the columns are scan.' in problems(
        photos, unlabeled="files.csv"
    )
    text = problems(photos, unlabeled=["pool/1.png", "pool/1.png", "pool/9.png"])
    assert "unlabeled: the list of paths: paths listed more than once: pool/1.png; keep one row for each." in text
    assert f"paths without a file: pool/9.png; relative paths start at {tmp_path}" in text
    assert problems(photos, unlabeled=[]) == (
        "the list of paths: there are no unlabeled images; add some or leave unlabeled out."
    )
    frame = pd.DataFrame({"path": ["pool/1.png", None]})
    assert (
        problems(photos, unlabeled=frame)
        == "unlabeled: the DataFrame: rows without a path: row 2; fill in or remove them."
    )


# Tables of other programs


def table(label="label", path="path", separator=",", count=5):
    return "\n".join([f"{path}{separator}{label}", *(f"{file}{separator}{name}" for file, name in rows(count))])


def read(tmp_path, text, name="labels.csv", encoding="utf-8"):
    (tmp_path / name).write_text(text, encoding=encoding, newline="")
    dataset = open_dataset(tmp_path / name)
    assert (dataset.train.counts, dataset.validation.counts) == ((4, 4), (1, 1))
    return dataset


@pytest.mark.parametrize(
    ("text", "name", "encoding"),
    [
        (table(separator=";"), "labels.csv", "utf-8"),
        (table(separator="\t"), "labels.csv", "utf-8"),
        (table(separator="\t"), "labels.TSV", "utf-8"),
        (table(), "labels.csv", "utf-16"),
        (table(separator="\t").replace("\n", "\r\n"), "labels.csv", "utf-16"),
        (table().replace("\n", "\r"), "labels.csv", "utf-8"),
        ("sep=;\n" + table(separator=";"), "labels.csv", "utf-8"),
    ],
)
def test_tables_of_spreadsheets_are_read_without_a_note(tmp_path, photos, text, name, encoding):
    dataset = read(tmp_path, text, name, encoding)
    assert dataset.class_names == ("green", "red")
    assert dataset.notes == ()


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (table("Label", "Path"), 'column "Path" is read as path, column "Label" is read as label.'),
        (table("class", "filename"), 'column "filename" is read as path, column "class" is read as label.'),
        (table("label", "file_name"), 'column "file_name" is read as path.'),
        (table("breed", "image_id"), 'column "image_id" is read as path, column "breed" is read as label.'),
        (table().replace("photos/", "photos\\"), "back slashes in paths are read as /, as in photos\\red/0.png."),
        (
            table().replace(".png", ""),
            "paths without an extension are those of the only image of that name, as 0.png for photos/red/0.",
        ),
    ],
)
def test_tables_with_one_meaning_are_read_with_a_note(tmp_path, photos, text, note):
    dataset = read(tmp_path, text)
    assert dataset.class_names == ("green", "red")
    assert dataset.notes == (f"{tmp_path}/labels.csv: {note}",)


def test_one_column_a_class_is_read(tmp_path, photos):
    lines = ["filename, red, green, blue"]
    lines += [f"{path},{int(label == 'red')},{int(label == 'green')},0" for path, label in rows()]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    assert problems(tmp_path / "labels.csv").startswith(
        f"{tmp_path}/labels.csv: classes without a training image: blue"
    )
    (tmp_path / "labels.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    dataset = open_dataset(tmp_path / "labels.csv")
    assert dataset.class_names == ("green", "red")
    assert all(dataset.class_names[dataset.train.labels[i]] in name for i, name in enumerate(dataset.train.names))
    assert "columns red, green are read as one class each." in dataset.notes[0]
    lines[1] = lines[1].replace("1,0,0", "1,1,0")
    lines[2] = lines[2].replace("1,0,0", "0,0,0")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    text = problems(tmp_path / "labels.csv")
    assert "rows with several classes (red, green, blue are 0 and 1): row 1; an image has one class here." in text
    assert "rows without a class (red, green, blue are 0 and 1): row 2; an image has one class here." in text


def test_dummies_of_pandas_are_one_column_a_class(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["path", "label"])
    dummies = pd.concat([frame[["path"]], pd.get_dummies(frame["label"])], axis=1)
    assert open_dataset(dummies).class_names == ("green", "red")


def test_files_are_found_in_the_folder_that_has_them_all(tmp_path, paint):
    lines = ["id_code,diagnosis"]
    for label in ("red", "green"):
        for number in range(5):
            paint(tmp_path / "train_images" / f"{label}{number}.png", label)
            lines.append(f"{label}{number},{label}")
    dataset = read(tmp_path, "\n".join(lines), "train.csv")
    assert f"{tmp_path}/train.csv: relative paths start at {tmp_path}/train_images, where all of them have a file." in (
        dataset.notes
    )
    (tmp_path / "train_images" / "red3.png").unlink()
    assert "paths without a file: green0, green1, " in problems(tmp_path / "train.csv")


def test_a_column_of_splits_is_read_under_any_name(tmp_path, photos):
    splits = ["train", "train", "valid", "test", "test"] * 2
    lines = ["filepaths,labels,data set"]
    lines += [f"{path},{label},{split}" for (path, label), split in zip(rows(), splits, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = open_dataset(tmp_path / "labels.csv")
    assert (dataset.train.counts, dataset.validation.counts, dataset.test.counts) == ((2, 2), (1, 1), (2, 2))
    assert 'column "data set" is read as split' in dataset.notes[0]


def test_other_encodings_are_refused_with_the_line(tmp_path, photos):
    text = table().replace(",green", ",M\u00f6we")
    (tmp_path / "labels.csv").write_bytes(text.encode("cp1252"))
    assert problems(tmp_path / "labels.csv") == (
        f'{tmp_path}/labels.csv: line 7 is not UTF-8, as Windows-1252 it is "photos/green/0.png,M\u00f6we"; save the '
        "file as UTF-8 (in Excel: CSV UTF-8)."
    )


def test_a_table_without_names_of_columns_is_refused(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(table().partition("\n")[2])
    assert problems(tmp_path / "labels.csv") == (
        f"{tmp_path}/labels.csv: the first line names an image, not the columns; put a line path,label above it."
    )


def test_the_groups_are_not_taken_for_labels(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame(rows(), columns=["file", "label"])
    frame["Patient ID"] = [f"p{number}" for _ in range(2) for number in range(5)]
    dataset = open_dataset(frame, group_by="patient_id")
    assert (dataset.class_names, dataset.facts().groups) == (("green", "red"), 5)


def test_two_rows_for_one_file_are_refused(tmp_path, photos):
    (tmp_path / "labels.csv").write_text(table() + "\nphotos/../photos/red/0.png,red\n")
    assert "paths of the same file: photos/red/0.png = photos/../photos/red/0.png; keep one row for each." in problems(
        tmp_path / "labels.csv"
    )
