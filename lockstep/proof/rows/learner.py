"""Trees, linear models and their preprocessing (the domain ``ai.onnx.ml``), row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lockstep.proof.rows.call import Call, RowRule
from lockstep.proof.rows.elementwise import elementwise
from lockstep.proof.rows.fact import FITTING, Tensor, UndecidedError
from lockstep.proof.rows.number import Number, UnknownNumber, add
from lockstep.proof.rows.reduction import check_along


def _table(tensor: Tensor) -> Number:
    """The length of the first axis of a table ``[rows, columns]``.

    Raises:
        UndecidedError: where it has another rank, or the batch is not on its first axis.
    """
    if tensor.rank != 2 or (tensor.rows and tensor.rows.axis != 0):
        raise UndecidedError("its input is no table with a row of the batch in every row")
    return tensor.shape[0]


def classifier(call: Call) -> tuple[Tensor, Tensor]:
    """A label and scores for each row of a table."""
    tensor = call.tensor(0)
    length = _table(tensor)
    return Tensor((length,), tensor.rows), Tensor(
        (length, UnknownNumber(follows=False)), tensor.rows
    )


def regressor(call: Call) -> Tensor:
    """Numbers for each row of a table."""
    tensor = call.tensor(0)
    return Tensor((_table(tensor), UnknownNumber(follows=False)), tensor.rows)


def by_column(call: Call) -> Tensor:
    """Change each number of a table by constants of its column, or by its own row."""
    tensor = call.tensor(0)
    _table(tensor)
    return Tensor(tensor.dims, tensor.rows)


def extract_columns(call: Call) -> Tensor:
    """Keep the places of the last axis that a constant index names."""
    tensor, index = call.tensor(0), call.constant(1)
    check_along(tensor.rows, [tensor.rank - 1])
    if tensor.rank < 2:
        raise UndecidedError("its input is no table")
    columns: Number = 1
    for length in index.shape:
        columns = length if columns == 1 else UnknownNumber(follows=False)
    return Tensor((*tensor.shape[:-1], columns), tensor.rows)


def join_columns(call: Call) -> Tensor:
    """Put tables beside each other."""
    tables = call.tensors()
    columns: Number = 0
    for table in tables:
        _table(table)
        columns = add(columns, table.shape[1])
    if len({table.rows for table in tables}) > 1:
        raise UndecidedError(FITTING)
    return Tensor((tables[0].shape[0], columns), tables[0].rows)


def one_hot_encode(call: Call) -> Tensor:
    """A new last axis with one place set."""
    tensor = call.tensor(0)
    return Tensor((*tensor.shape, UnknownNumber(follows=False)), tensor.rows)


def zip_map(call: Call) -> Tensor:
    """A list with a map from label to score for each row."""
    tensor = call.tensor(0)
    return Tensor((_table(tensor),), tensor.rows)


RULES: Final[Mapping[str, RowRule]] = {
    "ArrayFeatureExtractor": extract_columns,
    "Binarizer": elementwise,
    "CategoryMapper": elementwise,
    "FeatureVectorizer": join_columns,
    "Imputer": by_column,
    "LabelEncoder": elementwise,
    "LinearClassifier": classifier,
    "LinearRegressor": regressor,
    "Normalizer": by_column,
    "OneHotEncoder": one_hot_encode,
    "SVMClassifier": classifier,
    "SVMRegressor": regressor,
    "Scaler": by_column,
    "TreeEnsemble": regressor,
    "TreeEnsembleClassifier": classifier,
    "TreeEnsembleRegressor": regressor,
    "ZipMap": zip_map,
}
