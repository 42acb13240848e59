package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// A first process must collect every orphan, so nobody else here may wait for a child: reap hands out the results.
var (
	birth  sync.Mutex
	births = map[int]chan syscall.WaitStatus{}
)

func reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // no child at the moment
			time.Sleep(10 * time.Millisecond)
			continue
		}
		birth.Lock()
		if waiting, ok := births[pid]; ok {
			waiting <- status
			delete(births, pid)
		}
		birth.Unlock()
	}
}

// slack is how late a timer of a node's processes may be: their many small sleeps then end together, and the node's kernel,
// to which each end is a signal, is woken a third as often. See prctl(2), PR_SET_TIMERSLACK, which children inherit.
const slack = 10 * time.Millisecond

// spawn starts a process and returns where its status will arrive.
func spawn(cmd *exec.Cmd) (<-chan syscall.WaitStatus, error) {
	birth.Lock()
	defer birth.Unlock()
	runtime.LockOSThread() // the thread that forks is the one whose slack is inherited
	defer runtime.UnlockOSThread()
	if _, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_TIMERSLACK, uintptr(slack), 0); failed != 0 {
		return nil, fmt.Errorf("prctl(PR_SET_TIMERSLACK): %w", failed)
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan syscall.WaitStatus, 1)
	births[cmd.Process.Pid] = ended
	return ended, nil
}

// combined runs a command and returns what it printed on both streams.
func combined(cmd *exec.Cmd) ([]byte, error) {
	output, err := os.CreateTemp("/run", "output")
	if err != nil {
		return nil, err
	}
	defer os.Remove(output.Name())
	defer output.Close()
	if cmd.Stdin != nil {
		input, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer input.Close()
		var text bytes.Buffer
		text.ReadFrom(cmd.Stdin)
		go func() { write.Write(text.Bytes()); write.Close() }()
		cmd.Stdin = input
	}
	cmd.Stdout, cmd.Stderr = output, output // files: nothing is left to copy when the process has ended
	ended, err := spawn(cmd)
	if err != nil {
		return nil, err
	}
	status := <-ended
	text, err := os.ReadFile(output.Name())
	if err == nil && status != 0 {
		err = fmt.Errorf("%s: %s", filepath.Base(cmd.Path), describe(status))
	}
	return text, err
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

// component is a program that is started again whenever it ends unasked: at first after half a second, then after twice
// as long each time, at most ten seconds; a run of ten seconds makes it new.
type component struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
	Env  []string `json:"env"` // NAME=value, beside what every program gets
	// Socket is where it listens: what is listed after it starts when it accepts connections there.
	Socket string `json:"socket"`

	mu       sync.Mutex
	wanted   bool
	pid      int
	since    time.Time
	restarts int
	last     string
	ended    chan struct{} // closed when the present run is over
}

const shortest, longest = 500 * time.Millisecond, 10 * time.Second

func (c *component) logPath() string { return filepath.Join("/var/log/podium", c.Name+".log") }

func (c *component) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wanted = true
	if c.pid != 0 {
		return nil
	}
	return c.launch(shortest)
}

// listens waits until it accepts connections on its socket; a program that takes longer is left to those who need it.
func (c *component) listens(limit time.Duration) {
	for deadline := time.Now().Add(limit); c.Socket != "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if connection, err := net.Dial("unix", c.Socket); err == nil {
			connection.Close()
			return
		}
	}
}

// launch needs c.mu.
func (c *component) launch(pause time.Duration) error {
	if err := os.MkdirAll(filepath.Dir(c.logPath()), 0o755); err != nil {
		return err
	}
	output, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer output.Close()
	group := filepath.Join("/sys/fs/cgroup/podium", c.Name)
	if err := os.MkdirAll(group, 0o755); err != nil {
		return err
	}
	place, err := os.Open(group)
	if err != nil {
		return err
	}
	defer place.Close()
	cmd := exec.Command(c.Argv[0], c.Argv[1:]...)
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(place.Fd())}
	ended, err := spawn(cmd)
	if err != nil {
		return err
	}
	c.pid, c.since, c.ended = cmd.Process.Pid, time.Now(), make(chan struct{})
	go c.watch(ended, pause)
	return nil
}

func (c *component) watch(ended <-chan syscall.WaitStatus, pause time.Duration) {
	status := <-ended
	c.mu.Lock()
	if time.Since(c.since) > longest {
		pause = shortest
	}
	c.pid, c.since, c.last = 0, time.Now(), describe(status)
	close(c.ended)
	wanted := c.wanted
	c.mu.Unlock()
	if !wanted {
		return
	}
	time.Sleep(pause)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.wanted || c.pid != 0 {
		return
	}
	c.restarts++
	if err := c.launch(min(2*pause, longest)); err != nil {
		c.last = err.Error()
	}
}

// stop ends the program and keeps it down: SIGTERM, and SIGKILL after five seconds.
func (c *component) stop() error {
	c.mu.Lock()
	c.wanted = false
	pid, ended := c.pid, c.ended
	c.mu.Unlock()
	if pid == 0 {
		return nil
	}
	syscall.Kill(pid, syscall.SIGTERM)
	select {
	case <-ended:
		return nil
	case <-time.After(5 * time.Second):
	}
	syscall.Kill(pid, syscall.SIGKILL)
	select {
	case <-ended:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("%s (process %d) outlived SIGKILL by five seconds", c.Name, pid)
	}
}

// tail returns the last lines of the log.
func (c *component) tail(lines int) ([]byte, error) {
	text, err := os.ReadFile(c.logPath())
	if err != nil {
		return nil, err
	}
	for at := len(text) - 1; at > 0; at-- {
		if text[at-1] == '\n' {
			if lines--; lines == 0 {
				return text[at:], nil
			}
		}
	}
	return text, nil
}
