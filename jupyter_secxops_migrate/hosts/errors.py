"""Why the service does not run, or can't be reached."""

from __future__ import annotations

from ..errors import PermanentError, Retry, TemporaryError


class EngineUnknown(PermanentError):
    """The service is to use an engine that is not installed."""

    code = "engine_unknown"
    text = "There is no engine {engine}; installed are {known}."
    hint_text = "Correct SecxopsService.engine (or SECXOPS_ENGINE), or install the package with that engine."


class ServiceUnavailable(TemporaryError):
    """The service does not answer and could not be started."""

    code = "service_unavailable"
    text = "The secxops service does not answer."
    hint_text = (
        "Read its log file {log}, or run `jupyter secxops serve` to see why it does not start."
    )


class ServiceStopped(TemporaryError):
    """The service's process was sent a stop signal, or a debugger holds it."""

    code = "service_stopped"
    retry = Retry.NEVER
    text = "The secxops service (process {pid}) is suspended, so it can't answer."
    hint_text = (
        "Resume it with `kill -CONT {pid}`, or end it with `kill -KILL {pid}`: the next command starts a new "
        "one, which goes on with your shares."
    )


class SettingsUnusable(PermanentError):
    """The service can't start with its settings."""

    code = "settings_unusable"
    text = "The secxops service can't use its settings: {reason}."
    hint_text = (
        "Correct that setting; `jupyter secxops serve --help-all` lists all of them, and `jupyter --paths` the "
        "folders in which jupyter_secxops_config.py or .json can be."
    )


class LockAbandoned(TemporaryError):
    """The lock of the store is held, and the process that took it is not there any more."""

    code = "lock_abandoned"
    retry = Retry.NEVER
    text = "The record of your shares is locked by process {pid}, which is not running here."
    hint_text = (
        "Find out who still has the lock with `fuser -v {lock}` and end that process. If nobody here has it, "
        "end the service on the other machine or in the other container that uses this folder, or set "
        "SECXOPS_DATA_DIR to another folder."
    )


class StoreLocked(TemporaryError):
    """Another service already holds this store."""

    code = "store_locked"
    text = "Another secxops service (process {pid}) is using the record of your shares."
    hint_text = "Use that one, or stop it first."


class ServiceElsewhere(TemporaryError):
    """The store is in use by a service in another container, which has the same folder."""

    code = "service_elsewhere"
    retry = Retry.NEVER
    text = "The secxops service of another notebook, {host}, is using the same record ({data})."
    hint_text = (
        "Wait until it ends, 15 minutes after its last use, or set SECXOPS_DATA_DIR to another folder "
        "in one of the two notebooks."
    )
