// Command csifix is the storage of the test cluster: a CSI driver whose volumes are plain folders.
//
// It stands for the drivers of real clusters in the two things which matter to a migration. A volume is bound to
// its node or reaches all nodes, and a claim can be a clone of another one. On request it also does what a bad
// driver does: it forgets a clone's source, or it loses a file.
//
// One csifix runs on each node, beside one csi-provisioner with --node-deployment. It registers itself with the
// kubelet, so that no node-driver-registrar is needed. It keeps no capacity, makes no snapshots and no block
// volumes, and trusts whoever may connect to its sockets: it is for tests only.
package main

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// config is what the command line says.
type config struct {
	node     string // the node's name in Kubernetes
	driver   string // the driver's name in StorageClasses
	endpoint string // the socket of the driver itself
	registry string // the folder in which the kubelet looks for drivers
	local    string // the folder of the volumes which are bound to this node
	shared   string // the folder of the volumes which all nodes reach; the same one on all nodes
}

func main() {
	var c config
	flag.StringVar(&c.node, "node", "", "name of this node")
	flag.StringVar(&c.driver, "driver", "csifix.secxops.test", "name of the driver")
	flag.StringVar(&c.endpoint, "endpoint", "/var/lib/kubelet/plugins/csifix/csi.sock", "socket of the driver")
	flag.StringVar(&c.registry, "registry", "/var/lib/kubelet/plugins_registry", "folder in which the kubelet looks for drivers")
	flag.StringVar(&c.local, "local", "", "folder of the volumes bound to this node")
	flag.StringVar(&c.shared, "shared", "", "folder of the volumes which all nodes reach")
	flag.Parse()

	stop, err := start(c)
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	<-ended
	stop()
}

// start serves the driver and its registration until stop is called.
func start(c config) (stop func(), err error) {
	v, err := openVolumes(c.node, c.local, c.shared)
	if err != nil {
		return nil, err
	}
	d := &driver{name: c.driver, endpoint: c.endpoint, volumes: v}
	services, err := serve(c.endpoint, func(s *grpc.Server) {
		csi.RegisterIdentityServer(s, d)
		csi.RegisterControllerServer(s, d)
		csi.RegisterNodeServer(s, d)
	})
	if err != nil {
		return nil, err
	}
	// The kubelet calls the driver as soon as it sees this socket: so it comes last.
	announced, err := serve(filepath.Join(c.registry, c.driver+"-reg.sock"), func(s *grpc.Server) {
		registration.RegisterRegistrationServer(s, &registrar{driver: d})
	})
	if err != nil {
		services.Stop()
		return nil, err
	}
	return func() {
		announced.Stop()
		services.Stop()
	}, nil
}

// serve answers calls on a socket, which it makes anew.
func serve(socket string, register func(*grpc.Server)) (*grpc.Server, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o755); err != nil {
		return nil, err
	}
	// A csifix that was killed leaves its socket behind.
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(logged))
	register(server)
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Printf("%s: %v", socket, err)
		}
	}()
	return server, nil
}

// logged writes a line for each call, the only trace which a failed test has of the driver.
func logged(ctx context.Context, req any, info *grpc.UnaryServerInfo, call grpc.UnaryHandler) (any, error) {
	began := time.Now()
	answer, err := call(ctx, req)
	log.Printf("%s {%v} %v: %v", info.FullMethod, req, time.Since(began).Round(time.Millisecond), err)
	return answer, err
}
