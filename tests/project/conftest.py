from folders import (  # noqa: F401
    _no_git_settings_from_here,
    folder,
    nobodys_folder,
    repository,
)
