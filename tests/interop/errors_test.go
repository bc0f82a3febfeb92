package interop

import (
	"errors"
	"testing"

	"github.com/varlink/go/varlink"

	root "orgnsrootroot"
	session "orgnsrootsession"
)

// What is asked of Run, and which error comes of it, as which type.
func TestRunFailsWithItsOwnErrors(t *testing.T) {
	text := func(s string) *string { return &s }
	number := func(n int64) *int64 { return &n }
	for name, row := range map[string]struct {
		request request
		command string
		expect  func(err error) bool
	}{
		"no such root": {request{root: text("x")}, "true", func(err error) bool {
			var e *session.NoSuchRoot
			return errors.As(err, &e) && e.Root == "x"
		}},
		"no such user": {request{user: text("x")}, "true", func(err error) bool {
			var e *session.NoSuchUser
			return errors.As(err, &e) && e.User == "x"
		}},
		"no such command": {request{}, "nonesuch", func(err error) bool {
			var e *session.CommandNotFound
			return errors.As(err, &e) && e.Path == "nonesuch"
		}},
		"no program": {request{}, "/etc/passwd", func(err error) bool {
			var e *session.ExecFailed
			return errors.As(err, &e) && e.Path == "/etc/passwd" && e.ErrnoName == "EACCES"
		}},
		// varlink-go sends no descriptors
		"no descriptor": {request{standardInput: number(0)}, "true", func(err error) bool {
			var e *session.BadFileDescriptor
			return errors.As(err, &e) && e.Parameter == "standardInputFileDescriptor" && e.Reason != ""
		}},
		"no root's name": {request{root: text("")}, "true", func(err error) bool {
			var e *varlink.InvalidParameter
			return errors.As(err, &e) && e.Parameter == "root"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			if s, _, err := start(t, c, row.request, row.command).receive(); !row.expect(err) {
				t.Errorf("%T %v, %+v", err, err, s)
			}
			ping(t, c)
		})
	}
}

func TestRunNeedsMore(t *testing.T) {
	_, _, _, err := session.Run().Call(ctx, connect(t), nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil,
		nil, nil, nil, nil, nil, nil, nil)
	if !has("org.varlink.service.ExpectedMore")(err) {
		t.Errorf("%T %v", err, err)
	}
}

func TestWhatIsNotThereIsNamed(t *testing.T) {
	c := connect(t)
	noSession := func(err error) {
		var e *session.NoSuchSession
		if !errors.As(err, &e) || e.Id != "nonesuch" {
			t.Errorf("%T %v", err, err)
		}
	}
	id := "nonesuch"
	_, err := session.List().Call(ctx, c, &id, nil)
	noSession(err)
	_, err = session.Wait().Call(ctx, c, id, nil)
	noSession(err)
	noSession(session.Signal().Call(ctx, c, id, "TERM", nil, nil))
	noSession(session.Stop().Call(ctx, c, id, nil))
	noSession(session.Pause().Call(ctx, c, id))
	noSession(session.Resume().Call(ctx, c, id))
	noSession(session.Resize().Call(ctx, c, id, 80, 24))
	_, err = session.Attach().Call(ctx, c, id, nil)
	noSession(err)
	_, err = session.Logs().Call(ctx, c, id, nil)
	noSession(err)
	_, err = session.Statistics().Call(ctx, c, &id)
	noSession(err)

	var noRoot *root.NoSuchRoot
	if _, err := root.List().Call(ctx, c, &id); !errors.As(err, &noRoot) || noRoot.Name != id {
		t.Errorf("%T %v", err, err)
	}
	var noMethod *varlink.MethodNotFound
	err = c.Call(ctx, "io.systemd.service.Nonesuch", nil, nil)
	if !errors.As(err, &noMethod) || noMethod.Method != "io.systemd.service.Nonesuch" {
		t.Errorf("%T %v", err, err)
	}
	var noInterface *varlink.InterfaceNotFound
	err = c.Call(ctx, "org.example.Method", nil, nil)
	if !errors.As(err, &noInterface) || noInterface.Interface != "org.example" {
		t.Errorf("%T %v", err, err)
	}
}

// What a session cannot do has an error of its own.
func TestASessionThatCannotIsNamed(t *testing.T) {
	c, command := connect(t), "aaaaaaaaaaaa"
	foreground := start(t, connect(t), request{}, "sleep", "60").started(t).Id
	_, attached := session.Attach().Call(ctx, c, foreground, nil)
	_, logged := session.Logs().Call(ctx, c, foreground, nil)
	for _, err := range []error{attached, logged, session.Resize().Call(ctx, c, foreground, 80, 24)} {
		var e *session.NotDetached
		if !errors.As(err, &e) || e.Id != foreground {
			t.Errorf("%T %v", err, err)
		}
	}
	_, waited := session.Wait().Call(ctx, c, foreground, &command)
	for _, err := range []error{waited, session.Signal().Call(ctx, c, foreground, "TERM", &command, nil)} {
		var e *session.NoSuchCommand
		if !errors.As(err, &e) || e.Command != command {
			t.Errorf("%T %v", err, err)
		}
	}
	var e *session.NoTerminal
	if err := session.Resize().Call(ctx, c, detached(t, false, "sleep", "60"), 80, 24); !errors.As(err, &e) {
		t.Errorf("%T %v", err, err)
	}
}

func TestANameIsNotGivenTwice(t *testing.T) {
	name := "twice"
	start(t, connect(t), request{name: &name}, "sleep", "60").started(t)
	var e *session.SessionExists
	if _, _, err := start(t, connect(t), request{name: &name}, "true").receive(); !errors.As(err, &e) || e.Name != name {
		t.Errorf("%T %v", err, err)
	}
}

// Ids begin with one of 32 characters, so that of 33 two begin with the same.
func TestTheBeginningOfTwoIdsIsAmbiguous(t *testing.T) {
	seen := map[string]bool{}
	for n := 0; n < 33; n++ {
		letter := start(t, connect(t), request{}, "sleep", "60").started(t).Id[:1]
		if !seen[letter] {
			seen[letter] = true
			continue
		}
		var e *session.AmbiguousId
		if _, err := session.List().Call(ctx, connect(t), &letter, nil); !errors.As(err, &e) || e.Id != letter {
			t.Errorf("%T %v", err, err)
		}
		return
	}
	t.Error("no two ids begin with the same character")
}

// An error whose parameter is a structure, with members that are there and others that are not.
func TestTheResultOfAnEndedSessionComesWithTheError(t *testing.T) {
	c := connect(t)
	s := start(t, c, request{}, "sh", "-c", "exit 9")
	id := s.started(t).Id
	s.ended(t)
	var e *session.SessionExited
	err := session.Signal().Call(ctx, c, id, "TERM", nil, nil)
	if !errors.As(err, &e) || e.Result.Cause != "exited" || *e.Result.Code != 9 || e.Result.Signal != nil {
		t.Errorf("%T %v", err, err)
	}
}

func TestAOnewayCallIsHeededAndNotAnswered(t *testing.T) {
	c, other := connect(t), connect(t)
	s := start(t, c, request{}, "sleep", "60")
	id := s.started(t).Id
	if _, err := session.Stop().Send(ctx, other, varlink.Oneway, id, new(int64)); err != nil {
		t.Fatal(err)
	}
	if _, err := session.Stop().Send(ctx, other, varlink.Oneway, "nonesuch", nil); err != nil {
		t.Fatal(err)
	}
	ping(t, other) // gets its own answer, and not one to those
	if result := s.ended(t); result.Cause != "stopped" {
		t.Errorf("%+v", result)
	}
}

// Several calls may be under way on one connection; the replies come in their order.
func TestCallsAreAnsweredInTheirOrder(t *testing.T) {
	c := connect(t)
	names := []string{"org.example.a", "org.example.b", "org.example.c"}
	receives := []func(name string){}
	for _, name := range names {
		receive, err := c.Send(ctx, name+".Method", nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		receives = append(receives, func(name string) {
			var e *varlink.InterfaceNotFound
			if _, err := receive(ctx, nil); !errors.As(err, &e) || e.Interface != name {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	for n, receive := range receives {
		receive(names[n])
	}
}

// Who asked for it is told how far the root is; then it goes on as any other run.
func TestProgressComesBeforeTheSession(t *testing.T) {
	c, roots, yes, told := connect(t), interfaces["org.nsroot.root"], true, 0
	if asRoot {
		remove(t, c)
	}
	receive, err := session.Run().Send(ctx, c, varlink.More, nil, &[]string{"true"}, nil, nil, nil, nil, nil, nil, nil, nil,
		nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, &yes)
	if err != nil {
		t.Fatal(err)
	}
	for {
		s, _, preparation, flags, err := receive(ctx)
		if err != nil || flags&varlink.Continues == 0 || (s == nil) == (preparation == nil) {
			t.Fatalf("%+v %+v %d: %v", s, preparation, flags, err)
		}
		if s != nil {
			break
		}
		told++
		wrong := mismatches(roots, definition(roots, "PullState"), preparation.State, "state")
		if preparation.Root != "busybox" || wrong != nil {
			t.Errorf("%+v: %s", preparation, wrong)
		}
	}
	if (told > 0) != asRoot {
		t.Errorf("told %d times", told)
	}
	s, _, _, flags, err := receive(ctx)
	if err != nil || flags&varlink.Continues != 0 || s.Result == nil || *s.Result.Code != 0 {
		t.Errorf("%+v: %v", s, err)
	}
}
