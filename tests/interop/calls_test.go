package interop

import (
	"encoding/base64"
	"errors"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/varlink/go/varlink"

	systemd "iosystemdservice"
	root "orgnsrootroot"
	session "orgnsrootsession"
	service "orgvarlinkservice"
)

// Every method that is described, and a call of it.
var calls = map[string]func(t *testing.T, c *varlink.Connection){
	"org.varlink.service.GetInfo":                 getInfo,
	"org.varlink.service.GetInterfaceDescription": getInterfaceDescription,

	"io.systemd.service.Ping":           ping,
	"io.systemd.service.Reload":         reload,
	"io.systemd.service.SetLogLevel":    setLogLevel,
	"io.systemd.service.GetEnvironment": getEnvironment,

	"org.nsroot.session.Run":        runToItsEnd,
	"org.nsroot.session.Exec":       execute,
	"org.nsroot.session.Attach":     attach,
	"org.nsroot.session.Resize":     resize,
	"org.nsroot.session.List":       listSessions,
	"org.nsroot.session.Subscribe":  subscribe,
	"org.nsroot.session.Logs":       logs,
	"org.nsroot.session.Describe":   describeHost,
	"org.nsroot.session.Statistics": statistics,
	"org.nsroot.session.Signal":     signal,
	"org.nsroot.session.Pause":      pause,
	"org.nsroot.session.Resume":     resume,
	"org.nsroot.session.Stop":       stop,
	"org.nsroot.session.Wait":       wait,

	"org.nsroot.root.List":   listRoots,
	"org.nsroot.root.Pull":   pull,
	"org.nsroot.root.Import": notBuilt(importRoot),
	"org.nsroot.root.Verify": verify,
	"org.nsroot.root.Remove": remove,
}

func TestEveryMethodIsCalled(t *testing.T) {
	described := map[string]bool{}
	for name, i := range interfaces {
		for _, method := range i.Methods {
			full := name + "." + method.Name
			described[full] = true
			t.Run(full, func(t *testing.T) {
				if calls[full] == nil {
					t.Fatal("described, and not called here")
				}
				calls[full](t, connect(t))
			})
		}
	}
	for full := range calls {
		if !described[full] {
			t.Errorf("%s is called here, and not described", full)
		}
	}
}

// notBuilt is a call of a method that is described already, and not there yet. When it is, its call here has to see
// more than its error.
func notBuilt(call func(c *varlink.Connection) error) func(*testing.T, *varlink.Connection) {
	return func(t *testing.T, c *varlink.Connection) {
		var e *varlink.MethodNotImplemented
		err := call(c)
		if !errors.As(err, &e) {
			t.Fatalf("answers %v", err)
		}
		if want := strings.SplitN(t.Name(), "/", 2)[1]; e.Method != want {
			t.Errorf("%s: not %s", e.Method, want)
		}
	}
}

// -- org.varlink.service

func getInfo(t *testing.T, c *varlink.Connection) {
	vendor, product, version, url, names, err := service.GetInfo().Call(ctx, c)
	if err != nil || vendor == "" || product == "" || version == "" || url == "" {
		t.Errorf("%q %q %q %q: %v", vendor, product, version, url, err)
	}
	var known []string // to the library itself
	if err := c.GetInfo(ctx, nil, nil, nil, nil, &known); err != nil {
		t.Error(err)
	}
	if len(names) == 0 || strings.Join(known, " ") != strings.Join(names, " ") {
		t.Errorf("%s: not %s", known, names)
	}
}

func getInterfaceDescription(t *testing.T, c *varlink.Connection) {
	for name, want := range descriptions {
		description, err := c.GetInterfaceDescription(ctx, name)
		if err != nil || description != want {
			t.Errorf("%s: %v: %s", name, err, description)
		}
	}
	_, err := service.GetInterfaceDescription().Call(ctx, c, "org.example")
	var e *varlink.InterfaceNotFound
	if !errors.As(err, &e) || e.Interface != "org.example" {
		t.Error(err)
	}
}

// -- io.systemd.service

func ping(t *testing.T, c *varlink.Connection) {
	if err := systemd.Ping().Call(ctx, c); err != nil {
		t.Error(err)
	}
}

func reload(t *testing.T, c *varlink.Connection) {
	forRootOnly(t, systemd.Reload().Call(ctx, c), has(permissionDenied))
}

func setLogLevel(t *testing.T, c *varlink.Connection) {
	if !forRootOnly(t, systemd.SetLogLevel().Call(ctx, c, 6), has(permissionDenied)) {
		return
	}
	var e *varlink.InvalidParameter
	if err := systemd.SetLogLevel().Call(ctx, c, 8); !errors.As(err, &e) || e.Parameter != "level" {
		t.Error(err)
	}
}

func getEnvironment(t *testing.T, c *varlink.Connection) {
	environment, err := systemd.GetEnvironment().Call(ctx, c)
	if !forRootOnly(t, err, has(permissionDenied)) {
		return
	}
	for _, variable := range *environment {
		if !strings.Contains(variable, "=") {
			t.Error(variable)
		}
	}
}

// -- org.nsroot.session

// A stream is a call of Run whose last reply has not come yet.
type stream struct {
	receive func() (*session.Session, bool, error)
}

// request is what may be asked of Run, of which everything is optional.
type request struct {
	root, name, user *string
	limits           *session.Limits
	standardInput    *int64
}

func start(t *testing.T, c *varlink.Connection, r request, command ...string) stream {
	t.Helper()
	receive, err := session.Run().Send(ctx, c, varlink.More, r.root, &command, r.name, nil, nil, r.user, nil, nil,
		nil, nil, r.limits, nil, nil, nil, nil, nil, nil, r.standardInput, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return stream{func() (*session.Session, bool, error) {
		s, pty, preparation, flags, err := receive(ctx)
		if pty != nil || preparation != nil {
			t.Errorf("nobody asked for %v %v", pty, preparation)
		}
		return s, flags&varlink.Continues != 0, err
	}}
}

// started is the first reply.
func (s stream) started(t *testing.T) *session.Session {
	t.Helper()
	first, more, err := s.receive()
	if err != nil || !more || first == nil || first.State != "running" || first.Result != nil {
		t.Fatalf("%+v %v: %v", first, more, err)
	}
	return first
}

// ended is what the last reply says.
func (s stream) ended(t *testing.T) *session.Result {
	t.Helper()
	last, more, err := s.receive()
	if err != nil || more || last == nil || last.State != "exited" || last.Result == nil {
		t.Fatalf("%+v %v: %v", last, more, err)
	}
	return last.Result
}

func runToItsEnd(t *testing.T, c *varlink.Connection) {
	s := start(t, c, request{}, "sh", "-c", "exit 7")
	first := s.started(t)
	if first.OwnerUid != int64(os.Geteuid()) || strings.Join(first.Arguments, " ") != "sh -c exit 7" {
		t.Errorf("%+v", first)
	}
	result := s.ended(t)
	if result.Cause != "exited" || result.Code == nil || *result.Code != 7 || result.Signal != nil {
		t.Errorf("%+v", result)
	}
	ping(t, c)
}

func listSessions(t *testing.T, c *varlink.Connection) {
	other := connect(t)
	id := start(t, other, request{}, "sleep", "60").started(t).Id
	all, err := session.List().Call(ctx, c, nil, nil)
	found := false
	for _, s := range all {
		found = found || s.Id == id
	}
	if err != nil || !found {
		t.Errorf("%s is not in %+v: %v", id, all, err)
	}
	one, err := session.List().Call(ctx, c, &id, nil)
	if err != nil || len(one) != 1 || one[0].Id != id || one[0].Leader == nil || one[0].Leader.Pid == 0 {
		t.Errorf("%s: %+v: %v", id, one, err)
	}
}

func signal(t *testing.T, c *varlink.Connection) {
	s := start(t, c, request{}, "sleep", "60")
	id := s.started(t).Id
	if err := session.Signal().Call(ctx, connect(t), id, "SIGTERM", nil, nil); err != nil {
		t.Error(err)
	}
	result := s.ended(t)
	if result.Cause != "signaled" || result.Code != nil || result.Signal == nil || *result.Signal != "SIGTERM" {
		t.Errorf("%+v", result)
	}
}

func stop(t *testing.T, c *varlink.Connection) {
	s := start(t, c, request{}, "sleep", "60")
	id := s.started(t).Id
	atOnce := int64(0)
	if err := session.Stop().Call(ctx, connect(t), id, &atOnce); err != nil {
		t.Error(err)
	}
	if result := s.ended(t); result.Cause != "stopped" {
		t.Errorf("%+v", result)
	}
}

func wait(t *testing.T, c *varlink.Connection) {
	s := start(t, connect(t), request{}, "sh", "-c", "sleep .2; exit 3")
	waited, err := session.Wait().Call(ctx, c, s.started(t).Id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if result := s.ended(t); *result.Code != 3 || *waited.Code != 3 || waited.Cause != result.Cause {
		t.Errorf("%+v: not %+v", waited, result)
	}
}

func describeHost(t *testing.T, c *varlink.Connection) {
	_, _, version, _, _, _ := service.GetInfo().Call(ctx, c)
	host, allowance, err := session.Describe().Call(ctx, c)
	if err != nil || host.Version != version || host.Kernel == "" || host.StateFilesystem == "" {
		t.Errorf("%+v: %v", host, err)
	}
	if allowance.Uid != int64(os.Geteuid()) || allowance.DefaultRoot == "" || allowance.ChangesRoots != asRoot {
		t.Errorf("%+v", allowance)
	}
}

// detached starts a session that lives without its connection, and ends with the test.
func detached(t *testing.T, terminal bool, command ...string) string {
	t.Helper()
	c, yes := connect(t), true
	s, _, _, err := session.Run().Call(ctx, c, nil, &command, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, &yes,
		&terminal, nil, nil, nil, nil, nil, nil, nil)
	if err != nil || s == nil || s.State != "running" || !s.Detached || s.Terminal != terminal {
		t.Fatalf("%+v: %v", s, err)
	}
	t.Cleanup(func() { // most have ended by then
		_ = session.Stop().Call(ctx, connect(t), s.Id, new(int64))
	})
	return s.Id
}

// execute starts a command, asks for its result from elsewhere, and has it killed by its own name.
func execute(t *testing.T, c *varlink.Connection) {
	id := detached(t, false, "sleep", "60")
	exec := func(command ...string) (string, func() *session.Result) {
		receive, err := session.Exec().Send(ctx, c, varlink.More, id, command, nil, nil, nil, nil, nil, nil, nil, nil, nil,
			nil)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _, result, flags, err := receive(ctx)
		if err != nil || name == "" || result != nil || flags&varlink.Continues == 0 {
			t.Fatalf("%q %+v: %v", name, result, err)
		}
		return name, func() *session.Result {
			again, _, _, result, flags, err := receive(ctx)
			if err != nil || again != name || result == nil || flags&varlink.Continues != 0 {
				t.Fatalf("%q %+v: %v", again, result, err)
			}
			return result
		}
	}

	name, ended := exec("sh", "-c", "exit 5")
	if result := ended(); result.Cause != "exited" || *result.Code != 5 {
		t.Errorf("%+v", result)
	}
	waited, err := session.Wait().Call(ctx, c, id, &name)
	if err != nil || *waited.Code != 5 {
		t.Errorf("%+v: %v", waited, err)
	}

	name, ended = exec("sleep", "60")
	if err := session.Signal().Call(ctx, connect(t), id, "SIGTERM", &name, nil); err != nil {
		t.Error(err)
	}
	if result := ended(); result.Cause != "signaled" || *result.Signal != "SIGTERM" {
		t.Errorf("%+v", result)
	}
	if s, err := session.List().Call(ctx, c, &id, nil); err != nil || s[0].State != "running" {
		t.Errorf("%+v: %v", s, err)
	}
}

// attach becomes the stream itself, for the library takes no descriptors. That connection is not overheard: what goes
// over it is no messages.
func attach(t *testing.T, c *varlink.Connection) {
	id := detached(t, true, "cat")
	stream, err := session.Attach().Call(ctx, c, id, nil)
	if err != nil || stream == nil || *stream != 0 {
		t.Errorf("%v: %v", stream, err)
	}

	direct, err := varlink.NewConnection(ctx, "unix:"+socket)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	receive, err := session.Attach().Upgrade(ctx, direct, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, _, peer, err := receive(ctx)
	if err != nil || stream != nil {
		t.Fatalf("%v: %v", stream, err)
	}
	if _, err := peer.Write(ctx, []byte("typed\n")); err != nil {
		t.Error(err)
	}
	for n := 0; n < 2; n++ { // the terminal's echo, and what cat makes of it
		if line, err := peer.ReadBytes(ctx, '\n'); err != nil || string(line) != "typed\r\n" {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func resize(t *testing.T, c *varlink.Connection) {
	id := detached(t, true, "sh", "-c", "while sleep .1; do stty size; done")
	if err := session.Resize().Call(ctx, c, id, 101, 37); err != nil {
		t.Fatal(err)
	}
	if said := listen(t, c, id, "37 101"); said["terminal"] == "" {
		t.Errorf("%q", said)
	}
}

// subscribe is told of what there is, and then of each change.
func subscribe(t *testing.T, c *varlink.Connection) {
	before := detached(t, false, "sleep", "60")
	receive, err := session.Subscribe().Send(ctx, c, varlink.More)
	if err != nil {
		t.Fatal(err)
	}
	sessions, flags, err := receive(ctx)
	found := false
	for _, s := range sessions {
		found = found || s.Id == before && s.State == "running"
	}
	if err != nil || !found || flags&varlink.Continues == 0 {
		t.Fatalf("%s is not in %+v: %v", before, sessions, err)
	}
	id, states := "", ""
	s := start(t, connect(t), request{}, "true")
	id = s.started(t).Id
	s.ended(t)
	for !strings.HasSuffix(states, " exited") {
		sessions, flags, err := receive(ctx)
		if err != nil || len(sessions) != 1 || flags&varlink.Continues == 0 {
			t.Fatalf("%+v after%s: %v", sessions, states, err)
		}
		if sessions[0].Id == id {
			states += " " + string(sessions[0].State)
		}
	}
	if !strings.HasSuffix(states, " running exited") {
		t.Error(states)
	}
}

// listen reads what a session prints until some words are in it, or it is over: what was said on which stream.
func listen(t *testing.T, c *varlink.Connection, id, until string) map[string]string {
	t.Helper()
	yes, said := true, map[string]string{}
	receive, err := session.Logs().Send(ctx, c, varlink.More, id, &yes)
	for err == nil {
		var records []session.LogRecord
		var flags uint64
		records, flags, err = receive(ctx)
		for _, r := range records {
			bytes, wrong := base64.StdEncoding.DecodeString(r.DataBase64)
			if wrong != nil || r.Timestamp.Realtime == nil || r.Lost != nil {
				t.Errorf("%+v: %v", r, wrong)
			}
			said[string(r.Stream)] += string(bytes)
			if until != "" && strings.Contains(said[string(r.Stream)], until) {
				return said
			}
		}
		if flags&varlink.Continues == 0 {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return said
}

// logs are there while the session lives, to its end and after it.
func logs(t *testing.T, c *varlink.Connection) {
	id := detached(t, false, "sh", "-c", "echo one; sleep .3; echo two >&2")
	for n := 0; n < 2; n++ {
		if said := listen(t, c, id, ""); said["stdout"] != "one\n" || said["stderr"] != "two\n" || len(said) != 2 {
			t.Errorf("%q", said)
		}
	}
	records, err := session.Logs().Call(ctx, c, id, nil)
	if err != nil || len(records) != 2 || records[0].DataBase64 != "b25lCg==" {
		t.Errorf("%+v: %v", records, err)
	}
}

func statistics(t *testing.T, c *varlink.Connection) {
	id := detached(t, false, "sleep", "60")
	usage, err := session.Statistics().Call(ctx, c, &id)
	if err != nil || len(usage) != 1 || usage[0].Id != id || usage[0].OwnerUid != int64(os.Geteuid()) {
		t.Errorf("%+v: %v", usage, err)
	}
	all, err := session.Statistics().Call(ctx, c, nil)
	found := false
	for _, u := range all {
		found = found || u.Id == id
	}
	if err != nil || !found {
		t.Errorf("%s is not in %+v: %v", id, all, err)
	}
}

func stateOf(t *testing.T, c *varlink.Connection, id string) string {
	t.Helper()
	found, err := session.List().Call(ctx, c, &id, nil)
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v: %v", found, err)
	}
	return string(found[0].State)
}

func pause(t *testing.T, c *varlink.Connection) {
	id := detached(t, false, "sleep", "60")
	for n := 0; n < 2; n++ { // it may be so already
		if err := session.Pause().Call(ctx, c, id); err != nil || stateOf(t, c, id) != "paused" {
			t.Errorf("%s: %v", stateOf(t, c, id), err)
		}
	}
	if err := session.Stop().Call(ctx, c, id, nil); err != nil {
		t.Error(err)
	}
}

func resume(t *testing.T, c *varlink.Connection) {
	id := detached(t, false, "sleep", ".5")
	if err := session.Pause().Call(ctx, c, id); err != nil {
		t.Error(err)
	}
	if err := session.Resume().Call(ctx, c, id); err != nil || stateOf(t, c, id) != "running" {
		t.Errorf("%s: %v", stateOf(t, c, id), err)
	}
	if result, err := session.Wait().Call(ctx, c, id, nil); err != nil || *result.Code != 0 {
		t.Errorf("%+v: %v", result, err)
	}
}

// -- org.nsroot.root

func refused(err error) bool {
	var e *root.Refused
	return errors.As(err, &e) && e.Rule != ""
}

func theRoot(t *testing.T, c *varlink.Connection) root.Root {
	t.Helper()
	name := "busybox"
	roots, err := root.List().Call(ctx, c, &name)
	if err != nil || len(roots) != 1 || roots[0].Name != name || roots[0].Kind != "busybox" {
		t.Fatalf("%+v: %v", roots, err)
	}
	return roots[0]
}

func listRoots(t *testing.T, c *varlink.Connection) {
	theRoot(t, c)
	roots, err := root.List().Call(ctx, c, nil)
	names := []string{}
	for _, r := range roots {
		names = append(names, r.Name)
	}
	sort.Strings(names)
	if n := sort.SearchStrings(names, "busybox"); err != nil || n == len(names) || names[n] != "busybox" {
		t.Errorf("%s: %v", names, err)
	}
}

// Each reply but the last says how far it is; a root that is there already needs only that one.
func pull(t *testing.T, c *varlink.Connection) {
	receive, err := root.Pull().Send(ctx, c, varlink.More, "busybox")
	if err != nil {
		t.Fatal(err)
	}
	for {
		state, _, _, made, flags, err := receive(ctx)
		if !forRootOnly(t, err, refused) {
			return
		}
		if flags&varlink.Continues != 0 {
			if state == "finished" || made != nil {
				t.Errorf("%s with more to come", state)
			}
			continue
		}
		if state != "finished" || made == nil || !made.Cached || made.Digest == nil || *made.SizeBytes == 0 {
			t.Errorf("%s %+v", state, made)
		}
		return
	}
}

func importRoot(c *varlink.Connection) error {
	_, _, _, _, err := root.Import().Call(ctx, c, "x", 0, nil)
	return err
}

func verify(t *testing.T, c *varlink.Connection) {
	if asRoot {
		pull(t, c)
	}
	verified, err := root.Verify().Call(ctx, c, "busybox")
	if forRootOnly(t, err, refused) && !verified.Cached {
		t.Errorf("%+v", verified)
	}
}

func remove(t *testing.T, c *varlink.Connection) {
	if asRoot {
		pull(t, c)
	}
	if forRootOnly(t, root.Remove().Call(ctx, c, "busybox"), refused) && theRoot(t, c).Cached {
		t.Error("is still there")
	}
}
