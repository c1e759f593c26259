package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	reachNode    = "node"    // the volume is on one node and can only be used there
	reachCluster = "cluster" // the volume can be used on all nodes
)

var (
	errNoVolume  = errors.New("no such volume")
	errElsewhere = errors.New("the volume is on another node")
	errBusy      = errors.New("the volume is being made or deleted")
)

// The parts of an id have no "_" (its separator), no "/" and no leading dot, so that an id can be taken apart in one
// way only and is always the name of a single file. A volume's name has no dot at all: so no volume's folder can be
// called like another one's facts.
var (
	nodeName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*$`)
	volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)
)

// facts are what is known of a volume. They are in ID.json beside the volume's folder, for pods may write to the
// folder. A volume exists when its facts do: a folder without facts is what a killed csifix left.
type facts struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Node     string `json:"node,omitempty"` // empty: all nodes reach it
	Capacity int64  `json:"capacity"`       // bytes, as promised; nothing limits the folder
	Source   string `json:"source,omitempty"`
}

// volumes are the folders which this node reaches: its own and the shared ones.
type volumes struct {
	node, local, shared string
}

func openVolumes(node, local, shared string) (*volumes, error) {
	if !nodeName.MatchString(node) {
		return nil, fmt.Errorf("not the name of a node: %q", node)
	}
	for _, dir := range []string{local, shared} {
		if !filepath.IsAbs(dir) {
			return nil, fmt.Errorf("not an absolute path: %q", dir)
		}
		// Only root looks into the folders: in a volume, pods choose the modes.
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	return &volumes{node: node, local: local, shared: shared}, nil
}

// id names a new volume: node_NODE_NAME or cluster_NAME.
func (v *volumes) id(reach, name string) (string, error) {
	if !volumeName.MatchString(name) {
		return "", fmt.Errorf("not a name for a volume: %q", name)
	}
	switch reach {
	case reachNode:
		return strings.Join([]string{reachNode, v.node, name}, "_"), nil
	case reachCluster:
		return strings.Join([]string{reachCluster, name}, "_"), nil
	}
	return "", fmt.Errorf("not a reach: %q", reach)
}

// folder says where a volume's files are, whether it exists or not. It fails with errElsewhere for a volume of another
// node and with errNoVolume for an id which no volume can have.
func (v *volumes) folder(id string) (string, error) {
	part := strings.Split(id, "_")
	switch {
	case len(part) == 2 && part[0] == reachCluster && volumeName.MatchString(part[1]):
		return filepath.Join(v.shared, id), nil
	case len(part) == 3 && part[0] == reachNode && nodeName.MatchString(part[1]) && volumeName.MatchString(part[2]):
		if part[1] != v.node {
			return "", fmt.Errorf("%w: %s", errElsewhere, part[1])
		}
		return filepath.Join(v.local, id), nil
	}
	return "", fmt.Errorf("%w: %q", errNoVolume, id)
}

// find returns the folder and the facts of a volume which exists.
func (v *volumes) find(id string) (string, facts, error) {
	folder, err := v.folder(id)
	if err != nil {
		return "", facts{}, err
	}
	text, err := os.ReadFile(folder + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return "", facts{}, fmt.Errorf("%w: %s", errNoVolume, id)
	}
	if err != nil {
		return "", facts{}, err
	}
	var have facts
	return folder, have, json.Unmarshal(text, &have)
}

// create makes a volume and lets fill put its files there. If there is one with this id already, create returns its
// facts and changes nothing.
func (v *volumes) create(want facts, fill func(folder string) error) (facts, error) {
	folder, err := v.folder(want.ID)
	if err != nil {
		return facts{}, err
	}
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return facts{}, err
	}
	unlock, err := lock(folder)
	if err != nil {
		return facts{}, err
	}
	defer unlock()
	if _, have, err := v.find(want.ID); !errors.Is(err, errNoVolume) {
		return have, err
	}
	err = empty(folder)
	if err == nil {
		err = fill(folder)
	}
	if err == nil {
		err = writeFacts(folder+".json", want)
	}
	if err != nil {
		return facts{}, errors.Join(err, os.RemoveAll(folder))
	}
	return want, nil
}

// remove deletes a volume, or what is left of it.
func (v *volumes) remove(id string) error {
	folder, err := v.folder(id)
	if err != nil {
		return err
	}
	unlock, err := lock(folder)
	if errors.Is(err, fs.ErrNotExist) {
		unlock, err = func() {}, nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	// First the facts: from then on there is no volume, whatever becomes of its files.
	if err := os.Remove(folder + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(folder)
}

// lock keeps all others off a volume, also the csifix of another node, or fails with errBusy. The kernel takes the
// lock away from a csifix which is killed.
func lock(folder string) (unlock func(), err error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("lock %s: %w", folder, err)
	}
	// Whoever held the lock may have deleted the folder that is locked now.
	locked, err := f.Stat()
	if there, gone := os.Stat(folder); err != nil || gone != nil || !os.SameFile(locked, there) {
		f.Close()
		return nil, errBusy
	}
	return func() { f.Close() }, nil
}

// empty takes away what a killed csifix left in a folder.
func empty(folder string) error {
	left, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(folder, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}

// writeFacts puts the whole file there or nothing.
func writeFacts(path string, f facts) error {
	text, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	// The folder's lock is held: nobody else writes to this name.
	draft := path + ".new"
	if err := os.WriteFile(draft, append(text, '\n'), 0o600); err != nil {
		return errors.Join(err, os.Remove(draft))
	}
	return os.Rename(draft, path)
}
