// podium-node is the first process of a node: it mounts what a node needs, brings the network up, keeps containerd,
// kubelet and kube-proxy running, and does what the management side asks for over mutual TLS.
//
// With the kernel argument podium=build it finishes a new disk instead: owners, container images, power off.
package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settingsDevice carries a tar archive with /etc/podium/node.json and every file that is this node's own.
const settingsDevice = "/dev/ubdb"

// settings is /etc/podium/node.json, written by the management side for each start of the node.
type settings struct {
	Hostname   string      `json:"hostname"`
	Address    string      `json:"address"` // in CIDR notation
	Gateway    string      `json:"gateway"`
	Listen     string      `json:"listen"` // host:port of the agent
	Components []component `json:"components"`
}

func main() {
	log.SetFlags(log.Lmicroseconds)
	os.Setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/root")
	go reap()
	err := boot()
	if err == nil && os.Getenv("podium") == "build" {
		if err = build(); err == nil {
			fmt.Println("podium: build done")
		}
	} else if err == nil {
		err = run()
	}
	if err != nil {
		fmt.Println("podium: failed:", err)
	}
	powerOff()
}

func powerOff() {
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
}

// boot mounts the kernel's file systems and opens the unified cgroup hierarchy.
func boot() error {
	for _, m := range []struct{ kind, at, options string }{
		{"proc", "/proc", ""}, {"sysfs", "/sys", ""}, {"devtmpfs", "/dev", "mode=0755"}, {"devpts", "/dev/pts", "ptmxmode=0666,mode=0620,gid=5"},
		{"mqueue", "/dev/mqueue", ""}, {"tmpfs", "/dev/shm", "mode=1777"}, {"tmpfs", "/run", "mode=0755"}, {"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(m.kind, m.at, m.kind, 0, m.options); err != nil && !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.at, err)
		}
	}
	for link, target := range map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"} {
		os.Symlink(target, link)
	}
	// Mount propagation is what Kubernetes' Bidirectional and HostToContainer volumes rest on.
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return err
	}
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil {
		return err
	}
	return os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+"+strings.ReplaceAll(strings.TrimSpace(string(controllers)), " ", " +")), 0)
}

// run is the life of a node. It returns only when it is asked to power off, or when the node cannot start.
func run() error {
	if err := unpackSettings(); err != nil {
		return fmt.Errorf("the settings on %s: %w", settingsDevice, err)
	}
	text, err := os.ReadFile("/etc/podium/node.json")
	if err != nil {
		return err
	}
	var s settings
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if err := s.apply(); err != nil {
		return err
	}
	supervised := map[string]*component{}
	for i := range s.Components {
		c := &s.Components[i]
		supervised[c.Name] = c
		if err := c.start(); err != nil {
			return err
		}
		c.listens(30 * time.Second)
	}
	return serve(s.Listen, supervised)
}

func unpackSettings() error {
	device, err := os.Open(settingsDevice)
	if err != nil {
		return err
	}
	defer device.Close()
	for archive := tar.NewReader(device); ; {
		entry, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		path := filepath.Join("/", entry.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, os.FileMode(entry.Mode))
		if err != nil {
			return err
		}
		_, err = io.Copy(file, archive)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
}

func (s *settings) apply() error {
	if err := syscall.Sethostname([]byte(s.Hostname)); err != nil {
		return err
	}
	ip := fmt.Sprintf("link set lo up\naddr add %s dev vec0\nlink set vec0 up\nroute add default via %s\n", s.Address, s.Gateway)
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader(ip)
	if output, err := combined(batch); err != nil {
		return fmt.Errorf("ip -batch: %w: %s", err, output)
	}
	node, _, _ := strings.Cut(s.Address, "/")
	files := map[string]string{
		"/etc/hostname":    s.Hostname + "\n",
		"/etc/hosts":       fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", node, s.Hostname),
		"/etc/resolv.conf": fmt.Sprintf("nameserver %s\n", s.Gateway),
		// Pods of other nodes stand on the same wire: each node answers ARP for its own Pods, at once.
		"/proc/sys/net/ipv4/conf/vec0/proxy_arp":    "1",
		"/proc/sys/net/ipv4/neigh/vec0/proxy_delay": "0",
		"/proc/sys/net/ipv4/ip_forward":             "1",
		"/proc/sys/net/ipv4/ping_group_range":       "0 2147483647",
		"/proc/sys/net/netfilter/nf_conntrack_max":  "65536",
		"/proc/sys/net/ipv4/ip_local_port_range":    "32768 60999",
		"/proc/sys/vm/overcommit_memory":            "1",
		"/proc/sys/vm/panic_on_oom":                 "0",
		"/proc/sys/kernel/panic":                    "10",
		"/proc/sys/kernel/panic_on_oops":            "1",
		"/proc/sys/kernel/keys/root_maxkeys":        "1000000",
		"/proc/sys/kernel/keys/root_maxbytes":       "25000000",
		"/proc/sys/fs/inotify/max_user_instances":   "1024",
		"/proc/sys/fs/inotify/max_user_watches":     "65536",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return cpuinfo()
}

// cpuinfo adds the "cpu MHz" line that cAdvisor, and so kubelet, will not start without and user-mode Linux does not print.
func cpuinfo() error {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return err
	}
	lines := strings.ReplaceAll(string(text), "\nbogomips", "\ncpu MHz\t\t: 1000.000\nbogomips")
	if err := os.WriteFile("/run/cpuinfo", []byte(lines), 0o444); err != nil {
		return err
	}
	return syscall.Mount("/run/cpuinfo", "/proc/cpuinfo", "", syscall.MS_BIND, "")
}

// build finishes a disk whose files belong to whoever made it, and fills containerd's store from the second disk.
func build() error {
	err := filepath.WalkDir("/", func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (path == "/proc" || path == "/sys" || path == "/dev" || path == "/run") {
			return filepath.SkipDir
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if err := os.Lchown(path, 0, 0); err != nil || entry.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chmod(path, info.Mode()) // a new owner clears set-user-id
	})
	if err != nil {
		return err
	}
	const disk = "/run/images"
	if err := os.Mkdir(disk, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("/dev/ubdb", disk, "ext4", syscall.MS_RDONLY, ""); err != nil {
		return err
	}
	containerd := &component{Name: "containerd", Argv: []string{"/usr/local/bin/containerd"}}
	if err := containerd.start(); err != nil {
		return err
	}
	ready := func() bool { return combinedOK("ctr", "version") }
	for limit := time.Now().Add(time.Minute); !ready(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(limit) {
			tail, _ := containerd.tail(20)
			return fmt.Errorf("containerd did not answer within a minute:\n%s", tail)
		}
	}
	archives, err := filepath.Glob(disk + "/*.tar")
	if err != nil {
		return err
	}
	for _, archive := range archives {
		fmt.Println("podium: import", filepath.Base(archive))
		if output, err := combined(exec.Command("ctr", "-n", "k8s.io", "images", "import", archive)); err != nil {
			return fmt.Errorf("import %s: %w: %s", archive, err, output)
		}
	}
	// The layers are unpacked: kept packed as well they would double the disk.
	if output, err := combined(exec.Command("ctr", "-n", "k8s.io", "content", "prune", "references")); err != nil {
		return fmt.Errorf("prune: %w: %s", err, output)
	}
	if err := containerd.stop(); err != nil {
		return err
	}
	os.RemoveAll(filepath.Dir(containerd.logPath()))
	return syscall.Unmount(disk, 0)
}

func combinedOK(name string, argv ...string) bool {
	_, err := combined(exec.Command(name, argv...))
	return err == nil
}
