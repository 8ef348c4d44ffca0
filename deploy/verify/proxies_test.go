package verify

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var (
	block       = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")
	edgeFlags   = regexp.MustCompile("with `(-trusted-proxies [^`]*)`")
	replacement = regexp.MustCompile("(?m)^\\| ([^|]*) \\| `([^`]*)` \\| `([^`]*)` \\|$")
)

// TestServerWorksBehindProxies runs each file of docs/howto/behind-a-proxy.md as the page has it,
// but for the ports and the certificate.
func TestServerWorksBehindProxies(t *testing.T) {
	need(t, "curl")
	sections := readProxyPage(t)
	underPath := replacements(sections["Under a path"])
	var commands []string
	for _, m := range block.FindAllStringSubmatch(sections["Check it"], -1) {
		commands = append(commands, strings.TrimSpace(m[2]))
	}
	if len(commands) != 2 || len(underPath) != 4 {
		t.Fatalf("the page has the commands %q, and for a path %q", commands, underPath)
	}

	for title, tool := range map[string]string{
		"nginx": "nginx", "HAProxy": "haproxy", "HAProxy with the PROXY protocol": "haproxy", "Caddy": "caddy", "Traefik": "traefik",
	} {
		for _, path := range []string{"", "/chat"} {
			t.Run(title+path, func(t *testing.T) {
				if tool != "traefik" {
					need(t, tool)
				} else if _, err := exec.LookPath(tool); err != nil {
					t.Skip("Debian has no traefik to install")
				}
				config, flags := block.FindStringSubmatch(sections[title]), edgeFlags.FindStringSubmatch(sections[title])
				if config == nil || flags == nil {
					t.Fatal("the page has no file, or no flags of the edge")
				}
				text, args := config[2], strings.Fields(flags[1])
				if path != "" {
					args = append(args, "-base-path", path)
					for from := range slices.Chunk(underPath[title], 2) {
						text = replaceOnce(t, text, from[0], from[1])
					}
				}
				edge, ops, front := unused(t), unused(t), unused(t)
				startServer(t, edge, path+"/__status", append(args, "-ops-listen", ops)...)
				var starts string
				if blocks := block.FindAllStringSubmatch(sections[title], -1); len(blocks) > 1 {
					starts = blocks[1][2]
				}
				cert := startProxy(t, tool, replaceOnce(t, text, "127.0.0.1:4998", edge), starts, front, path)

				const group, groupPath = "/房//a/b/", "/%E6%88%BF//a%2Fb/"
				chat(t, "wss://"+front+path+groupPath)
				wantPage(t, "https://"+front+path, groupPath)
				for i, want := range [][]string{{"hello"}, {`"address":"127.0.0.2"`, `"address":"127.0.0.3"`}} {
					command := strings.NewReplacer("https://chat.example.com", "https://"+front+path, "127.0.0.1:9090", ops,
						"/room/9527/", url.QueryEscape(group)).Replace(commands[i])
					code, out := run(t, []string{"PATH=" + os.Getenv("PATH"), "CURL_CA_BUNDLE=" + cert}, "sh", "-c", command)
					for _, w := range want {
						if code != 0 || !strings.Contains(out, w) {
							t.Errorf("%s: exit code %d: %s, want %s", command, code, out, w)
						}
					}
				}
			})
		}
	}
}

// readProxyPage returns the sections of docs/howto/behind-a-proxy.md by their titles.
func readProxyPage(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/howto/behind-a-proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	return sections
}

// replacements returns what a section has replaced, and by what, by proxy.
func replacements(section string) map[string][]string {
	all := map[string][]string{}
	for _, m := range replacement.FindAllStringSubmatch(section, -1) {
		all[m[1]] = append(all[m[1]], m[2], m[3])
	}
	return all
}

// chat joins two members, who claim another address, and lets one write to the other. They stay
// until the test ends.
func chat(t *testing.T, target string) {
	t.Helper()
	join := func(from string) *websocket.Conn {
		dialer := websocket.Dialer{
			NetDialContext:  (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}
		conn, answer, err := dialer.DialContext(t.Context(), target, http.Header{
			"X-Forwarded-For": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.9"},
		})
		if err != nil {
			t.Fatalf("join %s: %v, %v", target, err, answer)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	const packet = `{"type":2,"uuid":"1","body":{"data":"hello"}}`
	writer, reader := join("127.0.0.2"), join("127.0.0.3")
	if err := writer.WriteMessage(websocket.TextMessage, []byte(packet)); err != nil {
		t.Fatal(err)
	}
	_ = reader.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, got, err := reader.ReadMessage(); err != nil || string(got) != packet {
		t.Fatalf("the other member of %s got %s, %v", target, got, err)
	}
}

// replaceOnce fails the test unless the text has what is to be replaced, once.
func replaceOnce(t *testing.T, text, from, to string) string {
	t.Helper()
	if n := strings.Count(text, from); n != 1 {
		t.Fatalf("%q occurs %d times in\n%s", from, n, text)
	}
	return strings.Replace(text, from, to, 1)
}

// startProxy runs a proxy with a file of the page, and with the command if the page has one, until
// the test ends. It returns the certificate that the proxy shows.
func startProxy(t *testing.T, tool, config, command, front, path string) (cert string) {
	t.Helper()
	dir := t.TempDir()
	cert, key, err := selfSigned(dir)
	if err != nil {
		t.Fatal(err)
	}
	config = strings.ReplaceAll(config, "/etc/ssl/chat.example.com/", dir+"/")
	status := "https://" + front + path + "/__status"
	switch tool {
	case "nginx":
		startNginx(t, status, replaceOnce(t, config, "listen 443", "listen "+front))
	case "haproxy":
		writeBoth(t, filepath.Join(dir, "both.pem"), cert, key)
		start(t, status, tool, "-f", write(t, dir, replaceOnce(t, config, ":443", front)))
	case "caddy":
		options := "{\nadmin off\nauto_https disable_redirects\ndefault_bind 127.0.0.1\n}\n"
		config = replaceOnce(t, config, "chat.example.com {", "https://"+front+" {")
		start(t, status, "env", "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir,
			tool, "run", "--adapter", "caddyfile", "--config", write(t, dir, options+config))
	case "traefik":
		file := write(t, dir, replaceOnce(t, config, "chat.example.com", "127.0.0.1"))
		command = replaceOnce(t, replaceOnce(t, command, ":443", front), "/etc/traefik/gotapi.yml", file)
		start(t, status, "sh", "-c", "exec "+command)
	}
	return cert
}

// write writes a proxy's file into a folder, and returns its path.
func write(t *testing.T, dir, config string) string {
	t.Helper()
	file := filepath.Join(dir, "proxy.yml") // Traefik reads nothing of another name
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// writeBoth writes a certificate and its key into one file, as HAProxy wants them.
func writeBoth(t *testing.T, file, cert, key string) {
	t.Helper()
	var both []byte
	for _, part := range []string{cert, key} {
		text, err := os.ReadFile(part)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, text...)
	}
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
}
