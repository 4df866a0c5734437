"""The repository: the models folder as the service sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lockstep.artifact.folder import Artifact
from lockstep_service.errors import NotServing, UnknownModel
from lockstep_service.repository.served import Model, Served

Opening = Callable[[], Artifact]
"""Opens an artifact; it may raise a LockstepError. One that is already open is only returned."""


class Repository:
    """Every model by name; each version is served, or refused with a reason.

    Args:
        models: by name.
        default_model: the name that answers where a request names no model, if it is set.

    Attributes:
        models: by name.
    """

    def __init__(self, models: dict[str, Model], default_model: str | None) -> None:
        self.models = models
        self._default_model = default_model
        self._paths: dict[tuple[str | None, str | None], Served] = {}

    def __iter__(self) -> Iterator[Served]:
        """All served versions."""
        return (served for model in self.models.values() for served in model.served.values())

    @property
    def ready(self) -> bool:
        """Whether every model has a served version."""
        return all(model.served for model in self.models.values())

    def find(self, name: str | None = None, version: str | None = None) -> Served:
        """The version that answers a name and a number.

        Args:
            name: of the model; None means the default model, or the only one.
            version: the number as in a path; None means the highest served version.

        Raises:
            UnknownModel: where there is no model of that name, or no version of that number.
            NotServing: where the version was refused at load, with the reason.
        """
        known = self._paths.get((name, version))
        if known is None:
            known = self._paths[name, version] = self._look_up(name, version)
        return known

    def _look_up(self, name: str | None, version: str | None) -> Served:
        name = self._default() if name is None else name
        model = self.models.get(name)
        if model is None:
            raise UnknownModel(
                f"There is no model {name[:64]!r}; this service has {', '.join(self.models)}."
            )
        if version is None:
            if not model.served:
                reasons = "; ".join(model.refused.values())
                raise NotServing(f"No version of {name} can be served: {reasons}")
            return model.served[max(model.served)]
        for number, reason in model.refused.items():
            if str(number) == version:
                raise NotServing(f"Version {version} of {name} was refused: {reason}")
        for number, served in model.served.items():
            if str(number) == version:
                return served
        raise UnknownModel(
            f"There is no version {version[:20]!r} of {name}; it has "
            f"{', '.join(map(str, sorted(model.served)))}."
        )

    def _default(self) -> str:
        if self._default_model is not None:
            return self._default_model
        if len(self.models) == 1:
            return next(iter(self.models))
        raise UnknownModel(
            f"This service has several models ({', '.join(self.models)}); name one in the path, as "
            f"in /models/{next(iter(self.models))}/predict, or set LOCKSTEP_DEFAULT_MODEL."
        )

    def addresses(self) -> Iterator[tuple[str | None, str | None, Served]]:
        """The arguments of `find` that give a served version, and that version."""
        for served in self:
            yield served.manifest.name, str(served.manifest.version), served
        for name, model in self.models.items():
            if model.served:
                yield name, None, self.find(name)
        if self._default_model is not None or len(self.models) == 1:
            yield None, None, self.find()

    def close(self) -> None:
        """Close all batchers: they fail waiting requests with NotServing, and refuse new ones."""
        for served in self:
            served.batcher.close()
