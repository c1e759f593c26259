package main

import (
	"context"
	"io"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const driverName = "csifix.secxops.test"

func TestMain(m *testing.M) {
	log.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// node is a csifix that runs, and who calls it.
type node struct {
	csi.IdentityClient
	csi.ControllerClient
	csi.NodeClient
	registration.RegistrationClient
	config
	t *testing.T
}

// cluster starts a csifix for each name. They have one shared folder, as the nodes of the test cluster.
func cluster(t *testing.T, names ...string) []*node {
	t.Helper()
	top, err := os.MkdirTemp("", "csifix") // t.TempDir is too long for the name of a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	var nodes []*node
	for _, name := range names {
		own := filepath.Join(top, name)
		c := config{
			node: name, driver: driverName,
			endpoint: filepath.Join(own, "plugins/csi.sock"), registry: filepath.Join(own, "registry"),
			local: filepath.Join(own, "local"), shared: filepath.Join(top, "shared"),
		}
		stop, err := start(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		driver, kubelet := dial(t, c.endpoint), dial(t, filepath.Join(c.registry, driverName+"-reg.sock"))
		nodes = append(nodes, &node{
			csi.NewIdentityClient(driver), csi.NewControllerClient(driver), csi.NewNodeClient(driver),
			registration.NewRegistrationClient(kubelet), c, t,
		})
	}
	return nodes
}

func dial(t *testing.T, socket string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

var folderVolume = &csi.VolumeCapability{
	AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: "ext4"}},
	AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
}

// request asks for a volume of 1 MiB; parameters are pairs.
func request(name, source string, parameters ...string) *csi.CreateVolumeRequest {
	req := &csi.CreateVolumeRequest{
		Name:               name,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: 1 << 20},
		VolumeCapabilities: []*csi.VolumeCapability{folderVolume},
		Parameters:         map[string]string{},
	}
	for i := 0; i < len(parameters); i += 2 {
		req.Parameters[parameters[i]] = parameters[i+1]
	}
	if source != "" {
		req.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{
			Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: source},
		}}
	}
	return req
}

func (n *node) create(req *csi.CreateVolumeRequest) *csi.Volume {
	n.t.Helper()
	answer, err := n.CreateVolume(context.Background(), req)
	if err != nil {
		n.t.Fatal(err)
	}
	return answer.GetVolume()
}

func (n *node) folder(v *csi.Volume) string {
	if strings.HasPrefix(v.GetVolumeId(), reachCluster) {
		return filepath.Join(n.shared, v.GetVolumeId())
	}
	return filepath.Join(n.local, v.GetVolumeId())
}

func refused(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Fatalf("%v (%v) instead of %v", got, err, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func TestTheDriverSaysWhatItIs(t *testing.T) {
	n, ctx := cluster(t, "worker1")[0], context.Background()
	info, err := n.GetPluginInfo(ctx, &csi.GetPluginInfoRequest{})
	must(t, err)
	if info.GetName() != driverName {
		t.Error(info)
	}
	probe, err := n.Probe(ctx, &csi.ProbeRequest{})
	must(t, err)
	if !probe.GetReady().GetValue() {
		t.Error(probe)
	}
	services, err := n.GetPluginCapabilities(ctx, &csi.GetPluginCapabilitiesRequest{})
	must(t, err)
	if len(services.GetCapabilities()) != 2 {
		t.Error(services)
	}
	calls, err := n.ControllerGetCapabilities(ctx, &csi.ControllerGetCapabilitiesRequest{})
	must(t, err)
	if len(calls.GetCapabilities()) != 2 {
		t.Error(calls)
	}
	where, err := n.NodeGetInfo(ctx, &csi.NodeGetInfoRequest{})
	must(t, err)
	segments := map[string]string{"topology.csifix.secxops.test/node": "worker1"}
	if where.GetNodeId() != "worker1" || !reflect.DeepEqual(where.GetAccessibleTopology().GetSegments(), segments) {
		t.Error(where)
	}
}

func TestTheKubeletLearnsWhereTheDriverIs(t *testing.T) {
	n, ctx := cluster(t, "worker1")[0], context.Background()
	info, err := n.GetInfo(ctx, &registration.InfoRequest{})
	must(t, err)
	if info.GetType() != "CSIPlugin" || info.GetName() != driverName || info.GetEndpoint() != n.endpoint ||
		!reflect.DeepEqual(info.GetSupportedVersions(), []string{"1.0.0"}) {
		t.Error(info)
	}
	_, err = n.NotifyRegistrationStatus(ctx, &registration.RegistrationStatus{Error: "no", PluginRegistered: false})
	must(t, err)
}

func TestADriverThatWasKilledStartsAgain(t *testing.T) {
	n := cluster(t, "worker1")[0]
	v := n.create(request("pvc-1", ""))
	// Its sockets are still there, and so is a clone that was being made.
	half := filepath.Join(n.local, "node_worker1_pvc-2")
	write(t, filepath.Join(half, "half/file"), "half")
	stop, err := start(n.config)
	must(t, err)
	defer stop()
	again := &node{ControllerClient: csi.NewControllerClient(dial(t, n.endpoint)), config: n.config, t: t}
	if got := again.create(request("pvc-1", "")); got.GetVolumeId() != v.GetVolumeId() {
		t.Error(got)
	}
	again.create(request("pvc-2", v.GetVolumeId()))
	if left, _ := os.ReadDir(half); len(left) != 0 {
		t.Error(left)
	}
}

func TestCreateMakesAVolumeOnce(t *testing.T) {
	n := cluster(t, "worker1")[0]
	v := n.create(request("pvc-1", "", "mode", "2775"))
	if v.GetCapacityBytes() != 1<<20 || v.GetAccessibleTopology()[0].GetSegments()["topology."+driverName+"/node"] != "worker1" {
		t.Error(v)
	}
	var st unix.Stat_t
	must(t, unix.Stat(n.folder(v), &st))
	if st.Mode != unix.S_IFDIR|0o2775 {
		t.Errorf("%o", st.Mode)
	}
	write(t, filepath.Join(n.folder(v), "kept"), "kept")
	if again := n.create(request("pvc-1", "", "mode", "2775")); again.GetVolumeId() != v.GetVolumeId() {
		t.Error(again)
	}
	if _, err := os.Stat(filepath.Join(n.folder(v), "kept")); err != nil {
		t.Error(err)
	}

	bigger := request("pvc-1", "")
	bigger.CapacityRange.RequiredBytes++
	_, err := n.CreateVolume(context.Background(), bigger)
	refused(t, err, codes.AlreadyExists)
	_, err = n.CreateVolume(context.Background(), request("pvc-1", v.GetVolumeId()))
	refused(t, err, codes.AlreadyExists)
}

func TestAVolumeWhichIsBeingMadeIsNotMadeTwice(t *testing.T) {
	nodes := cluster(t, "worker1", "worker2")
	folder := filepath.Join(nodes[0].shared, "cluster_pvc-1")
	must(t, os.Mkdir(folder, 0o700))
	unlock, err := lock(folder)
	must(t, err)
	for _, n := range nodes {
		_, err = n.CreateVolume(context.Background(), request("pvc-1", "", "reach", "cluster"))
		refused(t, err, codes.Aborted)
		_, err = n.DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: "cluster_pvc-1"})
		refused(t, err, codes.Aborted)
	}
	unlock()
	nodes[1].create(request("pvc-1", "", "reach", "cluster"))
}

func TestAVolumeOfTheClusterIsTheSameOnAllNodes(t *testing.T) {
	nodes := cluster(t, "worker1", "worker2")
	v := nodes[0].create(request("pvc-1", "", "reach", "cluster"))
	if len(v.GetAccessibleTopology()) != 0 {
		t.Error(v)
	}
	write(t, filepath.Join(nodes[0].folder(v), "file"), "text")
	if same := nodes[1].create(request("pvc-1", "", "reach", "cluster")); same.GetVolumeId() != v.GetVolumeId() {
		t.Error(same)
	}
	clone := nodes[1].create(request("pvc-2", v.GetVolumeId()))
	if text, err := os.ReadFile(filepath.Join(nodes[1].folder(clone), "file")); string(text) != "text" {
		t.Error(string(text), err)
	}
	_, err := nodes[1].DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
	must(t, err)
	if left, _ := os.ReadDir(nodes[0].shared); len(left) != 0 {
		t.Error(left)
	}
}

// entry is all that a clone must keep of one name.
type entry struct {
	mode, uid, gid uint32
	nlink, rdev    uint64
	size           int64
	modified       unix.Timespec
	content        string // of a file or a link
	attribute      string // user.note
}

func tree(t *testing.T, top string) map[string]entry {
	t.Helper()
	entries := map[string]entry{}
	must(t, filepath.WalkDir(top, func(path string, _ os.DirEntry, err error) error {
		must(t, err)
		var st unix.Stat_t
		must(t, unix.Lstat(path, &st))
		e := entry{mode: st.Mode, uid: st.Uid, gid: st.Gid, rdev: st.Rdev, nlink: uint64(st.Nlink), modified: st.Mtim}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			text, err := os.ReadFile(path)
			must(t, err)
			e.content, e.size = string(text), st.Size
		case unix.S_IFLNK:
			e.content, err = os.Readlink(path)
			must(t, err)
		}
		note := make([]byte, 100)
		if n, err := unix.Lgetxattr(path, "user.note", note); err == nil {
			e.attribute = string(note[:n])
		}
		name, err := filepath.Rel(top, path)
		must(t, err)
		entries[name] = e
		return nil
	}))
	return entries
}

func TestACloneKeepsEverything(t *testing.T) {
	n := cluster(t, "worker1")[0]
	source := n.create(request("pvc-1", ""))
	from := n.folder(source)
	must(t, unix.Lsetxattr(from, "user.note", []byte("top"), 0))
	write(t, filepath.Join(from, "code/a.py"), "print(1)\n")
	write(t, filepath.Join(from, "code/deep/er/b.py"), "print(2)\n")
	write(t, filepath.Join(from, "empty"), "")
	write(t, filepath.Join(from, "odd \xff\n name"), "odd")
	must(t, os.Link(filepath.Join(from, "code/a.py"), filepath.Join(from, "second name")))
	must(t, os.Link(filepath.Join(from, "code/deep/er/b.py"), filepath.Join(from, "code/third")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(from, "outside")))
	must(t, os.Symlink("code/a.py", filepath.Join(from, "inside")))
	must(t, os.Symlink("nowhere", filepath.Join(from, "dangling")))
	must(t, unix.Mkfifo(filepath.Join(from, "pipe"), 0o640))
	must(t, unix.Lsetxattr(filepath.Join(from, "code/a.py"), "user.note", []byte("file"), 0))
	must(t, unix.Lsetxattr(filepath.Join(from, "code/deep"), "user.note", []byte("folder"), 0))

	holes, err := os.Create(filepath.Join(from, "holes"))
	must(t, err)
	for _, at := range []int64{1 << 20, 5 << 20} {
		_, err = holes.WriteAt([]byte("data"), at)
		must(t, err)
	}
	must(t, holes.Truncate(9<<20))
	must(t, holes.Close())

	if os.Geteuid() == 0 {
		must(t, os.Lchown(filepath.Join(from, "code/a.py"), 1000, 100))
		must(t, os.Lchown(filepath.Join(from, "dangling"), 4242, 4243))
		must(t, os.Lchown(filepath.Join(from, "code"), 1000, 2000))
		must(t, unix.Mknod(filepath.Join(from, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	}
	must(t, unix.Chmod(filepath.Join(from, "empty"), 0o4755))
	must(t, unix.Chmod(filepath.Join(from, "code/deep/er/b.py"), 0o000))
	must(t, unix.Chmod(filepath.Join(from, "code"), 0o2775))
	must(t, unix.Chmod(filepath.Join(from, "code/deep"), 0o1777))
	must(t, unix.Chmod(filepath.Join(from, "code/deep/er"), 0o555))
	for i, name := range []string{"code/a.py", "dangling", "code/deep/er", "code/deep", "code", "."} { // children first
		when := []unix.Timespec{{Sec: 1, Nsec: 1}, {Sec: 1e9 + int64(i), Nsec: 123456789}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(from, name), when, unix.AT_SYMLINK_NOFOLLOW))
	}
	if os.Geteuid() != 0 {
		must(t, unix.Chmod(filepath.Join(from, "code/deep/er/b.py"), 0o600)) // so that we can read it
		must(t, unix.Chmod(filepath.Join(from, "code/deep/er"), 0o755))
	}

	want := tree(t, from)
	clone := n.create(request("pvc-2", source.GetVolumeId()))
	to := n.folder(clone)
	got := tree(t, to)
	for name := range want {
		if want[name] != got[name] {
			a, b := want[name], got[name]
			a.content, b.content = a.content[:min(len(a.content), 50)], b.content[:min(len(b.content), 50)]
			t.Errorf("%q: %+v became %+v", name, a, b)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries became %d", len(want), len(got))
	}
	if clone.GetContentSource().GetVolume().GetVolumeId() != source.GetVolumeId() {
		t.Error(clone)
	}
	for _, pair := range [][2]string{{"code/a.py", "second name"}, {"code/deep/er/b.py", "code/third"}} {
		a, errA := os.Stat(filepath.Join(to, pair[0]))
		b, errB := os.Stat(filepath.Join(to, pair[1]))
		if errA != nil || errB != nil || !os.SameFile(a, b) {
			t.Errorf("%v are no longer one file", pair)
		}
	}
	var sparse unix.Stat_t
	must(t, unix.Stat(filepath.Join(to, "holes"), &sparse))
	if sparse.Blocks*512 > 1<<20 {
		t.Errorf("a file of 8 bytes and holes takes %d bytes", sparse.Blocks*512)
	}

	// From here on the two have nothing to do with each other.
	write(t, filepath.Join(to, "code/a.py"), "changed")
	must(t, os.Remove(filepath.Join(to, "holes")))
	if text, err := os.ReadFile(filepath.Join(from, "code/a.py")); string(text) != "print(1)\n" {
		t.Error(string(text), err)
	}
	_, err = n.DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: source.GetVolumeId()})
	must(t, err)
	if text, err := os.ReadFile(filepath.Join(to, "code/a.py")); string(text) != "changed" {
		t.Error(string(text), err)
	}
}

func TestAFileThatVanishesDoesNotFailTheClone(t *testing.T) {
	n := cluster(t, "worker1")[0]
	source := n.create(request("pvc-1", ""))
	write(t, filepath.Join(n.folder(source), "kept"), "kept")
	coming, ended := filepath.Join(n.folder(source), "coming"), make(chan struct{})
	going := filepath.Join(n.folder(source), "coming", "and", "going")
	go func() {
		defer close(ended)
		for until := time.Now().Add(time.Second); time.Now().Before(until); {
			os.MkdirAll(filepath.Dir(going), 0o755)
			os.WriteFile(going, []byte("text"), 0o644)
			os.Link(filepath.Join(n.folder(source), "kept"), going+" too")
			os.RemoveAll(coming)
		}
	}()
	t.Cleanup(func() { <-ended })
	for {
		select {
		case <-ended:
			return
		default:
		}
		clone := n.create(request("pvc-2", source.GetVolumeId()))
		if text, err := os.ReadFile(filepath.Join(n.folder(clone), "kept")); string(text) != "kept" {
			t.Fatal(string(text), err)
		}
		_, err := n.DeleteVolume(context.Background(), &csi.DeleteVolumeRequest{VolumeId: clone.GetVolumeId()})
		must(t, err)
	}
}

func TestACloneIsMadeWhereItsSourceIs(t *testing.T) {
	nodes := cluster(t, "worker1", "worker2")
	source := nodes[0].create(request("pvc-1", ""))
	_, err := nodes[1].CreateVolume(context.Background(), request("pvc-2", source.GetVolumeId()))
	refused(t, err, codes.ResourceExhausted)
	_, err = nodes[1].CreateVolume(context.Background(), request("pvc-2", source.GetVolumeId(), "reach", "cluster"))
	refused(t, err, codes.ResourceExhausted)
	for _, dir := range []string{nodes[1].local, nodes[1].shared} {
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Error(left)
		}
	}
	_, err = nodes[0].CreateVolume(context.Background(), request("pvc-2", "node_worker1_pvc-3"))
	refused(t, err, codes.NotFound)
	elsewhere := request("pvc-2", "")
	elsewhere.AccessibilityRequirements = &csi.TopologyRequirement{Requisite: []*csi.Topology{
		{Segments: map[string]string{"topology." + driverName + "/node": "worker2"}},
	}}
	_, err = nodes[0].CreateVolume(context.Background(), elsewhere)
	refused(t, err, codes.ResourceExhausted)
	nodes[1].create(elsewhere)
}

func TestAForgetfulClassMakesAnEmptyVolumeQuietly(t *testing.T) {
	n := cluster(t, "worker1")[0]
	source := n.create(request("pvc-1", ""))
	write(t, filepath.Join(n.folder(source), "file"), "text")
	clone := n.create(request("pvc-2", source.GetVolumeId(), "ignoreSource", "true"))
	if clone.GetContentSource().GetVolume().GetVolumeId() != source.GetVolumeId() {
		t.Error(clone)
	}
	if left, err := os.ReadDir(n.folder(clone)); len(left) != 0 || err != nil {
		t.Error(left, err)
	}
}

func TestAShortCloneLacksTheLastFile(t *testing.T) {
	n := cluster(t, "worker1")[0]
	source := n.create(request("pvc-1", ""))
	for _, name := range []string{"a", "m/z", "m/b", "m/y/last"} {
		write(t, filepath.Join(n.folder(source), name), name)
	}
	must(t, os.Rename(filepath.Join(n.folder(source), "m/z"), filepath.Join(n.folder(source), "m/c")))
	must(t, os.Mkdir(filepath.Join(n.folder(source), "z"), 0o755))
	want := tree(t, n.folder(source))
	delete(want, "m/y/last")
	clone := n.create(request("pvc-2", source.GetVolumeId(), "shortClone", "true"))
	if got := tree(t, n.folder(clone)); !reflect.DeepEqual(got, want) {
		t.Errorf("%v instead of %v", got, want)
	}
}

func TestDeleteLeavesNothing(t *testing.T) {
	n, ctx := cluster(t, "worker1")[0], context.Background()
	v := n.create(request("pvc-1", ""))
	write(t, filepath.Join(n.folder(v), "a/b"), "text")
	for range 2 { // what is not there is deleted already
		_, err := n.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: v.GetVolumeId()})
		must(t, err)
	}
	if left, err := os.ReadDir(n.local); len(left) != 0 || err != nil {
		t.Error(left, err)
	}
	_, err := n.DeleteVolume(ctx, &csi.DeleteVolumeRequest{})
	refused(t, err, codes.InvalidArgument)
	_, err = n.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: "node_worker2_pvc-1"})
	refused(t, err, codes.FailedPrecondition)
}

func TestNamesStayInTheirFolder(t *testing.T) {
	n, ctx := cluster(t, "worker1")[0], context.Background()
	outside := filepath.Join(n.local, "..", "outside")
	write(t, filepath.Join(outside, "file"), "text")
	write(t, outside+".json", "{}")
	for _, name := range []string{"", ".", "..", "../outside", "/outside", "a/b", "a_b", "a.json", ".a", "-a", "a\x00b", "a\nb"} {
		_, err := n.CreateVolume(ctx, request(name, ""))
		refused(t, err, codes.InvalidArgument)
	}
	for _, id := range []string{
		"..", "../outside", outside, "node_worker1_../outside", "node_worker1_..", "cluster_../outside", "cluster_..",
		"node_.._outside", "node_worker1_pvc-1/../../outside", "node_worker1", "cluster_", "node_worker1_a_b", "cluster_a.json",
	} {
		_, err := n.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: id})
		must(t, err)
		_, err = n.CreateVolume(ctx, request("pvc-1", id))
		refused(t, err, codes.NotFound)
		_, err = n.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
			VolumeId: id, TargetPath: filepath.Join(n.local, "target"), VolumeCapability: folderVolume,
		})
		refused(t, err, codes.NotFound)
	}
	if text, err := os.ReadFile(filepath.Join(outside, "file")); string(text) != "text" {
		t.Error(string(text), err)
	}
	if left, _ := os.ReadDir(n.local); len(left) != 0 {
		t.Error(left)
	}
}

func TestWhatAFolderCannotDoIsRefused(t *testing.T) {
	n, ctx := cluster(t, "worker1")[0], context.Background()
	for _, parameter := range [][2]string{
		{"reach", "moon"}, {"mode", "rwx"}, {"mode", "10777"}, {"ignoreSource", "perhaps"}, {"shortCloen", "true"},
	} {
		_, err := n.CreateVolume(ctx, request("pvc-1", "", parameter[0], parameter[1]))
		refused(t, err, codes.InvalidArgument)
	}
	n.create(request("pvc-2", "", "csi.storage.k8s.io/pvc/name", "work"))

	block := request("pvc-1", "")
	block.VolumeCapabilities = []*csi.VolumeCapability{{AccessType: &csi.VolumeCapability_Block{}}}
	_, err := n.CreateVolume(ctx, block)
	refused(t, err, codes.InvalidArgument)
	snapshot := request("pvc-1", "")
	snapshot.VolumeContentSource = &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{}}
	_, err = n.CreateVolume(ctx, snapshot)
	refused(t, err, codes.InvalidArgument)
	narrow := request("pvc-1", "")
	narrow.CapacityRange.LimitBytes = 1
	_, err = n.CreateVolume(ctx, narrow)
	refused(t, err, codes.OutOfRange)
	asked, err := n.ValidateVolumeCapabilities(ctx, &csi.ValidateVolumeCapabilitiesRequest{
		VolumeId: "node_worker1_pvc-2", VolumeCapabilities: block.VolumeCapabilities,
	})
	must(t, err)
	if asked.GetConfirmed() != nil || asked.GetMessage() == "" {
		t.Error(asked)
	}
	_, err = n.CreateSnapshot(ctx, &csi.CreateSnapshotRequest{})
	refused(t, err, codes.Unimplemented)
}

func TestPublishBindsTheVolume(t *testing.T) {
	needRoot(t)
	n, ctx := cluster(t, "worker1")[0], context.Background()
	v := n.create(request("pvc-1", ""))
	file := filepath.Join(n.folder(v), "file")
	write(t, file, "text")
	for _, readonly := range []bool{true, false} {
		target := filepath.Join(n.registry, "target")
		t.Cleanup(func() { unix.Unmount(target, 0) })
		for range 2 { // a kubelet may repeat its call
			_, err := n.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
				VolumeId: v.GetVolumeId(), TargetPath: target, VolumeCapability: folderVolume, Readonly: readonly,
			})
			must(t, err)
		}
		if text, err := os.ReadFile(filepath.Join(target, "file")); string(text) != "text" {
			t.Error(string(text), err)
		}
		err := os.WriteFile(filepath.Join(target, "file"), []byte("text"), 0o644)
		if readonly != (err != nil && strings.Contains(err.Error(), syscall.EROFS.Error())) {
			t.Errorf("readonly %v: %v", readonly, err)
		}
		must(t, os.WriteFile(file, []byte("text"), 0o644)) // the volume itself stays writable
		for range 2 {
			_, err := n.NodeUnpublishVolume(ctx, &csi.NodeUnpublishVolumeRequest{VolumeId: v.GetVolumeId(), TargetPath: target})
			must(t, err)
		}
		if _, err := os.Stat(target); !os.IsNotExist(err) {
			t.Error(err)
		}
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	_, err := n.NodePublishVolume(ctx, &csi.NodePublishVolumeRequest{
		VolumeId: "node_worker2_pvc-1", TargetPath: filepath.Join(n.registry, "target"), VolumeCapability: folderVolume,
	})
	refused(t, err, codes.FailedPrecondition)
}
