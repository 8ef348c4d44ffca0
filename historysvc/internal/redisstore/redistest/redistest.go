// Package redistest starts real Redis servers for tests: private ones, on
// loopback, that end with the test. A machine without redis-server fails.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// How long a server may take to start, and a cluster to form.
const startTimeout = 20 * time.Second

// Server is one redis-server.
type Server struct {
	// Addr is host:port.
	Addr string
	// Socket is the path of its unix socket.
	Socket string

	dir  string
	args []string
	cmd  *exec.Cmd
	// It is a Sentinel, which has no unix socket.
	sentinel bool
	// Replicas that were started for it.
	replicas int
}

// Start starts a server that ends with tb. args are further settings, such as
// "--appendonly", "yes".
func Start(tb testing.TB, args ...string) *Server {
	tb.Helper()
	s, err := New(args...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// New starts a server for a TestMain, which must Close it.
func New(args ...string) (*Server, error) {
	s, err := prepare()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--unixsocket", s.Socket,
		"--dir", s.dir, "--save", "", "--daemonize", "no",
	}, args...)
	return s.launch()
}

// TLS names the files of a server that speaks TLS on its port, and nothing else:
// clients must show a certificate of CA. The Client ones are what it shows to
// other servers.
type TLS struct{ Cert, Key, CA, ClientCert, ClientKey string }

// args are the settings for a server that listens on port.
func (t TLS) args(port string) []string {
	return []string{
		"--port", "0", "--tls-port", port, "--tls-cert-file", t.Cert, "--tls-key-file", t.Key, "--tls-ca-cert-file", t.CA,
		"--tls-client-cert-file", t.ClientCert, "--tls-client-key-file", t.ClientKey, "--tls-replication", "yes", "--tls-cluster", "yes",
	}
}

// StartTLS is Start for a server that speaks TLS.
func StartTLS(tb testing.TB, files TLS, args ...string) *Server {
	tb.Helper()
	s, err := prepare()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Addr)
	s.args = append([]string{"--bind", "127.0.0.1", "--unixsocket", s.Socket, "--dir", s.dir, "--save", "", "--daemonize", "no"}, files.args(port)...)
	s.args = append(s.args, args...)
	if _, err := s.launch(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// prepare finds a server's address and folder.
func prepare() (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	// A socket's path must be short, so the folder is not below the test's own.
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	return &Server{
		Addr:   net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Socket: filepath.Join(dir, "s"),
		dir:    dir,
	}, nil
}

func (s *Server) launch() (*Server, error) {
	if err := s.Restart(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// StartReplica starts a replica of master that ends with tb, and waits until it
// has everything that the master has.
func StartReplica(tb testing.TB, master *Server, args ...string) *Server {
	tb.Helper()
	host, port, _ := net.SplitHostPort(master.Addr)
	s := Start(tb, append([]string{"--replicaof", host + " " + port, "--repl-diskless-sync-delay", "0"}, args...)...)
	master.replicas++
	if err := waitFor(func() error {
		if answer, err := master.Do(fmt.Sprintf("WAIT %d 1", master.replicas)); answer != fmt.Sprintf(":%d", master.replicas) {
			return fmt.Errorf("the replica does not follow: %q, %w", answer, errors.Join(err))
		}
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// StartSentinel starts a Sentinel that ends with tb. It alone decides that a
// master is down, after half a second. lines are more of its configuration.
func StartSentinel(tb testing.TB, name string, master *Server, lines ...string) *Server {
	tb.Helper()
	s, err := prepare()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	host, port, _ := net.SplitHostPort(master.Addr)
	_, own, _ := net.SplitHostPort(s.Addr)
	config := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor %s %s %s 1\n"+
		"sentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 3000\n", own, s.dir, name, host, port, name, name) + strings.Join(lines, "\n") + "\n"
	path := filepath.Join(s.dir, "sentinel.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	s.args, s.sentinel = []string{path, "--sentinel"}, true
	if _, err := s.launch(); err != nil {
		tb.Fatal(err)
	}
	return s
}

// URL is the server's address for redisstore.
func (s *Server) URL() string { return "redis://" + s.Addr }

// SocketURL is URL over the unix socket, which is faster.
func (s *Server) SocketURL() string { return "unix://" + s.Socket }

// Restart starts the server again after Kill, on the same address and files.
func (s *Server) Restart() error {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return errors.New("redis-server is not installed: these tests need one (apt-get install redis-server)")
	}
	s.cmd = exec.Command(path, s.args...)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	return waitFor(func() error {
		answer, err := s.Do("PING")
		if err == nil && answer != "+PONG" && !strings.HasPrefix(answer, "-NOAUTH") {
			err = fmt.Errorf("redis-server answers %q", answer)
		}
		return err
	})
}

// RestartWith ends the server at once and starts it again with further settings.
func (s *Server) RestartWith(args ...string) error {
	s.Kill()
	s.args = append(s.args, args...)
	return s.Restart()
}

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// Pause freezes the server: it accepts connections and answers nothing.
func (s *Server) Pause() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

// Close ends the server and removes its files.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
}

// Do sends one inline command and returns the first line of the answer.
func (s *Server) Do(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var d net.Dialer
	network, addr := "unix", s.Socket // in the clear, also where TCP is not
	if s.sentinel {
		network, addr = "tcp", s.Addr
	}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Cluster is a Redis Cluster of three masters.
type Cluster struct {
	Nodes []*Server
}

// StartCluster starts a cluster that ends with tb.
func StartCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := NewCluster()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// StartReplicatedCluster starts a cluster, with a replica of each master, that
// ends with tb.
func StartReplicatedCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c, err := newCluster(1)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(c.Close)
	return c
}

// StartTLSCluster starts a cluster whose nodes speak TLS only, that ends with tb.
func StartTLSCluster(tb testing.TB, files TLS) *Cluster {
	tb.Helper()
	c := &Cluster{}
	cli := []string{"--tls", "--cert", files.ClientCert, "--key", files.ClientKey, "--cacert", files.CA}
	for range 3 {
		c.Nodes = append(c.Nodes, StartTLS(tb, files, clusterArgs...))
	}
	if err := c.form(0, cli...); err != nil {
		tb.Fatal(err)
	}
	return c
}

var clusterArgs = []string{
	"--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-require-full-coverage", "no",
	"--repl-diskless-sync-delay", "0",
}

// NewCluster starts a cluster for a TestMain, which must Close it.
func NewCluster() (*Cluster, error) { return newCluster(0) }

func newCluster(replicas int) (*Cluster, error) {
	c := &Cluster{}
	for range 3 * (1 + replicas) {
		n, err := New(clusterArgs...)
		if err != nil {
			c.Close()
			return nil, err
		}
		c.Nodes = append(c.Nodes, n)
	}
	if err := c.form(replicas); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// form makes one cluster of the nodes. cli are settings of redis-cli.
func (c *Cluster) form(replicas int, cli ...string) error {
	args := append(cli, "--cluster", "create")
	for _, n := range c.Nodes {
		args = append(args, n.Addr)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "redis-cli", append(args, "--cluster-replicas", strconv.Itoa(replicas), "--cluster-yes")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("create the cluster: %w: %s", err, out)
	}
	for _, n := range c.Nodes {
		if err := waitFor(func() error { return n.clusterReady(len(c.Nodes), len(c.Nodes)*replicas/(1+replicas)) }); err != nil {
			return err
		}
	}
	return nil
}

// clusterReady returns nil once the server knows all nodes, so many replicas among them.
func (s *Server) clusterReady(nodes, replicas int) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	ask := func(what string) (string, error) {
		out, err := exec.CommandContext(ctx, "redis-cli", "-s", s.Socket, "cluster", what).Output()
		return string(out), err
	}
	info, err := ask("info")
	if err != nil {
		return err
	}
	known, err := ask("nodes")
	if err != nil {
		return err
	}
	if !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:16384") ||
		!strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d\r", nodes)) ||
		strings.Count(known, "slave") != replicas {
		return errors.New("the cluster does not form")
	}
	return nil
}

// URL is the cluster's address for redisstore.
func (c *Cluster) URL() string {
	addrs := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		addrs[i] = n.Addr
	}
	return "redis+cluster://" + strings.Join(addrs, ",")
}

// Close ends all nodes.
func (c *Cluster) Close() {
	for _, n := range c.Nodes {
		n.Close()
	}
}

// freePort finds a port that is free, and whose cluster bus port is, too.
func freePort() (int, error) {
	for range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, err
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port+10000 > 65535 {
			continue
		}
		bus, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port+10000)))
		if err != nil {
			continue
		}
		bus.Close()
		return port, nil
	}
	return 0, errors.New("no free port")
}

func waitFor(f func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := f()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}
