"""`check_table` accepts what keeps the contract of `Table`, and says in one line what is wrong with what does not."""

import pytest

from rbflex_evo.spaces import ConfigError, Parameters, TableError, UnknownNameError, create_space
from rbflex_evo.spaces.conformance.check_table import check_table
from rbflex_evo.spaces.conformance.checking import CheckFailed
from rbflex_evo.spaces.tables.npz_csv import CsvTable

ROWS = {"zero+zero": 10.0, "zero+skip": 50.0, "skip+skip": 70.0, "conv1+skip": 70.0, "conv1+conv1": 90.0}


@pytest.fixture(scope="module")
def toy():
    return create_space("toy", genes=2)


@pytest.fixture
def path(tmp_path):
    lines = ["notation,accuracy,val", *(f"{notation},{accuracy},{accuracy / 2}" for notation, accuracy in ROWS.items())]
    (tmp_path / "known.csv").write_text("\n".join(lines))
    return str(tmp_path / "known.csv")


def test_the_tables_of_csv_files_pass(toy, path):
    check_table("csv", toy, path=path)
    check_table(CsvTable, toy, path=path, validation="val")


def broken(**methods):
    return type("Broken", (CsvTable,), methods)


def trusting(self, parameters, space):
    """Takes whatever it is given."""
    self.space, self.dataset, self.loaded, self.validations = space.name, "trust", ROWS, {}


def opening(self, parameters, space):
    with open(parameters.path):
        CsvTable.__init__(self, parameters, space)


def placed(self, parameters, space):
    CsvTable.__init__(self, parameters, space)
    self.space = "nats_tss"


def with_rows(**rows):
    return broken(accuracies=lambda self: {**ROWS, **{notation.replace("_", "+"): value for notation, value in rows.items()}})


def long_error(self, parameters, space):
    try:
        CsvTable.__init__(self, parameters, space)
    except TableError as error:
        raise TableError(f"{error}\nand more") from error


BROKEN = {
    "no table": (dict, "dict is no Table; derive it from rbflex_evo.spaces.tables.table.Table"),
    "no name": (broken(name=None), "has no name"),
    "foreign parameters": (broken(Parameters=dict), "must derive from rbflex_evo.spaces.Parameters"),
    "made for another space": (broken(__init__=placed), r"refuses the space that it was made for .*self.space = space.name"),
    "no data set": (broken(dataset=property(lambda self: None, lambda self, value: None)), "dataset is None; set it in __init__"),
    "no accuracies": (broken(accuracies=lambda self: {}), r"accuracies\(\) gave {}; return a dict"),
    "accuracies raises": (broken(accuracies=lambda self: {}["x"]), r"accuracies\(\) raised KeyError.*raise TableError"),
    "a notation of nothing": (with_rows(nonsense=1.0), "has 'nonsense', which toy cannot read .*checked_notations"),
    "a notation written otherwise": (
        broken(accuracies=lambda self: {" zero+zero": 10.0}),
        "has ' zero.zero', but the space writes it 'zero.zero'",
    ),
    "an accuracy of text": (with_rows(zero_skip="50"), "gives 'zero.skip' the accuracy '50'; give a finite float"),
    "an accuracy of NaN": (with_rows(zero_skip=float("nan")), "the accuracy nan; give a finite float"),
    "an accuracy above 100": (with_rows(zero_skip=938.0), "the accuracy 938.0"),
    "fractions": (broken(accuracies=lambda self: {n: a / 100 for n, a in ROWS.items()}), "in percent, 93.5 and not 0.935"),
    "another accuracy": (broken(accuracy=lambda self, n: 1.0), r"accuracy\('zero\+zero'\) is 1.0, but accuracies\(\) has 10.0"),
    "a validation of text": (broken(validation=lambda self, notation: "x"), "validation.* is 'x'; give a finite float, or None"),
    "another length": (broken(__len__=lambda self: 3), r"len\(Broken\) is 3, but there are 5"),
    "an unknown one": (broken(accuracy=lambda self, notation: ROWS.get(notation, 0.0)), "is 0.0, though .* lacks it; return None"),
    "an unknown one raises": (broken(accuracy=lambda self, notation: ROWS[notation]), "raised KeyError.*return None for an"),
    "a missing file": (broken(__init__=opening), r"Broken\(parameters, space\) raised FileNotFoundError.*raise TableError"),
    "any space": (broken(__init__=trusting), "for nasbench_macro, another space than its own, is accepted; compare its notations"),
    "errors of two lines": (broken(__init__=long_error), "has an error of several lines"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_table_is_found(what, toy, path):
    table, message = BROKEN[what]
    with pytest.raises(CheckFailed, match=message) as caught:
        check_table(table, toy, path=path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_looked_at_is_found(toy, path):
    class Trusting(CsvTable):
        def __init__(self, parameters, space):
            if space.name != "toy":
                raise TableError("another space")
            trusting(self, parameters, space)

    with pytest.raises(CheckFailed, match="of a file that is not there is accepted; look first"):
        check_table(Trusting, toy, path=path)


def test_wrong_names_and_parameters_are_told(toy, path):
    class Free(Parameters):
        pass

    with pytest.raises(UnknownNameError, match="unknown table 'cvs'; did you mean 'csv'"):
        check_table("cvs", toy, path=path)
    with pytest.raises(ConfigError, match=r"unknown key 'table.pth'; did you mean 'path'"):
        check_table("csv", toy, pth=path)
    with pytest.raises(TableError, match="no table file"):
        check_table("csv", toy, path="nowhere.csv")
    with pytest.raises(CheckFailed, match="raised AttributeError"):
        check_table(broken(Parameters=Free), toy)
