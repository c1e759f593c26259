"""Which mounts lie inside a folder, as the kernel tells."""

from pathlib import Path

from jupyter_secxops_migrate.engines.docker.place import mounts_inside

TABLE = r"""
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 254:0 /w /home/j/work rw - ext4 /dev/vda rw
23 22 254:0 /d /home/j/work/project/data rw shared:7 - ext4 /dev/vda rw
24 23 0:40 / /home/j/work/project/data/deep rw - tmpfs tmpfs rw
25 22 0:41 / /home/j/work/project/with\040space rw - fuse.sshfs me@there:/ rw
26 22 0:42 / /home/j/work/project-2 rw - tmpfs tmpfs rw
27 22 254:0 /c /home/j/work/project/conf.ini ro - ext4 /dev/vda rw
""".lstrip()


def test_mounts_inside_a_folder_are_found_by_their_paths_in_it(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(TABLE)
    project = Path("/home/j/work/project")

    assert mounts_inside(project, table) == ["conf.ini", "data", "with space"]
    assert mounts_inside(project / "data", table) == ["deep"]
    assert mounts_inside(project / "data/deep", table) == []
    assert mounts_inside(Path("/srv"), table) == []


def test_the_kernel_s_own_table_is_read():
    assert "proc" in mounts_inside(Path("/"))
