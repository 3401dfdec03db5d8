"""Answers of an executor, as models or as errors of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import BadAnswerError

if TYPE_CHECKING:
    from exec_server_protocol._model import WireModel
    from exec_server_protocol.methods import Method

__all__ = ["parse_answer"]

M = TypeVar("M", bound="WireModel")


def parse_answer(model: type[M], result: object, method: Method[Any, M]) -> M:
    """Return the answer to ``method`` as a model.

    Raises:
        BadAnswerError: It does not have the shape that it should.
    """
    try:
        return model.model_validate(result)
    except ValueError as error:  # of a model, or of what stands for one
        text = f"the executor's answer to {method.name} makes no sense"
        raise BadAnswerError(text, maybe_executed=True) from error
