package main

import (
	"context"
	"errors"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	csiVersion      = "1.0.0" // what kubelets ask of a driver; CSI 1.x is compatible
	defaultCapacity = 1 << 30 // bytes, of a volume for which no size is asked
	defaultMode     = 0o777   // pods run as any user
)

// driver answers Kubernetes. What it does not implement is "unimplemented".
type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	name, endpoint string
	volumes        *volumes
}

// Identity.

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: d.name, VendorVersion: "1"}, nil
}

func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	answer := &csi.GetPluginCapabilitiesResponse{}
	for _, can := range []csi.PluginCapability_Service_Type{
		csi.PluginCapability_Service_CONTROLLER_SERVICE,
		csi.PluginCapability_Service_VOLUME_ACCESSIBILITY_CONSTRAINTS,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.PluginCapability{Type: &csi.PluginCapability_Service_{
			Service: &csi.PluginCapability_Service{Type: can},
		}})
	}
	return answer, nil
}

func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// Controller.

func (d *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, can := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{Type: &csi.ControllerServiceCapability_Rpc{
			Rpc: &csi.ControllerServiceCapability_RPC{Type: can},
		}})
	}
	return answer, nil
}

// CreateVolume goes on when the caller has given up: a retry is told "aborted" as long as the volume is being made, and
// then gets it. Otherwise a clone which takes longer than the caller's patience would never be ready.
func (d *driver) CreateVolume(_ context.Context, req *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	class, err := readClass(req.GetParameters())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := usable(req.GetVolumeCapabilities()); err != nil {
		return nil, err
	}
	if req.GetVolumeContentSource() != nil && req.GetVolumeContentSource().GetVolume() == nil {
		return nil, status.Error(codes.InvalidArgument, "only a volume can be a source")
	}
	want := facts{
		Name:     req.GetName(),
		Capacity: req.GetCapacityRange().GetRequiredBytes(),
		Source:   req.GetVolumeContentSource().GetVolume().GetVolumeId(),
	}
	if want.Capacity == 0 {
		want.Capacity = defaultCapacity
		if limit := req.GetCapacityRange().GetLimitBytes(); limit > 0 {
			want.Capacity = min(want.Capacity, limit)
		}
	}
	if !within(want.Capacity, req.GetCapacityRange()) {
		return nil, status.Error(codes.OutOfRange, "more is required than the limit allows")
	}
	if want.ID, err = d.volumes.id(class.reach, want.Name); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if class.reach == reachNode {
		want.Node = d.volumes.node
		if !d.isHere(req.GetAccessibilityRequirements()) {
			return nil, status.Errorf(codes.ResourceExhausted, "this is node %s, and the volume is wanted elsewhere", want.Node)
		}
	}

	fill := func(folder string) error { return unix.Chmod(folder, class.mode) }
	if want.Source != "" && !class.ignoreSource {
		source, _, err := d.volumes.find(want.Source)
		if errors.Is(err, errElsewhere) {
			// The code with which the provisioner gives the claim back to the scheduler. See /CreateVolume Errors/ in the
			// CSI specification: "unable to provision in accessible_topology".
			return nil, status.Errorf(codes.ResourceExhausted, "the source %s: %v; this is node %s", want.Source, err, d.volumes.node)
		}
		if err != nil {
			return nil, failure(err)
		}
		fill = func(folder string) error {
			err := cloneFolder(source, folder)
			if err == nil && class.shortClone {
				err = removeLastFile(folder)
			}
			return err
		}
	}
	have, err := d.volumes.create(want, fill)
	if err != nil {
		return nil, failure(err)
	}
	if have.Source != want.Source || !within(have.Capacity, req.GetCapacityRange()) {
		return nil, status.Errorf(codes.AlreadyExists, "%s has %d bytes and the source %q", have.ID, have.Capacity, have.Source)
	}
	volume := &csi.Volume{
		VolumeId:      have.ID,
		CapacityBytes: have.Capacity,
		// Also when the source was ignored: the provisioner would notice an answer without it.
		ContentSource: req.GetVolumeContentSource(),
	}
	if class.reach == reachNode {
		volume.AccessibleTopology = []*csi.Topology{d.topology()}
	}
	return &csi.CreateVolumeResponse{Volume: volume}, nil
}

func (d *driver) DeleteVolume(_ context.Context, req *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if req.GetVolumeId() == "" {
		return nil, status.Error(codes.InvalidArgument, "which volume?")
	}
	if err := d.volumes.remove(req.GetVolumeId()); err != nil && !errors.Is(err, errNoVolume) {
		return nil, failure(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (d *driver) ValidateVolumeCapabilities(_ context.Context, req *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if req.GetVolumeId() == "" || len(req.GetVolumeCapabilities()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "which volume, and for what?")
	}
	if _, _, err := d.volumes.find(req.GetVolumeId()); err != nil {
		return nil, failure(err)
	}
	if err := usable(req.GetVolumeCapabilities()); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeCapabilities: req.GetVolumeCapabilities(),
	}}, nil
}

// class is what a StorageClass's parameters say.
type class struct {
	reach        string
	mode         uint32 // of a new volume's folder; a clone has its source's
	ignoreSource bool
	shortClone   bool
}

// readClass refuses what it does not know: a fault which is misspelt would make a test pass without it.
func readClass(parameters map[string]string) (class, error) {
	c := class{reach: reachNode, mode: defaultMode}
	for key, value := range parameters {
		var err error
		switch key {
		case "reach":
			c.reach = value
		case "mode":
			var mode uint64
			mode, err = strconv.ParseUint(value, 8, 12)
			c.mode = uint32(mode)
		case "ignoreSource":
			c.ignoreSource, err = strconv.ParseBool(value)
		case "shortClone":
			c.shortClone, err = strconv.ParseBool(value)
		default:
			if !strings.HasPrefix(key, "csi.storage.k8s.io/") { // those are the provisioner's
				err = errors.New("unknown")
			}
		}
		if err != nil {
			return c, errors.New("parameter " + strconv.Quote(key) + ": " + err.Error())
		}
	}
	return c, nil
}

// usable refuses a use of a volume which a folder cannot have.
func usable(capabilities []*csi.VolumeCapability) error {
	if len(capabilities) == 0 {
		return status.Error(codes.InvalidArgument, "no capability is said")
	}
	for _, c := range capabilities {
		if c.GetMount() == nil {
			return status.Error(codes.InvalidArgument, "volumes are folders, not block devices")
		}
		if len(c.GetMount().GetMountFlags()) > 0 {
			return status.Error(codes.InvalidArgument, "a folder has no mount options")
		}
	}
	return nil
}

func within(bytes int64, r *csi.CapacityRange) bool {
	return bytes >= r.GetRequiredBytes() && (r.GetLimitBytes() == 0 || bytes <= r.GetLimitBytes())
}

func (d *driver) topology() *csi.Topology {
	return &csi.Topology{Segments: map[string]string{"topology." + d.name + "/node": d.volumes.node}}
}

// isHere tells whether a volume of this node is good enough. Preferred topologies are requisite ones too.
func (d *driver) isHere(wanted *csi.TopologyRequirement) bool {
	for _, t := range wanted.GetRequisite() {
		for key, node := range d.topology().GetSegments() {
			if t.GetSegments()[key] == node {
				return true
			}
		}
	}
	return len(wanted.GetRequisite()) == 0
}

// failure gives an error the code by which Kubernetes decides whether to try again.
func failure(err error) error {
	code := codes.Internal
	switch {
	case errors.Is(err, errNoVolume):
		code = codes.NotFound
	case errors.Is(err, errElsewhere):
		code = codes.FailedPrecondition
	case errors.Is(err, errBusy):
		code = codes.Aborted
	}
	return status.Error(code, err.Error())
}

// Node.

func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.volumes.node, AccessibleTopology: d.topology()}, nil
}

func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

// NodePublishVolume binds the volume's folder over a folder of the pod.
func (d *driver) NodePublishVolume(_ context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	target := req.GetTargetPath()
	if !filepath.IsAbs(target) {
		return nil, status.Errorf(codes.InvalidArgument, "not an absolute path: %q", target)
	}
	if err := usable([]*csi.VolumeCapability{req.GetVolumeCapability()}); err != nil {
		return nil, err
	}
	folder, _, err := d.volumes.find(req.GetVolumeId())
	if err != nil {
		return nil, failure(err)
	}
	if err := bind(folder, target, req.GetReadonly()); err != nil {
		return nil, failure(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

// bind does only what is missing: the kubelet repeats its call when it did not hear the answer.
func bind(folder, target string, readonly bool) error {
	if err := os.Mkdir(target, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	wanted, err := os.Stat(folder)
	if err != nil {
		return err
	}
	there, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !os.SameFile(wanted, there) {
		if err := unix.Mount(folder, target, "", unix.MS_BIND, ""); err != nil {
			return &fs.PathError{Op: "bind", Path: target, Err: err}
		}
	}
	if !readonly {
		return nil
	}
	// The kernel takes "read-only" only for a mount which exists.
	if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		// Nothing is better than a mount which can be written to.
		return errors.Join(&fs.PathError{Op: "make read-only", Path: target, Err: err}, unix.Unmount(target, 0))
	}
	return nil
}

func (d *driver) NodeUnpublishVolume(_ context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target := req.GetTargetPath()
	if !filepath.IsAbs(target) {
		return nil, status.Errorf(codes.InvalidArgument, "not an absolute path: %q", target)
	}
	// "Invalid": nothing is mounted there.
	err := unix.Unmount(target, unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return nil, failure(&fs.PathError{Op: "unmount", Path: target, Err: err})
	}
	// Remove, not RemoveAll: should a mount be left, its files must not go.
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failure(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// registrar tells the kubelet where the driver is.
type registrar struct {
	registration.UnimplementedRegistrationServer
	driver *driver
}

func (r *registrar) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type:              registration.CSIPlugin,
		Name:              r.driver.name,
		Endpoint:          r.driver.endpoint,
		SupportedVersions: []string{csiVersion},
	}, nil
}

// NotifyRegistrationStatus only writes it down: the kubelet tries again by itself.
func (r *registrar) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !s.GetPluginRegistered() {
		log.Printf("the kubelet refused the driver: %s", s.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}
