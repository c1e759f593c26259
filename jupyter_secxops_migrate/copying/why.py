"""Why something does not arrive, or arrives otherwise: what the copy itself finds, in a Job's own words.

Reasons that follow from a rule stand with the rules, in `never` and `credentials`.
"""

from __future__ import annotations

import stat

SCRUBBED = "credentials were removed from it"
VANISHED = "vanished while it was copied"
REPLACED = "was replaced by something else while it was copied"
SETUID = "its set-user-id or set-group-id bit does not travel"
ON_REQUEST = "left out on request"
FILE_SYSTEMS = "belongs to the file system"
IN_BACKUP = "is in the backup of its SQLite database"
KINDS = {
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "device",
    stat.S_IFCHR: "device",
}
