"""The study's database: opened, told apart from other studies, and refused with sentences."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import BasePruner
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from lockstep.errors import InvalidSetting, Unreadable, first_line

STUDIES = Path(".lockstep/studies")
IDENTITY = "lockstep"
"""The study's attribute that says what it is about."""

HEARTBEAT_S = 60
"""A trial whose process has not been heard of for twice as long is tried again by another one."""

BUSY_TIMEOUT_S = 60
"""How long a process waits, at most, while others write to SQLite."""


@dataclass(frozen=True)
class Store:
    """Where a study is kept.

    Attributes:
        url: of the database, as SQLAlchemy takes it.
        name: of the study in it.
    """

    url: str
    name: str

    @classmethod
    def of(cls, name: str, url: str | None) -> Store:
        """The database that was asked for, or SQLite's ``.lockstep/studies/NAME.db``.

        Raises:
            InvalidSetting: the name cannot be a file's, or its folder cannot be written.
        """
        if url is not None:
            return cls(url, name)
        if name in {"", ".", ".."} or Path(name).name != name:
            raise InvalidSetting(f"A study's name must be one word without a /, got {name!r}.")
        try:
            STUDIES.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidSetting(f"{STUDIES} cannot be written: {error.strerror}.") from error
        return cls(f"sqlite:///{STUDIES / name}.db", name)

    def __str__(self) -> str:
        """The address without its password."""
        return make_url(self.url).render_as_string(hide_password=True)

    @contextmanager
    def opened(self, identity: Mapping[str, Any], pruner: BasePruner) -> Iterator[Study]:
        """Open the study, or start it; afterwards the connection is closed.

        Args:
            identity: what the study is about, as JSON: another one is another study.
            pruner: ends trials that promise nothing.

        Raises:
            Unreadable: the database does not answer, or is none of Optuna's.
            InvalidSetting: the address is none, or the study is about something else.
        """
        level = optuna.logging.get_verbosity()
        # An interrupted or diverged trial is told of in a sentence, not in a traceback.
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            storage = self._storage()
            try:
                study = optuna.create_study(
                    storage=storage,
                    study_name=self.name,
                    direction="minimize",
                    pruner=pruner,
                    load_if_exists=True,
                )
                self._check(study, identity)
                yield study
            finally:
                storage.remove_session()
                storage.engine.dispose()
        except (SQLAlchemyError, StorageInternalError) as error:
            raise self._refusal(error) from error
        finally:
            optuna.logging.set_verbosity(level)

    def _storage(self) -> RDBStorage:
        try:
            sqlite = make_url(self.url).get_backend_name() == "sqlite"
            with warnings.catch_warnings():
                # Heartbeats are experimental in name, since 2021.
                warnings.simplefilter("ignore", ExperimentalWarning)
                return RDBStorage(
                    self.url,
                    engine_kwargs={"connect_args": {"timeout": BUSY_TIMEOUT_S}} if sqlite else {},
                    heartbeat_interval=HEARTBEAT_S,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=2),
                )
        except ArgumentError as error:
            raise InvalidSetting(
                "A study's storage must be a database's address, such as sqlite:///study.db or "
                f"postgresql://user@host/name: {_said(error)}."
            ) from error
        except ImportError as error:
            raise InvalidSetting(
                f"The database {self} needs a driver that is not installed: "
                f"{_said(error.__cause__ or error)}."
            ) from error
        except RuntimeError as error:  # tables of another version of Optuna
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> Unreadable:
        cause = getattr(error, "orig", None) or error.__cause__ or error
        return Unreadable(
            f"The study's database {self} does not answer, or is none of Optuna's: "
            f"{_said(getattr(cause, 'orig', None) or cause)}."
        )

    def _check(self, study: Study, identity: Mapping[str, Any]) -> None:
        known = study.user_attrs.get(IDENTITY)
        if known is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(IDENTITY, dict(identity))
        elif known is None:
            raise InvalidSetting(
                f"The study {self.name} in {self} was not made by lockstep tune: choose another "
                "name with --study."
            )
        elif known != identity:
            other = " and ".join(key for key in identity if known.get(key) != identity[key])
            raise InvalidSetting(
                f"The study {self.name} in {self} is about other {other}, and its trials cannot be "
                "compared with new ones: choose another name with --study, or remove it."
            )


def _said(error: BaseException) -> str:
    return first_line(error).rstrip(".")
