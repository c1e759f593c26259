"""What each error is in HTTP: the only place that knows.

The rest of the package knows no HTTP. A class that is not listed has its nearest base's status.
"""

from __future__ import annotations

from http import HTTPStatus

from .. import errors
from ..engines.errors import DockerConfigUnusable, EngineForbidden, ToolsImageMissing
from ..hosts.errors import SettingsUnusable
from ..operations.errors import (
    IdempotencyConflict,
    StoreCorrupt,
    StoreFull,
    StoreNewer,
    StoreReadOnly,
)

STATUSES: dict[type[errors.SecxopsError], HTTPStatus] = {
    errors.SecxopsError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.RequestError: HTTPStatus.BAD_REQUEST,
    errors.RequestTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.NoSuchRoute: HTTPStatus.NOT_FOUND,
    errors.MethodNotAllowed: HTTPStatus.METHOD_NOT_ALLOWED,
    errors.WrongState: HTTPStatus.CONFLICT,
    # The IETF draft on this header asks for 422 where a key comes back with another body.
    IdempotencyConflict: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Refusal: HTTPStatus.CONFLICT,
    errors.StepFailed: HTTPStatus.CONFLICT,
    errors.TemporaryError: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreFull: HTTPStatus.INSUFFICIENT_STORAGE,
    StoreReadOnly: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreCorrupt: HTTPStatus.SERVICE_UNAVAILABLE,
    StoreNewer: HTTPStatus.SERVICE_UNAVAILABLE,
    SettingsUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    EngineForbidden: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.EngineFailed: HTTPStatus.BAD_GATEWAY,
    DockerConfigUnusable: HTTPStatus.SERVICE_UNAVAILABLE,
    ToolsImageMissing: HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: errors.SecxopsError) -> HTTPStatus:
    """Return the HTTP status that an error is answered with."""
    return next(STATUSES[cls] for cls in type(error).__mro__ if cls in STATUSES)
