"""What can go wrong while a tree is copied and compared."""

from __future__ import annotations

from ..errors import StepFailed


class CopyFailed(StepFailed):
    """The verified copy could not finish."""

    code = "copy_failed"
    text = "Copying {path} failed: {reason}."
    hint_text = "Correct the cause and retry; the source was not changed."


class FileUnreadable(StepFailed):
    """Files that can't be read."""

    code = "file_unreadable"
    text = "{count:file|files} under {path} can't be read; the first is {first}."
    hint_text = "Make them readable for yourself, or move them out of the project, and retry."


class FileChanging(StepFailed):
    """Files that kept changing while they were copied."""

    code = "file_changing"
    text = "{count:file|files} under {path} kept changing during the copy; the first is {first}."
    hint_text = "Stop what writes to them (a running notebook?) and retry."


class SourceReplaced(StepFailed):
    """The folder that is to be read is not the one that the plan looked at."""

    code = "source_replaced"
    text = "{path} is no longer the folder that the plan saw."
    hint_text = (
        "Look at what is there now, and at who may write to the folders above it, then share again."
    )


class DiskFull(StepFailed):
    """The destination ran out of space."""

    code = "disk_full"
    text = "The disk became full during the {step}."
    hint_text = "Delete old shares (`jupyter secxops list`) or free disk there, and retry."


class VerifyFailed(StepFailed):
    """What arrived is not what left."""

    code = "verify_failed"
    text = "{count:file of the copy differs|files of the copy differ} from what was read from {path}; the first is {first}."
    hint_text = (
        "Retry; if it happens again, the disk or memory of {node} is suspect: tell your admin."
    )
