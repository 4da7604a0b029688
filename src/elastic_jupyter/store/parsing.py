"""Objects of the API server into our models, without letting a broken one stop anything."""

from typing import TypeVar

from pydantic import ValidationError

from elastic_jupyter import logs
from elastic_jupyter.api.base import Resource
from elastic_jupyter.errors import Invalid
from elastic_jupyter.kube.kinds import Object, key_of

R = TypeVar("R", bound=Resource)
log = logs.get(__name__)


def parse(model: type[R], obj: Object) -> R:
    """Return the object as a model. Raises ``Invalid``, which names the object and the field.

    An object that was written before a change of the schema may not fit.
    """
    try:
        return model.model_validate(obj)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"{model.__name__} {key_of(obj)}: {where}: {first['msg']}"
        raise Invalid(message) from error


class LenientParser:
    """Parses what a watch tells; logs an object that does not fit once, not at every change."""

    def __init__(self) -> None:
        self._reported: set[str] = set()

    def parse(self, model: type[R], obj: Object) -> R | None:
        """Return the object as a model, or None when it does not fit."""
        uid = obj["metadata"]["uid"]
        try:
            parsed = parse(model, obj)
        except Invalid as error:
            if uid not in self._reported:
                self._reported.add(uid)
                log.error("object does not fit its model and is left out", error=error, uid=uid)
            return None
        self._reported.discard(uid)
        return parsed

    def forget(self, uid: str) -> None:
        """Forget an object that is gone."""
        self._reported.discard(uid)
