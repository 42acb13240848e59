// podium-netd is the network of one embedded cluster: a switch that every node plugs into, the way out to the world,
// and the proxy through which the API server and Podium reach nodes, Pods and Services.
//
// It listens on two UNIX sockets in its folder and on nothing else of the host:
//
//	switch.sock  one Ethernet frame a packet, for user-mode Linux (transport "bess")
//	egress.sock  HTTP CONNECT, for kube-apiserver's EgressSelectorConfiguration
//
// What nodes, and no Pods, tell the gateway's port -spans-port goes to spans.sock there, where somebody listens.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/containers/gvisor-tap-vsock/pkg/types"
	"github.com/containers/gvisor-tap-vsock/pkg/virtualnetwork"
)

func main() {
	dir := flag.String("dir", ".", "folder of the sockets")
	subnet := flag.String("subnet", "", "network of nodes and Pods, in CIDR notation")
	gateway := flag.String("gateway", "", "address of this program in that network")
	services := flag.String("services", "", "network of the Services: a packet to one that kube-proxy did not catch is dropped")
	api := flag.Int("api-port", 0, "port of kube-apiserver on the host's loopback, forwarded from the same port of the gateway")
	pods := flag.String("pods", "", "the part of the network that is the Pods'")
	spans := flag.Int("spans-port", 0, "port of the gateway that is forwarded to spans.sock, for nodes only; 0: none")
	flag.Parse()
	syscall.Umask(0o177)

	network, err := virtualnetwork.New(&types.Configuration{
		MTU: 1500, Subnet: *subnet, GatewayIP: *gateway, GatewayMacAddress: "5a:94:ef:e4:0c:dd", Protocol: types.BessProtocol,
	})
	must(err)
	served := []uint16{53}
	forward := func(port int, kind, address string, welcome func(netip.Addr) bool) {
		listener, err := network.Listen("tcp", fmt.Sprintf("%s:%d", *gateway, port))
		must(err)
		served = append(served, uint16(port))
		go accept(listener, func(inside net.Conn) {
			from, err := netip.ParseAddrPort(inside.RemoteAddr().String())
			if err != nil || !welcome(from.Addr()) {
				inside.Close()
				return
			}
			outside, err := net.Dial(kind, address)
			if err != nil {
				inside.Close()
				return
			}
			join(inside, outside)
		})
	}
	forward(*api, "tcp", fmt.Sprintf("127.0.0.1:%d", *api), func(netip.Addr) bool { return true })
	if *spans != 0 {
		ofPods := netip.MustParsePrefix(*pods)
		forward(*spans, "unix", filepath.Join(*dir, "spans.sock"), func(from netip.Addr) bool { return !ofPods.Contains(from) })
	}

	cables := listen("unixpacket", filepath.Join(*dir, "switch.sock"))
	unreachable := forbidden(*services)
	go accept(cables, func(cable net.Conn) {
		log.Println("a node's link closed:", network.AcceptBess(context.Background(), &guarded{cable, unreachable, netip.MustParseAddr(*gateway), served}))
	})

	egress := listen("unix", filepath.Join(*dir, "egress.sock"))
	must(http.Serve(egress, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT is served here", http.StatusMethodNotAllowed)
			return
		}
		inside, err := network.DialContextTCP(r.Context(), r.Host)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		client, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			inside.Close()
			return
		}
		fmt.Fprint(client, "HTTP/1.1 200 Connection established\r\n\r\n")
		join(&bufferedConn{client, buffered.Reader}, inside)
	})))
}

// forbidden lists what a node may not reach through the host: the host itself, by any of its addresses, the cloud's
// metadata service, and Services, whose addresses mean nothing outside the nodes.
func forbidden(services string) []netip.Prefix {
	prefixes := []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix(services),
	}
	addresses, err := net.InterfaceAddrs()
	must(err)
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() {
			prefixes = append(prefixes, netip.PrefixFrom(prefix.Addr(), 32))
		}
	}
	return prefixes
}

// guarded is a node's cable from which frames to forbidden addresses never arrive, nor those that open a connection to
// the gateway, but for what it serves: else they would go on to whoever has that address in the world outside.
type guarded struct {
	net.Conn
	forbidden []netip.Prefix
	gateway   netip.Addr
	served    []uint16 // ports of the gateway
}

func (g *guarded) Read(frame []byte) (int, error) {
	for {
		n, err := g.Conn.Read(frame)
		if err != nil || g.allowed(frame[:n]) {
			return n, err
		}
	}
}

// allowed knows Ethernet, IPv4 (RFC 791), TCP (RFC 9293) and UDP (RFC 768).
func (g *guarded) allowed(frame []byte) bool {
	const header, etherTypeIPv4 = 14, 0x0800
	if len(frame) < header {
		return false
	}
	if binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return true
	}
	packet := frame[header:]
	if len(packet) < 20 {
		return false
	}
	to := netip.AddrFrom4([4]byte(packet[16:20]))
	for _, prefix := range g.forbidden {
		if prefix.Contains(to) {
			return false
		}
	}
	return to != g.gateway || g.answers(packet)
}

func (g *guarded) answers(packet []byte) bool {
	const fragment, tcp, udp, flags, syn, ack = 0x3fff, 6, 17, 13, 0x02, 0x10
	protocol, segment := packet[9], packet[min(int(packet[0]&0xf)*4, len(packet)):]
	if protocol != tcp && protocol != udp {
		return true
	}
	if binary.BigEndian.Uint16(packet[6:])&fragment != 0 || len(segment) < 8 || (protocol == tcp && len(segment) < 20) {
		return false
	}
	if protocol == tcp && segment[flags]&(syn|ack) != syn {
		return true
	}
	return slices.Contains(g.served, binary.BigEndian.Uint16(segment[2:]))
}

type bufferedConn struct {
	net.Conn
	reader io.Reader
}

func (b *bufferedConn) Read(p []byte) (int, error) { return b.reader.Read(p) }

func (b *bufferedConn) CloseWrite() error {
	return b.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// join copies both ways, passes a half-close on, and returns when both ways have ended.
func join(a, b net.Conn) {
	done := make(chan struct{})
	pump := func(to, from net.Conn) {
		io.Copy(to, from)
		if half, ok := to.(interface{ CloseWrite() error }); ok {
			half.CloseWrite()
		} else {
			to.Close()
		}
		done <- struct{}{}
	}
	go pump(a, b)
	go pump(b, a)
	<-done
	<-done
	a.Close()
	b.Close()
}

// listen takes the place of a socket that a killed predecessor left.
func listen(kind, path string) net.Listener {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		must(err)
	}
	listener, err := net.Listen(kind, path)
	must(err)
	return listener
}

func accept(listener net.Listener, handle func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		must(err)
		go handle(conn)
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
