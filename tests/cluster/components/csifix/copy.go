package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// cloneFolder makes the folder at to, which exists and is empty, equal to the one at from: contents, holes, owners by
// number, modes, links, extended attributes and times to the nanosecond.
//
// A pod may be writing to the source. No symbolic link of it is ever followed, and a file which vanishes meanwhile is
// left out, but it is no snapshot: the files are of different moments.
func cloneFolder(from, to string) error {
	source, err := openDir(unix.AT_FDCWD, from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := openDir(unix.AT_FDCWD, to)
	if err != nil {
		return err
	}
	defer target.Close()
	c := cloning{top: int(target.Fd()), linked: map[inode]string{}, buffer: make([]byte, 1<<16)}
	if err := c.contents(source, target, "."); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(source.Fd()), &st); err != nil {
		return err
	}
	return c.attributes(int(source.Fd()), int(target.Fd()), ".", &st)
}

// removeLastFile takes away the last regular file, in the order of the names, and leaves no trace in its folder's
// times.
func removeLastFile(folder string) error {
	var last string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			last = path
		}
		return err
	})
	if err != nil || last == "" {
		return err
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Dir(last), &st); err != nil {
		return err
	}
	if err := os.Remove(last); err != nil {
		return err
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Dir(last), []unix.Timespec{st.Atim, st.Mtim}, 0)
}

type inode struct{ device, number uint64 }

// cloning is one clone on its way. Everything is named by an open folder and a single name in it, so that a pod which
// swaps a folder for a link cannot lead the copy out of the source.
type cloning struct {
	top    int              // the target's top folder
	linked map[inode]string // of files with several names: the first one, from the top
	buffer []byte           // as long as the kernel lets an extended attribute be
}

func (c *cloning) contents(source, target *os.File, path string) error {
	names, err := source.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	from, to := int(source.Fd()), int(target.Fd())
	for _, name := range names {
		err := c.entry(from, to, name, filepath.Join(path, name))
		if errors.Is(err, unix.ENOENT) { // it is the source's: nobody else is in the target
			err = c.forget(to, name, filepath.Join(path, name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// forget takes away what was copied of an entry which vanished.
func (c *cloning) forget(to int, name, path string) error {
	maps.DeleteFunc(c.linked, func(_ inode, first string) bool {
		return first == path || strings.HasPrefix(first, path+"/")
	})
	return os.RemoveAll(inFolder(to, name))
}

// entry copies one name of a folder, with all that is below it.
func (c *cloning) entry(from, to int, name, path string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var err error
	kind, this := st.Mode&unix.S_IFMT, inode{st.Dev, st.Ino}
	if kind == unix.S_IFDIR {
		err = c.dir(from, to, name, path)
	} else if first, ok := c.linked[this]; ok {
		return unix.Linkat(c.top, first, to, name, 0)
	} else if kind == unix.S_IFREG {
		err = file(from, to, name)
	} else if kind == unix.S_IFLNK {
		var n int
		if n, err = unix.Readlinkat(from, name, c.buffer); err == nil {
			err = unix.Symlinkat(string(c.buffer[:n]), to, name)
		}
	} else { // a pipe, a socket or a device
		err = unix.Mknodat(to, name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		return err
	}
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		c.linked[this] = path
	}
	// Folders get theirs here too, when all that is in them is made: each new name would change their times.
	return c.attributes(from, to, name, &st)
}

func (c *cloning) dir(from, to int, name, path string) error {
	source, err := openDir(from, name)
	if err != nil {
		return err
	}
	defer source.Close()
	if err := unix.Mkdirat(to, name, 0o700); err != nil {
		return err
	}
	target, err := openDir(to, name)
	if err != nil {
		return err
	}
	defer target.Close()
	return c.contents(source, target, path)
}

// attributes gives owner, extended attributes, mode and times of one entry to its copy. The order matters: a change of
// owner takes setuid bits and file capabilities away, and times come after all that changes them.
func (c *cloning) attributes(from, to int, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(to, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if err := c.xattrs(inFolder(from, name), inFolder(to, name)); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Fchmodat(to, name, st.Mode&0o7777, 0); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(to, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

func (c *cloning) xattrs(from, to string) error {
	n, err := unix.Llistxattr(from, c.buffer)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return err
	}
	for key := range strings.SplitSeq(strings.TrimSuffix(string(c.buffer[:n]), "\x00"), "\x00") {
		if key == "" { // there are none
			continue
		}
		n, err := unix.Lgetxattr(from, key, c.buffer)
		if err == nil {
			err = unix.Lsetxattr(to, key, c.buffer[:n], 0)
		}
		if err != nil {
			return fmt.Errorf("attribute %s: %w", key, err)
		}
	}
	return nil
}

// file copies a regular file's content: by sharing its blocks where the file system can do that, else range by range,
// so that holes stay holes. Go's Copy asks the kernel to do it (copy_file_range).
func file(from, to int, name string) error {
	source, err := open(from, name, unix.O_RDONLY|unix.O_NONBLOCK) // not blocking: it may have become a pipe
	if err != nil {
		return err
	}
	defer source.Close()
	info, err := source.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("changed its kind while it was copied")
	}
	target, err := open(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL)
	if err != nil {
		return err
	}
	defer target.Close()
	if unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return target.Close()
	}
	var data, hole int64
	for size := info.Size(); hole < size; {
		if data, err = source.Seek(hole, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			break // only a hole is left
		} else if err != nil {
			return err
		}
		if hole, err = source.Seek(data, unix.SEEK_HOLE); err != nil {
			return err
		}
		if _, err = source.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err = target.Seek(data, io.SeekStart); err != nil {
			return err
		}
		if _, err = io.CopyN(target, source, hole-data); err != nil && err != io.EOF { // EOF: it was cut meanwhile
			return err
		}
	}
	if err := target.Truncate(info.Size()); err != nil {
		return err
	}
	return target.Close()
}

func open(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openDir(dir int, name string) (*os.File, error) {
	return open(dir, name, unix.O_RDONLY|unix.O_DIRECTORY)
}

// inFolder is a path to a name in an open folder, for the calls which take nothing else.
func inFolder(dir int, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
}
