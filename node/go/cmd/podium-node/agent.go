package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// serve answers the management side, and only it: the client's certificate must come from the agents' own authority.
//
//	GET  /components              what runs, as JSON
//	POST /components/NAME/start   and stop
//	GET  /components/NAME/log     ?lines=N
//	POST /exec?arg=…&arg=…        standard input is the request's body; the response is a sequence of frames
//	POST /poweroff
func serve(address string, supervised map[string]*component) error {
	authority, err := os.ReadFile("/etc/podium/agent-ca.crt")
	if err != nil {
		return err
	}
	clients := x509.NewCertPool()
	if !clients.AppendCertsFromPEM(authority) {
		return fmt.Errorf("/etc/podium/agent-ca.crt holds no certificate")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /components", func(w http.ResponseWriter, _ *http.Request) {
		states := []map[string]any{}
		for _, c := range supervised {
			states = append(states, c.report())
		}
		json.NewEncoder(w).Encode(states)
	})
	mux.HandleFunc("POST /components/{name}/{verb}", func(w http.ResponseWriter, r *http.Request) {
		c, verb := supervised[r.PathValue("name")], r.PathValue("verb")
		var err error
		switch {
		case c == nil || (verb != "start" && verb != "stop"):
			http.NotFound(w, r)
			return
		case verb == "start":
			err = c.start()
		default:
			err = c.stop()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc("GET /components/{name}/log", func(w http.ResponseWriter, r *http.Request) {
		c := supervised[r.PathValue("name")]
		lines, err := strconv.Atoi(r.FormValue("lines"))
		if c == nil || err != nil {
			http.NotFound(w, r)
			return
		}
		text, err := c.tail(lines)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(text)
	})
	mux.HandleFunc("POST /exec", execute)
	mux.HandleFunc("POST /poweroff", func(http.ResponseWriter, *http.Request) { powerOff() })
	server := &http.Server{
		Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients, MinVersion: tls.VersionTLS13},
	}
	return server.ListenAndServeTLS("/etc/podium/agent.crt", "/etc/podium/agent.key")
}

func (c *component) report() map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	state := "running"
	switch {
	case c.pid == 0 && c.wanted:
		state = "restarting"
	case c.pid == 0:
		state = "stopped"
	}
	return map[string]any{
		"name": c.Name, "state": state, "pid": c.pid, "argv": c.Argv, "restarts": c.restarts, "last_exit": c.last,
		"since": float64(c.since.UnixMilli()) / 1000,
	}
}

// execute runs one command. Each frame of the response is a byte (1 standard output, 2 standard error, 0 the end), a
// 32-bit big-endian length and that many bytes; the end's bytes are the exit status in decimal.
func execute(w http.ResponseWriter, r *http.Request) {
	argv := r.URL.Query()["arg"]
	if len(argv) == 0 {
		http.Error(w, "no command", http.StatusBadRequest)
		return
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var mu sync.Mutex
	frame := func(stream byte, data []byte) {
		mu.Lock()
		defer mu.Unlock()
		w.Write(binary.BigEndian.AppendUint32([]byte{stream}, uint32(len(data))))
		w.Write(data)
		w.(http.Flusher).Flush()
	}
	http.NewResponseController(w).EnableFullDuplex()
	input, feed, err := os.Pipe()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	var readers sync.WaitGroup
	var ours []*os.File
	stream := func(number byte) *os.File {
		read, write, err := os.Pipe()
		if err != nil {
			return nil
		}
		ours = append(ours, write)
		readers.Go(func() {
			defer read.Close()
			for buffer := make([]byte, 32<<10); ; {
				n, err := read.Read(buffer)
				if n > 0 {
					frame(number, buffer[:n])
				}
				if err != nil {
					return
				}
			}
		})
		return write
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, stream(1), stream(2)
	ended, err := spawn(cmd)
	input.Close()
	for _, file := range ours {
		file.Close()
	}
	if err != nil {
		feed.Close()
		readers.Wait()
		frame(2, []byte(err.Error()+"\n"))
		frame(0, []byte("127"))
		return
	}
	go func() {
		io.Copy(feed, r.Body)
		feed.Close()
	}()
	var status syscall.WaitStatus
	select {
	case status = <-ended:
	case <-r.Context().Done(): // whoever asked is gone
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return
	}
	readers.Wait()
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	frame(0, []byte(strconv.Itoa(code)))
}
