"""What can go wrong with the record of durable work."""

from __future__ import annotations

from ..errors import PermanentError, RequestError, Retry, TemporaryError


class IdempotencyConflict(RequestError):
    """One Idempotency-Key came with two different bodies."""

    code = "idempotency_conflict"
    text = "This Idempotency-Key was used before for a different request."
    hint_text = "Use a new key for a new request."


class StoreUnwritable(Exception):
    """Mixed into what is raised while the record of shares can't be written, but may be again later."""


class StoreFull(TemporaryError, StoreUnwritable):
    """The record of shares can't be written: its disk, its inodes or its quota are used up."""

    code = "store_full"
    retry = Retry.NEVER
    text = "The disk that holds the record of your shares is full ({store})."
    hint_text = "Free space or files there (`df -h`, `df -i`), and retry."


class StoreFailed(TemporaryError, StoreUnwritable):
    """The record of shares can't be read or written: its disk, or its database server, fails."""

    code = "store_failed"
    retry = Retry.NEVER
    text = "The record of your shares can't be used ({store}): {reason}."
    hint_text = "Check that its disk is mounted and healthy (`dmesg`), or that its database server runs; then retry."


class StoreReadOnly(PermanentError, StoreUnwritable):
    """The record of shares may not be written."""

    code = "store_read_only"
    text = "The record of your shares can't be written ({store})."
    hint_text = (
        "Make the folder and its files writable for your account, or set SECXOPS_DATA_DIR to a folder "
        "that is."
    )


class StoreCorrupt(PermanentError):
    """The record of shares is no database any more."""

    code = "store_corrupt"
    text = "The record of your shares is damaged ({store})."
    hint_text = (
        "Move that file away, or put one from a backup in its place. With an empty record, containers "
        "and volumes of old shares stay until you remove them with Docker or kubectl."
    )


class StoreNewer(PermanentError):
    """A newer version of this package has written the record of shares."""

    code = "store_newer"
    text = "The record of your shares was written by a newer version ({store})."
    hint_text = "Install that version again."
